"""P(wrong) from the likelihoods: a mixture of correct and wrong components, fitted without a person's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.wrong.likelihood import COMPONENTS, MAX_EXACT, component_likelihoods, log_uniform, thinned

__all__ = ["LAPSE", "Mixture", "RatedGroup", "fit_mixture", "posterior"]

#: With labels on a scale and more than two completions, records differ in how closely labels follow the evidence: the standard
#: deviation of log scale among them. Labels that only say which is better cannot tell such a spread from their noise.
SPREAD = 0.5
#: The spread as three scales, this factor apart, and their weights: Gauss-Hermite quadrature of a normal distribution.
FACTOR = float(np.exp(np.sqrt(3.0) * SPREAD))
WEIGHTS = (1 / 6, 2 / 3, 1 / 6)
#: Scales tried: of the log likelihood, per product of a standardised rating and a standardised prediction. A step is a fifth of
#: the factor, so that the scales of the spread are on the grid.
SCALES = 0.02 * FACTOR ** (np.arange(38) / 5)
#: How often the evidence says nothing of a record. Labels alone cannot tell it from their noise; measured on checked sets.
LAPSE = 0.01
#: The same with two completions, where it stands for the spread of the scale too.
LAPSE_OF_PAIRS = 0.03
#: Dirichlet prior of the components: one record in fifteen wrong, worth nine records.
PRIOR = np.array([8.5, 0.25, 0.25, 0.125])
MAX_NOISE = 0.45
#: Prior density of the noise rate: proportional to the chance that this many records are all correct. Zero is the likeliest,
#: one in five the mean.
CLEAN_RECORDS = 2.0
#: Prior of the scale: flat up to the first; above, its logarithm is the upper half of a normal distribution of this deviation.
#: On correct labels it is 0.6 to 1.8 for pairs: a larger one would blame the labels for the evidence's errors.
USUAL_SCALE, SCALE_DEVIATION = 1.0, 0.5
#: Noise rates of the posterior's grid.
NOISE_GRID = 90
#: Records whose likelihoods are held at a time.
CHUNK = 1 << 16
#: Scales with less of the posterior than this are left out of the average.
NEGLIGIBLE = 1e-4


@dataclass(frozen=True, slots=True)
class RatedGroup:
    """Records of one K whose ratings differ.

    Attributes:
        rows: shape (n,), their positions.
        items: shape (n, K), the flat positions of their completions.
        ratings, scores: shape (n, K), ratings and predictions, standardised and centred.
        at_top: shape (n,), whether a rating is the highest of the scale.
        evidence: shape (n,), log-odds by people's answers that the label is wrong; 0 without an answer.
        two_valued: whether the labels only say which is better.
    """

    rows: Ints
    items: Ints
    ratings: Floats
    scores: Floats
    at_top: Bools
    evidence: Floats
    two_valued: bool = False


@dataclass(frozen=True, slots=True)
class Mixture:
    """The fitted constants.

    Attributes:
        scales: those with a share of the posterior.
        weights: their posterior, sums to 1.
        rates: of the components at each scale, by the posterior mean of the noise rate there; shape (scales, 4).
        gain: nats a record by which the evidence explains the labels better than chance.
        noise_interval: the 90% interval of highest posterior density of the noise rate.
    """

    scales: Floats
    weights: Floats
    rates: Floats
    gain: float
    noise_interval: tuple[float, float] = (0.0, 1.0)

    @property
    def scale(self) -> float:
        """The mean scale."""
        return float(self.weights @ self.scales)

    @property
    def noise_rate(self) -> float:
        """Share of the records whose label is wrong, 0..MAX_NOISE."""
        return float(self.weights @ (1 - self.rates[:, 0]))

    def component_rates(self) -> dict[str, float]:
        """Share of the records by component."""
        return dict(zip(COMPONENTS, (float(r) for r in self.weights @ self.rates), strict=True))


class _Likelihoods:
    """The component likelihoods of a group's records, averaged over the spread of the scale among them."""

    def __init__(self, group: RatedGroup, part: slice = slice(None)) -> None:
        self.ratings, self.scores = thinned(group.ratings[part], group.scores[part])
        self.at_top = group.at_top[part]
        self.evidence = group.evidence[part]
        self.two_valued = group.two_valued
        self.cached: dict[int, Floats] = {}

    def at(self, scale: float) -> Floats:
        """Log likelihoods under each component, shape (n, 4), where `scale` is the middle one; people's answers included."""
        logs = self._of_labels(scale)
        logs[:, 1:] += self.evidence[:, None]
        return logs

    def _of_labels(self, scale: float) -> Floats:
        if self.ratings.shape[1] == 2 or self.two_valued:
            lapse = LAPSE_OF_PAIRS if self.ratings.shape[1] == 2 else LAPSE
            return component_likelihoods(self.ratings, self.scores, scale, lapse, self.at_top)
        # Each scale of the grid is used three times: in the middle and on either side.
        steps = [round(5 * np.log(scale / SCALES[0]) / np.log(FACTOR)) + step for step in (-5, 0, 5)]
        self.cached = {step: logs for step, logs in self.cached.items() if step >= steps[0]}
        for step in steps:
            if step not in self.cached:
                at = float(SCALES[0] * FACTOR ** (step / 5))
                self.cached[step] = component_likelihoods(self.ratings, self.scores, at, LAPSE, self.at_top)
        logs = [self.cached[step] + np.log(weight) for step, weight in zip(steps, WEIGHTS, strict=True)]
        return np.asarray(np.logaddexp(np.logaddexp(logs[0], logs[1]), logs[2]))


def fit_mixture(groups: Sequence[RatedGroup]) -> Mixture:
    """Fits the components' rates by expectation maximisation at each scale, then scale and noise rate by their posterior.

    Averaging over scale and rate, instead of choosing the likeliest, matters where one can explain the other.

    Args:
        groups: records whose ratings are not all equal; at least one.
    Source: EM for mixture proportions, Dempster, Laird & Rubin 1977, with a Dirichlet prior; the posterior on a grid.
    """
    found = []
    likelihoods_of = [_Likelihoods(group) for group in groups]
    uniform = np.concatenate([np.full(len(g.rows), log_uniform(min(g.ratings.shape[1], MAX_EXACT))) for g in groups])
    # What the evidence explains is told by the labels alone, where people have not said what they should be.
    unread = np.concatenate([group.evidence for group in groups]) == 0
    unread |= not unread.any()
    rates = PRIOR / PRIOR.sum()
    for scale in SCALES:
        logs = np.concatenate([likelihoods.at(float(scale)) for likelihoods in likelihoods_of])
        rates, evidence = _rates(logs, rates)
        likelihood = float(evidence.sum() + PRIOR @ np.log(np.maximum(rates, 1e-12)) + _log_prior(scale))
        found.append((likelihood, rates, float((evidence - uniform)[unread].mean())))
    totals = np.array([f[0] for f in found])
    weights = np.exp(totals - totals.max())
    weights /= weights.sum()
    kept = weights > NEGLIGIBLE
    weights = weights[kept] / weights[kept].sum()
    gains = np.array([f[2] for f in found])[kept]
    kept_rates = np.array([f[1] for f in found])[kept]
    weights, kept_rates, interval = _averaged(likelihoods_of, SCALES[kept], kept_rates)
    return Mixture(SCALES[kept], weights, kept_rates, float(weights @ gains), interval)


def _averaged(
    likelihoods_of: Sequence[_Likelihoods], scales: Floats, rates: Floats
) -> tuple[Floats, Floats, tuple[float, float]]:
    """The posterior over scale and noise rate; the wrong components keep their proportions at each scale.

    Returns:
        The scales' posterior; the components' rates at each, by the posterior mean of the noise rate there; the noise rate's
        90% interval.
    Source: highest posterior density, Box & Tiao, "Bayesian Inference in Statistical Analysis" (1973).
    """
    grid = MAX_NOISE * (np.arange(NOISE_GRID) + 0.5) / NOISE_GRID
    posterior = np.empty((len(scales), NOISE_GRID))
    for i, (scale, rate) in enumerate(zip(scales, rates, strict=True)):
        logs = np.concatenate([likelihoods.at(float(scale)) for likelihoods in likelihoods_of])
        wrong = np.log(np.exp(logs[:, 1:] - logs[:, :1]) @ (rate[1:] / rate[1:].sum()))
        odds = np.exp(np.clip(wrong, -700, 700))
        posterior[i] = logs[:, 0].sum() + np.array([np.log((1 - share) + share * odds).sum() for share in grid])
    posterior += _log_prior(scales)[:, None] + CLEAN_RECORDS * np.log1p(-grid)
    density = np.exp(posterior - posterior.max())
    weights = density.sum(axis=1)
    # A scale of no weight keeps the rate it had.
    noise = np.where(weights > 0, density @ grid / np.maximum(weights, 1e-300), 1 - rates[:, 0])
    mean = rates * (noise / rates[:, 1:].sum(axis=1))[:, None]
    mean[:, 0] = 1 - noise
    by_noise = density.sum(axis=0) / density.sum()
    highest = np.argsort(-by_noise, kind="stable")
    within = highest[: int(np.searchsorted(np.cumsum(by_noise[highest]), 0.9)) + 1]
    step = MAX_NOISE / NOISE_GRID
    return weights / weights.sum(), mean, (float(within.min() * step), float((within.max() + 1) * step))


def _log_prior(scales: Floats) -> Floats:
    """Log prior density of the scales' logarithms, up to a constant."""
    return np.asarray(-np.square(np.maximum(np.log(scales / USUAL_SCALE), 0.0) / SCALE_DEVIATION) / 2)


def _rates(logs: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """The components' rates, shape (4,), and each record's log evidence, from log likelihoods of shape (n, 4).

    Args:
        rates: to start from; the posterior has one maximum, so that they only save steps.
    """
    top = logs.max(axis=1)
    likelihood = np.exp(logs - top[:, None])
    for _ in range(200):
        new = rates * (likelihood.T @ (1.0 / (likelihood @ rates))) + PRIOR
        new /= new.sum()
        if new[0] < 1 - MAX_NOISE:
            new[1:] *= MAX_NOISE / new[1:].sum()
            new[0] = 1 - MAX_NOISE
        done = np.abs(new - rates).max() < 1e-7
        rates = new
        if done:
            break
    return rates, np.log(likelihood @ rates) + top


def posterior(group: RatedGroup, mixture: Mixture) -> Floats:
    """P(wrong) of each record of the group; shape (n,), 0..1."""
    p = np.zeros(len(group.rows))
    for start in range(0, len(p), CHUNK):
        part = slice(start, start + CHUNK)
        likelihoods = _Likelihoods(group, part)
        for scale, weight, rates in zip(mixture.scales, mixture.weights, mixture.rates, strict=True):
            logs = likelihoods.at(float(scale))
            wrong = np.log(np.exp(logs[:, 1:] - logs[:, :1]) @ rates[1:]) - np.log(rates[0])
            p[part] += weight / (1 + np.exp(-np.clip(wrong, -700, 700)))
    return np.clip(p, 0.0, 1.0)
