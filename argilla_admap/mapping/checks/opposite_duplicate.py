"""A pair that also occurs with the opposite label, under the same prompt or one nearly like it."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.checks.check import Check, CheckInput, CheckQueue
from argilla_admap.mapping.data.arrays import Bools, UInts
from argilla_admap.mapping.data.near_duplicates import mixed

__all__ = ["CHECK"]


def _sides(given: CheckInput) -> UInts:
    """A number of each record's prompt and its two completions, whose lowest bit says which of them is above; 0 for records
    that are no such pair; shape (n,)."""
    seen, labels = given.seen, given.labels
    rows = np.flatnonzero((seen.sizes == 2) & (seen.prompt_keys != 0))
    rows = rows[labels.used[seen.offsets[rows]] & labels.used[seen.offsets[rows] + 1] & ~labels.constant[rows]]
    first, second = seen.completion_keys[seen.offsets[rows]], seen.completion_keys[seen.offsets[rows] + 1]
    low, high = np.minimum(first, second), np.maximum(first, second)
    low_wins = (first == low) == (labels.rating[seen.offsets[rows]] > labels.rating[seen.offsets[rows] + 1])
    pair = mixed(mixed(mixed(seen.prompt_keys[rows]) ^ low) ^ high) | np.uint64(3)
    sides = np.zeros(seen.n, np.uint64)
    sides[rows] = np.where(low != high, pair - low_wins.astype(np.uint64), 0)
    return sides


def _opposed(sides: UInts) -> Bools:
    """Whose pair occurs with both sides above; shape (n,)."""
    rows = np.flatnonzero(sides)
    found = np.zeros(len(sides), bool)
    held = np.unique(sides[rows])
    both = held[1:][held[1:] - held[:-1] == 1]
    found[rows] = np.isin(sides[rows] | np.uint64(1), both)
    return found


CHECK = Check(
    name="opposite_duplicate",
    title="the same pair with the opposite label",
    sentence="The same two completions of this prompt, or of one like it, have the opposite label elsewhere.",
    test=_sides,
    among=_opposed,
    queue=CheckQueue(
        "opposite-duplicates",
        "Duplicates with opposite labels",
        "The same prompt and completions occur elsewhere with the opposite label: one of the two is wrong.",
    ),
    rank=20,
)
