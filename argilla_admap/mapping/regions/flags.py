"""The flags: each with its condition, once."""

from __future__ import annotations

from typing import Any

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats
from argilla_admap.mapping.regions.coordinates import cut_above

__all__ = ["BOUNDARY_CONFIDENCE", "CONTESTED", "FLAGS", "LIKELY_WRONG", "flag_records"]

#: In the order in which a record carries them.
FLAGS = ("likely_wrong", "contested", "low_mean", "high_variance", "boundary", "unscored")

#: `likely_wrong`: p_wrong of this or more. At a half, a wrong label is the better bet.
LIKELY_WRONG = 0.5
#: `contested`: a measure of this or more.
CONTESTED = 0.5
#: `low_mean`, `high_variance`: the outer tenth, ties kept together.
OUTER = 0.1
#: Where more than that tie at the extreme, they are flagged all the same, up to this share.
MOST_TIED = 1 / 3
#: `boundary`: region_confidence below this.
BOUNDARY_CONFIDENCE = 0.6


def flag_records(
    *, p_wrong: Floats, contested: Floats, mean: Floats, variance: Floats, confidence: Floats, unscored: Bools
) -> tuple[dict[str, Bools], dict[str, Any]]:
    """Each flag's records, and its threshold as JSON. All arrays of shape (n,)."""
    low, high = _outer(-mean), _outer(variance)
    with np.errstate(invalid="ignore"):
        masks = {
            "likely_wrong": p_wrong >= LIKELY_WRONG,
            "contested": contested >= CONTESTED,
            "low_mean": mean <= -low if low is not None else np.zeros(len(mean), bool),
            "high_variance": variance >= high if high is not None else np.zeros(len(mean), bool),
            "boundary": confidence < BOUNDARY_CONFIDENCE,
            "unscored": unscored,
        }
    rules = {
        "likely_wrong": {"p_wrong_at_least": LIKELY_WRONG},
        "contested": {"contested_at_least": CONTESTED},
        "low_mean": {"mean_at_most": -low if low is not None else None},
        "high_variance": {"variance_at_least": high},
        "boundary": {"region_confidence_below": BOUNDARY_CONFIDENCE},
        "unscored": {"unscored_completions_at_least": 1},
    }
    return masks, rules


def _outer(values: Floats) -> float | None:
    """The threshold of the outer tenth; None where the values do not differ."""
    known = values[np.isfinite(values)]
    if len(known) < 2 or np.ptp(known) == 0:
        return None
    threshold = cut_above(known, max(1, round(OUTER * len(known)))).threshold
    outermost = float(known.max())
    # A coarse judge ties many records at the extreme: a long queue of them helps more than an empty one.
    if threshold > outermost and np.mean(known == outermost) <= MOST_TIED:
        return outermost
    return threshold
