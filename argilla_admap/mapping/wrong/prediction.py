"""The rating that all evidence predicts for each completion, without its own record's label.

The groups of features are weighed by ridge regression of the given labels. The penalty of each group is chosen by how well it
predicts the labels of records that were left out; nothing but the data set's own labels is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from argilla_admap.mapping.data.arrays import Bools, Floats, Folds, Ints
from argilla_admap.mapping.data.observed import FOLDS

__all__ = ["FOLDS", "FeatureGroup", "LabelledItems", "Weights", "centre", "fit_weights", "predict", "sampled_items"]

#: Ridge penalties tried for each group, in squared standardised units; a group may also be left out.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
#: With fewer records there is no telling which groups to trust: the judge's scores alone are used.
MIN_RECORDS = 60


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
    fold: Folds
    sample: Ints


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """The features of one kind of evidence.

    Attributes:
        name: for people.
        columns: shape (completions, width), dense or sparse.
        base: whether the group is always used, with the least penalty.
    """

    name: str
    columns: Any
    base: bool = False

    @property
    def width(self) -> int:
        """How many columns."""
        return int(self.columns.shape[1])

    def design(self, positions: Ints) -> Floats:
        """The columns of some completions, by their flat positions: shape (len(positions), width)."""
        chosen = self.columns[positions]
        return np.asarray(chosen.toarray() if sparse.issparse(chosen) else chosen, np.float64)

    def apply(self, weights: Floats, fold: Folds) -> Floats:
        """The features times the weights of each completion's fold; flat.

        Args:
            weights: shape (FOLDS, width).
            fold: flat.
        """
        return np.asarray((self.columns @ weights.T)[np.arange(len(fold)), fold])


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each feature counts.

    Attributes:
        by_group: shape (FOLDS, width) each; groups left out are absent.
        penalties: by group, the penalty chosen.
        explained: share of the labels' variance within records that the prediction explains, out of fold.
        explained_by_base: the same by the base groups alone.
        leaning: covariance of the labels with the first base group; below 0 where it says the opposite of them.
    """

    by_group: dict[str, Floats]
    penalties: dict[str, float]
    explained: float
    explained_by_base: float
    leaning: float

    def parts(self, groups: Sequence[FeatureGroup], items: LabelledItems) -> dict[str, Floats]:
        """What each group predicts, flat, centred within the record; standardised rating units. Their sum is the prediction.

        Args:
            groups: of the names fitted, of any records.
        """
        fold = items.fold[items.owner]
        return {g.name: centre(g.apply(self.by_group[g.name], fold), items) for g in groups if g.name in self.by_group}


def centre(values: Floats, items: LabelledItems, keep: Bools | None = None) -> Floats:
    """Flat values less their record's mean over the completions kept; 0 where not kept."""
    keep = items.keep if keep is None else keep
    owner = items.owner[keep]
    count = np.maximum(np.bincount(owner, minlength=items.n), 1)
    mean = np.bincount(owner, values[keep], minlength=items.n) / count
    return np.where(keep, values - mean[items.owner], 0.0)


def predict(groups: Sequence[FeatureGroup], items: LabelledItems) -> Floats:
    """The ratings predicted from the groups; flat."""
    parts = fit_weights(groups, items).parts(groups, items)
    return np.asarray(np.sum([np.zeros(len(items.owner)), *parts.values()], axis=0))


def fit_weights(groups: Sequence[FeatureGroup], items: LabelledItems) -> Weights:
    """Weighs the groups by the records of the sample.

    Weights are fitted on four folds and used on the fifth, so that no label predicts itself. The penalty of each group is
    chosen by coordinate descent on the squared error out of fold, starting from the base groups alone.

    Source: stacking, Wolpert 1992; ridge with a penalty a group, Hoerl & Kennard 1970; cross-fitting, Chernozhukov et al. 2018.
    """
    chosen, local = sampled_items(items)
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
    by_group, start = {}, 0
    for group, penalty, scale in zip(groups, penalties, scales, strict=True):
        if np.isfinite(penalty):
            by_group[group.name] = weights[:, start : start + group.width] / scale
        start += group.width
    total = float(np.mean(np.square(rating))) or 1.0
    named = {group.name: p for group, p in zip(groups, penalties, strict=True) if np.isfinite(p)}
    leaning = float(columns[0][:, 0] @ rating) if groups[0].base else 0.0
    return Weights(by_group, named, 1 - best / total, 1 - base_error / total, leaning)


def sampled_items(items: LabelledItems) -> tuple[Ints, Ints]:
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

    def __init__(self, columns: Floats, target: Floats, fold: Folds, group: Ints) -> None:
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
