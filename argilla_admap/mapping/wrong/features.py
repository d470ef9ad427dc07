"""The evidence for or against the labels, as groups of features; and the rating that they predict for each completion.

The groups (the judge's scores, which model wrote, what the text looks like, the other records of the prompt) are weighed by
ridge regression of the given labels, each completion's prediction without its own record's label. The penalty of each group is
chosen by how well it predicts the labels of records that were left out; nothing but the data set's own labels is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import lsqr

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, UInts
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.labels import Labels, normal_scores, ranks_fit_better, shared_variance

__all__ = ["FOLDS", "OTHER_RECORDS", "FeatureGroup", "LabelledItems", "Prediction", "averaged", "feature_groups", "predict"]

FOLDS = 5
#: Ridge penalties tried for each group, in squared standardised units; a group may also be left out.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
#: With fewer records there is no telling which groups to trust: the judge's scores alone are used.
MIN_RECORDS = 60
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
class LabelledItems:
    """The completions with a rating, of records with two or more of them.

    Attributes:
        owner: flat, the record of each completion.
        n: how many records.
        keep: flat.
        rating: flat, standardised and centred within the record; NaN where not kept.
        fold: shape (n,), 0..FOLDS - 1.
        sample: shape (m,), the records that the fit uses, in an order that does not depend on the rows'.
    """

    owner: Ints
    n: int
    keep: Bools
    rating: Floats
    fold: Ints
    sample: Ints


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """The features of one kind of evidence.

    Attributes:
        name: for people.
        width: columns.
        design: the columns of some completions, by their flat positions: shape (len(positions), width).
        apply: `weights` of shape (FOLDS, width) and the fold of every completion to their products; flat.
        base: whether the group is always used, with the least penalty.
    """

    name: str
    width: int
    design: Callable[[Ints], Floats]
    apply: Callable[[Floats, Ints], Floats]
    base: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted ratings.

    Attributes:
        parts: by group, flat, centred within the record; standardised rating units. Their sum is the prediction.
        penalties: by group, the penalty chosen; groups left out are absent.
        explained: share of the labels' variance within records that the prediction explains, out of fold.
        explained_by_base: the same by the base groups alone.
        leaning: covariance of the labels with the first base group; below 0 where it says the opposite of them.
    """

    parts: dict[str, Floats]
    penalties: dict[str, float]
    explained: float
    explained_by_base: float
    leaning: float

    def total(self) -> Floats:
        """The prediction; flat."""
        return np.asarray(np.sum(list(self.parts.values()), axis=0))


def averaged(one: Prediction, other: Prediction) -> Prediction:
    """The mean of two predictions of the same completions; other facts are the second's.

    Source: the mean of two forecasts errs less than either where their errors differ (Bates & Granger 1969).
    """
    nothing = np.zeros(len(one.total()))
    names = dict.fromkeys([*one.parts, *other.parts])
    parts = {name: (one.parts.get(name, nothing) + other.parts.get(name, nothing)) / 2 for name in names}
    return replace(other, parts=parts, penalties={**one.penalties, **other.penalties})


def centre(values: Floats, items: LabelledItems, keep: Bools | None = None) -> Floats:
    """Flat values less their record's mean over the completions kept; 0 where not kept."""
    keep = items.keep if keep is None else keep
    owner = items.owner[keep]
    count = np.maximum(np.bincount(owner, minlength=items.n), 1)
    mean = np.bincount(owner, values[keep], minlength=items.n) / count
    return np.where(keep, values - mean[items.owner], 0.0)


def folds_of(keys: UInts) -> Ints:
    """A fold for each key, evenly and the same on every run; shape (n,), 0..FOLDS - 1."""
    # splitmix64's finaliser: neighbouring keys land apart.
    mixed = keys.astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed % np.uint64(FOLDS), np.int64)


def dense_group(name: str, columns: npt.NDArray[np.floating[Any]], *, base: bool = False) -> FeatureGroup:
    """A group of plain columns: shape (completions, width)."""

    def design(positions: Ints) -> Floats:
        return np.asarray(columns[positions], np.float64)

    def apply(weights: Floats, fold: Ints) -> Floats:
        value = np.zeros(len(columns))
        for j in range(columns.shape[1]):
            value += columns[:, j] * weights[fold, j]
        return value

    return FeatureGroup(name, columns.shape[1], design, apply, base)


def coded_group(name: str, codes: Ints, width: int) -> FeatureGroup:
    """A group of one indicator for each code; -1 is no code. Flat."""

    def design(positions: Ints) -> Floats:
        chosen = codes[positions]
        columns = np.zeros((len(positions), width))
        known = np.flatnonzero(chosen >= 0)
        columns[known, chosen[known]] = 1.0
        return columns

    def apply(weights: Floats, fold: Ints) -> Floats:
        return np.where(codes >= 0, weights[fold, np.maximum(codes, 0)], 0.0)

    return FeatureGroup(name, width, design, apply)


def predict(groups: Sequence[FeatureGroup], items: LabelledItems) -> Prediction:
    """Weighs the groups.

    Weights are fitted on four folds and used on the fifth, so that no label predicts itself. The penalty of each group is
    chosen by coordinate descent on the squared error out of fold, starting from the base groups alone.

    Source: stacking, Wolpert 1992; ridge with a penalty a group, Hoerl & Kennard 1970; cross-fitting, Chernozhukov et al. 2018.
    """
    chosen, local = _sampled_items(items)
    fold, rating = items.fold[items.owner[chosen]], items.rating[chosen]
    local = np.unique(local, return_inverse=True)[1]
    count = np.bincount(local)
    columns, scales = [], []
    for group in groups:
        design = group.design(chosen)
        for j in range(design.shape[1]):
            design[:, j] -= (np.bincount(local, design[:, j]) / count)[local]
        scale = np.sqrt(np.square(design).mean(axis=0))
        scale[scale == 0] = 1.0
        columns.append(design / scale)
        scales.append(scale)
    ridge = _Ridge(np.concatenate(columns, axis=1), rating, fold, np.repeat(np.arange(len(groups)), [g.width for g in groups]))
    penalties = [PENALTIES[0] if group.base else np.inf for group in groups]
    base_error = best = ridge.error(penalties)
    if len(count) >= MIN_RECORDS:
        for _ in range(2):
            for i, group in enumerate(groups):
                for penalty in () if group.base else (*PENALTIES, np.inf):
                    trial = [*penalties[:i], penalty, *penalties[i + 1 :]]
                    error = ridge.error(trial)
                    if error < best:
                        penalties, best = trial, error
    weights = ridge.weights(penalties)
    flat_fold = items.fold[items.owner]
    parts, start = {}, 0
    for group, penalty, scale in zip(groups, penalties, scales, strict=True):
        own = weights[:, start : start + group.width] / scale
        start += group.width
        if np.isfinite(penalty):
            parts[group.name] = centre(group.apply(own, flat_fold), items)
    total = float(np.mean(np.square(rating))) or 1.0
    if not parts:
        parts["nothing"] = np.zeros(len(items.owner))
    named = {group.name: p for group, p in zip(groups, penalties, strict=True) if np.isfinite(p)}
    leaning = float(columns[0][:, 0] @ rating) if groups[0].base else 0.0
    return Prediction(parts, named, 1 - best / total, 1 - base_error / total, leaning)


def _sampled_items(items: LabelledItems) -> tuple[Ints, Ints]:
    """The completions that the fit uses, by flat position, and the place of each one's record in the sample.

    In the sample's order, so that sums of floats do not depend on the order of the rows.
    """
    rank = np.full(items.n, -1)
    rank[items.sample] = np.arange(len(items.sample))
    place = rank[items.owner]
    chosen = np.flatnonzero(items.keep & (place >= 0))
    chosen = chosen[np.argsort(place[chosen], kind="stable")]
    return chosen, place[chosen]


class _Ridge:
    """Ridge regressions out of fold, from the folds' normal equations: another penalty takes no pass over the data."""

    def __init__(self, columns: Floats, target: Floats, fold: Ints, group: Ints) -> None:
        self.columns, self.target, self.fold, self.group = columns, target, fold, group
        self.products, self.moments = [], []
        for f in range(FOLDS):
            inside = fold == f
            self.products.append(columns[inside].T @ columns[inside])
            self.moments.append(columns[inside].T @ target[inside])

    def weights(self, penalties: Sequence[float]) -> Floats:
        """Weights fitted without each fold, shape (FOLDS, columns); 0 in groups of infinite penalty."""
        penalty = np.asarray(penalties)[self.group]
        live = np.isfinite(penalty)
        weights = np.zeros((FOLDS, len(penalty)))
        if live.any():
            product, moment = np.sum(self.products, axis=0), np.sum(self.moments, axis=0)
            for f in range(FOLDS):
                left = (product - self.products[f])[np.ix_(live, live)] + np.diag(penalty[live])
                weights[f, live] = np.linalg.solve(left, (moment - self.moments[f])[live])
        return weights

    def error(self, penalties: Sequence[float]) -> float:
        """Mean squared error out of fold."""
        weights = self.weights(penalties)
        total = 0.0
        for f in range(FOLDS):
            inside = self.fold == f
            # ||y - Xw||^2 from the fold's own moments.
            w = weights[f]
            total += float(np.square(self.target[inside]).sum() - 2 * w @ self.moments[f] + w @ self.products[f] @ w)
        return total / max(len(self.target), 1)


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
            groups.append(dense_group(label, _bounded(value, judged, items, labels.two_valued)[:, None], base=True))
    if len(np.unique(seen.models[labels.used])) > 1 and not _names_are_labels(seen, labels):
        codes, width = _common(seen.models[labels.used], seen.models)
        if width > 1:
            groups.append(coded_group("model", codes, width))
    if known.any():
        groups.append(from_other_records(strength, known, items))
    groups.append(dense_group("style", _style(seen)))
    if seen.words is not None:
        groups.append(dense_group("words", _words(seen.words, items)[:, None]))
    return groups


def from_other_records(strength: Floats, known: Bools, items: LabelledItems) -> FeatureGroup:
    """What the other records of a prompt say, from `leave_one_out_strengths`."""
    return dense_group(OTHER_RECORDS, centre(strength, items, known)[:, None])


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
    chosen, local = _sampled_items(items)
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
