"""A label that the other records of the prompt, taken together, contradict."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.checks.check import Check, CheckInput
from argilla_admap.mapping.data.arrays import Bools

__all__ = ["CHECK"]

#: By how many standardised rating units the other records must disagree with the label.
CONTRADICTED_BY = 0.75


def _contradicted(given: CheckInput) -> Bools:
    """Records whose label's best completion is weaker elsewhere than its worst."""
    n, owner, rating, strength = given.seen.n, given.owner, given.labels.rating, given.strength
    usable = given.known & given.labels.used & ~given.labels.constant[owner]
    high, low = np.full(n, -np.inf), np.full(n, np.inf)
    np.maximum.at(high, owner[usable], rating[usable])
    np.minimum.at(low, owner[usable], rating[usable])
    best, worst = usable & (rating == high[owner]), usable & (rating == low[owner])
    above, below = np.full(n, -np.inf), np.full(n, np.inf)
    np.maximum.at(above, owner[best], strength[best])
    np.minimum.at(below, owner[worst], strength[worst])
    with np.errstate(invalid="ignore"):
        return np.asarray((high > low) & (above - below <= -CONTRADICTED_BY))


CHECK = Check(
    name="contradiction",
    title="other records of the prompt say the opposite",
    sentence="The other records of this prompt, or of one like it, order the completions the other way.",
    test=_contradicted,
    unless=("opposite_duplicate",),
    rank=30,
)
