"""P(wrong) from the likelihoods: a mixture of stories, fitted without labels of a person's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.arrays import Bools, Floats, Ints
from argilla_admap.mapping.likelihood import MAX_EXACT, STORIES, log_uniform, stories, thinned

__all__ = ["LAPSE", "Group", "Mixture", "fit_mixture", "posterior"]

#: Scales tried: of the log likelihood, per product of a standardised rating and a standardised prediction.
SCALES = np.geomspace(0.02, 12.0, 34)
#: How often the evidence says nothing of a record. The labels alone cannot tell it from their own noise; measured on sets with
#: labels that people checked.
LAPSE = 0.03
#: Dirichlet prior of the stories: one record in fifteen wrong, worth eighteen records.
PRIOR = np.array([17.0, 0.5, 0.5, 0.25])
MAX_NOISE = 0.45
#: Scales with less of the posterior than this are left out of the average.
NEGLIGIBLE = 1e-3


@dataclass(frozen=True, slots=True)
class Group:
    """Records of one K: positions, shape (n,); flat positions of their completions, shape (n, K); and of the same shape their
    ratings and predictions, standardised and centred. `at_top`, shape (n,): a rating is the highest of the scale."""

    rows: Ints
    items: Ints
    ratings: Floats
    scores: Floats
    at_top: Bools


@dataclass(frozen=True, slots=True)
class Mixture:
    """The fitted constants.

    Attributes:
        scales: those that the posterior holds possible.
        weights: their posterior, sums to 1.
        rates: of the stories at each scale; shape (scales, 4).
        gain: nats a record by which the evidence explains the labels better than chance.
        lapse: as above.
    """

    scales: Floats
    weights: Floats
    rates: Floats
    gain: float
    lapse: float

    @property
    def scale(self) -> float:
        """The mean scale."""
        return float(self.weights @ self.scales)

    @property
    def noise_rate(self) -> float:
        """Share of the records whose label is wrong, 0..MAX_NOISE."""
        return float(self.weights @ (1 - self.rates[:, 0]))

    def story_rates(self) -> dict[str, float]:
        """Share of the records by story."""
        return dict(zip(STORIES, (float(r) for r in self.weights @ self.rates), strict=True))


def fit_mixture(groups: Sequence[Group], lapse: float = LAPSE) -> Mixture:
    """Fits the stories' rates by expectation maximisation at each scale, and weighs the scales by their likelihood.

    Averaging over the scale, instead of choosing one, keeps the rate of noise honest where scale and noise explain each other.

    Args:
        groups: records whose ratings are not all equal; at least one.
    Source: EM for mixture proportions, Dempster, Laird & Rubin 1977, with a Dirichlet prior.
    """
    found = []
    thin = [(*thinned(g.ratings, g.scores), log_uniform(min(g.ratings.shape[1], MAX_EXACT)), g.at_top) for g in groups]
    uniform = np.concatenate([np.full(len(r), u) for r, _, u, _ in thin])
    for scale in SCALES:
        told = np.concatenate([stories(r, s, float(scale), lapse, t) for r, s, _, t in thin])
        rates, evidence = _rates(told)
        likelihood = float(evidence.sum() + PRIOR @ np.log(np.maximum(rates, 1e-12)))
        found.append((likelihood, rates, float((evidence - uniform).mean())))
    likelihoods = np.array([f[0] for f in found])
    weights = np.exp(likelihoods - likelihoods.max())
    weights /= weights.sum()
    kept = weights > NEGLIGIBLE
    weights = weights[kept] / weights[kept].sum()
    gains = np.array([f[2] for f in found])[kept]
    return Mixture(SCALES[kept], weights, np.array([f[1] for f in found])[kept], float(weights @ gains), lapse)


def _rates(told: Floats) -> tuple[Floats, Floats]:
    """The stories' rates, shape (4,), and each record's log evidence, from the stories' log likelihoods of shape (n, 4)."""
    top = told.max(axis=1)
    likelihood = np.exp(told - top[:, None])
    rates = PRIOR / PRIOR.sum()
    for _ in range(200):
        share = likelihood * rates
        share /= share.sum(axis=1, keepdims=True)
        new = share.sum(axis=0) + PRIOR
        new /= new.sum()
        if new[0] < 1 - MAX_NOISE:
            new[1:] *= MAX_NOISE / new[1:].sum()
            new[0] = 1 - MAX_NOISE
        done = np.abs(new - rates).max() < 1e-7
        rates = new
        if done:
            break
    return rates, np.log(likelihood @ rates) + top


def posterior(group: Group, mixture: Mixture) -> Floats:
    """P(wrong) of each record of the group; shape (n,), 0..1."""
    r, s = thinned(group.ratings, group.scores)
    p = np.zeros(len(r))
    for scale, weight, rates in zip(mixture.scales, mixture.weights, mixture.rates, strict=True):
        told = stories(r, s, float(scale), mixture.lapse, group.at_top)
        wrong = np.log(np.exp(told[:, 1:] - told[:, :1]) @ rates[1:]) - np.log(rates[0])
        p += weight / (1 + np.exp(-np.clip(wrong, -700, 700)))
    return np.clip(p, 0.0, 1.0)
