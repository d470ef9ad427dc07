"""The flags of a record, each with its condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats
from argilla_admap.mapping.regions.coordinates import cut_above

__all__ = ["BOUNDARY_CONFIDENCE", "CONTESTED", "FLAGS", "FLAG_TITLES", "LIKELY_WRONG", "SUSPECT", "flag_records"]

#: What people read for each flag, in the order in which a record carries them.
FLAG_TITLES = {
    "likely_wrong": "likely wrong",
    "contested": "contested",
    "low_mean": "low mean",
    "high_variance": "high variance",
    "boundary": "on a region's boundary",
    "unscored": "unscored",
}
FLAGS = tuple(FLAG_TITLES)
#: Flags that call the label into question: a blind review mixes these records with others.
SUSPECT = frozenset({"likely_wrong", "contested"})

#: `likely_wrong`: p_wrong of this or more: wrong is then likelier than right.
LIKELY_WRONG = 0.5
#: `contested`: this or more.
CONTESTED = 0.5
#: `low_mean`, `high_variance`: the outer tenth, ties kept together.
OUTER = 0.1
#: Where more tie at the extreme, all of them are flagged, up to this share.
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
            "low_mean": mean <= (-np.inf if low is None else -low),
            "high_variance": variance >= (np.inf if high is None else high),
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
    threshold = cut_above(known, max(1, round(OUTER * len(known))))[0]
    outermost = float(known.max())
    # A coarse judge ties many records at the extreme: a long queue helps more than an empty one.
    if threshold > outermost and np.mean(known == outermost) <= MOST_TIED:
        return outermost
    return threshold
