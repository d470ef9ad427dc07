"""The evidence for or against the labels, as groups of features: scores, models, texts, the other records of a prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import lsqr

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.labels import Labels, normal_scores, ranks_fit_better, shared_variance
from argilla_admap.mapping.wrong.prediction import FOLDS, FeatureGroup, LabelledItems, centre, sampled_items

__all__ = ["OTHER_RECORDS", "feature_groups", "from_other_records"]

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


def feature_groups(
    seen: Observations, labels: Labels, items: LabelledItems, strength: Floats, known: Bools
) -> list[FeatureGroup]:
    """All kinds of evidence that these data hold."""
    groups = []
    for name, scores in [("judge", seen.scores), *seen.other_scores.items()]:
        judged = labels.used & np.isfinite(scores)
        if judged.any() and np.ptp(scores[judged]) > 0:
            label = "judge" if name == "judge" else f"judge {name}"
            plain, ranks = scores[judged], normal_scores(scores[judged])
            given, owner = labels.rating[judged], items.owner[judged]
            ranked = ranks_fit_better(shared_variance(given, plain, owner), shared_variance(given, ranks, owner))
            used = ranks if ranked else plain
            value = np.zeros(len(scores))
            value[judged] = (used - used.mean()) / used.std()
            value = centre(value, items, judged)
            if name == "judge" and not ranked:
                value = _as_reliable(value, judged, seen.error_variances() / scores[judged].var(), seen.sample_counts, items)
            groups.append(FeatureGroup(label, _bounded(value, judged, items, labels.two_valued)[:, None], base=True))
    if len(np.unique(seen.models[labels.used])) > 1 and not _names_are_labels(seen, labels):
        codes, width = _common(seen.models[labels.used], seen.models)
        if width > 1:
            told = np.flatnonzero(codes >= 0)
            one_hot = sparse.csr_matrix((np.ones(len(told)), (told, codes[told])), shape=(len(codes), width))
            groups.append(FeatureGroup("model", one_hot))
    if known.any():
        groups.append(from_other_records(strength, known, items))
    groups.append(FeatureGroup("style", _style(seen)))
    if seen.words is not None:
        groups.append(FeatureGroup("words", _words(seen.words, items)[:, None]))
    return groups


def from_other_records(strength: Floats, known: Bools, items: LabelledItems) -> FeatureGroup:
    """What the other records of a prompt say, from `leave_one_out_strengths`."""
    return FeatureGroup(OTHER_RECORDS, centre(strength, items, known)[:, None])


def _as_reliable(value: Floats, judged: Bools, errors: Floats, counts: Ints, items: LabelledItems) -> Floats:
    """Centred scores, flat, those of each record shrunk by their reliability where repeated samples show it.

    Args:
        value: flat, centred within the record; 0 where not judged.
        errors: flat, variance of each score's error, in the same units; NaN where unknown.
        counts: flat, samples behind each.
    Source: true over observed variance, Kelley, "Statistical Method" (1923); each record's error variance pooled with all
        records' by degrees of freedom.
    """
    known = judged & np.isfinite(errors)
    if not known.any():
        return value
    usual = float(np.sort(errors[known]).mean())
    rows, freedom = items.owner[known], (counts[known] - 1).astype(np.float64)
    own = np.bincount(rows, freedom * errors[known], minlength=items.n)
    error = (own + PRIOR_FREEDOM * usual) / (np.bincount(rows, freedom, minlength=items.n) + PRIOR_FREEDOM)
    total = float(np.sort(np.square(value[judged])).mean())
    true = max(total - usual, LEAST_TRUE * total)
    return value * (true / np.maximum(true + error, 1e-12))[items.owner]


def _bounded(value: Floats, judged: Bools, items: LabelledItems, two_valued: bool) -> Floats:
    """Centred scores, flat; beside labels of two values their large differences are bounded.

    A label that only says which is better cannot follow a large difference: a line through those is too flat for small ones.
    """
    usual = float(np.sqrt(np.sort(np.square(value[judged])).mean()))
    return centre(np.tanh(BOUND * value / usual), items, judged) if two_valued and usual > 0 else value


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


def _common(used: Ints, models: Ints) -> tuple[Ints, int]:
    """The models as codes, the most frequent `MAX_MODELS` of those seen at least twice; others -1."""
    names, counts = np.unique(used[used >= 0], return_counts=True)
    names = names[np.lexsort((names, -counts))][: min(MAX_MODELS, int((counts >= 2).sum()))]
    table = np.full(int(models.max(initial=-1)) + 2, -1)
    table[np.sort(names)] = np.arange(len(names))
    return table[models], len(names)


def _words(words: Any, items: LabelledItems) -> Floats:
    """Ratings predicted from hashed words, out of fold; flat.

    Source: ridge regression by LSQR, Paige & Saunders 1982.
    """
    predicted = np.zeros(len(items.owner))
    chosen, local = sampled_items(items)
    fold = items.fold[items.owner]
    count = np.bincount(local, minlength=len(items.sample))
    averaging = sparse.csr_matrix((1.0 / count[local], (local, np.arange(len(chosen)))), shape=(len(count), len(chosen)))
    rows = words[chosen].astype(np.float64)
    centred = (rows - (averaging @ rows)[local]).tocsr()
    for f in range(FOLDS):
        train = fold[chosen] != f
        if train.any():
            weights = lsqr(centred[train], items.rating[chosen[train]], damp=np.sqrt(WORDS_PENALTY), iter_lim=30)[0]
            predicted[fold == f] = words[np.flatnonzero(fold == f)] @ weights
    return centre(predicted, items)
