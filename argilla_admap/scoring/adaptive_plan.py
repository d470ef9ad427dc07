"""Where another sample is worth its price: the plan of the next round of adaptive scoring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["next_round"]

#: Beyond so many samples of one completion no gain was seen.
MOST_SAMPLES = 5
#: Below this p (1 - p) a record is decided.
_DECIDED = 0.01
#: So many samples' worth of the usual noise stand beside a record's own, which a few samples tell badly.
_USUAL = 3.0

_Floats = npt.NDArray[np.float64]


def next_round(
    ids: Sequence[str],
    p_wrong: _Floats,
    ratings: Sequence[Sequence[float | None] | None],
    counts: Sequence[Sequence[int]],
    calls: int,
    *,
    variances: Sequence[Sequence[float | None] | None] | None = None,
    region_confidence: _Floats | None = None,
    most_samples: int = MOST_SAMPLES,
) -> dict[str, tuple[int, ...]]:
    """How many samples each completion of the chosen records should have after the next round; empty: stop.

    A label is decided by its best and its worst completion: those two are judged once more, the others tell little of whether
    it is wrong. A record without a label is decided by its region, and so by all of its completions.

    A record is worth p (1 - p) v / (n (n + 1)) for each of its calls: p is P(wrong), or that it belongs to its region; n the
    fewest samples of the completions that decide, and v the variance of one sample of them. By so much another sample takes the
    variance of their mean down; and p (1 - p) is how much the entropy of p, a logistic function of that mean, moves with it. So
    what two samples agree on is left alone.

    Args:
        ids: of the records, shape (n_records,).
        p_wrong: shape (n_records,), 0..1; NaN where there is none.
        ratings: the label of each completion; None where there is none.
        counts: samples behind each completion's score.
        calls: at most so many calls in this round.
        variances: of one sample of each completion, squared score points; None where it is not known.
        region_confidence: shape (n_records,), 0..1; NaN where there is none. None: records without P(wrong) are left.
        most_samples: of one completion.
    Returns:
        By record id, the samples wanted of each completion: for `ScoreOptions.plan`.
    """
    labelled = np.isfinite(p_wrong)
    p = np.where(labelled, p_wrong, np.nan if region_confidence is None else region_confidence)
    doubt = np.nan_to_num(p * (1 - p), nan=0.0)
    deciding = [
        _best_and_worst(labels) if known else tuple(range(len(had)))
        for known, labels, had in zip(labelled.tolist(), ratings, counts, strict=True)
    ]
    fewest = np.array([min((had[i] for i in some), default=0) for some, had in zip(deciding, counts, strict=True)], float)
    noise = _noise(deciding, variances, fewest)
    worth = doubt * noise / np.maximum(fewest * (fewest + 1), 1.0)
    worth[(doubt < _DECIDED) | (fewest < 1) | (fewest >= most_samples)] = 0.0
    plan: dict[str, tuple[int, ...]] = {}
    # A stable sort: the same data give the same plan.
    for row in np.argsort(-worth, kind="stable").tolist():
        again = deciding[row]
        if worth[row] <= 0 or len(again) > calls:
            break
        calls -= len(again)
        plan[ids[row]] = tuple(had + (place in again) for place, had in enumerate(counts[row]))
    return plan


def _noise(
    deciding: Sequence[tuple[int, ...]], variances: Sequence[Sequence[float | None] | None] | None, fewest: _Floats
) -> _Floats:
    """The variance of one sample of the completions that decide: their own, drawn towards the usual one; shape (n_records,)."""
    if variances is None:
        return np.ones(len(deciding))
    own = np.full(len(deciding), np.nan)
    for row, (some, told) in enumerate(zip(deciding, variances, strict=True)):
        known = [v for v in (told[place] for place in some if told) if v is not None]
        if known:
            own[row] = sum(known) / len(known)
    if not np.isfinite(own).any():
        return np.ones(len(deciding))
    usual = float(np.nanmean(own)) or 1.0
    weight = np.where(np.isfinite(own), np.maximum(fewest - 1, 0.0), 0.0)
    return np.asarray((_USUAL * usual + weight * np.nan_to_num(own)) / (_USUAL + weight))


def _best_and_worst(labels: Sequence[float | None] | None) -> tuple[int, ...]:
    """Places of the highest and the lowest rating; empty where the label orders nothing."""
    rated = [(value, place) for place, value in enumerate(labels or ()) if value is not None]
    if len(rated) < 2:
        return ()
    best = max(rated, key=lambda one: (one[0], -one[1]))
    worst = min(rated)
    return (best[1], worst[1]) if best[0] > worst[0] else ()
