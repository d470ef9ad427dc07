"""People's answers on Argilla as corrected labels.

Only submitted answers count: a draft is not said yet, and a discarded record was declined. Nothing is written to the answers;
`mark_outcomes` notes on each record how its review stands, so that the queues can show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.argilla.cipher import key_of
from argilla_admap.review.argilla.properties import BY_COLUMN, ORIGINS
from argilla_admap.review.dataset.adapters import DatasetAdapter, External, Managed
from argilla_admap.review.dataset.answers import (
    BETTER,
    EQUAL,
    ContradictoryAnswer,
    Ratings,
    RatingScale,
    alike,
    ratings_from_answer,
)
from argilla_admap.review.dataset.as_input import named_fields
from argilla_admap.review.dataset.hidden_fields import out_of_step, reveal
from argilla_admap.review.dataset.layout import NOTE, scale_is_kept
from argilla_admap.review.dataset.recognise import adapter_for
from argilla_admap.review.dataset.server_record import ServerRecord
from argilla_admap.review.dataset.settings import ensure_properties
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.record_facts import FactColumns, RecordFacts
from argilla_admap.review.pull.resolve import ReviewerAnswer, resolve
from argilla_admap.review.queues.disagreements import open_disagreements
from argilla_admap.review.queues.overview import count_queues, never_pushed, refresh_overview
from argilla_admap.review.queues.queues import QueueCount
from argilla_admap.tables import Spool

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["PullResult", "ReviewedRecord", "mark_outcomes", "pull", "renew_overview"]

_ASKED = BY_COLUMN["adjudicate"].name
_REVIEW, _JUDGED = BY_COLUMN["review"], BY_COLUMN["judged"]
_P_WRONG, _FLAGS = (BY_COLUMN[column].name for column in ("p_wrong", "flags"))
_P_WRONG_UNREAD = BY_COLUMN["p_wrong_unread"].name
_TERMS = ("sample", "audit", "region", *ORIGINS)
#: Characters of the prompt that are kept of every record where it is asked for.
_PROMPT = 300
_BATCH = 100


@dataclass(slots=True)
class ReviewedRecord:
    """A record with a submitted answer.

    Attributes:
        label: before the review, in the record's own order.
        prompt: its prompt.
        completions: as they were shown, in the record's own order.
        p_wrong: None where the data set was never pushed to.
        answers: of all reviewers.
        on_server: of each record there that is this one, its id and metadata.
        scores: the judge's, in the record's own order; None where they are not known.
        asked: the label that the answers were given to, in the record's own order.
        contradictory: an answer was left out because its parts contradict each other.
    """

    label: Ratings
    prompt: str
    completions: tuple[str, ...]
    p_wrong: float | None
    answers: list[ReviewerAnswer]
    on_server: list[tuple[str, Mapping[str, Any]]]
    scores: tuple[float | None, ...] = ()
    asked: Ratings = ()
    contradictory: bool = False


@dataclass(slots=True)
class _Collected:
    """All reviewed records; of the others only their number and what their labels are like."""

    records: int = 0
    facts: FactColumns = field(default_factory=FactColumns)
    stale: int = 0
    low: float | None = None
    high: float | None = None
    whole: bool = True
    reviewed: dict[str, ReviewedRecord] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    contradictory: list[str] = field(default_factory=list)
    out_of_step: list[str] = field(default_factory=list)

    def see(self, label: Ratings) -> None:
        """Widens the range of the labels."""
        for rating in label:
            if rating is not None:
                self.low = rating if self.low is None else min(self.low, rating)
                self.high = rating if self.high is None else max(self.high, rating)
                self.whole = self.whole and rating == int(rating)

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest rating; 0 and 1 where they tell nothing."""
        if self.low is None or self.high is None or self.low >= self.high:
            return (0.0, 1.0)
        return (self.low, self.high)


@dataclass(frozen=True, slots=True)
class PullResult:
    """What the reviewers said.

    Attributes:
        dataset: ``WORKSPACE/NAME``.
        records: all of the data set.
        reviewed: those with a submitted answer.
        corrected: those whose label the answers change.
        confirmed: those whose label they keep.
        conflicts: those whose reviewers contradict each other; their label stays.
        verdicts: record id -> ``tie`` or ``both_bad``, of those that the reviewers find equally good or equally bad.
        corrections: record id -> ratings in the record's own order, of the corrected records.
        outcomes: record id -> ``corrected``, ``confirmed``, ``conflict`` or ``unclear``, of the reviewed records.
        adjudicated: record id -> the ids of the adjudicators whose answers settled it.
        resolve: the rule by which several reviewers' answers were settled.
        notes: what the user should know.
        target, adapter: the data set as it was looked up, and how it was read.
        scale, ends: of its rating questions and of its ratings, as `ratings_from_answer` takes them.
        usernames: reviewer's id -> name.
        found: the reviewed records.
        facts: record id -> what is kept of it, of all records.
        out_of_step: the server's ids of blind records whose cards do not fit their status.
    """

    dataset: str
    records: int
    reviewed: int
    corrected: int
    confirmed: int
    conflicts: int
    corrections: Mapping[str, Ratings]
    outcomes: Mapping[str, str]
    adjudicated: Mapping[str, Sequence[str]]
    resolve: str
    notes: tuple[str, ...]
    target: RemoteDataset = field(repr=False)
    adapter: DatasetAdapter = field(repr=False)
    verdicts: Mapping[str, str] = field(repr=False)
    found: Mapping[str, ReviewedRecord] = field(repr=False)
    facts: FactColumns = field(repr=False)
    scale: RatingScale | None = field(repr=False)
    ends: tuple[float, float] = field(repr=False)
    usernames: Mapping[str, str] = field(repr=False)
    out_of_step: Sequence[str] = field(repr=False)

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "dataset": self.dataset,
            "records": self.records,
            "reviewed": self.reviewed,
            "corrected": self.corrected,
            "confirmed": self.confirmed,
            "conflicts": self.conflicts,
            "ties": list(self.verdicts.values()).count("tie"),
            "both_bad": list(self.verdicts.values()).count("both_bad"),
            "notes": list(self.notes),
        }


def pull(
    dataset: str,
    client: rg.Argilla,
    options: PullOptions = PullOptions(),  # noqa: B008  # frozen
    *,
    describe: bool = False,
    pages: Spool[bytes] | None = None,
) -> PullResult:
    """The submitted answers, settled among several reviewers, as ratings in each record's own order.

    Args:
        dataset: ``[WORKSPACE/]NAME``, managed or external.
        client: of the server; its user must be allowed to read all answers (owner, or admin of the workspace).
        options: how to take them in; nothing is written.
        describe: keep length and the prompt's beginning of every record.
        pages: gets the records as the server gave them, a page of JSON each, for whoever writes them: they are read once.

    Raises:
        InputError: a data set that asks nothing about the label.
        ArgillaError: the server refused.
    """
    api = Api(client)
    target = api.dataset(parse_address(dataset, options.workspace))
    named = named_fields(options.fields if options.original is None else None)
    adapter = adapter_for(target, **named, rating_question=options.rating_question)
    if not adapter.answerable:
        asked = ", ".join(str(question["name"]) for question in target.questions) or "none"
        raise InputError(
            f"{target.full_name}: none of its questions ({asked}) says which completion is better",
            hint="name one with `rating_question`",
        )
    collected = _collect(api, target, adapter, describe, pages)
    usernames = api.usernames(target.workspace_id) if collected.reviewed else {}
    return _settle(target, adapter, collected, options, usernames)


def _collect(
    api: Api,
    target: RemoteDataset,
    adapter: DatasetAdapter,
    describe: bool = False,
    pages: Spool[bytes] | None = None,
) -> _Collected:
    found = _Collected()
    include = ("responses", "suggestions") if isinstance(adapter, External) else ("responses",)
    blind = isinstance(adapter, Managed) and adapter.layout.blind
    key = key_of(target) if blind else None
    for page in api.pages(target, include):
        if pages is not None:
            pages.add(orjson.dumps(page))
        for item in page:
            found.records += 1
            if blind and out_of_step(item):
                found.out_of_step.append(str(item["id"]))
            record = ServerRecord(item, adapter)
            found.see(record.label or ())
            found.stale += record.stale
            if record.id is not None:
                found.facts.add(record.id, _facts(record, describe=describe))
            _add(found, record, key)
    return found


def _facts(record: ServerRecord, *, describe: bool) -> RecordFacts:
    p_wrong = record.metadata.get(_P_WRONG_UNREAD, record.metadata.get(_P_WRONG))
    flags = record.metadata.get(_FLAGS) or ()
    noted: dict[str, Any] = {column: record.metadata.get(BY_COLUMN[column].name) for column in _TERMS}
    if describe and record.texts is not None:
        noted |= {"length": sum(map(len, record.texts.completions)), "prompt": record.texts.prompt[:_PROMPT]}
    return RecordFacts(
        float(p_wrong) if p_wrong is not None else None,
        " ".join(sorted([flags] if isinstance(flags, str) else map(str, flags))),
        sum(rating is not None for rating in record.label or ()) >= 2,
        **noted,
    )


def _add(found: _Collected, record: ServerRecord, key: str | None) -> None:
    submitted = list(record.submitted())
    if not submitted:
        return
    if record.label is None or record.id is None or record.texts is None:
        found.unread.append(f"record {record.item.get('external_id') or record.item['id']}: its fields hold no completions")
        return
    reviewed = found.reviewed.setdefault(
        record.id,
        ReviewedRecord(
            record.label,
            record.texts.prompt,
            record.own_completions,
            found.facts[record.id].p_wrong,
            [],
            [],
            record.scores(key),
            record.asked or record.label,
        ),
    )
    reviewed.on_server.append((str(record.item["id"]), record.metadata))
    for response, said in submitted:
        if isinstance(said, ContradictoryAnswer):
            reviewed.contradictory = True
            found.contradictory.append(f"record {record.id}: {said}")
        elif isinstance(said, InputError):
            found.unread.append(f"record {record.id}: {said}")
        elif said:
            at = datetime.fromisoformat(str(response["updated_at"]).replace("Z", "+00:00"))
            at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
            written = ((response.get("values") or {}).get(NOTE) or {}).get("value")
            reviewed.answers.append(ReviewerAnswer(str(response["user_id"]), said, at, str(written or "")))


def _scale(target: RemoteDataset, adapter: DatasetAdapter, found: _Collected) -> RatingScale | None:
    """Of the rating questions, in terms of the labels' own scale; None where a choice is asked."""
    scale = adapter.scale
    if scale is None or scale.places or scale_is_kept(target) or found.low is None or found.high is None:
        return scale
    return scale.fitted([found.low, found.high, *(() if found.whole else (min(found.low + 0.5, found.high),))])


def _settle(
    target: RemoteDataset, adapter: DatasetAdapter, found: _Collected, options: PullOptions, usernames: Mapping[str, str]
) -> PullResult:
    scale = _scale(target, adapter, found)
    adjudicated = _adjudicated(found, options.adjudicators, usernames)
    answered = {
        record_id: [a for a in record.answers if a.reviewer in adjudicated.get(record_id, (a.reviewer,))]
        for record_id, record in found.reviewed.items()
        if record.answers
    }
    corrections: dict[str, Ratings] = {}
    verdicts: dict[str, str] = {}
    relabelled = 0
    outcomes = {
        record_id: "conflict" if record.contradictory and not record.answers else "unclear"
        for record_id, record in found.reviewed.items()
    }
    for record_id, settled in resolve(answered, options.resolve).items():
        record = found.reviewed[record_id]
        if settled is None:
            outcomes[record_id] = "conflict"
            continue
        try:
            after = ratings_from_answer(settled, record.label, scale=scale, ends=found.ends)
        except InputError as error:
            found.unread.append(f"record {record_id}: {error}")
            continue
        if after is None:
            continue
        if (verdict := settled.get(BETTER)) in EQUAL:
            verdicts[record_id] = str(verdict)
        if after == record.label:
            outcomes[record_id] = "confirmed"
            continue
        if not alike(record.asked, record.label):
            # The owner changed the label after the answer, and the two do not agree.
            outcomes[record_id] = "conflict"
            relabelled += 1
            continue
        outcomes[record_id] = "corrected"
        corrections[record_id] = after
    counts = list(outcomes.values())
    notes = []
    if outcomes and isinstance(adapter, External) and adapter.passed:
        taken = next(iter([*adapter.choices, *adapter.ranking, *adapter.ratings]))
        notes.append(
            f"the label is what people answer to {taken!r}; {adapter.passed[0]!r} could say it too: name the one that does "
            "with `rating_question`"
        )
    if counts.count("unclear"):
        notes.append(f"{counts.count('unclear'):,} reviewed records have no answer about the label; they stay as they are")
    if found.stale:
        notes.append(f"{found.stale:,} answers were given to completions that were replaced since; they do not count")
    if found.contradictory:
        notes.append(
            f"{len(found.contradictory):,} answers contradict themselves and changed nothing; "
            f"the first: {found.contradictory[0]}"
        )
    if relabelled:
        notes.append(
            f"{relabelled:,} records were given another label by a later push, against their reviewers' answers: conflicts, "
            "which keep the label of the push"
        )
    if found.unread:
        notes.append(f"{len(found.unread):,} answers could not be read and changed nothing; the first: {found.unread[0]}")
    if corrections and scale is not None and scale.words():
        notes.append(f"ratings were asked as whole numbers and are written on the data's own scale: {scale.words()}")
    return PullResult(
        dataset=target.full_name,
        records=found.records,
        reviewed=len(found.reviewed),
        corrected=len(corrections),
        confirmed=counts.count("confirmed"),
        conflicts=counts.count("conflict"),
        corrections=corrections,
        outcomes=outcomes,
        adjudicated=adjudicated,
        resolve=options.resolve,
        notes=tuple(notes),
        target=target,
        adapter=adapter,
        verdicts=verdicts,
        found=found.reviewed,
        facts=found.facts,
        scale=scale,
        ends=found.ends,
        usernames=usernames,
        out_of_step=found.out_of_step,
    )


def _adjudicated(found: _Collected, named: Sequence[str], usernames: Mapping[str, str]) -> dict[str, list[str]]:
    """Record id -> the reviewers whose answers outweigh the others': those named, and those who were asked to decide it."""
    unknown = [name for name in named if name not in usernames.values()]
    if unknown and usernames:
        known = ", ".join(sorted(set(usernames.values())))
        raise InputError(f"there is no user {unknown[0]!r}", option="adjudicators", hint=f"there are {known}")
    deciding: dict[str, list[str]] = {}
    for record_id, record in found.reviewed.items():
        names = {*named, *(name for _, metadata in record.on_server for name in metadata.get(_ASKED) or ())}
        if people := [a.reviewer for a in record.answers if usernames.get(a.reviewer) in names]:
            deciding[record_id] = people
    return deciding


def mark_outcomes(result: PullResult, api: Api) -> int:
    """Notes each reviewed record's outcome in its metadata, for the queue of the records whose reviewers disagree.

    A completed record of a blind review shows its label and scores from then on.

    Sends only what changed, with all other metadata as they were; answers are not touched. A data set that was never pushed
    to is left alone. Returns the number of records sent.
    """
    target = result.target
    if never_pushed(target):
        return 0
    if result.out_of_step and isinstance(result.adapter, Managed):
        # Who decides a conflict of a blind review does so blindly too.
        waiting = {
            server_id
            for record_id, outcome in result.outcomes.items()
            if outcome == "conflict"
            for server_id, _ in result.found[record_id].on_server
        }
        reveal(api, target, result.adapter, [one for one in result.out_of_step if one not in waiting])
    items = [
        (server_id, outcome)
        for record_id, outcome in result.outcomes.items()
        for server_id, metadata in result.found[record_id].on_server
        if metadata.get(_REVIEW.name) != outcome
    ]
    if items:
        blind = not all(found.get("visible_for_annotators", True) for found in target.properties.values())
        ensure_properties(api, target, [_REVIEW.column, _JUDGED.column], blind=blind)
    pushed = target.info.get("pushed")
    for start in range(0, len(items), _BATCH):
        batch = dict(items[start : start + _BATCH])
        now = api.metadata_of(target, list(batch)).items()
        changed = [
            {"id": key, "metadata": {**metadata, _REVIEW.name: batch[key], _JUDGED.name: _judged(metadata, pushed)}}
            for key, metadata in now
        ]
        if changed:
            api.put_records(target, changed)
    return len(items)


def _judged(metadata: Mapping[str, Any], pushed: Any) -> str:
    """What the map says of the record as its outcome is noted, for the audit trail."""
    return orjson.dumps({"p_wrong": metadata.get(_P_WRONG), "map": pushed}).decode()


def renew_overview(result: PullResult, api: Api) -> list[QueueCount]:
    """The queues as they stand now, and the guidelines with them; records whose reviewers disagree are opened for the owner.

    Call it after `mark_outcomes`. Idempotent; answers are not touched.

    Raises:
        ArgillaError: the server refused.
    """
    # Once more, because outcomes may have added a property.
    target = api.refresh(result.target)
    if never_pushed(target):
        return []
    open_disagreements(api, target)
    counts = count_queues(api, target)
    summary = {**target.info.get("summary", {}), "records": result.records, "reviewed": result.reviewed}
    refresh_overview(api, target, counts, map_info=target.info.get("map"), summary=summary)
    return counts
