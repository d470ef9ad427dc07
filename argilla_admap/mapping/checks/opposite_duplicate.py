"""A pair that also occurs with the opposite label, under the same prompt or one nearly like it."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.checks.check import Check, CheckInput, CheckQueue
from argilla_admap.mapping.data.arrays import Bools

__all__ = ["CHECK"]


def _opposite_duplicates(given: CheckInput) -> Bools:
    seen, labels = given.seen, given.labels
    found = np.zeros(seen.n, bool)
    _, group, repeats = np.unique(seen.prompt_keys, return_inverse=True, return_counts=True)
    rows = np.flatnonzero((seen.sizes == 2) & (seen.prompt_keys != 0) & (repeats[group] >= 2))
    rows = rows[labels.used[seen.offsets[rows]] & labels.used[seen.offsets[rows] + 1] & ~labels.constant[rows]]
    if not len(rows):
        return found
    first, second = seen.offsets[rows], seen.offsets[rows] + 1
    low = np.minimum(seen.completion_keys[first], seen.completion_keys[second])
    high = np.maximum(seen.completion_keys[first], seen.completion_keys[second])
    low_wins = (seen.completion_keys[first] == low) == (labels.rating[first] > labels.rating[second])
    _, pair = np.unique(np.stack([seen.prompt_keys[rows], low, high], axis=1), axis=0, return_inverse=True)
    pair = pair.reshape(-1)
    wins, total = np.bincount(pair, low_wins), np.bincount(pair)
    found[rows[(low != high) & (wins[pair] > 0) & (wins[pair] < total[pair])]] = True
    return found


CHECK = Check(
    name="opposite_duplicate",
    title="the same pair with the opposite label",
    sentence="The same two completions of this prompt, or of one like it, have the opposite label elsewhere.",
    test=_opposite_duplicates,
    queue=CheckQueue(
        "opposite-duplicates",
        "Duplicates with opposite labels",
        "The same prompt and completions occur elsewhere with the opposite label: one of the two is wrong.",
    ),
    rank=20,
    of_prompts=True,
)
