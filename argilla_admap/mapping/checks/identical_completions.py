"""One text twice in a record, with different ratings."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.checks.check import Check, CheckInput
from argilla_admap.mapping.data.arrays import Bools, groups_by_size

__all__ = ["CHECK"]


def _identical(given: CheckInput) -> Bools:
    owner, keys, rating = given.owner, given.seen.completion_keys, given.labels.rating
    mask = np.zeros(len(owner), bool)
    usable = np.flatnonzero(given.labels.used & ~given.seen.texts.empty & _twice(given)[owner])
    order = usable[np.lexsort((rating[usable], keys[usable], owner[usable]))]
    first, second = order[:-1], order[1:]
    same = (owner[first] == owner[second]) & (keys[first] == keys[second])
    differ = same & (np.abs(rating[first] - rating[second]) > 1e-9)
    mask[first[differ]] = mask[second[differ]] = True
    return mask


def _twice(given: CheckInput) -> Bools:
    """Records with equal completions; shape (n,)."""
    twice = np.zeros(given.seen.n, bool)
    for group in groups_by_size(given.seen.offsets):
        keys = np.sort(given.seen.completion_keys[group.items], axis=1)
        twice[group.rows] = (keys[:, 1:] == keys[:, :-1]).any(axis=1)
    return twice


CHECK = Check(
    name="identical_completions",
    title="one text twice, rated differently",
    sentence="Completion {} says the same as another one (but for case and spaces), and is rated differently.",
    test=_identical,
    rank=40,
)
