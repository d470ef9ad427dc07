"""How far opinions on a record agree: its label with its scores, and the judge, the judges or people among themselves.

A contested record is a matter of taste, which is not the same as a wrong label.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from argilla_admap.mapping.data.arrays import Floats, Ints, groups_by_size
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.scoring.output import second_looks

__all__ = ["agreement", "are_votes", "contested", "usual_margins"]


def contested(seen: Observations, error_variance: Floats, votes: bool | None = None) -> Floats:
    """How evenly opinions on a record are split; shape (n,), 0 (all agree) to 1 (even); NaN where there is no opinion.

    It is about two completions: the best and the worst by the label, or by the judge where there is no label. The highest of

    - the judge: twice the probability that its own noise hides the other order, 2 * Phi(-|difference| / deviation);
    - several judges: 1 - |share for the one - share for the other|, a tie being half for each;
    - people, where ratings are shares of votes: 1 - |share of the one - share of the other|.

    Args:
        error_variance: shape (n,), squared score points: mean variance of the error of the record's scores.
        votes: whether the ratings of two completions are shares of votes; as `are_votes` says when left out.
    """
    result = np.full(seen.n, np.nan)
    first, second = _rivals(seen)
    rows = np.flatnonzero(first >= 0)
    a, b = first[rows], second[rows]
    measures = [np.full(len(rows), np.nan)]
    difference = seen.scores[a] - seen.scores[b]
    measures.append(2 * ndtr(-np.abs(difference) / np.sqrt(2 * np.maximum(error_variance[rows], 1e-12))))
    if seen.other_scores:
        # A guided look is the same judge's: that it changed its mind is no split between judges.
        again = second_looks(seen.other_scores)
        own = sorted(seen.other_scores.keys() - again)
        several = own if len(own) > 1 or not again else []
        signs = np.stack([np.sign(s[a] - s[b]) for s in (seen.scores, *(seen.other_scores[name] for name in several))])
        judges = np.isfinite(signs).sum(axis=0)
        split = 1 - np.abs(np.nansum(signs, axis=0)) / np.maximum(judges, 1)
        measures.append(np.where(judges >= 2, split, np.nan))
    if are_votes(seen.offsets, seen.ratings) if votes is None else votes:
        measures.append(np.where(seen.sizes[rows] == 2, 1 - np.abs(seen.ratings[a] - seen.ratings[b]), np.nan))
    stacked = np.stack(measures)
    some = np.isfinite(stacked).any(axis=0)
    result[rows[some]] = np.clip(np.nanmax(stacked[:, some], axis=0), 0.0, 1.0)
    return result


def are_votes(offsets: Ints, ratings: Floats) -> bool:
    """Whether the ratings of two completions are shares of votes: all sum to one, and some are neither 0, 1/2 nor 1."""
    pairs = offsets[:-1][np.diff(offsets) == 2]
    r = np.stack([ratings[pairs], ratings[pairs + 1]], axis=1)
    shares = r[np.isfinite(r).all(axis=1)]
    if not len(shares) or (shares < 0).any() or (np.abs(shares.sum(axis=1) - 1) > 0.01).any():
        return False
    return bool((np.abs(shares * 2 - np.round(shares * 2)) > 0.01).any())


def _rivals(seen: Observations) -> tuple[Ints, Ints]:
    """Flat positions of each record's best and worst, by the label where ratings differ, else by the judge; -1 for none."""
    first, second = np.full(seen.n, -1), np.full(seen.n, -1)
    with np.errstate(invalid="ignore"):
        for values, keep in ((seen.scores, np.isfinite(seen.scores)), (seen.ratings, np.isfinite(seen.ratings))):
            for group in groups_by_size(seen.offsets, keep):
                if group.k < 2:
                    continue
                value, score = values[group.items], seen.scores[group.items]
                # Among equals the scores decide, so that the order of the completions does not; those without come last.
                best = np.lexsort((np.nan_to_num(score, nan=-np.inf), value), axis=1)[:, -1]
                worst = np.lexsort((np.nan_to_num(score, nan=np.inf), value), axis=1)[:, 0]
                line = np.arange(len(value))
                differs = (np.ptp(value, axis=1) > 0) | (first[group.rows] < 0)
                first[group.rows[differs]] = group.items[line, best][differs]
                second[group.rows[differs]] = group.items[line, worst][differs]
    return first, second


def usual_margins(offsets: Ints, ratings: Floats, scores: Floats) -> tuple[float, float]:
    """Root mean squares of the differences of ratings and of scores, of pairs whose ratings differ.

    Args:
        ratings, scores: flat; NaN where absent.
    """
    for group in groups_by_size(offsets, np.isfinite(ratings) & np.isfinite(scores)):
        if group.k == 2:
            margins = [np.diff(x[group.items], axis=1)[:, 0] for x in (ratings, scores)]
            varied = margins[0] != 0
            if varied.any():
                r, s = (float(np.sqrt(np.square(m[varied]).mean())) or 1.0 for m in margins)
                return r, s
    return 1.0, 1.0


def agreement(
    offsets: Ints, ratings: Floats, scores: Floats, usual: tuple[float, float] | None = None
) -> tuple[Floats, Floats]:
    """Agreement of each record's ratings with its scores, and the paper's S_corr; shape (n,) each, -1..1, NaN where undefined.

    Three or more completions: Pearson's correlation over those that have both. With two, every correlation is +1 or -1 however
    small the difference; so it is tanh of the product of the two margins, each over its root mean square in the data. Scores
    all equal: 0. Ratings all equal: NaN, since they order nothing.

    S_corr, the cosine of ratings and scores, is kept for comparison with the paper; it finds wrong labels much less well.

    Args:
        ratings, scores: flat; NaN where absent.
        usual: as `usual_margins` gives; of these records when left out.
    Source: S_corr: Lee et al., arXiv 2505.23114.
    """
    usual = usual or usual_margins(offsets, ratings, scores)
    correlation, cosine = np.full(len(offsets) - 1, np.nan), np.full(len(offsets) - 1, np.nan)
    for group in groups_by_size(offsets, np.isfinite(ratings) & np.isfinite(scores)):
        if group.k < 2:
            continue
        r, s = ratings[group.items], scores[group.items]
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine[group.rows] = np.clip(_cosine(r, s), -1.0, 1.0)
        varied = np.ptp(r, axis=1) > 0
        if not varied.any():
            continue
        if group.k == 2:
            margins = [np.diff(x, axis=1)[:, 0] for x in (r, s)]
            value = np.tanh(margins[0] / usual[0] * margins[1] / usual[1])
        else:
            order = np.lexsort((s, r), axis=1)
            r, s = np.take_along_axis(r, order, 1), np.take_along_axis(s, order, 1)
            with np.errstate(invalid="ignore", divide="ignore"):
                value = np.nan_to_num(_cosine(r - r.mean(axis=1, keepdims=True), s - s.mean(axis=1, keepdims=True)))
        correlation[group.rows[varied]] = np.clip(value[varied], -1.0, 1.0)
    return correlation, cosine


def _cosine(a: Floats, b: Floats) -> Floats:
    """Of each row; NaN where one is all zero."""
    length = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    return np.asarray(np.einsum("ij,ij->i", a, b) / length)
