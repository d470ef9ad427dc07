"""All kinds of evidence for or against the labels that the data hold, as blocks that the predictor weighs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import lsqr

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.labels import Labels
from argilla_admap.mapping.wrong.predictor import FOLDS, Block, Items, centre, coded_block, dense_block
from argilla_admap.mapping.wrong.tails import normal_scores, ranks_say_more, shared

__all__ = ["OTHER_RECORDS", "evidence_blocks", "other_records"]

#: Name of the block of what the other records of a prompt say.
OTHER_RECORDS = "other records"

MAX_MODELS = 200
#: Ridge penalty of the hashed words.
WORDS_PENALTY = 3.0
#: Beside labels of two values, differences of scores count up to about 1 / BOUND times the usual one.
BOUND = 0.5
#: Of the error variance that all records share, beside a record's own.
PRIOR_FREEDOM = 2.0
#: Of the scores' variance within records, at the least, is taken to be true.
LEAST_TRUE = 0.1


def evidence_blocks(seen: Observations, labels: Labels, items: Items, strength: Floats, known: Bools) -> list[Block]:
    """All kinds of evidence that these data hold."""
    blocks = []
    for name, scores in [("judge", seen.scores), *seen.other_scores.items()]:
        judged = labels.used & np.isfinite(scores)
        if judged.any() and np.ptp(scores[judged]) > 0:
            label = "judge" if name == "judge" else f"judge {name}"
            told, ranks = scores[judged], normal_scores(scores[judged])
            given, owner = labels.rating[judged], items.owner[judged]
            ranked = ranks_say_more(shared(given, told, owner), shared(given, ranks, owner))
            told = ranks if ranked else told
            value = np.zeros(len(scores))
            value[judged] = (told - told.mean()) / told.std()
            value = centre(value, items, judged)
            if name == "judge" and not ranked:
                value = _as_reliable(value, judged, seen.error_variances() / scores[judged].var(), seen.sample_counts, items)
            blocks.append(dense_block(label, _bounded(value, judged, items, labels.two_valued)[:, None], base=True))
    if len(np.unique(seen.models[labels.used])) > 1 and not _names_are_labels(seen, labels):
        codes, width = _common(seen.models[labels.used], seen.models)
        if width > 1:
            blocks.append(coded_block("model", codes, width))
    if known.any():
        blocks.append(other_records(strength, known, items))
    blocks.append(dense_block("style", _style(seen)))
    if seen.words is not None:
        blocks.append(dense_block("words", _words(seen.words, items)[:, None]))
    return blocks


def other_records(strength: Floats, known: Bools, items: Items) -> Block:
    """What the other records of a prompt say, from `strengths_elsewhere`."""
    return dense_block(OTHER_RECORDS, centre(strength, items, known)[:, None])


def _as_reliable(value: Floats, judged: Bools, errors: Floats, counts: Ints, items: Items) -> Floats:
    """Centred scores, flat, those of each record shrunk by their reliability, where repeated samples tell it.

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


def _bounded(value: Floats, judged: Bools, items: Items, two_valued: bool) -> Floats:
    """Centred scores, flat; beside labels of two values their large differences are bounded.

    A label that only says which is better can follow a large difference no further, and a line through the large ones would
    be too flat for the small.
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
    told = [(seen.models == name) & (best | worst) for name in names]
    shares = [float(best[mask].mean()) for mask in told if mask.any()]
    return bool(shares) and all(share < 0.02 or share > 0.98 for share in shares)


def _common(used: Ints, models: Ints) -> tuple[Ints, int]:
    """The models as codes, the most frequent `MAX_MODELS` of those seen at least twice; others -1."""
    names, counts = np.unique(used[used >= 0], return_counts=True)
    names = names[np.lexsort((names, -counts))][: min(MAX_MODELS, int((counts >= 2).sum()))]
    table = np.full(int(models.max(initial=-1)) + 2, -1)
    table[np.sort(names)] = np.arange(len(names))
    return table[models], len(names)


def _words(words: Any, items: Items) -> Floats:
    """Ratings predicted from hashed words, out of fold; flat.

    Source: ridge regression by LSQR, Paige & Saunders 1982.
    """
    predicted = np.zeros(len(items.owner))
    chosen = np.flatnonzero(items.keep & np.isin(items.owner, items.sample))
    rank = np.empty(items.n, np.int64)
    rank[items.sample] = np.arange(len(items.sample))
    chosen = chosen[np.argsort(rank[items.owner[chosen]], kind="stable")]
    fold = items.fold[items.owner]
    local = rank[items.owner[chosen]]
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
