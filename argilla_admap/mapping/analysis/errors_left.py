"""How many labels are wrong, and how many of them nobody has read yet: from records that were drawn at random.

The random sample is weighted back to the unread records, with P(wrong) as auxiliary variable in a logistic working model
``logit P(error) = intercept + slope * logit P(wrong)``. With its intercept fitted to the sample, its sum over the unread is
the difference estimator (the weighted residuals of the sample sum to zero), so that a P(wrong) that is off widens the
interval and does not shift the estimate. The slope is the tuning of prediction-powered inference: at 0 P(wrong) counts for
nothing. Reviewers are not taken for right: how often they correct a right label is estimated along, from records that several
people read and from labels that P(wrong) holds for sure. Where nobody reads a record twice, false corrections and errors that
P(wrong) does not see look alike; the interval is then wide.

Sources: Särndal, Swensson & Wretman, *Model Assisted Survey Sampling* (1992), ch. 6; Lehtonen & Veijanen, "Logistic generalized
regression estimators" (1998); Angelopoulos et al., "Prediction-powered inference" (2023), and "PPI++" (2023) for the tuning;
Rogan & Gladen (1978) for errors of the readers. The intervals are quantiles of the posterior under weak priors, by adaptive
importance sampling: with few errors in the sample a normal approximation covers too little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import beta as beta_distribution
from sklearn.isotonic import IsotonicRegression

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints

__all__ = ["LEAST_RANDOM", "ErrorEstimate", "Range", "estimate_errors", "random_part", "reviewer_accuracy"]

#: Fewer random records say nothing of the rest.
LEAST_RANDOM = 20
#: P(wrong) is nowhere taken for surer than this.
_SURE = (0.002, 0.98)
#: Step of the grid of logits on which records count as equal.
_STEP = 0.2
#: Mean and standard deviation of the priors: the intercepts of the random and of the other read records, the slope, the
#: logarithm of how often a right label is corrected, and the logit of how much seldomer a wrong one is confirmed (who answers
#: by chance changes a wrong label, too, in most cases).
_PRIOR = np.array([[0.0, 0.0, 1.0, np.log(0.02), 1.0], [1.0, 1.0, 0.3, 1.5, 1.0]])
#: Share of wrong labels, and the standard deviation of its logit, where there is no P(wrong).
_UNKNOWN = (0.1, 2.0)
_DRAWS, _ROUNDS = 2000, 10
#: Read through other queues by less than this: whoever reads such a record, reads the random sample.
_SELDOM = 0.2


@dataclass(frozen=True, slots=True)
class Range:
    """A number of labels with its 95% interval; `value` is None where only bounds are known."""

    value: float | None
    low: float
    high: float

    @classmethod
    def of(cls, draws: Floats) -> Range:
        """Mean and quantiles of draws."""
        low, high = np.quantile(draws, 0.025, method="lower"), np.quantile(draws, 0.975, method="higher")
        return cls(float(draws.mean()), float(low), float(high))

    def json(self) -> dict[str, float | None]:
        """As JSON values."""
        return {"value": None if self.value is None else round(self.value, 1), "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """Wrong labels among n records.

    Attributes:
        total, left: in the whole set, and among the unread.
        random: records of the random sample that were read.
        false_corrections: how often a reviewer corrects a right label, 0..1: mean and 95% interval.
        chance: shape (n,), probability that the label is wrong before anybody's answer; as fitted, else P(wrong); NaN without.
    """

    total: Range
    left: Range
    random: int
    false_corrections: Range
    chance: Floats

    def next_errors(self, unread: Bools, k: int = 100) -> float | None:
        """Wrong labels expected among the `k` likeliest of the unread records; None without P(wrong)."""
        chances = self.chance[unread & np.isfinite(self.chance)]
        return float(np.sort(chances)[::-1][:k].sum()) if len(chances) else None


def random_part(number: Floats, read: Bools, group: Ints, p_wrong: Floats) -> tuple[Bools, Floats]:
    """The read records that are a random sample of all, and how many unread records each stands for.

    People read the sample in the order of its random numbers, but may have met some of its records in other queues before. So
    the sample ends where such meetings alone would explain what is read, and a record that would have been read anyway, as
    others of its group and its P(wrong) were, stands for no unread one.

    Args:
        number: shape (n,), random numbers of the sample; NaN outside. All equal: read in no order, all that was read counts.
        read: shape (n,), records with an answer.
        group: shape (n,), codes: the queues of each record.
        p_wrong: shape (n,), NaN where unknown.
    Returns:
        shape (n,) twice: members of the sample, and their weights, whose sum is the number of unread records; 0 elsewhere.
    """
    drawn = np.isfinite(number)
    elsewhere = _elsewhere(read, ~drawn, group, p_wrong)
    order = np.flatnonzero(drawn)[np.argsort(number[drawn], kind="stable")]
    if not read[order].all() and len(order) and np.ptp(number[order]) > 0:
        own = elsewhere[order] < _SELDOM
        share = np.cumsum(read[order] & own) / np.maximum(np.cumsum(own), 1)
        ends = np.flatnonzero(read[order] & own & (share >= 1 - _SELDOM))
        # Without its last record the rest is random whatever ended the reading (inverse sampling: Haldane 1945).
        order = order[: ends[-1] if len(ends) else 0]
    member = np.zeros(len(read), bool)
    member[order] = read[order]
    weight = np.where(member, 1 - _elsewhere(read, ~member, group, p_wrong), 0.0)
    unread = int((~read).sum())
    return member, weight * (unread / weight.sum()) if weight.sum() > 0 else weight


def _elsewhere(read: Bools, outside: Bools, group: Ints, p_wrong: Floats) -> Floats:
    """The share of the records outside the sample that was read, by group and P(wrong), as queues show the likeliest first."""
    p = np.nan_to_num(p_wrong, nan=-1.0)
    sizes = np.bincount(group[outside], minlength=int(group.max(initial=0)) + 1)
    # A group of few records says too little by itself.
    code = np.where(sizes[group] >= LEAST_RANDOM, group, -1)
    found = np.zeros(len(read))
    for one in np.unique(code):
        inside = code == one
        learn = inside & outside
        if read[learn].any():
            found[inside] = IsotonicRegression(out_of_bounds="clip").fit(p[learn], read[learn]).predict(p[inside])
    return found


@dataclass(frozen=True, slots=True)
class _Cells:
    """Read records, the equal ones as one: shape (cells,) each. `count`: those of them that are counted."""

    x: Floats
    corrects: Floats
    answers: Floats
    weight: Floats
    count: Ints

    @classmethod
    def of(cls, x: Floats, corrects: Ints, answers: Ints, weight: Floats, counted: Bools) -> _Cells:
        names, where = np.unique(np.column_stack([x, corrects, answers]), axis=0, return_inverse=True)
        where = where.ravel()
        n = len(names)
        count = np.bincount(where[counted], minlength=n).astype(np.int64)
        return cls(names[:, 0], names[:, 1], names[:, 2], np.bincount(where, weight, n).astype(np.float64), count)

    def likelihood(self, theta: Floats, part: int) -> tuple[Floats, Floats]:
        """Log-likelihood of the answers, and P(wrong label | answers); shape (draws, cells) each."""
        chance = np.clip(expit(theta[:, part, None] + theta[:, 2, None] * self.x), 1e-9, 1 - 1e-9)
        false = np.clip(np.exp(theta[:, 3, None]), 1e-6, 0.49)
        missed = false * expit(theta[:, 4, None])
        confirms = self.answers - self.corrects
        wrong = np.log(chance) + self.corrects * np.log1p(-missed) + confirms * np.log(missed)
        right = np.log1p(-chance) + self.corrects * np.log(false) + confirms * np.log1p(-false)
        both = np.logaddexp(wrong, right)
        return both, np.exp(wrong - both)


def estimate_errors(
    p_wrong: Floats,
    corrects: Ints,
    answers: Ints,
    member: Bools,
    weight: Floats,
    *,
    within: Bools | None = None,
    seed: int = 0,
) -> ErrorEstimate:
    """Wrong labels in the whole set and among the unread.

    Args:
        p_wrong: shape (n,), NaN where unknown.
        corrects, answers: shape (n,), of all answers to each record those that say its label is wrong, and their number.
        member, weight: the random sample, as `random_part` gives it.
        within: shape (n,), the records whose wrong labels are counted, which all others tell of too; None: all.
        seed: of the draws.
    Returns:
        Without `LEAST_RANDOM` random records, while some are unread: no values, only the bounds that hold whatever is unread.
    """
    read, known = answers > 0, np.isfinite(p_wrong)
    counted = np.ones(len(p_wrong), bool) if within is None else within
    prior = _PRIOR.copy()
    x, base = np.zeros(len(p_wrong)), float(logit(_UNKNOWN[0]))
    if known.any():
        filled = np.clip(np.where(known, p_wrong, np.nanmean(p_wrong)), *_SURE)
        # Centred where the errors are, so that intercept and slope are told apart.
        base = float((logit(filled) * filled).sum() / filled.sum())
        x = np.round((logit(filled) - base) / _STEP) * _STEP
    else:
        prior[1, :2] = _UNKNOWN[1]
    prior[0, :2] = base
    sample = member & (weight > 0)
    drawn = weight[sample]
    # Kish's effective size: unequal weights say less than their number.
    scale = drawn.sum() / np.square(drawn).sum() if sample.any() else 1.0
    parts = [
        _Cells.of(x[rows], corrects[rows], answers[rows], given, counted[rows])
        for rows, given in ((sample, drawn * scale), (read & ~sample, np.ones(int((read & ~sample).sum()))))
    ]
    rng = np.random.default_rng(seed)
    theta = _posterior(parts, prior, rng)
    found = np.zeros(_DRAWS)
    for part, cells in enumerate(parts):
        found += rng.binomial(cells.count, np.clip(cells.likelihood(theta, part)[1], 0, 1)).sum(axis=1)
    places, counts = np.unique(x[~read & counted], return_counts=True)
    left = rng.binomial(counts, expit(theta[:, :1] + theta[:, 2:3] * places)).sum(axis=1).astype(float)
    unread, random = int((~read & counted).sum()), int(member.sum())
    false = Range.of(np.clip(np.exp(theta[:, 3]), 0, 0.49))
    if unread and random < LEAST_RANDOM:
        sure = Range.of(found)
        return ErrorEstimate(
            Range(None, sure.low, sure.high + unread), Range(None, 0.0, float(unread)), random, false, p_wrong.copy()
        )
    grid, where = np.unique(x, return_inverse=True)
    chance = expit(theta[:, :1] + theta[:, 2:3] * grid).mean(axis=0)[where.ravel()]
    return ErrorEstimate(Range.of(found + left), Range.of(left), random, false, chance)


def _posterior(parts: list[_Cells], prior: Floats, rng: np.random.Generator) -> Floats:
    """Draws of the parameters, shape (_DRAWS, 5): importance sampling from a t-distribution that adapts to the posterior."""
    size = prior.shape[1]

    def log_density(theta: Floats) -> Floats:
        value = -0.5 * np.square((theta - prior[0]) / prior[1]).sum(axis=1)
        for part, cells in enumerate(parts):
            value += cells.likelihood(theta, part)[0] @ cells.weight
        return np.asarray(value)

    centre = np.asarray(minimize(lambda theta: -float(log_density(theta[None])[0]), prior[0], method="BFGS").x)
    spread = np.diag(np.square(prior[1]))
    for turn in range(_ROUNDS):
        scale = np.linalg.cholesky(spread + 1e-9 * np.eye(size))
        t = rng.standard_normal((_DRAWS, size)) / np.sqrt(rng.chisquare(5, (_DRAWS, 1)) / 5)
        theta = centre + t @ scale.T
        importance = log_density(theta) + 0.5 * (5 + size) * np.log1p(np.square(t).sum(axis=1) / 5)
        importance -= importance.max()
        # Flattened while few draws would carry all the weight.
        for power in 0.7 ** np.arange(9):
            share = np.exp(power * importance)
            share /= share.sum()
            if 1 / np.square(share).sum() >= _DRAWS / 8:
                break
        if power == 1 and turn >= 2:
            break
        centre = share @ theta
        spread = ((theta - centre) * share[:, None]).T @ (theta - centre)
    share = np.exp(importance)
    return np.asarray(theta[rng.choice(_DRAWS, _DRAWS, p=share / share.sum())])


def reviewer_accuracy(chance: Floats, corrects: Bools) -> Range:
    """How often one reviewer is right, 0..1, with a 95% interval.

    Args:
        chance: shape (m,), of each record that the reviewer answered the probability that its label is wrong, by all that is
            known without this reviewer's answer (a control's is next to 0, where others answered it is theirs).
        corrects: shape (m,), whether the answer says that the label is wrong.
    """
    grid = np.linspace(0.5, 0.999, 250)
    share = np.where(np.isfinite(chance), chance, 0.5)[:, None]
    agreed = np.where(corrects[:, None], share, 1 - share)
    density = np.log(agreed * grid + (1 - agreed) * (1 - grid)).sum(axis=0) + beta_distribution(9, 1).logpdf(grid)
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    low, high = np.interp([0.025, 0.975], np.cumsum(weight), grid)
    return Range(float(weight @ grid), float(low), float(high))
