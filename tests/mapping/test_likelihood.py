"""The likelihoods against a slow reference that goes through every permutation."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from argilla_admap.mapping.wrong.likelihood import MAX_EXACT, component_likelihoods, half_log_odds, log_permanent, thinned
from argilla_admap.mapping.wrong.mixture import LAPSE, LAPSE_OF_PAIRS, SCALES, SPREAD, Mixture, RatedGroup, posterior


def centred(values):
    return values - values.mean(axis=1, keepdims=True)


def drawn(k, n=12, levels=4):
    rng = np.random.default_rng(k)
    ratings = rng.integers(0, levels, (n, k)).astype(float)
    ratings[:, 0], ratings[:, 1] = 0, levels
    return centred(ratings), centred(rng.normal(size=(n, k)))


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("scale", [0.02, 1.0, 12.0])
def test_the_sum_over_assignments_is_that_of_all_permutations(k, scale):
    r, s = drawn(k)
    best, rest = log_permanent(r, s, scale)
    for i in range(len(r)):
        terms = [scale * sum(r[i][j] * s[i][p[j]] for j in range(k)) for p in permutations(range(k))]
        slow = max(terms) + math.log(sum(math.exp(t - max(terms)) for t in terms))
        assert best[i] + rest[i] == pytest.approx(slow, abs=1e-9)


def slow_components(r, s, scale, lapse):
    """correct, swapped, random and outlier of one record, from their definitions."""
    k = len(r)
    everything = [tuple(r[i] for i in p) for p in permutations(range(k))]

    def chance(x, meant):
        z = sum(math.exp(scale * float(np.dot(m, s))) for m in [tuple(meant[i] for i in p) for p in permutations(range(k))])
        return math.exp(scale * float(np.dot(x, s))) / z

    correct = chance(r, r)
    tops, bottoms = [i for i in range(k) if r[i] == max(r)], [i for i in range(k) if r[i] == min(r)]
    swaps = []
    for i in tops:
        for j in bottoms:
            meant = list(r)
            meant[i], meant[j] = r[j], r[i]
            swaps.append(chance(meant, r))
    others = [x for x in everything if not np.allclose(x, r)]
    random = sum(chance(x, r) for x in others) / len(others)
    told = [correct, sum(swaps) / len(swaps), random]
    if k > 2 and len(tops) == 1:
        meant = np.where(np.array(r) == max(r), min(r), r)
        meant = meant - meant.mean()
        told.append(chance(meant, meant))
    return [math.log((1 - lapse) * t + lapse / math.factorial(k)) for t in told]


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_each_component_has_the_likelihood_of_its_definition(k):
    r, s = drawn(k)
    told = component_likelihoods(r, s, 1.3, 0.03, np.ones(len(r), bool))
    for i in range(len(r)):
        slow = slow_components(r[i], s[i], 1.3, 0.03)
        assert told[i, : len(slow)] == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_p_wrong_is_bayes_over_the_scales_of_all_records_and_of_each(k):
    r, s = drawn(k)
    group = RatedGroup(np.arange(len(r)), np.arange(r.size).reshape(r.shape), r, s, np.ones(len(r), bool), np.zeros(len(r)))
    rates = np.array([[0.85, 0.08, 0.05, 0.02], [0.7, 0.1, 0.15, 0.05]])
    mixture = Mixture(SCALES[[18, 21]], np.array([0.3, 0.7]), rates, 1.0)
    # Gauss-Hermite quadrature of a normal distribution with three nodes: 0 and +-sqrt(3) deviations.
    nodes = [(0.0, 1.0)] if k == 2 else [(-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6)]
    lapse = LAPSE_OF_PAIRS if k == 2 else LAPSE
    for i, said in enumerate(posterior(group, mixture)):
        expected = 0.0
        for scale, weight, rate in zip(mixture.scales, mixture.weights, mixture.rates, strict=True):
            likelihood = np.zeros(4)
            for node, share in nodes:
                told = slow_components(r[i], s[i], float(scale) * math.exp(SPREAD * node), lapse)
                likelihood[: len(told)] += share * np.exp(told)
                if len(told) == 3:
                    likelihood[3] += share * lapse / math.factorial(k)
            expected += weight * float(likelihood[1:] @ rate[1:]) / float(likelihood @ rate)
        assert said == pytest.approx(expected, abs=1e-9)


def test_two_completions_are_bradley_terry():
    s = np.array([[1.0, -1.0], [-0.3, 0.3]])
    told = component_likelihoods(np.array([[1.0, -1.0]] * 2), s, 0.7, 1e-12, np.ones(2, bool))
    margin = s[:, 0] - s[:, 1]
    assert np.exp(told[:, 0]) == pytest.approx(1 / (1 + np.exp(-2 * 0.7 * margin)), abs=1e-6)
    assert np.exp(told[:, 1]) == pytest.approx(1 - np.exp(told[:, 0]), abs=1e-6)


def test_an_expected_label_becomes_its_log_odds_and_stays_finite_beyond_certainty():
    expected = np.array([0.0, 0.2, 0.9, 0.97])
    chance = (1 + expected) / 2
    assert 2 * half_log_odds(expected) == pytest.approx(np.log(chance / (1 - chance)))
    beyond = half_log_odds(np.array([0.98, 1.0, 1.3, 5.0]))
    assert np.isfinite(beyond).all()
    assert (np.diff(beyond) > 0).all()


def test_twelve_completions_are_summed_exactly_and_more_are_thinned():
    rng = np.random.default_rng(0)
    r = centred(np.tile(np.repeat([0.0, 1.0], 6), (1, 1)))
    s = centred(rng.normal(size=(1, 12)))
    best, rest = log_permanent(r, s, 0.8)
    from itertools import combinations

    terms = [0.8 * (0.5 * s[0][list(c)].sum() - 0.5 * (s[0].sum() - s[0][list(c)].sum())) for c in combinations(range(12), 6)]
    slow = math.log(sum(math.exp(t) for t in terms)) + 2 * math.lgamma(7)
    assert (best + rest)[0] == pytest.approx(slow, abs=1e-8)
    many, _ = thinned(centred(rng.normal(size=(3, 30))), centred(rng.normal(size=(3, 30))))
    assert many.shape == (3, MAX_EXACT)
