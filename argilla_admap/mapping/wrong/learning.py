"""What people's answers teach of the records that nobody has read: those like the corrected ones rise, those like the confirmed
ones sink.

The rate of wrong labels gets effects of the groups that records belong to (source, annotator, pair of models). All effects are
shrunk towards 0, where nothing changes; how much a kind of group is shrunk, the answers tell. Records are read because of what
was known of them, never because of their true labels, so that the answers to the suspicious ones need no weights (selection at
random given what is observed: Rubin, "Inference and missing data", 1976).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from argilla_admap.mapping.data.arrays import Bools, Floats, Folds, Ints
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.prediction import FOLDS

__all__ = ["Answers", "Learned", "learn", "model_pairs"]

#: Fewer answered records teach nothing: they only settle their own labels.
LEAST_ANSWERS = 30
#: Prior standard deviation of the intercept, in log-odds.
INTERCEPT = 0.5
#: Standard deviations tried for the effects of each kind of group, in log-odds; 0 leaves it out.
DEVIATIONS = (0.0, 0.5, 1.0, 2.0)
#: Nats that a kind of group must add to the marginal likelihood: odds of 20 to 1, since several kinds are tried.
LEAST_GAIN = 3.0
#: Records that nobody has read and whose labels are looked at all the same, at most.
MOST_UNREAD = 4000
#: Log-odds by the label alone count up to this much.
BOUND = 6.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What people said of n records with m completions.

    Attributes:
        evidence: shape (n,), log-odds by the answers alone that the label is wrong (natural logarithm); 0 without an answer.
        answered: shape (n,), records with an answer about the label.
        ratings: flat, the corrected ratings; NaN where there are none.
    """

    evidence: Floats
    answered: Bools
    ratings: Floats

    @property
    def teach(self) -> bool:
        """Whether there are enough to learn from."""
        return int(self.answered.sum()) >= LEAST_ANSWERS

    @property
    def wrong(self) -> Bools:
        """Records whose label people hold for wrong; shape (n,)."""
        return self.evidence > 0


@dataclass(frozen=True, slots=True)
class Learned:
    """What the answers taught.

    Attributes:
        offset: shape (n,), log-odds to add to P(wrong); of a record with an answer, by the answers to others alone.
        deviations: of the effects of each kind of group that counts, log-odds.
    """

    offset: Floats
    deviations: dict[str, float]


def model_pairs(seen: Observations) -> Ints:
    """A code for the two models of each record of two completions, whichever the label prefers; -1 for others; shape (n,).

    Groups must not depend on the label, whose likelihood counts already.
    """
    pairs = np.flatnonzero(seen.sizes == 2)
    low, high = np.sort([seen.models[seen.offsets[pairs]], seen.models[seen.offsets[pairs] + 1]], axis=0)
    codes = np.full(seen.n, -1)
    codes[pairs] = np.where(low >= 0, low * len(seen.model_names) + high, -1)
    return codes


def learn(
    log_odds: Floats, noise_rate: float, evidence: Floats, answered: Bools, groups: Mapping[str, Ints], fold: Folds
) -> Learned:
    """How much the log-odds of each record move.

    Args:
        log_odds: shape (n,), of P(wrong) without the record's own answer; NaN where there is none.
        noise_rate: the share of wrong labels that P(wrong) starts from.
        evidence: shape (n,), log-odds by the answers alone.
        answered: shape (n,), the records with an answer to learn from.
        groups: by name, shape (n,), the group of each record from 0; -1 for none. They must not depend on the label.
        fold: shape (n,), 0..FOLDS - 1: answers of one fold do not teach each other.
    Source: logistic regression with random effects, their variance by the Laplace approximation of the marginal likelihood
        (Breslow & Clayton, "Approximate inference in generalized linear mixed models", 1993).
    """
    model = _Model(log_odds, noise_rate, evidence, answered, groups)
    deviations = dict.fromkeys(groups, 0.0)
    everyone = np.ones(len(answered), bool)
    best = model.fit(everyone, deviations)[1]
    for name in groups:
        for deviation in DEVIATIONS[1:]:
            trial = model.fit(everyone, {**deviations, name: deviation})[1] - LEAST_GAIN * (deviations[name] == 0)
            if trial > best:
                best, deviations[name] = trial, deviation
    offset = model.fit(everyone, deviations)[0]
    for f in range(FOLDS):
        own = answered & (fold == f)
        if own.any():
            offset[own] = model.fit(~own, deviations)[0][own]
    return Learned(offset, {name: value for name, value in deviations.items() if value})


class _Model:
    """The rate of wrong labels: an intercept, and an effect of each group that has an answer.

    Every record has a likelihood, of its label and of its answer, if the label is wrong and if it is right. Those without an
    answer count too: they tell how many of a group look wrong.

    Source: the joint likelihood of labelled and unlabelled data (Nigam, McCallum, Thrun & Mitchell, "Text classification from
        labeled and unlabeled documents using EM", 2000).
    """

    def __init__(
        self, log_odds: Floats, noise_rate: float, evidence: Floats, answered: Bools, groups: Mapping[str, Ints]
    ) -> None:
        unread = np.flatnonzero(np.isfinite(log_odds) & ~answered)
        #: The records that the fit uses, and how many each stands for.
        step = 1 + len(unread) // MOST_UNREAD
        self.rows = np.concatenate([np.flatnonzero(answered), unread[::step]])
        self.weight = np.where(answered[self.rows], 1.0, step)
        self.answered, self.prior = answered, float(logit(noise_rate))
        self.label_only = np.clip(log_odds - self.prior, -BOUND, BOUND)
        self.ratio = self.label_only + evidence
        #: Each kind of group: the column of each record, -1 where no record of its group is answered; and how many.
        self.groups: dict[str, tuple[Ints, int]] = {}
        for name, codes in groups.items():
            seen = np.unique(codes[answered & (codes >= 0)])
            place = np.searchsorted(seen, codes)
            known = np.append(seen, -1)[place] == codes
            self.groups[name] = np.where(known & (codes >= 0), place, -1), len(seen)

    def fit(self, heard: Bools, deviations: Mapping[str, float]) -> tuple[Floats, float]:
        """The offset of every record, by the answers to those of `heard`; and the log marginal likelihood."""
        live = [self.groups[name] for name, deviation in deviations.items() if deviation and self.groups[name][1]]
        prior = [INTERCEPT]
        for name, deviation in deviations.items():
            prior += [deviation] * (self.groups[name][1] if deviation else 0)
        precision, rows, weight = 1 / np.square(np.array(prior)), self.rows, self.weight
        one_hot = [(place[rows][:, None] == np.arange(width)).astype(np.float64) for place, width in live]
        design = np.concatenate([np.ones((len(rows), 1)), *one_hot], axis=1)
        ratio = np.where(heard, self.ratio, self.label_only)[rows]

        def loss(weights: Floats) -> tuple[float, Floats]:
            x = self.prior + design @ weights
            value = weight @ np.logaddexp(log_expit(x) + ratio, log_expit(-x))
            slope = design.T @ (weight * (expit(x + ratio) - expit(x)))
            return float(precision @ np.square(weights) / 2 - value), precision * weights - slope

        found = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B")
        x = self.prior + design @ found.x
        curvature = weight * (expit(x) * expit(-x) - expit(x + ratio) * expit(-x - ratio))
        hessian = design.T @ (curvature[:, None] * design) + np.diag(precision)
        marginal = -float(found.fun) + float(np.log(precision).sum() - np.linalg.slogdet(hessian)[1]) / 2
        offset = np.full(len(self.answered), found.x[0])
        start = 1
        for place, width in live:
            offset += np.append(found.x[start : start + width], 0.0)[place]
            start += width
        return offset, marginal
