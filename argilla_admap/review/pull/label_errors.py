"""How many labels of a data set are wrong, from what people answered: the estimate of `errors_left` on a review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from argilla_admap.mapping.analysis.errors_left import ErrorEstimate, estimate_errors, random_part
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.review.pull.reviews import Reviews
from argilla_admap.review.push.not_pushed import NotPushed
from argilla_admap.review.push.payload import random_number

__all__ = ["LabelErrors", "checked_labels", "label_errors"]


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """The labelled records of a review, and how many of their labels are wrong.

    Attributes:
        frame: of `Reviews.frame`, the n labelled records.
        corrects, answers: shape (n,), the answers that correct the label, and all answers about it.
        random: shape (n,), the read records that are a random sample of all.
        estimate: how many labels are wrong; those of records that a push left out are among them.
        left_out: how many labelled records of the map the data set does not hold.
    """

    frame: pd.DataFrame
    corrects: Ints
    answers: Ints
    random: Bools
    estimate: ErrorEstimate
    left_out: int = 0


def label_errors(reviews: Reviews, chosen: Collection[str] | None = None, left_out: NotPushed | None = None) -> LabelErrors:
    """How many labels are wrong, of those that were read and of the others.

    Args:
        chosen: the ids of the data set's records that the estimate counts; None: all.
        left_out: records of the map that the data set does not hold; None: as the push has noted them.
    """
    others = NotPushed.of_dataset(reviews.result.target.info) if left_out is None else left_out
    frame = reviews.frame[reviews.frame["labelled"]].reset_index(drop=True)
    corrects, answers = _votes(frame, reviews)
    n, absent = len(frame), np.zeros(len(others))
    p_wrong = np.concatenate([frame["p_wrong"].to_numpy(float), others.p_wrong])
    number = np.concatenate([_numbers(frame, answers > 0), absent + np.nan])
    group = _codes([*frame["flags"], *others.flags])
    all_corrects, all_answers = (np.concatenate([given, absent.astype(np.int64)]) for given in (corrects, answers))
    random, weight = random_part(number, all_answers > 0, group, p_wrong)
    here = np.ones(n, bool) if chosen is None else frame["id"].isin(chosen).to_numpy(bool)
    within = np.concatenate([here, others.counted])
    estimate = estimate_errors(p_wrong, all_corrects, all_answers, random, weight, within=within)
    return LabelErrors(frame, corrects, answers, random[:n], replace(estimate, chance=estimate.chance[:n]), len(others))


def checked_labels(reviews: Reviews, chosen: Collection[str] | None = None) -> dict[str, Any]:
    """What a data card says of a review: `checked`, `by` whom, and `conflicts`, of all records or of those `chosen`."""
    known = reviews.result.usernames
    found = [one for one in reviews.records.values() if chosen is None or one.id in chosen]
    return {
        "checked": len(found),
        "by": Counter(known.get(who, "a former user") for one in found for who in {answer.user_id for answer in one.answers}),
        "conflicts": sum(one.outcome == "conflict" for one in found),
    }


def _votes(frame: pd.DataFrame, reviews: Reviews) -> tuple[Ints, Ints]:
    """Of each record, the answers that correct its label, and all answers about it."""
    corrects, answers = np.zeros(len(frame), np.int64), np.zeros(len(frame), np.int64)
    for row, name in enumerate(frame["id"]):
        said = [one.corrects for one in reviews.records[name].answers] if name in reviews.records else []
        corrects[row], answers[row] = said.count(True), len(said) - said.count(None)
    return corrects, answers


def _codes(values: Any) -> Ints:
    return np.unique(np.asarray(values, dtype=object), return_inverse=True)[1].astype(np.int64)


def _numbers(frame: pd.DataFrame, read: Bools) -> Floats:
    """The random numbers of the records drawn at random: of the random sample, or of a blind review's mixed sample.

    The mixed sample holds all suspects and controls and, of the other records, as many drawn at random: these stand for the
    rest while suspects and controls are read as a whole.
    """
    audit = frame["audit"].to_numpy(float)
    unflagged = (frame["sample"] == "unflagged").to_numpy(bool)
    if (unflagged & read).sum() > (np.isfinite(audit) & read).sum():
        return np.where(unflagged, 0.0, np.nan)
    drawn = np.isfinite(audit)
    if drawn.any():
        # A record that the sample holds by its number, though no push has marked it yet, is part of it.
        numbers = np.array([random_number(name) for name in frame["id"]])
        return np.where(numbers <= audit[drawn].max(), numbers, np.nan)
    return audit
