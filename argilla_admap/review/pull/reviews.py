"""How a review stands, as one value: each reviewed record with its outcome and every person's answer, and facts on the rest.

What reads people's answers (status, learning, soft labels, adjudication, watching) starts from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError
from argilla_admap.review.dataset.answers import BETTER, EQUAL, Ratings, Value, ratings_from_answer
from argilla_admap.review.pull.pull import PullResult, pull
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.resolve import ReviewerAnswer

if TYPE_CHECKING:
    import argilla as rg
    import pandas as pd

__all__ = ["PersonAnswer", "Review", "Reviews", "read_reviews", "reviews_of"]


@dataclass(frozen=True, slots=True)
class PersonAnswer:
    """What one person submitted on one record.

    Attributes:
        reviewer: username; the user's id where no name is known.
        user_id: the server's.
        values: by question, in the record's own order.
        after: the label that this answer alone means; None where it says nothing about the label.
        corrects: `after` differs from the label before; None where there is none.
        verdict: ``tie`` or ``both_bad``, else None.
        note: what the person wrote beside it.
        at: when it was last changed.
    """

    reviewer: str
    user_id: str
    values: Mapping[str, Value]
    after: Ratings | None
    corrects: bool | None
    verdict: str | None
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """One reviewed record.

    Attributes:
        id: the record's own.
        outcome: ``confirmed``, ``corrected``, ``conflict`` or ``unclear`` (no answer about the label).
        verdict: ``tie`` or ``both_bad`` where the reviewers settled on it, else None.
        before, after: the label, one rating a completion in the record's own order; `after` is None where nothing is settled.
        answers: of all reviewers, the oldest first.
        p_wrong: as the data set holds it; None where there is none.
        sample: the part that the record plays in the mixed sample of a blind review; None outside of it.
        prompt, completions: the texts, in the record's own order.
        metadata: as the server holds them, by property name.
    """

    id: str
    outcome: str
    verdict: str | None
    before: Ratings
    after: Ratings | None
    answers: tuple[PersonAnswer, ...]
    p_wrong: float | None
    sample: str | None
    prompt: str = field(repr=False)
    completions: tuple[str, ...] = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Reviews:
    """A review as it stands.

    Attributes:
        dataset: ``WORKSPACE/NAME``.
        records: the reviewed ones, by id.
        result: the pull that they come from: counts, settings of the data set, facts on every record.
    """

    dataset: str
    records: Mapping[str, Review]
    result: PullResult = field(repr=False)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All records of the data set, a row each: id, p_wrong (NaN without), sample, flags, labelled, outcome (None where
        nobody answered), corrected (1.0, 0.0; NaN where nothing is settled)."""
        frame = self.result.facts.frame()
        frame["outcome"] = frame["id"].map(self.result.outcomes).astype(object)
        frame["corrected"] = frame["outcome"].map({"corrected": 1.0, "confirmed": 0.0}).astype(float)
        return frame

    @cached_property
    def answers(self) -> pd.DataFrame:
        """All submitted answers, a row each: id, reviewer, user_id, values, after, corrects, verdict, note, at."""
        import pandas as pd

        rows = [
            (record.id, *(getattr(answer, name) for name in PersonAnswer.__slots__))
            for record in self.records.values()
            for answer in record.answers
        ]
        names = ["id", *PersonAnswer.__slots__]
        frame: pd.DataFrame = pd.DataFrame(rows, columns=names)
        return frame


def read_reviews(dataset: str, client: rg.Argilla, options: PullOptions = PullOptions()) -> Reviews:  # noqa: B008  # frozen
    """The review of a data set as it stands; reads only.

    Args:
        dataset: ``[WORKSPACE/]NAME``, managed or external.
        client: of the server; its user must be allowed to read all answers.
        options: how to settle several reviewers' answers, and where they are not recognised, fields and question.

    Raises:
        InputError: a data set that asks nothing about the label.
        ArgillaError: the server refused.
    """
    return reviews_of(pull(dataset, client, options))


def reviews_of(result: PullResult) -> Reviews:
    """The review that a pull found."""
    records = {}
    for name, found in result.found.items():
        outcome = result.outcomes[name]
        settled = result.corrections.get(name, found.label) if outcome in ("corrected", "confirmed") else None
        records[name] = Review(
            id=name,
            outcome=outcome,
            verdict=result.verdicts.get(name),
            before=found.label,
            after=settled,
            answers=_answers(result, found.label, found.answers),
            p_wrong=found.p_wrong,
            sample=result.facts[name].sample,
            prompt=found.prompt,
            completions=found.completions,
            metadata=found.on_server[0][1],
        )
    return Reviews(result.dataset, records, result)


def _answers(result: PullResult, label: Ratings, given: Sequence[ReviewerAnswer]) -> tuple[PersonAnswer, ...]:
    answers = []
    for answer in sorted(given, key=lambda one: one.at):
        try:
            after = ratings_from_answer(answer.values, label, scale=result.scale, ends=result.ends)
        except InputError:  # a value that the questions do not offer, which pull has noted
            after = None
        better = answer.values.get(BETTER)
        answers.append(
            PersonAnswer(
                reviewer=result.usernames.get(answer.reviewer, answer.reviewer),
                user_id=answer.reviewer,
                values=answer.values,
                after=after,
                corrects=None if after is None else after != label,
                verdict=str(better) if better in EQUAL else None,
                note=answer.note,
                at=answer.at,
            )
        )
    return tuple(answers)
