"""Ratings or scores of which a few lie far from all others, as votes or probabilities do: on a scale that shows them all.

Differences are what all fits see. Where those of a few records are far larger than all others, only they are seen; ranks show
the others too. Which of the two it is, labels and scores tell together: on the scale that is theirs they agree more closely.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from argilla_admap.mapping.data.arrays import Floats, Ints

__all__ = ["long_tailed", "normal_scores", "ranks_say_more", "shared", "spans"]

#: Shares of the largest value below which a difference is none: the rounding of floats must not become ranks.
NOTHING = 1e-12
#: Where nothing else can tell, a tail is long where the quadratic mean of the records' spans is so many times their median;
#: grades on a scale have 1 to 2.5.
LONG = 5.0
#: Ranks must share so many times as much with the other side as the plain values do, and so much more; on grades it is less.
TIMES, MORE = 1.2, 0.02


def shared(ratings: Floats, scores: Floats, owner: Ints) -> float:
    """Share of the differences within records that ratings and scores have in common, 0..1.

    Args:
        ratings, scores: shape (m,), finite.
        owner: shape (m,), the record of each.
    Source: the square of the correlation within groups, as in the analysis of covariance (Fisher 1932).
    """
    r, s = _centred(ratings, owner), _centred(scores, owner)
    both = float(np.square(r).sum() * np.square(s).sum())
    return float(r @ s) ** 2 / both if both > 0 else 0.0


def ranks_say_more(plain: float, ranked: float) -> bool:
    """Whether values belong on the scale of their ranks, from what either shares with the other side.

    Source: the scale on which two sides go together best, as in alternating conditional expectations (Breiman & Friedman 1985).
    """
    return ranked > TIMES * plain and ranked > plain + MORE


def spans(values: Floats, owner: Ints) -> Floats:
    """Largest less smallest value of each record, in the records' order.

    Args:
        values: shape (m,).
        owner: shape (m,), the record of each, ascending.
    """
    if not len(values):
        return np.zeros(0)
    starts = np.flatnonzero(np.diff(owner, prepend=owner[0] - 1))
    return np.asarray(np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts))


def long_tailed(values: Floats, owner: Ints) -> bool:
    """Whether the differences within records are so unequal that those of a few records hide those of all others."""
    span = np.sort(spans(values, owner))
    span = span[span > NOTHING * np.abs(values).max(initial=0.0)]
    if not len(span):
        return False
    share = span / span[-1]
    return float(np.sqrt(np.square(share).mean())) > LONG * float(np.median(share))


def normal_scores(values: Floats) -> Floats:
    """The normal quantiles of the values' ranks among all, shape (m,); equal values get their mean rank.

    Source: van der Waerden 1952, with ranks less one half (Hazen 1914).
    """
    rounded = np.round(values / (np.abs(values).max(initial=0.0) or 1.0), 12)
    _, place, count = np.unique(rounded, return_inverse=True, return_counts=True)
    return np.asarray(ndtri((np.cumsum(count) - count / 2) / max(len(values), 1))[place])


def _centred(values: Floats, owner: Ints) -> Floats:
    # Divided by the largest, so that the squares of very large values stay finite.
    values = values / (np.abs(values).max(initial=0.0) or 1.0)
    mean = np.bincount(owner, values) / np.maximum(np.bincount(owner), 1)
    return np.asarray(values - mean[owner])
