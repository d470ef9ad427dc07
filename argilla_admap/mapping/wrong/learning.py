"""What people's answers teach of the records that nobody has read: those like the corrected ones rise, those like the confirmed
ones sink.

A logistic regression of the answers upon the log-odds of P(wrong). It learns how far each kind of evidence can be trusted, and
effects of the groups that records belong to (source, annotator, models, faults). All weights are shrunk towards 0, where
nothing changes; how much a kind of group is shrunk, the answers tell. Records are read because of what was known of them, never
because of their true labels, so that the answers to the suspicious ones need no weights (selection at random given what is
observed: Rubin, "Inference and missing data", 1976).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.features import FOLDS

__all__ = ["Answers", "Learned", "Traits", "learn", "traits_of"]

#: Fewer answered records teach nothing: they only settle their own labels.
LEAST_ANSWERS = 30
#: Prior standard deviation of the intercept, in log-odds, and of the weights of the numeric traits.
INTERCEPT, SLOPE = 0.5, 0.25
#: Standard deviations tried for the effects of each kind of group, in log-odds; 0 leaves it out.
DEVIATIONS = (0.0, 0.5, 1.0, 2.0)
#: Nats that a kind of group must add to the marginal likelihood: chance alone adds less.
LEAST_GAIN = 1.5
#: Records whose labels are looked at beside the answers, at most.
MOST_LABELS = 4000
#: Log-odds count up to this much, and those of one kind of evidence up to this much.
BOUND, MOST = 6.0, 3.0


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
class Traits:
    """In what respects n records are alike.

    Attributes:
        numbers: by name, shape (n,), about -1..1.
        codes: by name, shape (n,), the group of each record from 0; -1 for none.
    """

    numbers: Mapping[str, Floats]
    codes: Mapping[str, Ints]


@dataclass(frozen=True, slots=True)
class Learned:
    """What the answers taught.

    Attributes:
        offset: shape (n,), log-odds to add to P(wrong); of a record with an answer, by the answers to others alone.
        deviations: of the effects of each kind of group that counts, log-odds.
    """

    offset: Floats
    deviations: dict[str, float]


def traits_of(
    seen: Observations, above: Ints, below: Ints, contributions: Mapping[str, Floats], groups: Mapping[str, Ints]
) -> Traits:
    """In what respects records are alike: the evidence about their labels, the models of the pair in dispute, what the label
    prefers (the longer one, the first one), and the groups given.

    Args:
        above, below, contributions: as `Diagnosis` has them.
    """
    known = above >= 0
    # The label prefers the one that the evidence has below.
    other, chosen = (np.where(known, seen.offsets[:-1] + place, 0) for place in (above, below))
    models = seen.models[other], seen.models[chosen]
    pair = np.where((models[0] >= 0) & (models[1] >= 0), models[0] * len(seen.model_names) + models[1], -1)
    codes = {
        "evidence for model": models[0],
        "label for model": models[1],
        "model pair": np.searchsorted(np.unique(pair[pair >= 0]), pair) - (pair < 0),
        "length": np.digitize(seen.texts.dense[chosen, 0] - seen.texts.dense[other, 0], [-0.1, 0.1]),
        "position": below > above,
    }
    about_pair = {name: np.where(known, values, -1).astype(np.int64) for name, values in codes.items()}
    return Traits({name: np.clip(values, -MOST, MOST) for name, values in contributions.items()}, {**about_pair, **groups})


def learn(log_odds: Floats, noise_rate: float, evidence: Floats, answered: Bools, traits: Traits, fold: Ints) -> Learned:
    """How much the log-odds of each record move.

    Args:
        log_odds: shape (n,), of P(wrong) without the record's own answer; NaN where there is none.
        noise_rate: the share of wrong labels that P(wrong) starts from.
        evidence: shape (n,), log-odds by the answers alone.
        answered: shape (n,), the records with an answer to learn from.
        fold: shape (n,), 0..FOLDS - 1: answers of one fold do not teach each other.
    Source: logistic regression with random effects, their variance by the Laplace approximation of the marginal likelihood
        (Breslow & Clayton, "Approximate inference in generalized linear mixed models", 1993).
    """
    model = _Model(log_odds, noise_rate, evidence, answered, traits)
    deviations = dict.fromkeys(traits.codes, 0.0)
    rows = np.flatnonzero(answered)
    best = model.fit(rows, deviations)[1]
    for name in traits.codes:
        for deviation in DEVIATIONS[1:]:
            trial = model.fit(rows, {**deviations, name: deviation})[1] - LEAST_GAIN * (deviations[name] == 0)
            if trial > best:
                best, deviations[name] = trial, deviation
    offset = model.effect(model.fit(rows, deviations)[0], slice(None))
    for f in range(FOLDS):
        own = rows[fold[rows] == f]
        if len(own):
            offset[own] = model.effect(model.fit(rows[fold[rows] != f], deviations)[0], own)
    return Learned(offset, {name: value for name, value in deviations.items() if value})


class _Model:
    """The regression: an intercept, the numeric traits, and an effect of each group that has an answer.

    An answer tells how far P(wrong) was right. The labels themselves tell, of all records, how many of a group look wrong; they
    count as much as the answers do, all together.

    Source: the joint likelihood of labels and answers, that of the unlabelled part weighted, as in EM-lambda (Nigam, McCallum,
        Thrun & Mitchell, "Text classification from labeled and unlabeled documents using EM", 2000).
    """

    def __init__(self, log_odds: Floats, noise_rate: float, evidence: Floats, answered: Bools, traits: Traits) -> None:
        self.log_odds, self.evidence = np.clip(log_odds, -BOUND, BOUND), evidence
        self.prior = float(logit(noise_rate))
        self.numbers = np.stack([np.ones(len(log_odds)), *traits.numbers.values()], axis=1)
        #: Each kind of group: the column of each record, -1 where no record of its group is answered; and how many.
        self.groups: dict[str, tuple[Ints, int]] = {}
        for name, codes in traits.codes.items():
            seen = np.unique(codes[answered & (codes >= 0)])
            table = np.full(int(codes.max(initial=-1)) + 2, -1)
            table[seen] = np.arange(len(seen))
            self.groups[name] = table[codes], len(seen)
        known = np.flatnonzero(np.isfinite(log_odds))
        self.labels = known[:: max(1, len(known) // MOST_LABELS)]

    def fit(self, rows: Ints, deviations: Mapping[str, float]) -> tuple[tuple[Floats, dict[str, Floats]], float]:
        """The weights by the answers to `rows`, of the numbers and of each kind of group; and the log marginal likelihood."""
        live = [name for name, deviation in deviations.items() if deviation and self.groups[name][1]]
        both = np.concatenate([rows, self.labels])
        numbers = self.numbers[both]
        # How far to trust a kind of evidence, only answers tell.
        numbers[len(rows) :, 1:] = 0.0
        columns, prior = [numbers], [INTERCEPT, *[SLOPE] * (numbers.shape[1] - 1)]
        for name in live:
            place, width = self.groups[name]
            columns.append((place[both][:, None] == np.arange(width)).astype(np.float64))
            prior += [deviations[name]] * width
        design = np.concatenate(columns, axis=1)
        precision = 1 / np.square(np.array(prior))
        start = np.concatenate([self.log_odds[rows], np.full(len(self.labels), self.prior)])
        evidence = np.concatenate([self.evidence[rows], self.log_odds[self.labels] - self.prior])
        weight = np.repeat([1.0, min(1.0, len(rows) / max(len(self.labels), 1))], [len(rows), len(self.labels)])

        def loss(weights: Floats) -> tuple[float, Floats]:
            x = start + design @ weights
            # The chance of what is seen, if the label is wrong and if it is right.
            value = weight @ np.logaddexp(log_expit(x) + evidence, log_expit(-x))
            slope = design.T @ (weight * (expit(x + evidence) - expit(x)))
            return float(precision @ np.square(weights) / 2 - value), precision * weights - slope

        found = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B")
        x = start + design @ found.x
        curvature = weight * (expit(x) * expit(-x) - expit(x + evidence) * expit(-x - evidence))
        hessian = design.T @ (curvature[:, None] * design) + np.diag(precision)
        marginal = -float(found.fun) + float(np.log(precision).sum() - np.linalg.slogdet(hessian)[1]) / 2
        edges = np.cumsum([numbers.shape[1], *[self.groups[name][1] for name in live]])
        parts = np.split(found.x, edges[:-1])
        return (parts[0], dict(zip(live, parts[1:], strict=True))), marginal

    def effect(self, weights: tuple[Floats, dict[str, Floats]], rows: Ints | slice) -> Floats:
        """The sum of what the weights say of `rows`."""
        total = self.numbers[rows] @ weights[0]
        for name, values in weights[1].items():
            place = self.groups[name][0][rows]
            total += np.where(place >= 0, values[np.maximum(place, 0)], 0.0)
        return np.asarray(total)
