"""What no detector can pass on these data: `python -m tests.bench.upper_bound DATA [--seeds N]`.

An oracle is given what the product never has: the labels before the errors were planted, of all completions and all other
prompts, to learn from them, by gradient boosting, how labels follow the judge's scores, the models and the texts. Its evidence
then goes through the same likelihoods as the product's. What it does not find is not in the scores: where the judge itself
disagrees with a right label, no method can tell that from a wrong one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from argilla_admap.mapping.arrays import Floats, Ints, groups_by_size
from argilla_admap.mapping.data_map import as_scored, build_map
from argilla_admap.mapping.labels import Labels, prepare_labels
from argilla_admap.mapping.mixture import Group, fit_mixture, posterior
from argilla_admap.mapping.observations import Observations, observe
from tests.mapping.plain import load, scored_stream
from tests.mapping.planting import Rows, binarise, draw_completions, found, plant

FOLDS = 5
#: Clean copies with other completions drawn, that the oracle learns from.
DRAWS = 8


@dataclass(frozen=True, slots=True)
class Clean:
    """Data as the oracle sees them: features and clean rating of each completion, and its prompt's fold."""

    features: Floats
    rating: Floats
    fold: Ints


def looked_at(rows: Rows) -> tuple[Observations, Labels, Ints]:
    """Observations, labels, and the fold of each record by its id."""
    seen = observe(as_scored(scored_stream(rows)))
    return seen, prepare_labels(seen.offsets, seen.ratings, seen.scores), (seen.keys % np.uint64(FOLDS)).astype(np.int64)


def features(seen: Observations) -> Floats:
    """Scores, texts and models of each completion, plain and against its record's mean."""
    owner = np.repeat(np.arange(seen.n), seen.sizes)
    columns = [seen.scores, *seen.texts.dense.T.astype(np.float64)]

    def against_mean(values: Floats) -> Floats:
        known = np.isfinite(values)
        count = np.maximum(np.bincount(owner[known], minlength=seen.n), 1)
        return np.asarray(values - (np.bincount(owner[known], values[known], minlength=seen.n) / count)[owner])

    models = np.arange(len(seen.model_names)) == seen.models[:, None]
    return np.column_stack([*columns, *(against_mean(c) for c in columns), models])


def learn(copies: list[Rows]) -> list[Any]:
    """A regressor of the clean ratings for each fold, fitted without that fold's prompts."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    parts = []
    for rows in copies:
        seen, labels, fold = looked_at(rows)
        used = labels.used & np.isfinite(seen.scores)
        owner = np.repeat(np.arange(seen.n), seen.sizes)
        parts.append(Clean(features(seen)[used], labels.rating[used], fold[owner][used]))
    x, y, fold = (np.concatenate([getattr(p, name) for p in parts]) for name in ("features", "rating", "fold"))
    settings = {"max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 8, "min_samples_leaf": 60, "l2_regularization": 5}
    return [HistGradientBoostingRegressor(**settings).fit(x[fold != f], y[fold != f]) for f in range(FOLDS)]


def oracle(rows: Rows, regressors: list[Any]) -> Floats:
    """The oracle's P(wrong) of each record."""
    seen, labels, fold = looked_at(rows)
    owner = np.repeat(np.arange(seen.n), seen.sizes)
    x, score = features(seen), np.zeros(len(owner))
    for f, regressor in enumerate(regressors):
        score[fold[owner] == f] = regressor.predict(x[fold[owner] == f])
    groups = []
    for group in groups_by_size(seen.offsets, labels.used):
        varied = ~labels.constant[group.rows]
        items = group.items[varied]
        top = np.asarray(labels.at_top[items].any(axis=1))
        told = score[items] - score[items].mean(axis=1, keepdims=True)
        groups.append(Group(group.rows[varied], items, labels.rating[items], told, top))
    unit = float(np.sqrt(np.mean(np.square(np.concatenate([g.scores.reshape(-1) for g in groups])))))
    groups = [replace(g, scores=g.scores / unit) for g in groups]
    mixture, p = fit_mixture(groups), np.zeros(seen.n)
    for group in groups:
        p[group.rows] = posterior(group, mixture)
    return p


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    wildbench = load(options.data / "wildbench_k6_gpt4turbo_gpt4o.jsonl.gz")
    sets = {
        "K=6": lambda seed: wildbench,
        "K=4": lambda seed: draw_completions(wildbench, 4, seed),
        "K=3": lambda seed: draw_completions(wildbench, 3, seed),
        "pairs": lambda seed: draw_completions(wildbench, 2, seed, unequal=True),
        "pairs, 1/0": lambda seed: binarise(draw_completions(wildbench, 2, seed, unequal=True)),
    }
    print(f"{'WildBench':22}{'oracle: AUROC   AP    P@k':>28}{'product: AUROC   AP    P@k':>30}")
    for name, make in sets.items():
        regressors = learn([make(1000 + draw) for draw in range(1 if name == "K=6" else DRAWS)])
        for kind in ("swap",) if name.startswith(("pairs", "K=3")) else ("swap", "permutation"):
            best, ours = [], []
            for seed in range(options.seeds):
                rows, bad = plant(make(seed), kind, 0.1, seed)
                best.append(list(found(oracle(rows, regressors), bad).values()))
                ours.append(list(found(build_map(scored_stream(rows)).frame["p_wrong"].fillna(0.0), bad).values()))
            cells = ["  ".join(f"{v:.3f}" for v in np.mean(part, axis=0)) for part in (best, ours)]
            print(f"{name + ', ' + kind:22}{cells[0]:>28}{cells[1]:>30}", flush=True)


if __name__ == "__main__":
    main()
