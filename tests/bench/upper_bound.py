"""What no detector can pass on these data: `python -m tests.bench.upper_bound DATA [--seeds N] [--only NAME]`.

An oracle is given what the product never has: the labels before the errors were planted, of all completions and all other
prompts, to learn from them how labels follow the judge's scores, the models and the texts: by gradient boosting on WildBench,
by the product's own regression on the smaller sets. Its evidence then goes through the same likelihoods as the product's. What
it does not find is not in the scores: where the judge itself disagrees with a right label, no method can tell that from a wrong
one.

"Told all" is the oracle of the smaller sets that is also told the share of wrong labels, and how closely right ones follow its
evidence: what is left of its calibration error (ECE) is the luck of so few records, and the judge's errors where it is surest.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, groups_by_size
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.data.observed import observe
from argilla_admap.mapping.data_map import as_scored, build_map
from argilla_admap.mapping.wrong.diagnosis import labelled_items
from argilla_admap.mapping.wrong.features import feature_groups
from argilla_admap.mapping.wrong.labels import Labels, prepare_labels
from argilla_admap.mapping.wrong.mixture import Mixture, RatedGroup, fit_mixture, posterior
from argilla_admap.mapping.wrong.other_records import leave_one_out_strengths
from argilla_admap.mapping.wrong.prediction import predict
from tests.mapping.plain import load, scored_stream
from tests.mapping.planting import Rows, binarise, calibration_error, draw_completions, found, one_sample, plant

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


def regressed(clean: Rows) -> Floats:
    """The product's evidence for each completion, flat, as learned from the clean labels of the records of other folds."""
    seen, labels, _ = looked_at(clean)
    elsewhere = leave_one_out_strengths(seen.offsets, seen.prompt_keys, seen.completion_keys, labels.rating, labels.used)
    items = labelled_items(seen, labels)
    return predict(feature_groups(seen, labels, items, *elsewhere), items)


def boosted(rows: Rows, regressors: list[Any]) -> Floats:
    """The oracle's evidence for each completion, flat, by the regressors that never saw its prompt."""
    seen, _, fold = looked_at(rows)
    owner = np.repeat(np.arange(seen.n), seen.sizes)
    x, score = features(seen), np.zeros(len(owner))
    for f, regressor in enumerate(regressors):
        score[fold[owner] == f] = regressor.predict(x[fold[owner] == f])
    return score


def groups_of(rows: Rows, score: Floats) -> tuple[list[RatedGroup], int]:
    """The records whose ratings differ, with the evidence for their completions; and how many records there are."""
    seen, labels, _ = looked_at(rows)
    groups = []
    for group in groups_by_size(seen.offsets, labels.used):
        varied = ~labels.constant[group.rows]
        items = group.items[varied]
        top = np.asarray(labels.at_top[items].any(axis=1))
        told = score[items] - score[items].mean(axis=1, keepdims=True)
        groups.append(
            RatedGroup(group.rows[varied], items, labels.rating[items], told, top, np.zeros(len(top)), labels.two_valued)
        )
    unit = float(np.sqrt(np.mean(np.square(np.concatenate([g.scores.reshape(-1) for g in groups])))))
    return [replace(g, scores=g.scores / unit) for g in groups], seen.n


def judged(groups: list[RatedGroup], n: int, mixture: Mixture) -> Floats:
    """P(wrong) of each record."""
    p = np.zeros(n)
    for group in groups:
        p[group.rows] = posterior(group, mixture)
    return p


def told_all(clean: list[RatedGroup], rate: float) -> Mixture:
    """The constants as the clean labels have them, all wrong ones swapped, at the true rate."""
    known = fit_mixture(clean)
    rates = np.tile([1 - rate, rate, 0.0, 0.0], (len(known.scales), 1))
    return replace(known, rates=rates)


def measured(p: Floats, bad: Bools) -> list[float]:
    """AUROC, average precision, precision at k and calibration error."""
    return [*found(p, bad).values(), calibration_error(p, bad)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    wildbench = load(options.data / "wildbench_k6_gpt4turbo_gpt4o.jsonl.gz")
    llmbar = load(options.data / "llmbar_pairs_gpt4.jsonl.gz")
    sets = {
        "WildBench K=6": lambda seed: wildbench,
        "WildBench K=4": lambda seed: draw_completions(wildbench, 4, seed),
        "WildBench K=3": lambda seed: draw_completions(wildbench, 3, seed),
        "WildBench pairs": lambda seed: draw_completions(wildbench, 2, seed, unequal=True),
        "WildBench pairs, 1/0": lambda seed: binarise(draw_completions(wildbench, 2, seed, unequal=True)),
        "LLMBar, one call": lambda seed: one_sample(llmbar, seed % 5),
        "LLMBar, five calls": lambda seed: llmbar,
        "PandaLM": lambda seed: load(options.data / "pandalm_pairs_3annotators.jsonl.gz"),
    }
    print(f"{'AUROC  AP  P@k  ECE of':34}{'the oracle':>24}{'told all':>28}{'the product':>28}")
    for name, make in sets.items():
        if options.only not in name:
            continue
        large = name.startswith("WildBench")
        regressors = learn([make(1000 + draw) for draw in range(1 if name == "WildBench K=6" else DRAWS)]) if large else []
        for kind in ("swap", "permutation") if name in ("WildBench K=6", "WildBench K=4") else ("swap",):
            columns: list[list[list[float]]] = [[], [], []]
            for seed in range(options.seeds):
                rows, bad = plant(make(seed), kind, 0.1, seed)
                score = boosted(rows, regressors) if large else regressed(make(seed))
                groups, n = groups_of(rows, score)
                columns[0].append(measured(judged(groups, n, fit_mixture(groups)), bad))
                if not large:
                    known = told_all(groups_of(make(seed), score)[0], float(bad.mean()))
                    columns[1].append(measured(judged(groups, n, known), bad))
                columns[2].append(measured(build_map(scored_stream(rows)).frame["p_wrong"].fillna(0.0).to_numpy(), bad))
            cells = ["  ".join(f"{v:.3f}" for v in np.mean(part, axis=0)) if part else "" for part in columns]
            print(f"{name + ', ' + kind:32}" + "".join(f"{cell:>28}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
