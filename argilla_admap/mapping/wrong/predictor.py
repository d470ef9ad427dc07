"""What the evidence says of a record's completions: a rating for each, predicted without its own record's label.

Several kinds of evidence (the judge's scores, which model wrote, what the text looks like, the other records of the prompt)
are weighed by ridge regression of the labels that were given; how far each kind is trusted is chosen by how well it predicts
the labels of records that were left out. No label of a person's beyond the data set's own is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, UInts

__all__ = ["FOLDS", "Block", "Items", "Prediction", "centre", "coded_block", "dense_block", "folds_of", "predict"]

FOLDS = 5
#: Ridge penalties tried for each block, in squared standardised units; a block may also be left out.
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
#: Fewer records cannot tell which evidence to trust: the judge alone speaks.
MIN_RECORDS = 60


@dataclass(frozen=True, slots=True)
class Items:
    """The completions that count: those with a rating, of records with two or more of them.

    Attributes:
        owner: flat, the record of each completion.
        n: how many records.
        keep: flat.
        rating: flat, standardised and centred within the record; NaN where not kept.
        fold: shape (n,), 0..FOLDS - 1.
        sample: shape (m,), the records that the fit looks at, in an order that is the data's own.
    """

    owner: Ints
    n: int
    keep: Bools
    rating: Floats
    fold: Ints
    sample: Ints


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of evidence.

    Attributes:
        name: for people.
        width: columns.
        design: the columns of some completions, by their flat positions: shape (len(positions), width).
        apply: `weights` of shape (FOLDS, width) and the fold of every completion to their products; flat.
        base: whether the block is always used, with the least penalty.
    """

    name: str
    width: int
    design: Callable[[Ints], Floats]
    apply: Callable[[Floats, Ints], Floats]
    base: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the evidence says.

    Attributes:
        parts: by block, flat, centred within the record; standardised rating units. Their sum is the prediction.
        penalties: by block, the penalty chosen; blocks left out are absent.
        explained: share of the labels' variance within records that the prediction explains, out of fold.
        explained_by_base: the same by the base blocks alone.
        leaning: covariance of the labels with the first base block; below 0 where it says the opposite of them.
    """

    parts: dict[str, Floats]
    penalties: dict[str, float]
    explained: float
    explained_by_base: float
    leaning: float

    def total(self) -> Floats:
        """The prediction; flat."""
        return np.asarray(np.sum(list(self.parts.values()), axis=0))


def centre(values: Floats, items: Items, keep: Bools | None = None) -> Floats:
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


def dense_block(name: str, columns: npt.NDArray[np.floating[Any]], *, base: bool = False) -> Block:
    """A block of plain columns, flat by completion: shape (completions, width)."""

    def design(positions: Ints) -> Floats:
        return np.asarray(columns[positions], np.float64)

    def apply(weights: Floats, fold: Ints) -> Floats:
        value = np.zeros(len(columns))
        for j in range(columns.shape[1]):
            value += columns[:, j] * weights[fold, j]
        return value

    return Block(name, columns.shape[1], design, apply, base)


def coded_block(name: str, codes: Ints, width: int) -> Block:
    """A block of one indicator a code; -1 is no code. Flat."""

    def design(positions: Ints) -> Floats:
        chosen = codes[positions]
        columns = np.zeros((len(positions), width))
        known = np.flatnonzero(chosen >= 0)
        columns[known, chosen[known]] = 1.0
        return columns

    def apply(weights: Floats, fold: Ints) -> Floats:
        return np.where(codes >= 0, weights[fold, np.maximum(codes, 0)], 0.0)

    return Block(name, width, design, apply)


def predict(blocks: Sequence[Block], items: Items) -> Prediction:
    """Weighs the blocks.

    Each weight vector is fitted on four folds and used on the fifth, so that no record's own label speaks for it. The penalty
    of each block is chosen by coordinate descent on the squared error out of fold, starting from the base blocks alone.

    Source: stacking, Wolpert 1992; ridge with a penalty a group, Hoerl & Kennard 1970; cross-fitting, Chernozhukov et al. 2018.
    """
    chosen = np.flatnonzero(items.keep & np.isin(items.owner, items.sample))
    # The data's own order, so that sums of floats do not depend on the order of the rows.
    rank = np.empty(items.n, np.int64)
    rank[items.sample] = np.arange(len(items.sample))
    chosen = chosen[np.argsort(rank[items.owner[chosen]], kind="stable")]
    owner, fold, rating = items.owner[chosen], items.fold[items.owner[chosen]], items.rating[chosen]
    local = np.unique(rank[owner], return_inverse=True)[1]
    count = np.bincount(local)
    columns, widths = [], []
    for block in blocks:
        design = block.design(chosen)
        for j in range(design.shape[1]):
            design[:, j] -= (np.bincount(local, design[:, j]) / count)[local]
        scale = np.sqrt(np.square(design).mean(axis=0))
        columns.append(design / np.where(scale > 0, scale, 1.0))
        widths.append(scale)
    ridge = _Ridge(np.concatenate(columns, axis=1), rating, fold, np.repeat(np.arange(len(blocks)), [b.width for b in blocks]))
    least = [PENALTIES[0] if block.base else np.inf for block in blocks]
    base_error = best = ridge.error(least)
    penalties = list(least)
    if len(count) >= MIN_RECORDS:
        for _ in range(2):
            for i, block in enumerate(blocks):
                for penalty in () if block.base else (*PENALTIES, np.inf):
                    trial = [*penalties[:i], penalty, *penalties[i + 1 :]]
                    error = ridge.error(trial)
                    if error < best:
                        penalties, best = trial, error
    weights = ridge.weights(penalties)
    flat_fold = items.fold[items.owner]
    parts, start = {}, 0
    for block, penalty, scale in zip(blocks, penalties, widths, strict=True):
        own = weights[:, start : start + block.width] / np.where(scale > 0, scale, 1.0)
        start += block.width
        if np.isfinite(penalty):
            parts[block.name] = centre(block.apply(own, flat_fold), items)
    total = float(np.mean(np.square(rating))) or 1.0
    if not parts:
        parts["nothing"] = np.zeros(len(items.owner))
    named = {block.name: p for block, p in zip(blocks, penalties, strict=True) if np.isfinite(p)}
    leaning = float(columns[0][:, 0] @ rating) if blocks[0].base else 0.0
    return Prediction(parts, named, 1 - best / total, 1 - base_error / total, leaning)


class _Ridge:
    """Ridge regressions out of fold, from the folds' normal equations: another penalty costs no pass over the data."""

    def __init__(self, columns: Floats, target: Floats, fold: Ints, block: Ints) -> None:
        self.columns, self.target, self.fold, self.block = columns, target, fold, block
        self.products, self.moments = [], []
        for f in range(FOLDS):
            inside = fold == f
            self.products.append(columns[inside].T @ columns[inside])
            self.moments.append(columns[inside].T @ target[inside])

    def weights(self, penalties: Sequence[float]) -> Floats:
        """Weights fitted without each fold, shape (FOLDS, columns); 0 in blocks of infinite penalty."""
        penalty = np.asarray(penalties)[self.block]
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
