"""How far several reviewers agree, and how often each is right where the right answer is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from argilla_admap.mapping.analysis.agreement import krippendorff_alpha
from argilla_admap.review.argilla.properties import PROPERTIES
from argilla_admap.review.pull.reviews import Reviews
from argilla_admap.review.queues.queues import QUEUES

__all__ = ["KnownAnswers", "ReviewerAgreement", "agreement", "known_answers"]

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class ReviewerAgreement:
    """Krippendorff's alpha of one group of answers.

    Attributes:
        name: the queue, the two reviewers joined by " and ", or ``all``.
        alpha: 1 is perfect agreement, 0 is chance; None where nothing can be compared.
        records: with two answers or more.
        level: ``nominal`` for choices, ``ordinal`` for ratings.
    """

    name: str
    alpha: float | None
    records: int
    level: str

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """One reviewer's answers to records whose right answer is known.

    Attributes:
        name: username.
        known: how many there are: controls of a blind review, and conflicts that an adjudicator decided.
        right: of them, those answered as it is known.
        accuracy, low, high: share of right ones with Wilson's 95% interval; None without any.
    """

    name: str
    known: int
    right: int
    accuracy: float | None
    low: float | None
    high: float | None

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def agreement(reviews: Reviews) -> dict[str, list[ReviewerAgreement]]:
    """ReviewerAgreement of all reviewers, of each pair of them, and of all within each queue.

    Returns:
        ``all``, ``pairs`` and ``queues``; groups without a record that two people answered are left out.
    """
    level = "nominal" if reviews.result.scale is None else "ordinal"
    rows = [
        (record.id, answer.reviewer, f"{record.id}\0{question}", value)
        for record in reviews.records.values()
        for answer in record.answers
        for question, value in answer.values.items()
    ]
    votes = pd.DataFrame(rows, columns=["record", "reviewer", "item", "value"])
    if level == "nominal":
        votes["value"] = pd.factorize(votes["value"].astype(str), sort=True)[0].astype(float)
    else:
        votes["value"] = pd.to_numeric(votes["value"], errors="coerce")
    people = sorted(set(votes["reviewer"]))
    pairs = [(f"{a} and {b}", votes[votes["reviewer"].isin((a, b))]) for a, b in combinations(people, 2)]
    return {
        "all": _alphas([("all", votes)], level),
        "pairs": _alphas(pairs, level),
        "queues": _alphas(((name, votes[votes["record"].isin(ids)]) for name, ids in _queues(reviews).items()), level),
    }


def _alphas(groups: Iterable[tuple[str, pd.DataFrame]], level: str) -> list[ReviewerAgreement]:
    found = []
    for name, votes in groups:
        by_person = votes.groupby("record")["reviewer"].nunique()
        if compared := int((by_person > 1).sum()):
            table = votes.pivot_table(index="reviewer", columns="item", values="value", aggfunc="first")
            found.append(ReviewerAgreement(name, krippendorff_alpha(table.to_numpy(), level), compared, level))
    return found


def _queues(reviews: Reviews) -> dict[str, set[str]]:
    """Of each queue but the outcome's own, the reviewed records in it."""
    frame = pd.DataFrame(
        [{prop.column: record.metadata.get(prop.name) for prop in PROPERTIES} for record in reviews.records.values()],
        index=list(reviews.records),
    )
    chosen = (queue for queue in QUEUES.values() if all(condition.column != "review" for condition in queue.conditions))
    return {queue.name: set(frame.index[queue.mask(frame)]) for queue in chosen} if len(frame) else {}


def known_answers(reviews: Reviews) -> list[KnownAnswers]:
    """Each reviewer on the controls of a blind review, whose labels are the surest, and on what an adjudicator decided.

    Source of the interval: Wilson, "Probable inference" (1927), as `scipy.stats.binomtest` computes it.
    """
    counts: dict[str, list[int]] = {}
    for record in reviews.records.values():
        deciding = reviews.result.adjudicated.get(record.id, ())
        truth = record.after if deciding else record.before if record.sample == "control" else None
        for answer in record.answers:
            mine = counts.setdefault(answer.reviewer, [0, 0])
            if truth is not None and answer.after is not None and answer.user_id not in deciding:
                mine[0] += 1
                mine[1] += _same_order(answer.after, truth)
    return [_accuracy(name, *counts[name]) for name in sorted(counts)]


def _same_order(first: Iterable[float | None], second: Iterable[float | None]) -> bool:
    """Whether both put the completions in one order."""
    a, b = (np.array([np.nan if value is None else value for value in values], dtype=float) for values in (first, second))
    return bool(np.array_equal(np.sign(a[:, None] - a), np.sign(b[:, None] - b), equal_nan=True))


def _accuracy(name: str, known: int, right: int) -> KnownAnswers:
    if not known:
        return KnownAnswers(name, 0, 0, None, None, None)
    interval = binomtest(right, known).proportion_ci(_LEVEL, method="wilson")
    return KnownAnswers(name, known, right, right / known, float(interval.low), float(interval.high))
