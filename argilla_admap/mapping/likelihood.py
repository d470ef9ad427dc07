"""The likelihood of a record's ratings, given scores: how often would a labeller who sees the scores put them just so?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from argilla_admap.mapping.arrays import Floats

__all__ = ["Assignment", "log_permanent", "ratings_given_scores"]

#: Above this K the sum over assignments is taken over a subset of the completions: 2^K terms.
MAX_EXACT = 10


def log_permanent(ratings: Floats, scores: Floats, scale: float) -> tuple[Floats, Floats]:
    """log of the sum over all permutations p of exp(scale * sum_i ratings[i] * scores[p(i)]), in two parts.

    Args:
        ratings, scores: shape (n, k), centred within the record.
        scale: >= 0.
    Returns:
        The exponent of the best assignment, and log of the sum relative to it (0..log k!); each of shape (n,).
    Source: Ryser-like dynamic programme over subsets; row by row, the columns used so far (Bellman 1962, Held & Karp 1962).
    """
    r, s = np.sort(ratings, axis=1), np.sort(scores, axis=1)
    n, k = r.shape
    best = scale * np.einsum("ij,ij->i", r, s)
    # Dual prices of the assignment problem (r_i s_j is a Monge array, so they are known): no weight is above one, and those
    # on the diagonal, the best assignment, are one. Nothing can overflow, nor all vanish.
    slopes = (r[:, :-1] + r[:, 1:]) / 2
    prices = np.concatenate([np.zeros((n, 1)), np.cumsum(slopes * np.diff(s, axis=1), axis=1)], axis=1)
    own = r * s - prices
    sums = np.zeros((1 << k, n))
    sums[0] = 1.0
    weights = np.exp(scale * (r[:, :, None] * s[:, None, :] - prices[:, None, :] - own[:, :, None]))
    columns = np.ascontiguousarray(weights.transpose(1, 2, 0))
    for subset in range(1, 1 << k):
        row = columns[subset.bit_count() - 1]
        total = sums[subset]
        for j in range(k):
            if subset >> j & 1:
                total += row[j] * sums[subset ^ (1 << j)]
    return best, np.log(sums[-1])


@dataclass(frozen=True, slots=True)
class Assignment:
    """Log likelihoods of the observed assignment of ratings to completions; each of shape (n,), natural logarithms.

    Attributes:
        right: the labeller meant it so.
        swapped: the best and the worst were exchanged.
        careless: the ratings were dealt out at random (and not by chance as they were meant).
        uniform: any assignment is as likely: -log k!.
    """

    right: Floats
    swapped: Floats
    careless: Floats
    uniform: Floats


def ratings_given_scores(ratings: Floats, scores: Floats, scale: float) -> Assignment:
    """Likelihoods of the observed assignment under the label's three stories.

    right: exp(scale r.s) / Z, with Z the sum over all k! assignments; for k = 2 this is Bradley-Terry.

    Args:
        ratings, scores: shape (n, k), centred within the record; ratings not all equal.
    """
    k = ratings.shape[1]
    best, rest = log_permanent(ratings, scores, scale)
    right = scale * np.einsum("ij,ij->i", ratings, scores) - best - rest
    top = ratings == ratings.max(axis=1, keepdims=True)
    bottom = ratings == ratings.min(axis=1, keepdims=True)
    spread = np.ptp(ratings, axis=1)
    # Over all pairs of a best and a worst: the mean of exp(-scale * spread * (s_best - s_worst)) is a product of two means.
    low = scores.min(axis=1, keepdims=True)
    up = (np.exp(-scale * spread[:, None] * (scores - low)) * top).sum(axis=1) / top.sum(axis=1)
    high = scores.max(axis=1, keepdims=True)
    down = (np.exp(scale * spread[:, None] * (scores - high)) * bottom).sum(axis=1) / bottom.sum(axis=1)
    with np.errstate(divide="ignore"):
        swapped = right + np.log(up) + np.log(down) + scale * spread * (high - low)[:, 0]
    same = np.exp(_log_symmetries(ratings))
    total = math.factorial(k)
    careless = np.log(np.maximum(1.0 - same * np.exp(right), 1e-300)) - np.log(np.maximum(total - same, 1.0))
    return Assignment(right, np.maximum(swapped, -700.0), careless, np.full(len(right), -float(gammaln(k + 1))))


def _log_symmetries(ratings: Floats) -> Floats:
    """log of the number of permutations that leave the ratings as they are; shape (n,)."""
    ordered = np.sort(ratings, axis=1)
    run = np.ones(len(ordered))
    total = np.zeros(len(ordered))
    for j in range(1, ordered.shape[1]):
        run = np.where(ordered[:, j] == ordered[:, j - 1], run + 1, 1.0)
        total += np.log(run)
    return total
