"""How far a record's ratings and scores agree, -1..1."""

from __future__ import annotations

import numpy as np

from argilla_admap.mapping.data.arrays import Floats, Ints, groups_by_size

__all__ = ["agreement", "uncentred_cosine"]


def agreement(offsets: Ints, ratings: Floats, scores: Floats) -> Floats:
    """Agreement of each record's ratings with its scores; shape (n,), -1..1, NaN where it is not defined.

    Three or more completions: Pearson's correlation over those that have both. Two: every correlation is +1 or -1, however
    small the difference, so that the margin is compared with the usual one instead: tanh of the product of the two margins,
    each over its root mean square in the data; the sign says who is above, the size how clearly. Scores all equal: 0.
    Ratings all equal: NaN, since they order nothing.

    Args:
        ratings, scores: flat; NaN where absent.
    """
    result = np.full(len(offsets) - 1, np.nan)
    for group in groups_by_size(offsets, np.isfinite(ratings) & np.isfinite(scores)):
        if group.k < 2:
            continue
        r, s = ratings[group.items], scores[group.items]
        varied = np.ptp(r, axis=1) > 0
        if not varied.any():
            continue
        if group.k == 2:
            margins = [np.diff(x, axis=1)[:, 0] for x in (r, s)]
            usual = [float(np.sqrt(np.square(m[varied]).mean())) or 1.0 for m in margins]
            value = np.tanh(margins[0] / usual[0] * margins[1] / usual[1])
        else:
            order = np.lexsort((s, r), axis=1)
            r, s = np.take_along_axis(r, order, 1), np.take_along_axis(s, order, 1)
            r, s = r - r.mean(axis=1, keepdims=True), s - s.mean(axis=1, keepdims=True)
            length = np.sqrt(np.square(r).sum(axis=1) * np.square(s).sum(axis=1))
            value = np.einsum("ij,ij->i", r, s) / np.where(length > 0, length, 1.0)
        result[group.rows[varied]] = np.clip(value[varied], -1.0, 1.0)
    return result


def uncentred_cosine(offsets: Ints, ratings: Floats, scores: Floats) -> Floats:
    """The paper's S_corr: cosine of the rating vector and the score vector; shape (n,), NaN where it is not defined.

    Kept to compare with the paper; it finds wrong labels much worse than P(wrong) does.

    Source: Lee et al., arXiv 2505.23114.
    """
    result = np.full(len(offsets) - 1, np.nan)
    for group in groups_by_size(offsets, np.isfinite(ratings) & np.isfinite(scores)):
        if group.k < 2:
            continue
        r, s = ratings[group.items], scores[group.items]
        length = np.sqrt(np.square(r).sum(axis=1) * np.square(s).sum(axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            result[group.rows] = np.clip(np.einsum("ij,ij->i", r, s) / length, -1.0, 1.0)
    return result
