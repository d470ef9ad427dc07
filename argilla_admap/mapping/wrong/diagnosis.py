"""P(wrong): how probably a record's ratings are not what they were meant to be, and why. Fitted without a person's help.

The ratings are made comparable (`labels`), all evidence predicts them without the record's own (`features`), and the likelihood
of their order under four components, one of them "correct", gives the probability (`likelihood`, `mixture`). Of the other
records of a prompt, those whose own labels are doubtful by all other evidence count less. Where the evidence does not explain
the labels, there is no probability, and the refusal says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, logit

from argilla_admap.mapping.data.arrays import Bools, Floats, Folds, Ints, groups_by_size, items_of
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.data.observed import Observed
from argilla_admap.mapping.wrong.features import OTHER_RECORDS, FeatureScales, fit_features
from argilla_admap.mapping.wrong.labels import Labels, fit_labels, prepare_labels
from argilla_admap.mapping.wrong.learning import Answers, learn, model_pairs
from argilla_admap.mapping.wrong.likelihood import MAX_EXACT, half_log_odds
from argilla_admap.mapping.wrong.mixture import Mixture, RatedGroup, fit_mixture, posterior
from argilla_admap.mapping.wrong.other_records import leave_one_out_strengths
from argilla_admap.mapping.wrong.prediction import FOLDS, LabelledItems, Weights, fit_weights

__all__ = [
    *("MIN_GAIN", "Diagnosis", "WrongModel", "diagnose", "fit_wrong", "labelled_items", "labels_and_strengths"),
    *("strengths_elsewhere", "with_answers"),
]

#: Nats a record by which the evidence must explain the labels' order better than chance; else there is no P(wrong).
MIN_GAIN = 0.02
#: Share of the labels' differences that the evidence must explain out of fold; with n records at least 3 / n, which chance
#: rarely reaches.
MIN_EXPLAINED = 0.005
#: Below this share of the labels explained by the judge's scores, a warning says what P(wrong) rests on.
WEAK_JUDGE = 0.02
#: Below this share explained by all evidence together, a warning says that P(wrong) is coarse.
POOR = 0.15
#: From this width of the noise rate's interval on, a warning says that wrong labels and errors of the evidence look alike.
VAGUE = 0.15
#: Records that the fits use; with more than eight completions fewer, since each takes longer.
FIT_RECORDS = 20_000
#: The lowest P(wrong) of a record with an impossible rating.
IMPOSSIBLE = 0.99


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of the labels of some records.

    Attributes:
        p_wrong: shape (n,), 0..1; NaN where unknown. People's answers included.
        constant, spoilt: shape (n,), as in `Labels`.
        mixture: the fitted constants; None when there is no P(wrong) at all.
        refusal: why there is none, in words; None when there is.
        warnings: what to know before relying on P(wrong), in words.
        facts: about the fit, for the map's metadata.
        above, below: shape (n,), the pair in dispute: where the evidence contradicts the label most (or supports it least), the
            completion that the evidence has above and the one below; -1 where there is none.
        contributions: by kind of evidence, shape (n,), log-odds for exchanging the two; positive against the label.
        p_unread: P(wrong) without the record's own answer; empty where nobody answered.
    """

    p_wrong: Floats
    constant: Bools
    spoilt: Bools
    mixture: Mixture | None = None
    refusal: str | None = None
    warnings: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    above: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    below: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    contributions: dict[str, Floats] = field(default_factory=dict)
    p_unread: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def noise_rate(self) -> float | None:
        """Share of the labelled records whose label is wrong, 0..1; None where unknown."""
        return None if self.mixture is None else self._with_spoilt(self.mixture.noise_rate)

    @property
    def noise_interval(self) -> tuple[float, float] | None:
        """The noise rate's 90% interval by its posterior; None where unknown."""
        if self.mixture is None:
            return None
        low, high = self.mixture.noise_interval
        return self._with_spoilt(low), self._with_spoilt(high)

    def _with_spoilt(self, rate: float) -> float:
        """The rate among all records: the mixture's covers those without impossible ratings."""
        known = np.isfinite(self.p_wrong)
        spoilt = float(self.spoilt[known].mean()) if known.any() else 0.0
        return spoilt + (1 - spoilt) * rate


@dataclass(frozen=True, slots=True)
class Predictor:
    """What predicts the ratings from the evidence.

    Attributes:
        features, weights: fitted on the sample.
        strength, known: flat, of all records: what the other records of a prompt say.
    """

    features: FeatureScales
    weights: Weights
    strength: Floats
    known: Bools

    def parts(self, seen: Observations, labels: Labels, items: LabelledItems, flat: Ints | slice) -> dict[str, Floats]:
        """The prediction by kind of evidence, as `Weights.parts` gives."""
        groups = self.features.groups(seen, labels, items, self.strength[flat], self.known[flat])
        return self.weights.parts(groups, items)


@dataclass(frozen=True, slots=True)
class WrongModel:
    """P(wrong) as a function of a record, fitted on the sample.

    Attributes:
        predictors: their mean predicts the ratings.
        mixture, refusal, warnings, facts: as in `Diagnosis`.
        unit: by which predictions are divided.
    """

    predictors: tuple[Predictor, ...] = ()
    mixture: Mixture | None = None
    refusal: str | None = None
    warnings: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    unit: float = 1.0

    def predicted(self, seen: Observations, labels: Labels, items: LabelledItems, flat: Ints | slice) -> dict[str, Floats]:
        """The mean of the predictors, by kind of evidence.

        Source: the mean of two forecasts errs less than either where their errors differ (Bates & Granger 1969).
        """
        found = [one.parts(seen, labels, items, flat) for one in self.predictors]
        nothing = np.zeros(len(items.owner))
        names = dict.fromkeys(name for parts in found for name in parts) or {"nothing": None}
        return {name: np.sum([parts.get(name, nothing) for parts in found], axis=0) / len(found) for name in names}

    def over(self, p_wrong: Floats, constant: Bools, spoilt: Bools) -> Diagnosis:
        """The diagnosis of all records, from P(wrong) of each."""
        return Diagnosis(p_wrong, constant, spoilt, self.mixture, self.refusal, self.warnings, self.facts)

    def diagnose(self, seen: Observations, labels: Labels, flat: Ints | slice) -> Diagnosis:
        """P(wrong) of some records, without people's answers to them.

        Args:
            seen, labels: of those records.
            flat: the positions of their completions among all.
        """
        p = np.full(seen.n, np.nan)
        found = self.over(p, labels.constant, labels.spoilt)
        if self.mixture is None:
            return found
        items = _items(seen, labels)
        parts = self.predicted(seen, labels, items, flat)
        total = np.sum(list(parts.values()), axis=0)
        stretch = _stretch(total, labels, items)
        groups = _groups(seen.offsets, labels, total * stretch / self.unit, np.zeros(seen.n))
        p[labels.constant] = 0.0
        for group in groups:
            p[group.rows] = posterior(group, self.mixture)
        p[labels.spoilt] = np.maximum(np.nan_to_num(p[labels.spoilt]), IMPOSSIBLE)
        above, below, contributions = _disputed_pairs(seen, groups, parts, self.mixture.scale / self.unit * stretch)
        return replace(found, above=above, below=below, contributions=contributions)


#: The ratings of some records, made comparable.
LabelsOf = Callable[[Observations], Labels]
#: The same, by their positions among all: the ratings that are to be predicted, where people corrected some; flat.
RatingsOf = Callable[[Ints, Observations], Floats]
#: By positions and observations: how far each record's label is trusted, shape (n,), 0..1.
Trust = Callable[[Ints, Observations], Floats]


def strengths_elsewhere(
    book: Observed, labels_of: LabelsOf, ratings_of: RatingsOf, trust: Trust | None
) -> tuple[Floats, Bools]:
    """What the other records of a prompt say of each completion of all records, as `leave_one_out_strengths` gives; flat."""
    strength, known = np.zeros(book.offsets[-1]), np.zeros(book.offsets[-1], bool)
    for rows, part in book.repeated():
        keys, flat = (part.prompt_keys, part.completion_keys), items_of(book.offsets, rows)
        trusted = None if trust is None else trust(rows, part)
        strength[flat], known[flat] = leave_one_out_strengths(
            part.offsets, *keys, ratings_of(rows, part), labels_of(part).used, trusted
        )
    return strength, known


def diagnose(
    seen: Observations,
    labels: Labels,
    strength: Floats,
    known: Bools,
    answers: Answers | None = None,
    groups: Mapping[str, Ints] | None = None,
) -> Diagnosis:
    """P(wrong) of each record, from its ratings and all evidence for or against them.

    Args:
        labels, strength, known: as `labels_and_strengths` gives.
        answers: what people said of some labels.
        groups: by name, shape (n,), in what respects records may be alike, as codes from 0; -1 for none.
    """
    model = fit_wrong(Observed.of(seen), lambda _: labels, (strength, known), answers)
    found = model.diagnose(seen, labels, slice(None))
    return (
        found
        if answers is None
        else with_answers(found, answers, {"model pair": model_pairs(seen), **(groups or {})}, seen.folds)
    )


def labels_and_strengths(seen: Observations) -> tuple[Labels, Floats, Bools]:
    """The labels, and what the other records of a prompt say of each completion, as `leave_one_out_strengths` gives."""
    labels = prepare_labels(seen.offsets, seen.ratings, seen.scores)
    keys = seen.prompt_keys, seen.completion_keys
    return labels, *leave_one_out_strengths(seen.offsets, *keys, labels.rating, labels.used)


def fit_wrong(
    book: Observed, labels_of: LabelsOf, elsewhere: tuple[Floats, Bools], answers: Answers | None = None
) -> WrongModel:
    """P(wrong) as a function, fitted on the sample.

    Args:
        elsewhere: as `strengths_elsewhere` gives.
        answers: what people said of some labels, of all records.
    """
    seen = book.sample
    labels = labels_of(seen)
    refuse = partial(WrongModel, (), None)
    if not np.isfinite(seen.ratings).any():
        return refuse("the records carry no ratings: there is no label to doubt")
    if not labels.used.any():
        return refuse("no record has two completions with a rating: nothing is ordered")
    items = labelled_items(seen, labels)
    if not len(items.sample):
        return refuse("every record's ratings are equal: they order nothing")
    if len(items.sample) < FOLDS:
        few = "one record has" if len(items.sample) == 1 else f"{len(items.sample)} records have"
        return refuse(f"only {few} ratings that differ: too few to learn from")
    teaching = answers is not None and answers.teach
    evidence = answers.evidence if answers is not None and teaching else np.zeros(len(book.offsets) - 1)

    def plain(_rows: Ints, part: Observations) -> Floats:
        return labels_of(part).rating

    predictors = [_fit_predictor(book, labels_of, plain, items, elsewhere, evidence)]
    if answers is not None and teaching:
        corrected = _corrected(book, labels_of, answers)
        flat = items_of(book.offsets, book.rows)
        known = np.zeros(seen.n, bool)
        known[items.owner[np.isfinite(answers.ratings[flat])]] = True
        wrong = answers.wrong[book.rows] & ~known
        right = replace(items, rating=corrected(book.rows, seen), sample=items.sample[~wrong[items.sample]])
        again = strengths_elsewhere(book, labels_of, corrected, None)
        predictors.append(_fit_predictor(book, labels_of, corrected, right, again, evidence))
    return _fit_mixture(book, labels, items, tuple(predictors), evidence[book.rows])


def _fit_predictor(
    book: Observed,
    labels_of: LabelsOf,
    ratings_of: RatingsOf,
    items: LabelledItems,
    elsewhere: tuple[Floats, Bools],
    evidence: Floats,
) -> Predictor:
    """The predictor of the ratings of `items`, records of the sample. Other records of a prompt are weighted by how probably
    their own labels are correct.

    That probability rests on all other evidence alone: with the other records in it, a wrong label would make those that
    contradict it look wrong.

    Source: weighted least squares, each observation weighted by the posterior that it is no outlier (Aitkin & Wilson, "Mixture
        models, outliers, and the EM algorithm", 1980).
    """
    seen, flat = book.sample, items_of(book.offsets, book.rows)
    labels = labels_of(seen)
    features = fit_features(seen, labels, items, elsewhere[1][flat])
    groups = features.groups(seen, labels, items, elsewhere[0][flat], elsewhere[1][flat])
    weights = fit_weights(groups, items)
    if OTHER_RECORDS not in weights.by_group:
        return Predictor(features, weights, *elsewhere)
    rest = Predictor(features, fit_weights([g for g in groups if g.name != OTHER_RECORDS], items), *elsewhere)
    model = _fit_mixture(book, labels, items, (rest,), evidence[book.rows])

    def trust(rows: Ints, part: Observations) -> Floats:
        # Where the rest of the evidence says nothing, all count the same.
        doubt = np.nan_to_num(model.diagnose(part, labels_of(part), items_of(book.offsets, rows)).p_wrong)
        log_odds = logit(np.clip(doubt, 1e-12, 1 - 1e-12))
        return np.where(evidence[rows] == 0, 1.0 - doubt, expit(-log_odds - evidence[rows]))

    strength, known = strengths_elsewhere(book, labels_of, ratings_of, trust)
    groups = features.groups(seen, labels, items, strength[flat], known[flat])
    return Predictor(features, fit_weights(groups, items), strength, known)


def with_answers(found: Diagnosis, answers: Answers, groups: Mapping[str, Ints], fold: Folds) -> Diagnosis:
    """The diagnosis of all records with what the answers teach of other records, and what they say of their own.

    Args:
        groups: by name, shape (n,), in what respects records may be alike, as codes from 0; -1 for none.
        fold: shape (n,).
    """
    known = np.isfinite(found.p_wrong)
    if found.mixture is None or not known.any():
        return found
    # Where ratings are equal, the data tell nothing; answers begin from the share that is wrong.
    start = np.where(found.constant, found.mixture.noise_rate, np.nan_to_num(found.p_wrong))
    log_odds = logit(np.clip(start, 1e-12, 1 - 1e-12))
    facts: dict[str, Any] = {"answers": int(answers.answered.sum())}
    if answers.teach:
        moving = known & ~found.constant & ~found.spoilt
        rate = found.mixture.noise_rate
        learned = learn(np.where(moving, log_odds, np.nan), rate, answers.evidence, answers.answered & moving, groups, fold)
        log_odds += np.where(moving, learned.offset, 0.0)
        facts["effects"] = {name: round(value, 4) for name, value in learned.deviations.items()}
    before = np.where(found.constant, 0.0, expit(log_odds))
    after = np.where(answers.answered, expit(log_odds + answers.evidence), before)
    return replace(
        found,
        p_wrong=np.where(known, after, np.nan),
        p_unread=np.where(known, before, np.nan),
        facts={**found.facts, "learning": facts},
    )


def _corrected(book: Observed, labels_of: LabelsOf, answers: Answers) -> RatingsOf:
    """The ratings that people corrected, on the scale of the sample's."""

    def given(rows: Ints, part: Observations) -> Floats:
        new = answers.ratings[items_of(book.offsets, rows)]
        return np.where(np.isfinite(new), new, part.ratings)

    seen = book.sample
    scale = fit_labels(seen.offsets, given(book.rows, seen), seen.scores)

    def rating(rows: Ints, part: Observations) -> Floats:
        corrected, labels = scale.labels(part.offsets, given(rows, part)), labels_of(part)
        return np.where(corrected.used & labels.used, corrected.rating, labels.rating)

    return rating


def _fit_mixture(
    book: Observed, labels: Labels, items: LabelledItems, predictors: tuple[Predictor, ...], evidence: Floats
) -> WrongModel:
    """The mixture on top of a prediction of the sample's ratings.

    Args:
        labels, items: of the sample.
        evidence: shape (sample,), log-odds by people's answers.
    """
    seen, weights = book.sample, predictors[-1].weights
    judged = bool(predictors[-1].features.judges)
    total = np.sum(
        list(WrongModel(predictors).predicted(seen, labels, items, items_of(book.offsets, book.rows)).values()), axis=0
    )
    sampled = np.isin(items.owner, items.sample) & items.keep
    unit = float(np.sqrt(np.sort(np.square(total[sampled])).mean()))
    penalties = {name: value for one in predictors for name, value in one.weights.penalties.items()}
    facts = {
        "explained": round(weights.explained, 4),
        "explained_by_judge": round(weights.explained_by_base, 4) if judged else None,
        "penalties": penalties,
    }
    refuse = partial(WrongModel, predictors, None, facts=facts)
    who = "judge and labels do" if judged else "the labels and what is known without a judge do"
    if judged and weights.leaning < 0 and weights.explained_by_base >= WEAK_JUDGE:
        return refuse("the judge puts low what the labels put high, throughout: is one of the two scales upside down?")
    if unit < 1e-9:
        return refuse(f"{who} not agree at all: there is no evidence to weigh")
    if weights.explained < max(MIN_EXPLAINED, 3 / len(items.sample)):
        return refuse(
            f"{who} not agree enough: the evidence explains {max(weights.explained, 0):.1%} of the labels' differences on "
            f"{len(items.sample)} records, no more than chance may"
        )
    stretch = _stretch(total, labels, items)
    unit = float(np.sqrt(np.sort(np.square(total[sampled] * stretch[sampled])).mean()))
    groups = _groups(seen.offsets, labels, total * stretch / unit, evidence)
    rank = np.full(seen.n, -1)
    rank[items.sample] = np.arange(len(items.sample))
    mixture = fit_mixture([g for g in (_sampled(group, rank) for group in groups) if g is not None])
    facts |= {
        "gain": round(mixture.gain, 4),
        "scale": round(mixture.scale, 4),
        "components": {name: round(rate, 4) for name, rate in mixture.component_rates().items()},
        "fitted_on": len(items.sample),
    }
    if mixture.gain < MIN_GAIN:
        return refuse(
            f"{who} not agree enough: the evidence explains {max(mixture.gain, 0):.3f} nats a record of the labels' order, "
            f"less than {MIN_GAIN} (0 is chance)"
        )
    warnings = _warnings(weights, list(penalties), mixture, judged, len(items.sample))
    return WrongModel(predictors, mixture, None, warnings, facts, unit)


def _stretch(total: Floats, labels: Labels, items: LabelledItems) -> Floats:
    """Factors that turn predictions into log-odds, up to one constant; flat.

    With two completions and a label that only says which is better, the regression predicts the expected label, and near
    certainty its log-odds grow faster. Other predictions stay as they are.
    """
    stretch = np.ones(len(total))
    if labels.two_valued:
        of_two = items.keep & (np.bincount(items.owner[items.keep], minlength=items.n) == 2)[items.owner]
        of_two &= (total != 0) & ~labels.constant[items.owner]
        expected = np.abs(total[of_two] / labels.rating[of_two])
        stretch[of_two] = half_log_odds(expected) / expected
    return stretch


def _items(seen: Observations, labels: Labels) -> LabelledItems:
    """The completions that count, and the folds, without records to fit on."""
    return LabelledItems(seen.owner, seen.n, labels.used, labels.rating, seen.folds, np.zeros(0, np.int64))


def labelled_items(seen: Observations, labels: Labels) -> LabelledItems:
    """The completions that count, the folds, and the records that the fits use."""
    owner = seen.owner
    varied = np.zeros(seen.n, bool)
    varied[owner[labels.used]] = True
    rows = np.flatnonzero(varied & ~labels.constant & ~labels.spoilt)
    size = int(np.bincount(owner[labels.used], minlength=seen.n).max())
    limit = FIT_RECORDS if size <= 8 else max(1000, FIT_RECORDS >> (min(size, MAX_EXACT) - 8))
    # A sample and an order that depend on the records' ids alone: the rows may come in any order.
    order = np.lexsort((seen.prompt_keys[rows], seen.keys[rows]))
    return replace(_items(seen, labels), sample=rows[order][:limit])


def _groups(offsets: Ints, labels: Labels, scores: Floats, evidence: Floats) -> list[RatedGroup]:
    """The records whose ratings differ, by K."""
    found = []
    for group in groups_by_size(offsets, labels.used):
        varied = ~labels.constant[group.rows]
        if varied.any():
            items = group.items[varied]
            found.append(
                RatedGroup(
                    group.rows[varied],
                    items,
                    labels.rating[items],
                    scores[items],
                    np.asarray(labels.at_top[items].any(axis=1)),
                    evidence[group.rows[varied]],
                    labels.two_valued,
                )
            )
    return found


def _sampled(group: RatedGroup, rank: Ints) -> RatedGroup | None:
    """Those of the group that the fit uses, in its order; None where there are none."""
    place = rank[group.rows]
    order = np.argsort(place, kind="stable")
    order = order[place[order] >= 0]
    if not len(order):
        return None
    columns = ("rows", "items", "ratings", "scores", "at_top", "evidence")
    return replace(group, **{name: getattr(group, name)[order] for name in columns})


def _warnings(weights: Weights, kinds: Sequence[str], mixture: Mixture, judged: bool, n: int) -> tuple[str, ...]:
    warnings = []
    if not judged:
        warnings.append("no judge's scores: P(wrong) rests on the other records of a prompt, the models and the texts")
    elif weights.explained_by_base < WEAK_JUDGE:
        warnings.append(
            f"the judge's scores explain {max(weights.explained_by_base, 0):.1%} of the labels' differences: "
            "P(wrong) rests on " + (", ".join(k for k in kinds if not k.startswith("judge")) or "very little")
        )
    if weights.explained < POOR:
        warnings.append(
            f"the evidence explains only {weights.explained:.0%} of the labels' differences: many wrong labels go unseen, "
            "and more may be wrong than the noise rate says"
        )
    low, high = mixture.noise_interval
    if high - low > VAGUE:
        warnings.append(
            f"wrong labels and the evidence's own errors look alike here: {low:.0%} to {high:.0%} of the labels may be wrong, "
            "and P(wrong) orders the records better than it measures them"
        )
    if mixture.noise_rate > 0.35:
        warnings.append(f"a noise rate of {mixture.noise_rate:.0%} may mean that judge and labels measure different things")
    if n < 100:
        warnings.append(f"fitted on {n} records only: read the order of P(wrong), not its digits")
    return tuple(warnings)


def _disputed_pairs(
    seen: Observations, groups: Sequence[RatedGroup], predicted: Mapping[str, Floats], scale: Floats
) -> tuple[Ints, Ints, dict[str, Floats]]:
    """The two completions of each record whose exchange the evidence favours most, and the part of each kind of evidence.

    The likelihood of the exchanged label over that of the given one is exp(scale * (r_j - r_i) * (s_i - s_j)): its logarithm is
    a sum over the kinds of evidence.

    Args:
        scale: flat, of the predictions in log-odds; the same for both completions of a pair.
    """
    above, below = np.full(seen.n, -1), np.full(seen.n, -1)
    parts: dict[str, Floats] = {name: np.zeros(seen.n) for name in predicted}
    for group in groups:
        rows, flat, r, s = group.rows, group.items, group.ratings, group.scores
        favour = (r[:, None, :] - r[:, :, None]) * (s[:, :, None] - s[:, None, :])
        favour = np.where(r[:, None, :] > r[:, :, None], favour, -np.inf)
        best = favour.reshape(len(r), -1).argmax(axis=1)
        i, j = best // r.shape[1], best % r.shape[1]
        line = np.arange(len(r))
        first, second = flat[line, i], flat[line, j]
        above[rows], below[rows] = first - seen.offsets[rows], second - seen.offsets[rows]
        step = scale[first] * (r[line, j] - r[line, i])
        for name, values in predicted.items():
            parts[name][rows] = step * (values[first] - values[second])
    return above, below, parts
