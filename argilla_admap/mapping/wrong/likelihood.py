"""The likelihood of a record's ratings under each mixture component, given scores."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints

__all__ = ["COMPONENTS", "MAX_EXACT", "component_likelihoods", "half_log_odds", "log_permanent", "log_uniform", "thinned"]

#: Above this K the sum over assignments (2^K terms) is too long: this many completions, evenly spread over the ratings, are
#: used.
MAX_EXACT = 12
#: Numbers that the sum over subsets holds at a time, at most: they stay in the processor's cache.
CHUNK = 1 << 18
#: Beyond this expected label (of -1 and 1) log-odds grow linearly: the regression's errors would dominate them.
NEARLY_SURE = 0.98


def log_permanent(ratings: Floats, scores: Floats, scale: float) -> tuple[Floats, Floats]:
    """log of the sum over all permutations p of exp(scale * sum_i ratings[i] * scores[p(i)]), in two parts.

    Args:
        ratings, scores: shape (n, k), centred within the record.
        scale: >= 0.
    Returns:
        The exponent of the best assignment, and the log of the sum relative to it (0..log k!); each of shape (n,).
    Source: the permanent by dynamic programming over the subsets of columns used so far (Bellman 1962; Held & Karp 1962).
    """
    n, k = ratings.shape
    step = max(1, CHUNK >> k)
    if n > step:
        parts = [log_permanent(ratings[i : i + step], scores[i : i + step], scale) for i in range(0, n, step)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    r, s = np.sort(ratings, axis=1), np.sort(scores, axis=1)
    best = scale * np.einsum("ij,ij->i", r, s)
    # Dual prices of the assignment problem (known, since r_i s_j is a Monge array): no weight is above one, and those of the
    # best assignment, on the diagonal, are one. Nothing can overflow, nor can all vanish.
    slopes = (r[:, :-1] + r[:, 1:]) / 2
    prices = np.concatenate([np.zeros((n, 1)), np.cumsum(slopes * np.diff(s, axis=1), axis=1)], axis=1)
    own = r * s - prices
    weights = np.exp(scale * (r[:, :, None] * s[:, None, :] - prices[:, None, :] - own[:, :, None]))
    columns = np.ascontiguousarray(weights.transpose(1, 2, 0))
    sums = np.ones((1, n))
    for row, (column, without) in zip(columns, _subsets(k), strict=True):
        total = sums[without[0]] * row[column[0]]
        for j, rest in zip(column[1:], without[1:], strict=True):
            part = sums[rest]
            part *= row[j]
            total += part
        sums = total
    return best, np.log(sums[0])


@cache
def _subsets(k: int) -> list[tuple[Ints, Ints]]:
    """For each size m from 1 to k the subsets of k columns of that size: their columns, and the places among those of size
    m - 1 of what is left without each; shape (m, subsets) each."""
    found, places = [], {frozenset[int](): 0}
    for size in range(1, k + 1):
        subsets = list(combinations(range(k), size))
        without = [[places[frozenset(subset) - {column}] for column in subset] for subset in subsets]
        found.append((np.array(subsets).T, np.array(without).T))
        places = {frozenset(subset): place for place, subset in enumerate(subsets)}
    return found


#: The mixture's components, in the order of `component_likelihoods`' columns.
COMPONENTS = ("correct", "swapped", "random", "outlier")


def component_likelihoods(ratings: Floats, scores: Floats, scale: float, lapse: float, at_top: Bools) -> Floats:
    """Log likelihood of the observed assignment of ratings to completions under each component; shape (n, 4), natural logs.

    - correct: exp(scale r.s) / Z, with Z the sum over all k! assignments; for k = 2 this is Bradley-Terry.
    - swapped: a best and a worst rating were exchanged.
    - random: the ratings were assigned at random, and did not come out correct by chance.
    - outlier: the completion with the scale's highest rating belongs at the bottom (k > 2: a 1 that was read as a 10).

    In each, the scores say nothing of the record with probability `lapse`; then every assignment is equally likely. That bounds
    what scores can prove.

    Args:
        ratings, scores: shape (n, k), centred within the record; ratings not all equal.
        at_top: shape (n,), whether a rating is the highest of the scale.
    Source: the exponential family of assignments conditional on the multiset of ratings, i.e. the permutation likelihood of
        Plackett 1975 and Critchlow's ranking models; lapse: Wichmann & Hill 2001.
    """
    n, k = ratings.shape
    best, rest = log_permanent(ratings, scores, scale)
    correct = scale * np.einsum("ij,ij->i", ratings, scores) - best - rest
    top = ratings == ratings.max(axis=1, keepdims=True)
    bottom = ratings == ratings.min(axis=1, keepdims=True)
    spread = np.ptp(ratings, axis=1)
    # Over all pairs of a best and a worst: the mean of exp(-scale * spread * (s_best - s_worst)) is a product of two means.
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    up = (np.exp(-scale * spread[:, None] * (scores - low)) * top).sum(axis=1) / top.sum(axis=1)
    down = (np.exp(scale * spread[:, None] * (scores - high)) * bottom).sum(axis=1) / bottom.sum(axis=1)
    with np.errstate(divide="ignore"):
        swapped = correct + np.log(up) + np.log(down) + scale * spread * (high - low)[:, 0]
    same = np.exp(_log_symmetries(ratings))
    random = np.log(np.maximum(1.0 - same * np.exp(correct), 1e-300)) - np.log(np.maximum(math.factorial(k) - same, 1.0))
    outlier = np.full(n, -np.inf)
    single = (top.sum(axis=1) == 1) & at_top
    if k > 2 and single.any():
        meant = np.where(top[single], ratings[single].min(axis=1, keepdims=True), ratings[single])
        meant = meant - meant.mean(axis=1, keepdims=True)
        most, others = log_permanent(meant, scores[single], scale)
        outlier[single] = scale * np.einsum("ij,ij->i", meant, scores[single]) - most - others
    logs = np.stack([correct, swapped, random, outlier], axis=1)
    floor = math.log(lapse) + log_uniform(k)
    return np.asarray(np.logaddexp(math.log1p(-lapse) + np.maximum(logs, -700.0), floor))


def half_log_odds(expected: Floats) -> Floats:
    """Half the log-odds of 1 against -1, from the expected value of a label that is one of them; natural logarithms.

    Args:
        expected: >= 0; a regression's may lie above 1.
    Source: artanh (Fisher's z), the inverse of the mean of -1 and 1 under the logistic distribution; for what a linear
        probability model predicts, Goldberger 1964.
    """
    bounded = np.minimum(expected, NEARLY_SURE)
    return np.asarray(np.arctanh(bounded) + expected - bounded)


def log_uniform(k: int) -> float:
    """log of 1 / k!: the likelihood of an assignment when all are equally likely."""
    return -math.lgamma(k + 1)


def thinned(ratings: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """The same records with `MAX_EXACT` completions at most, evenly spread over the ratings, the best and the worst among them.

    Args:
        ratings, scores: shape (n, k).
    """
    k = ratings.shape[1]
    if k <= MAX_EXACT:
        return ratings, scores
    order = np.lexsort((scores, ratings), axis=1)[:, np.linspace(0, k - 1, MAX_EXACT).round().astype(int)]
    r, s = np.take_along_axis(ratings, order, 1), np.take_along_axis(scores, order, 1)
    return r - r.mean(axis=1, keepdims=True), s - s.mean(axis=1, keepdims=True)


def _log_symmetries(ratings: Floats) -> Floats:
    """log of the number of permutations that leave the ratings as they are; shape (n,)."""
    ordered = np.sort(ratings, axis=1)
    run = np.ones(len(ordered))
    total = np.zeros(len(ordered))
    for j in range(1, ordered.shape[1]):
        run = np.where(ordered[:, j] == ordered[:, j - 1], run + 1, 1.0)
        total += np.log(run)
    return total
