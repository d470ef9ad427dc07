"""How far a record is a matter of taste: the judge, the judges or the people are split. Not the same as a wrong label."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, groups_by_size
from argilla_admap.mapping.data.observations import Observations

__all__ = ["contested", "vote_shares"]


def contested(seen: Observations, error_variance: Floats) -> Floats:
    """How evenly opinions on a record are split; shape (n,), 0 (of one mind) to 1 (even); NaN where nobody spoke.

    Asked of two completions: the best and the worst by the label, by the judge where there is no label. The highest of

    - the judge: twice the probability that its own noise hides the other order, 2 * Phi(-|difference| / deviation);
    - several judges: 1 - |share for the one - share for the other|, a tie being half for each;
    - people, where ratings are shares of votes: 1 - |share of the one - share of the other|.

    Args:
        error_variance: shape (n,), squared score points: mean variance of the error of the record's scores.
    """
    result = np.full(seen.n, np.nan)
    first, second = _rivals(seen)
    rows = np.flatnonzero(first >= 0)
    a, b = first[rows], second[rows]
    measures = [np.full(len(rows), np.nan)]
    difference = seen.scores[a] - seen.scores[b]
    measures.append(2 * ndtr(-np.abs(difference) / np.sqrt(2 * np.maximum(error_variance[rows], 1e-12))))
    if seen.other_scores:
        signs = np.stack([np.sign(s[a] - s[b]) for s in (seen.scores, *seen.other_scores.values())])
        heard = np.isfinite(signs).sum(axis=0)
        split = 1 - np.abs(np.nansum(signs, axis=0)) / np.maximum(heard, 1)
        measures.append(np.where(heard >= 2, split, np.nan))
    voted = vote_shares(seen.offsets, seen.ratings)
    if voted.any():
        measures.append(np.where(voted[rows], 1 - np.abs(seen.ratings[a] - seen.ratings[b]), np.nan))
    stacked = np.stack(measures)
    some = np.isfinite(stacked).any(axis=0)
    result[rows[some]] = np.clip(np.nanmax(stacked[:, some], axis=0), 0.0, 1.0)
    return result


def vote_shares(offsets: Ints, ratings: Floats) -> Bools:
    """Records whose ratings are shares of votes; shape (n,): pairs that sum to one, where some are neither 0, 1/2 nor 1."""
    voted = np.zeros(len(offsets) - 1, bool)
    pairs = np.flatnonzero(np.diff(offsets) == 2)
    r = np.stack([ratings[offsets[pairs]], ratings[offsets[pairs] + 1]], axis=1)
    known = np.isfinite(r).all(axis=1)
    if not known.any() or (r[known] < 0).any() or (np.abs(r[known].sum(axis=1) - 1) > 0.01).any():
        return voted
    shares = r[known]
    if (np.abs(shares * 2 - np.round(shares * 2)) > 0.01).any():
        voted[pairs[known]] = True
    return voted


def _rivals(seen: Observations) -> tuple[Ints, Ints]:
    """Flat positions of each record's best and worst, by the label where it tells, else by the judge; -1 for none."""
    first, second = np.full(seen.n, -1), np.full(seen.n, -1)
    with np.errstate(invalid="ignore"):
        for values, keep in ((seen.scores, np.isfinite(seen.scores)), (seen.ratings, np.isfinite(seen.ratings))):
            for group in groups_by_size(seen.offsets, keep):
                if group.k < 2:
                    continue
                block = values[group.items]
                # Among equals the scores decide, so that the order of the completions does not; those without come last.
                score = seen.scores[group.items]
                best = np.lexsort((np.nan_to_num(score, nan=-np.inf), block), axis=1)[:, -1]
                worst = np.lexsort((np.nan_to_num(score, nan=np.inf), block), axis=1)[:, 0]
                line = np.arange(len(block))
                differs = (np.ptp(block, axis=1) > 0) | (first[group.rows] < 0)
                first[group.rows[differs]] = group.items[line, best][differs]
                second[group.rows[differs]] = group.items[line, worst][differs]
    return first, second
