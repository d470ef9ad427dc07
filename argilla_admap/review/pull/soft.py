"""What several reviewers said as soft labels: how probably the chosen completion is the better one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from argilla_admap.formats.writing import ExtraColumns
from argilla_admap.records import Record
from argilla_admap.review.dataset.answers import BETTER, EQUAL, RatingScale, Value, question_rating
from argilla_admap.review.pull.pull import PullResult, ReviewedRecord
from argilla_admap.review.pull.resolve import posteriors

__all__ = ["soft_columns"]

#: Value of one question -> its share or probability.
_Shares = Mapping[Value, float]


def soft_columns(result: PullResult) -> ExtraColumns:
    """The columns that `pull` adds with `soft`, of reviewed records; null for the others.

    ``reviewers``: how many answered. ``chosen_votes``: the share of them who put the best completion of the row before the
    worst, where equal ones count half. ``chosen_probability``: the same of the posterior, in which each reviewer is weighed by
    how they answer the other records: what a loss for soft preference labels takes (1 less the label noise of cDPO; IPO's
    target). Where completions were rated, ``soft_ratings``: the mean of the posterior, one a completion.

    Source: Dawid & Skene (1979); Mitchell, "A note on DPO with noisy preferences" (2023), for cDPO.
    """
    probable = posteriors({name: record.answers for name, record in result.found.items() if record.answers})
    fields: list[tuple[str, pa.DataType]] = [("reviewers", pa.int64())]
    fields += [("chosen_votes", pa.float64()), ("chosen_probability", pa.float64())]
    if result.scale is not None:
        fields.append(("soft_ratings", pa.list_(pa.float64())))
    schema = pa.schema(fields)

    def values(record: Record, pair: tuple[int, int] | None) -> dict[str, Any]:
        found = result.found.get(record.id)
        own = _own_places(record, found) if found is not None and found.answers else None
        if found is None or own is None:
            return dict.fromkeys(schema.names)
        chances = probable[record.id]
        sides = (own[pair[0]], own[pair[1]]) if pair is not None else None
        row: dict[str, Any] = {
            "reviewers": len({answer.reviewer for answer in found.answers}),
            "chosen_votes": _before(_votes(found), sides),
            "chosen_probability": _before(chances, sides),
        }
        if result.scale is not None:
            row["soft_ratings"] = [_mean(chances.get(question_rating(place)), result.scale) for place in own]
        return row

    return ExtraColumns(schema, values)


def _own_places(record: Record, found: ReviewedRecord) -> list[int] | None:
    """For each completion as it is written, its place in the order in which it was reviewed; None where texts are others."""
    own, places = [text.strip() for text in found.completions], []
    for text in (text.strip() for text in record.completions):
        place = next((i for i, mine in enumerate(own) if mine == text and i not in places), None)
        if place is None:
            return None
        places.append(place)
    return places


def _votes(found: ReviewedRecord) -> dict[str, dict[Value, float]]:
    counts: dict[str, Counter[Value]] = defaultdict(Counter)
    for answer in found.answers:
        for question, value in answer.values.items():
            counts[question][value] += 1
    return {question: {value: n / sum(votes.values()) for value, n in votes.items()} for question, votes in counts.items()}


def _before(shares: Mapping[str, _Shares], sides: Sequence[int] | None) -> float | None:
    """How probably the first side is better than the second; equal ones count half."""
    if sides is None:
        return None
    if (choice := shares.get(BETTER)) is not None:
        return choice.get("ab"[sides[0]], 0.0) + sum(choice.get(value, 0.0) for value in EQUAL) / 2
    first, second = (shares.get(question_rating(side)) for side in sides)
    if first is None or second is None:
        return None
    pairs = ((float(x), float(y), p * q) for x, p in first.items() for y, q in second.items())
    return sum(chance * (1.0 if x > y else 0.5 if x == y else 0.0) for x, y, chance in pairs)


def _mean(shares: _Shares | None, scale: RatingScale) -> float | None:
    if shares is None or scale.places:
        return None
    return sum(scale.value(float(value)) * chance for value, chance in shares.items())
