"""P(wrong) from the likelihoods: a mixture of stories, fitted without labels of a person's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.wrong.likelihood import MAX_EXACT, STORIES, log_uniform, stories, thinned

__all__ = ["LAPSE", "Group", "Mixture", "fit_mixture", "posterior"]

#: Of labels on a scale and more than two completions: records differ in how closely their labels follow the evidence. The
#: logarithm of the scale is spread by this much (standard deviation) among them. Labels that only say which is better cannot
#: tell such a spread from their noise: it would take nearly all of that upon itself.
SPREAD = 0.5
#: The spread as three scales, a factor apart, and their weights: Gauss-Hermite quadrature of a normal distribution.
FACTOR = float(np.exp(np.sqrt(3.0) * SPREAD))
WEIGHTS = (1 / 6, 2 / 3, 1 / 6)
#: Scales tried: of the log likelihood, per product of a standardised rating and a standardised prediction. A step is a fifth of
#: the factor, so that the scales of the spread are scales of the grid.
SCALES = 0.02 * FACTOR ** (np.arange(38) / 5)
#: How often the evidence says nothing of a record. The labels alone cannot tell it from their own noise; measured on sets with
#: labels that people checked.
LAPSE = 0.01
#: The same of two completions. A spread of the scale cannot be told from their noise: the lapse alone stands for both.
LAPSE_OF_PAIRS = 0.03
#: Dirichlet prior of the stories: one record in fifteen wrong, worth nine records.
PRIOR = np.array([8.5, 0.25, 0.25, 0.125])
MAX_NOISE = 0.45
#: Prior density of the noise rate: in proportion to the chance that so many records are all right. None wrong is the likeliest,
#: one in five the mean.
CLEAN_RECORDS = 2.0
#: Prior of the scale: any up to this is as likely; above, its logarithm is the upper half of a normal distribution with this
#: deviation. On right labels it is 0.6 to 1.8 for pairs: a larger one would blame the labels for the evidence's errors.
USUAL_SCALE, SCALE_DEVIATION = 1.0, 0.5
#: Noise rates at which the posterior is looked at.
NOISE_GRID = 90
#: Records whose likelihoods are held at a time.
CHUNK = 1 << 16
#: Scales with less of the posterior than this are left out of the average.
NEGLIGIBLE = 1e-4


@dataclass(frozen=True, slots=True)
class Group:
    """Records of one K: positions, shape (n,); flat positions of their completions, shape (n, K); and of the same shape their
    ratings and predictions, standardised and centred. `at_top`, shape (n,): a rating is the highest of the scale. `two_valued`:
    the labels only say which is better."""

    rows: Ints
    items: Ints
    ratings: Floats
    scores: Floats
    at_top: Bools
    two_valued: bool = False


@dataclass(frozen=True, slots=True)
class Mixture:
    """The fitted constants.

    Attributes:
        scales: those that the posterior holds possible.
        weights: their posterior, sums to 1.
        rates: of the stories at each scale, by the posterior mean of the noise rate there; shape (scales, 4).
        gain: nats a record by which the evidence explains the labels better than chance.
        noise_interval: where the noise rate's posterior is highest, with nine tenths of it.
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

    def story_rates(self) -> dict[str, float]:
        """Share of the records by story."""
        return dict(zip(STORIES, (float(r) for r in self.weights @ self.rates), strict=True))


class _Spread:
    """The stories' likelihoods of a group's records, over the spread of the scale among them."""

    def __init__(self, ratings: Floats, scores: Floats, at_top: Bools, two_valued: bool) -> None:
        self.ratings, self.scores = thinned(ratings, scores)
        self.at_top = at_top
        self.two_valued = two_valued
        self.known: dict[int, Floats] = {}

    def stories(self, scale: float) -> Floats:
        """Log likelihoods under each story, shape (n, 4), where `scale` is the middle one."""
        if self.ratings.shape[1] == 2:
            return stories(self.ratings, self.scores, scale, LAPSE_OF_PAIRS, self.at_top)
        if self.two_valued:
            return stories(self.ratings, self.scores, scale, LAPSE, self.at_top)
        # Scales of the grid come up again as their neighbours' neighbours.
        steps = [round(5 * np.log(scale / SCALES[0]) / np.log(FACTOR)) + step for step in (-5, 0, 5)]
        for step in [step for step in self.known if step < steps[0]]:
            del self.known[step]
        for step in steps:
            if step not in self.known:
                at = float(SCALES[0] * FACTOR ** (step / 5))
                self.known[step] = stories(self.ratings, self.scores, at, LAPSE, self.at_top)
        told = [self.known[step] + np.log(weight) for step, weight in zip(steps, WEIGHTS, strict=True)]
        return np.asarray(np.logaddexp(np.logaddexp(told[0], told[1]), told[2]))


def fit_mixture(groups: Sequence[Group]) -> Mixture:
    """Fits the stories' proportions by expectation maximisation at each scale; then scale and noise rate by their posterior.

    Averaging over scale and rate, instead of choosing the likeliest, keeps both honest where they explain each other.

    Args:
        groups: records whose ratings are not all equal; at least one.
    Source: EM for mixture proportions, Dempster, Laird & Rubin 1977, with a Dirichlet prior; the posterior on a grid.
    """
    found = []
    spreads = [_Spread(g.ratings, g.scores, g.at_top, g.two_valued) for g in groups]
    uniform = np.concatenate([np.full(len(g.rows), log_uniform(min(g.ratings.shape[1], MAX_EXACT))) for g in groups])
    rates = PRIOR / PRIOR.sum()
    for scale in SCALES:
        told = np.concatenate([spread.stories(float(scale)) for spread in spreads])
        rates, evidence = _rates(told, rates)
        likelihood = float(evidence.sum() + PRIOR @ np.log(np.maximum(rates, 1e-12)) + _log_prior(scale))
        found.append((likelihood, rates, float((evidence - uniform).mean())))
    likelihoods = np.array([f[0] for f in found])
    weights = np.exp(likelihoods - likelihoods.max())
    weights /= weights.sum()
    kept = weights > NEGLIGIBLE
    weights = weights[kept] / weights[kept].sum()
    gains = np.array([f[2] for f in found])[kept]
    kept_rates = np.array([f[1] for f in found])[kept]
    weights, kept_rates, interval = _averaged(spreads, SCALES[kept], kept_rates)
    return Mixture(SCALES[kept], weights, kept_rates, float(weights @ gains), interval)


def _averaged(spreads: Sequence[_Spread], scales: Floats, rates: Floats) -> tuple[Floats, Floats, tuple[float, float]]:
    """The posterior over scale and noise rate; the wrong stories keep the proportions that they have at each scale.

    Returns:
        The scales' posterior; the stories' rates at each, by the posterior mean of the noise rate there; and the interval where
        the noise rate's posterior is highest, with nine tenths of it (it holds 0 where none wrong is the likeliest).
    Source: highest posterior density, Box & Tiao, "Bayesian Inference in Statistical Analysis" (1973).
    """
    grid = MAX_NOISE * (np.arange(NOISE_GRID) + 0.5) / NOISE_GRID
    posterior = np.empty((len(scales), NOISE_GRID))
    for i, (scale, rate) in enumerate(zip(scales, rates, strict=True)):
        told = np.concatenate([spread.stories(float(scale)) for spread in spreads])
        wrong = np.log(np.exp(told[:, 1:] - told[:, :1]) @ (rate[1:] / rate[1:].sum()))
        odds = np.exp(np.clip(wrong, -700, 700))
        posterior[i] = told[:, 0].sum() + np.array([np.log((1 - share) + share * odds).sum() for share in grid])
    posterior += _log_prior(scales)[:, None] + CLEAN_RECORDS * np.log1p(-grid)
    density = np.exp(posterior - posterior.max())
    weights = density.sum(axis=1)
    # A scale that is as good as impossible keeps the rate it had.
    noise = np.where(weights > 0, density @ grid / np.maximum(weights, 1e-300), 1 - rates[:, 0])
    mean = rates * (noise / rates[:, 1:].sum(axis=1))[:, None]
    mean[:, 0] = 1 - noise
    told_of_noise = density.sum(axis=0) / density.sum()
    highest = np.argsort(-told_of_noise, kind="stable")
    within = highest[: int(np.searchsorted(np.cumsum(told_of_noise[highest]), 0.9)) + 1]
    step = MAX_NOISE / NOISE_GRID
    return weights / weights.sum(), mean, (float(within.min() * step), float((within.max() + 1) * step))


def _log_prior(scales: Floats) -> Floats:
    """Log prior density of the scales' logarithms, up to a constant."""
    return np.asarray(-np.square(np.maximum(np.log(scales / USUAL_SCALE), 0.0) / SCALE_DEVIATION) / 2)


def _rates(told: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """The stories' rates, shape (4,), and each record's log evidence, from the stories' log likelihoods of shape (n, 4).

    Args:
        rates: to start from; the posterior has one maximum, so that they only save steps.
    """
    top = told.max(axis=1)
    likelihood = np.exp(told - top[:, None])
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


def posterior(group: Group, mixture: Mixture) -> Floats:
    """P(wrong) of each record of the group; shape (n,), 0..1."""
    p = np.zeros(len(group.rows))
    for start in range(0, len(p), CHUNK):
        part = slice(start, start + CHUNK)
        spread = _Spread(group.ratings[part], group.scores[part], group.at_top[part], group.two_valued)
        for scale, weight, rates in zip(mixture.scales, mixture.weights, mixture.rates, strict=True):
            told = spread.stories(float(scale))
            wrong = np.log(np.exp(told[:, 1:] - told[:, :1]) @ rates[1:]) - np.log(rates[0])
            p[part] += weight / (1 + np.exp(-np.clip(wrong, -700, 700)))
    return np.clip(p, 0.0, 1.0)
