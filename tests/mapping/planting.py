"""Known label errors, planted in rows of the plain format, and how well they are found."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats

Rows = list[dict[str, Any]]


def draw_completions(rows: Rows, k: int, seed: int, *, unequal: bool = False) -> Rows:
    """The same records with `k` of their completions each, drawn at random; with `unequal`, without those whose ratings tie."""
    rng = np.random.default_rng(seed)
    drawn = []
    for row in rows:
        for _ in range(50):
            some = [row["completions"][i] for i in sorted(rng.choice(len(row["completions"]), k, replace=False))]
            if len({c["rating"] for c in some}) > 1:
                break
        if not unequal or len({c["rating"] for c in some}) > 1:
            drawn.append({**row, "completions": some})
    return drawn


def one_sample(rows: Rows, which: int) -> Rows:
    """The same records with one of each completion's samples."""
    return [
        {**row, "completions": [{**c, "scores": c["scores"][which : which + 1]} for c in row["completions"]]} for row in rows
    ]


def plant(rows: Rows, kind: str, rate: float, seed: int) -> tuple[Rows, Bools]:
    """A copy in which a share of the records has wrong ratings, and which.

    Args:
        kind: ``swap`` a best and a worst; ``permutation`` of all; ``x10`` the worst times ten; ``1-to-10`` the worst on top.
    """
    rng = np.random.default_rng(1000 + seed)
    rows = copy.deepcopy(rows)
    bad = np.zeros(len(rows), bool)
    ratings = [np.array([np.nan if c["rating"] is None else c["rating"] for c in row["completions"]], float) for row in rows]
    top = max(float(np.nanmax(r)) for r in ratings)
    able = [i for i, r in enumerate(ratings) if np.nanmax(r) > np.nanmin(r)]
    for i in rng.choice(able, round(rate * len(rows)), replace=False):
        r = ratings[i].copy()
        best = rng.choice(np.flatnonzero(r == np.nanmax(r)))
        worst = rng.choice(np.flatnonzero(r == np.nanmin(r)))
        if kind == "swap":
            r[[best, worst]] = r[[worst, best]]
        elif kind == "permutation":
            while np.array_equal(r, ratings[i], equal_nan=True):
                r = rng.permutation(ratings[i])
        elif kind == "x10":
            r[worst] *= 10
        else:
            r[worst] = top
        bad[i] = True
        for completion, rating in zip(rows[i]["completions"], r, strict=True):
            completion["rating"] = None if np.isnan(rating) else float(rating)
    return rows, bad


def calibration_error(p: Floats, bad: Bools, bins: int = 10) -> float:
    """Expected calibration error over ten bins of equal width (Naeini, Cooper & Hauskrecht 2015)."""
    where = np.minimum((p * bins).astype(int), bins - 1)
    return float(
        sum((where == b).mean() * abs(p[where == b].mean() - bad[where == b].mean()) for b in range(bins) if (where == b).any())
    )


def calibration_floor(p: Floats, seed: int = 0, rounds: int = 50) -> float:
    """The calibration error that probabilities which are exactly right show all the same, by the luck of so few records."""
    rng = np.random.default_rng(seed)
    return float(np.mean([calibration_error(p, rng.random(len(p)) < p) for _ in range(rounds)]))


def binarise(rows: Rows) -> Rows:
    """The same records with ratings that only say whether a completion is a best one: 1 or 0; without those of one rating."""
    made = []
    for row in rows:
        known = [c["rating"] for c in row["completions"] if c["rating"] is not None]
        if len(known) == len(row["completions"]) and len(set(known)) > 1:
            made.append({**row, "completions": [{**c, "rating": float(c["rating"] == max(known))} for c in row["completions"]]})
    return made


def join_pairwise(rows: Rows) -> Rows:
    """Every two neighbours as one record: twice as many completions, half as many records."""
    pairs = zip(rows[::2], rows[1::2], strict=False)
    return [{**a, "completions": a["completions"] + b["completions"]} for a, b in pairs]


def found(order: Any, bad: Bools) -> dict[str, float]:
    """AUROC, average precision and precision at k (k as many as were planted) of an order, the suspicious first."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    value = np.asarray(order, float)
    k = int(bad.sum())
    first = np.lexsort((np.arange(len(value)), -value))[:k]
    return {
        "auroc": float(roc_auc_score(bad, value)),
        "average_precision": float(average_precision_score(bad, value)),
        "precision_at_k": float(bad[first].mean()),
    }
