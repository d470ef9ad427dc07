"""How a review stands: counts, the judge against people, label errors left with an interval, slices that are worse, advice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from argilla_admap.mapping.analysis.errors_left import LEAST_RANDOM, ErrorEstimate, reviewer_accuracy
from argilla_admap.mapping.analysis.judged import agreed_pairs, judge_against_people
from argilla_admap.mapping.analysis.slices import Slice, prompt_clusters, worse_slices
from argilla_admap.mapping.data.arrays import Bools
from argilla_admap.mapping.data.text_features import LANGUAGES, languages_of
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.argilla.properties import BY_COLUMN, ORIGINS, decode_term, encode_term
from argilla_admap.review.people.reliability import agreement, known_answers
from argilla_admap.review.pull.label_errors import LabelErrors, label_errors
from argilla_admap.review.pull.pull import pull
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.reviews import Review, Reviews, reviews_of
from argilla_admap.review.queues.conditions import Condition
from argilla_admap.review.queues.overview import count_queues, never_pushed
from argilla_admap.review.queues.queues import QUEUES, Queue, QueueCount

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["Status", "lacks_sample", "review_status"]

#: Reading on is worth it while the next hundred records of the best queue hold this many wrong labels.
WORTH_READING = 3.0
#: Few enough: this share of the labels, at the upper end of the interval.
FEW = 0.01
#: Fields of slices that the page can filter by.
_LINKED = (*ORIGINS, "region")
#: The others, by the words for them.
_UNLINKED = {"language": "language", "length": "length", "prompts": "what prompts are about"}
#: Unread records that are named of a slice.
_NEXT = 10
_COUNTS = {"corrected": "corrected", "confirmed": "confirmed", "conflict": "conflicts"}
_LENGTHS = ("the shortest third", "the middle third", "the longest third")


@dataclass(frozen=True, slots=True)
class Status:
    """How a review stands.

    Attributes:
        answer: the JSON answer of `admap status`.
        reviews: every reviewed record with each person's answer.
        estimate: how many labels are wrong.
    """

    answer: dict[str, Any]
    reviews: Reviews
    estimate: ErrorEstimate

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return self.answer


def review_status(dataset: str, client: rg.Argilla, options: PullOptions = PullOptions()) -> Status:  # noqa: B008  # frozen
    """How the review of a data set stands; reads only.

    Args:
        dataset: ``[WORKSPACE/]NAME``, managed or external.
        client: of the server; its user must be allowed to read all answers.
        options: how to settle several reviewers' answers.

    Raises:
        InputError: a data set that asks nothing about the label.
        ArgillaError: the server refused.
    """
    reviews = reviews_of(pull(dataset, client, options, describe=True))
    result = reviews.result
    api = Api(client)
    queues = [] if never_pushed(result.target) else count_queues(api, result.target)
    errors = label_errors(reviews)
    frame, estimate, unread = errors.frame, errors.estimate, errors.answers == 0
    fields = _fields(frame)
    settled, p_wrong = frame["corrected"].to_numpy(float), frame["p_wrong"].to_numpy(float)
    worse, looked = worse_slices(settled, p_wrong, fields, float(estimate.false_corrections.value or 0.0))
    judge = _judge(frame, reviews, fields, errors.random)
    next_errors = estimate.next_errors(unread)
    people = _reviewers(frame, reviews, estimate)
    single = _single_reads(errors, reviews, {line["name"]: line for line in people})
    answer = {
        **result.json(),
        "notes": [*result.notes, *_single_warning(single)],
        "unclear": list(result.outcomes.values()).count("unclear"),
        "labels": len(frame) + errors.left_out,
        "left_out": errors.left_out,
        "judge_accuracy": judge["accuracy"],
        "estimated_errors": estimate.total.json(),
        "remaining_errors": estimate.left.json(),
        "random": {"drawn": int(frame["audit"].notna().sum()), "read": estimate.random},
        "next_100": None if next_errors is None else round(next_errors, 1),
        "reviewers": people,
        "single_reads": single,
        "agreement": {of: [found.json() for found in groups] for of, groups in agreement(reviews).items()},
        "queues": [_queue(count, reviews) for count in queues],
        "slices": [_slice(found, result.target, _likeliest(errors, fields[found.field], found.value)) for found in worse],
        "slices_looked_at": looked,
        "judge": judge,
    }
    return Status({**answer, "advice": advice(answer, int(unread.sum()), errors.left_out)}, reviews, estimate)


def _fields(frame: pd.DataFrame) -> dict[str, list[str | None]]:
    """By field the value of each record."""
    found: dict[str, list[str | None]] = {
        field: [decode_term(value) if isinstance(value, str) else None for value in frame[field]] for field in _LINKED
    }
    if frame.empty:
        return {}
    prompts = frame["prompt"].tolist()
    found["language"] = [LANGUAGES[code] for code in languages_of(pa.array(prompts, pa.string()))]
    length = frame["length"].to_numpy(float)
    found["length"] = [_LENGTHS[third] for third in np.searchsorted(np.quantile(length, [1 / 3, 2 / 3]), length)]
    found["prompts"] = prompt_clusters(prompts)
    return {field: values for field, values in found.items() if len(set(values)) > 1}


def _judge(frame: pd.DataFrame, reviews: Reviews, fields: Mapping[str, Sequence[str | None]], member: Bools) -> dict[str, Any]:
    rows = np.flatnonzero(frame["outcome"].isin(["corrected", "confirmed"])).tolist()
    records = [reviews.records[name] for name in frame["id"].iloc[rows]]
    return judge_against_people(
        np.array([agreed_pairs(one.after or (), _scores(one, reviews)) for one in records], float),
        frame["p_wrong"].to_numpy(float)[rows],
        frame["corrected"].to_numpy(float)[rows],
        {field: [values[row] for row in rows] for field, values in fields.items() if field != "prompts"},
        member[rows],
    )


def _scores(record: Review, reviews: Reviews) -> tuple[float | None, ...]:
    """The judge's scores; of an external data set's pair, which holds none, their order as its agreement tells it."""
    scores = reviews.result.found[record.id].scores
    agreement = record.metadata.get(BY_COLUMN["agreement"].name)
    if all(score is None for score in scores) and len(scores) == 2 and agreement and None not in record.before:
        return tuple(float(rating or 0) * float(np.sign(agreement)) for rating in record.before)
    return scores


def _log_odds(chance: float) -> float:
    """Of a chance in 0..1, finite at both ends; 0 where it is not known."""
    if math.isnan(chance):
        return 0.0
    chance = min(max(chance, 1e-12), 1 - 1e-12)
    return math.log(chance / (1 - chance))


def _reviewers(frame: pd.DataFrame, reviews: Reviews, estimate: ErrorEstimate) -> list[dict[str, Any]]:
    """Each person's answers, and how often they are right by what P(wrong) and the other people say of the same records."""
    prior = dict(zip(frame["id"], estimate.chance, strict=True))
    error = min(0.45, max(0.01, float(estimate.false_corrections.value or 0.0)))
    weight = np.log((1 - error) / error)
    said: dict[str, list[tuple[float, bool]]] = {}
    for record in reviews.records.values():
        votes = [(one.reviewer, one.corrects) for one in record.answers if one.corrects is not None]
        chance = float(prior.get(record.id, np.nan))
        total = sum(1 if corrects else -1 for _, corrects in votes)
        for reviewer, corrects in votes:
            others = weight * (total - (1 if corrects else -1))
            said.setdefault(reviewer, []).append((float(1 / (1 + np.exp(-_log_odds(chance) - others))), bool(corrects)))
    known = {person.name: person.json() for person in known_answers(reviews)}
    lines = []
    for reviewer, given in sorted(said.items(), key=lambda item: (-len(item[1]), item[0])):
        chances, corrections = (np.array(column) for column in zip(*given, strict=True))
        right = reviewer_accuracy(chances.astype(float), corrections.astype(bool))
        lines.append(
            {
                "name": reviewer,
                "answered": len(given),
                "corrected": int(corrections.sum()),
                "accuracy": right.value,
                "accuracy_low": right.low,
                "accuracy_high": right.high,
                "known_answers": {key: value for key, value in known[reviewer].items() if key != "name"},
            }
        )
    return lines


def _single_reads(errors: LabelErrors, reviews: Reviews, people: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The corrections that rest on one answer each, and how many of them are expected to change a right label.

    By Bayes' theorem from the label's chance to be wrong before the answer and the reviewer's accuracy; `low` and `high` at the
    ends of the accuracy's interval.
    """
    corrected = (errors.frame["outcome"] == "corrected").to_numpy(bool)
    rows = np.flatnonzero(corrected & (errors.answers == 1))
    read = errors.answers > 0
    # Without P(wrong): as often as labels were corrected at all.
    usual = float(corrected.sum() / max(1, read.sum()))
    chance = np.clip(np.nan_to_num(errors.estimate.chance[rows], nan=usual), 0.001, 0.999)
    by = [
        people[next(one.reviewer for one in reviews.records[name].answers if one.corrects is not None)]
        for name in errors.frame["id"].iloc[rows]
    ]

    def false(end: str) -> float:
        right = np.array([person[end] for person in by], float)
        return round(float(((1 - chance) * (1 - right) / ((1 - chance) * (1 - right) + chance * right)).sum()), 1)

    expected = {"value": false("accuracy"), "low": false("accuracy_high"), "high": false("accuracy_low")}
    return {"corrected": len(rows), "of": int(corrected.sum()), "expected_false": expected}


def _single_warning(single: Mapping[str, Any]) -> list[str]:
    """A warning where corrections of one answer each are expected to change a right label."""
    false = single["expected_false"]
    if round(false["value"]) < 1:
        return []
    return [
        f"{single['corrected']:,} of the {single['of']:,} corrections rest on one answer each; about {false['value']:,.0f} of "
        f"them ({false['low']:,.0f} to {false['high']:,.0f}, by how often their reviewers are right) change a right label: "
        "have them read by a second person: push again with more `reviewers` and an `overlap` of 2"
    ]


def _queue(count: QueueCount, reviews: Reviews) -> dict[str, Any]:
    """A queue with the outcomes of its records."""
    columns = {prop.column: prop.name for prop in BY_COLUMN.values()}
    rows = [{column: one.metadata.get(name) for column, name in columns.items()} for one in reviews.records.values()]
    inside = count.queue.mask(pd.DataFrame(rows, columns=list(columns)))
    outcomes = [one.outcome for one, within in zip(reviews.records.values(), inside, strict=True) if within]
    return {
        **{key: value for key, value in count.json().items() if key not in ("why", "bulk_url")},
        "reviewed": len(outcomes),
        **{name: outcomes.count(outcome) for outcome, name in _COUNTS.items()},
    }


def _likeliest(errors: LabelErrors, values: Sequence[str | None], value: str) -> list[str]:
    """Of a slice, the unread records that are the likeliest to be wrong."""
    unread = np.array([one == value for one in values]) & (errors.answers == 0)
    order = np.argsort(-np.nan_to_num(errors.estimate.chance, nan=-1.0), kind="stable")
    return [str(errors.frame["id"][row]) for row in order[unread[order]][:_NEXT]]


def _slice(found: Slice, target: Any, unread: list[str]) -> dict[str, Any]:
    """A slice with the link of its queue, or why it has none; and the unread records to start with."""
    url = no_link = None
    if found.field in _LINKED:
        condition = Condition(found.field, values=(encode_term(found.value),))
        url = Queue("slice", found.value, "", (condition,), QUEUES["all"].order).url(target)
    else:
        no_link = f"Argilla's page cannot filter by {_UNLINKED[found.field]}, so this slice has no queue"
    names = {"models": "the pair of models", "prompts": "prompts about", "length": "records of"}
    who = found.value if found.value.lower().startswith(found.field) else f"{names.get(found.field, found.field)} {found.value}"
    words = (
        f"{found.corrected} of the {found.of} corrected labels come from {who}, "
        f"which has {found.records:,} records; {found.expected:.0f} would be its share"
    )
    return {
        **{key: getattr(found, key) for key in Slice.__slots__},
        "url": url,
        "no_link": no_link,
        "unread": unread,
        "words": words,
    }


def advice(answer: Mapping[str, Any], unread: int, left_out: int = 0) -> str:
    """One sentence: go on, or stop, and why.

    Args:
        answer: of `admap status`.
        unread: labelled records of the data set that nobody has read.
        left_out: labelled records of the map that the data set does not hold.
    """
    left: Mapping[str, Any] = answer["remaining_errors"]
    best = answer["next_100"]
    if not answer["labels"]:
        return "There is nothing to say: no record has a label that could be wrong."
    if not unread and not left_out:
        return "Stop: every record has been read."
    coming = "" if best is None else f"the next {min(100, unread)} of the best queue are expected to hold {_about(best)}"
    if left["value"] is None:
        go_on = f"go on: {coming}" if coming and best >= WORTH_READING else coming or "go on"
        drawn = "a random sample, which a push can draw," if lacks_sample(answer) else "the queue Random sample"
        return (
            f"{go_on[0].upper()}{go_on[1:]}; how many errors are left cannot be known before {LEAST_RANDOM} records of {drawn} "
            "have been read."
        )
    interval = f"95% interval: {left['low']:,.0f} to {left['high']:,.0f}"
    verb = "is" if round(left["value"]) == 1 else "are"
    rest = f"{_about(left['value'])} {verb} left among {unread + left_out:,} unread records ({interval})"
    if left_out:
        rest += f"; {left_out:,} of these are not in the data set, because a part of the map was pushed"
    if not unread:
        return f"Stop here, and push more of the map: {rest}."
    if left["high"] <= FEW * answer["labels"]:
        return f"Stop: {rest}; that is at most 1% of the labels."
    if best is not None and best < WORTH_READING:
        return f"Stop: {coming}; {rest}."
    return f"Go on: {coming + '; ' if coming else ''}{rest}."


def lacks_sample(answer: Mapping[str, Any]) -> bool:
    """Whether fewer records were drawn at random than an estimate needs, in an answer of `admap status`."""
    return bool(answer["labels"] and answer["random"]["drawn"] < LEAST_RANDOM)


def _about(number: float) -> str:
    words = "hardly any" if round(number) < 1 else f"about {number:,.0f}"
    return f"{words} wrong label{'' if round(number) == 1 else 's'}"
