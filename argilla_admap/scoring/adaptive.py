"""Where another sample is worth its price: the plan of the next round of adaptive scoring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["next_round"]

#: Beyond so many samples of one completion no gain was seen.
MOST_SAMPLES = 4
#: Below this p (1 - p) a label is decided.
_DECIDED = 0.02


def next_round(
    ids: Sequence[str],
    p_wrong: npt.NDArray[np.float64],
    ratings: Sequence[Sequence[float | None] | None],
    counts: Sequence[Sequence[int]],
    calls: int,
    *,
    most_samples: int = MOST_SAMPLES,
) -> dict[str, tuple[int, ...]]:
    """How many samples each completion of the chosen records should have after the next round; empty: stop.

    Records are taken by p (1 - p) / n, n the fewest samples of the two completions that decide: the label's best and worst.
    Those two are judged once more; the others tell little of whether the label is wrong.

    Args:
        ids: of the records, shape (n_records,).
        p_wrong: shape (n_records,), 0..1; NaN where there is none, and such records are left.
        ratings: the label of each completion; None where there is none.
        counts: samples behind each completion's score.
        calls: at most so many calls in this round.
        most_samples: of one completion.
    Returns:
        By record id, the samples wanted of each completion: for `ScoreOptions.plan`.
    """
    undecided = np.nan_to_num(p_wrong * (1 - p_wrong), nan=0.0)
    pairs = [_best_and_worst(labels) for labels in ratings]
    fewest = np.array(
        [min(had[i] for i in pair) if pair and had else 0 for pair, had in zip(pairs, counts, strict=True)], float
    )
    open_ = (undecided >= _DECIDED) & (fewest >= 1) & (fewest < most_samples)
    worth = np.where(open_, undecided / np.maximum(fewest, 1), -1.0)
    # A stable sort: the same data give the same plan.
    order = np.argsort(-worth, kind="stable")[: min(calls // 2, int(open_.sum()))]
    plan: dict[str, tuple[int, ...]] = {}
    for row in order.tolist():
        again = pairs[row]
        plan[ids[row]] = tuple(had + (place in again) for place, had in enumerate(counts[row]))
    return plan


def _best_and_worst(labels: Sequence[float | None] | None) -> tuple[int, ...]:
    """Places of the highest and the lowest rating; empty where the label orders nothing."""
    rated = [(value, place) for place, value in enumerate(labels or ()) if value is not None]
    if len(rated) < 2:
        return ()
    best = max(rated, key=lambda one: (one[0], -one[1]))
    worst = min(rated)
    return (best[1], worst[1]) if best[0] > worst[0] else ()
