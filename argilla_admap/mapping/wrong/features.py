"""The evidence for or against the labels, as groups of features: scores, models, texts, the other records of a prompt.

What brings the features of all records to one scale is fitted on some of them (`fit_features`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import lsqr

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.labels import Labels, Ranks, ranks_fit_better, shared_variance
from argilla_admap.mapping.wrong.prediction import FOLDS, FeatureGroup, LabelledItems, centre, sampled_items

__all__ = ["OTHER_RECORDS", "FeatureScales", "feature_groups", "fit_features"]

#: Name of the group of what the other records of a prompt say.
OTHER_RECORDS = "other records"
MAX_MODELS = 200
#: Ridge penalty of the hashed words.
WORDS_PENALTY = 3.0
#: Beside labels of two values, differences of scores count up to about 1 / BOUND times the usual one.
BOUND = 0.5
#: Degrees of freedom of the error variance that all records share, beside a record's own.
PRIOR_FREEDOM = 2.0
#: At least this share of the scores' variance within records is taken to be true.
LEAST_TRUE = 0.1


@dataclass(frozen=True, slots=True)
class JudgeScale:
    """What turns a judge's scores into a feature.

    Attributes:
        name: of the judge beside the first; None for the first.
        ranks: where scores are taken by rank; else None.
        mean, deviation: of scores or ranks, by which they are standardised.
        reliability: variance of the scores, usual error variance and true variance, the last two of standardised scores; None
            where no repeated samples show them.
        bound: the usual difference from the record's mean, beside labels of two values; else 0.
    """

    name: str | None
    ranks: Ranks | None
    mean: float
    deviation: float
    reliability: tuple[float, float, float] | None = None
    bound: float = 0.0

    @property
    def label(self) -> str:
        """The group's name."""
        return "judge" if self.name is None else f"judge {self.name}"

    def column(self, seen: Observations, labels: Labels, items: LabelledItems) -> Floats:
        """The scores, flat, centred within the record; 0 where not judged.

        With repeated samples, those of each record are shrunk by their reliability. Beside labels of two values large
        differences are bounded: a label that only says which is better cannot follow them, and a line through those is too
        flat for small ones.

        Source: true over observed variance, Kelley, "Statistical Method" (1923); each record's error variance pooled with all
            records' by degrees of freedom.
        """
        scores = seen.scores if self.name is None else seen.other_scores[self.name]
        judged = labels.used & np.isfinite(scores)
        used = scores[judged] if self.ranks is None else self.ranks.of(scores[judged])
        value = np.zeros(len(scores))
        value[judged] = (used - self.mean) / self.deviation
        value = centre(value, items, judged)
        if self.reliability is not None:
            variance, usual, true = self.reliability
            errors = seen.error_variances() / variance
            known = judged & np.isfinite(errors)
            rows, freedom = items.owner[known], (seen.sample_counts[known] - 1).astype(np.float64)
            own = np.bincount(rows, freedom * errors[known], minlength=items.n)
            error = (own + PRIOR_FREEDOM * usual) / (np.bincount(rows, freedom, minlength=items.n) + PRIOR_FREEDOM)
            value = value * (true / np.maximum(true + error, 1e-12))[items.owner]
        return centre(np.tanh(BOUND * value / self.bound), items, judged) if self.bound > 0 else value


@dataclass(frozen=True, slots=True)
class FeatureScales:
    """What turns observations into features, the same for all records.

    Attributes:
        judges: whose scores differ.
        models: the column of each model's code, -1 for none; None where models are no evidence.
        elsewhere: whether other records of a prompt say anything.
        words: weights of the hashed words, shape (FOLDS, words); None without words.
    """

    judges: tuple[JudgeScale, ...]
    models: Ints | None
    elsewhere: bool
    words: Floats | None

    def groups(
        self, seen: Observations, labels: Labels, items: LabelledItems, strength: Floats, known: Bools
    ) -> list[FeatureGroup]:
        """All kinds of evidence on some records.

        Args:
            strength, known: flat, as `leave_one_out_strengths` gives.
        """
        groups = [FeatureGroup(one.label, one.column(seen, labels, items)[:, None], base=True) for one in self.judges]
        if self.models is not None:
            codes, width = self.models[seen.models], int(self.models.max()) + 1
            told = np.flatnonzero(codes >= 0)
            one_hot = sparse.csr_matrix((np.ones(len(told)), (told, codes[told])), shape=(len(codes), width))
            groups.append(FeatureGroup("model", one_hot))
        if self.elsewhere:
            groups.append(FeatureGroup(OTHER_RECORDS, centre(strength, items, known)[:, None]))
        groups.append(FeatureGroup("style", _style(seen)))
        if self.words is not None:
            predicted = np.zeros(len(items.owner))
            fold = items.fold[items.owner]
            for f in range(FOLDS):
                predicted[fold == f] = seen.words[np.flatnonzero(fold == f)] @ self.words[f]
            groups.append(FeatureGroup("words", centre(predicted, items)[:, None]))
        return groups


def feature_groups(
    seen: Observations, labels: Labels, items: LabelledItems, strength: Floats, known: Bools
) -> list[FeatureGroup]:
    """All kinds of evidence that these data hold."""
    return fit_features(seen, labels, items, known).groups(seen, labels, items, strength, known)


def fit_features(seen: Observations, labels: Labels, items: LabelledItems, known: Bools) -> FeatureScales:
    """The scales of the evidence that these records hold; arguments as for `FeatureScales.groups`."""
    names = [None, *seen.other_scores]
    judges = [scale for name in names if (scale := _fit_judge(name, seen, labels, items)) is not None]
    models = None
    if len(np.unique(seen.models[labels.used])) > 1 and not _names_are_labels(seen, labels):
        table = _common(seen.models[labels.used], len(seen.model_names))
        models = table if table.max() > 0 else None
    words = None if seen.words is None else _fit_words(seen.words, items)
    return FeatureScales(tuple(judges), models, bool(known.any()), words)


def _fit_judge(name: str | None, seen: Observations, labels: Labels, items: LabelledItems) -> JudgeScale | None:
    scores = seen.scores if name is None else seen.other_scores[name]
    judged = labels.used & np.isfinite(scores)
    if not judged.any() or np.ptp(scores[judged]) == 0:
        return None
    plain, ranks = scores[judged], Ranks.among(scores[judged])
    given, owner = labels.rating[judged], items.owner[judged]
    ranked = ranks_fit_better(shared_variance(given, plain, owner), shared_variance(given, ranks.of(plain), owner))
    used = ranks.of(plain) if ranked else plain
    scale = JudgeScale(name, ranks if ranked else None, float(used.mean()), float(used.std()))
    errors = seen.error_variances() / plain.var()
    known = judged & np.isfinite(errors)
    if name is None and not ranked and known.any():
        usual = float(np.sort(errors[known]).mean())
        total = float(np.sort(np.square(scale.column(seen, labels, items)[judged])).mean())
        scale = replace(scale, reliability=(float(plain.var()), usual, max(total - usual, LEAST_TRUE * total)))
    if labels.two_valued:
        scale = replace(scale, bound=float(np.sqrt(np.sort(np.square(scale.column(seen, labels, items)[judged])).mean())))
    return scale


def _style(seen: Observations) -> npt.NDArray[np.float32]:
    """Length and form of the texts, and whether one is empty, breaks off, or is foreign; shape (completions, 12)."""
    faults = np.stack([seen.texts.empty, seen.texts.truncated, seen.texts.foreign], axis=1)
    return np.concatenate([seen.texts.dense, faults.astype(np.float32)], axis=1)


def _names_are_labels(seen: Observations, labels: Labels) -> bool:
    """Whether the models' names only repeat the label ("chosen", "rejected"): then they are no evidence for it."""
    names = np.unique(seen.models[labels.used])
    if len(names) > 12:
        return False
    best, worst = labels.used & (labels.rating > 0), labels.used & (labels.rating < 0)
    by_name = [(seen.models == name) & (best | worst) for name in names]
    shares = [float(best[mask].mean()) for mask in by_name if mask.any()]
    return bool(shares) and all(share < 0.02 or share > 0.98 for share in shares)


def _common(used: Ints, n: int) -> Ints:
    """The column of each of n models, for the most frequent `MAX_MODELS` of those seen at least twice; others, and the last,
    which is that of unknown models, have -1."""
    names, counts = np.unique(used[used >= 0], return_counts=True)
    names = names[np.lexsort((names, -counts))][: min(MAX_MODELS, int((counts >= 2).sum()))]
    table = np.full(n + 1, -1)
    table[np.sort(names)] = np.arange(len(names))
    return table


def _fit_words(words: Any, items: LabelledItems) -> Floats:
    """The hashed words' weights by which ratings are predicted out of fold; shape (FOLDS, words).

    Source: ridge regression by LSQR, Paige & Saunders 1982.
    """
    weights = np.zeros((FOLDS, words.shape[1]))
    chosen, local = sampled_items(items)
    fold = items.fold[items.owner]
    count = np.bincount(local, minlength=len(items.sample))
    averaging = sparse.csr_matrix((1.0 / count[local], (local, np.arange(len(chosen)))), shape=(len(count), len(chosen)))
    rows = words[chosen].astype(np.float64)
    centred = (rows - (averaging @ rows)[local]).tocsr()
    for f in range(FOLDS):
        train = fold[chosen] != f
        if train.any():
            weights[f] = lsqr(centred[train], items.rating[chosen[train]], damp=np.sqrt(WORDS_PENALTY), iter_lim=30)[0]
    return weights
