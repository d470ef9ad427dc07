"""What P(wrong) learns from people's answers: `python -m tests.bench.learning DATA [--seeds N] [--reviewers 0.9]`.

DATA is a folder as for `tests.bench.detection`. A simulated reviewer reads the records that P(wrong) puts first; then the
records that nobody has read are ordered anew. Printed for each data set: average precision on the unread rest before and after,
with the standard error of the difference over the seeds; calibration error (ECE) of all and of the unread rest; the ECE that
the same probabilities would have by chance, among so few records, if they were exactly right; the ECE of all seeds' records
together, where chance does less; and the errors found among the first 100 read, with learning every 25 records and without.
`--curve` prints them at every 10. `--keep` keeps the table in `tests/bench/results/learning.json`, with `--only` beside the
other cases that are there.

Errors of a kind (30% of one annotator's labels or of three pairs of models against 5% elsewhere; an annotator who prefers the
longer text) are what answers teach most about. Planted at random they have nothing in common, and there is little to learn but
how far judge and labels are to be trusted. PandaLM: one person's choices, wrong where both others chose the opposite.

`--ceiling` says how much there is to learn at all: the change of average precision on the same unread rest by the 50 answers,
by answers to all records (none teaching its own fold), and by two oracles that are given what nobody has: the true labels of
all other prompts, in all plantings at once. They order the records anew, by logistic regression and by gradient boosting, from
P(wrong) and what else is known: margins, ranks, lengths, spreads, agreement, the models, the annotator. Where they find no
better order, 50 answers cannot either. Kept in `learning_ceiling.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from scipy.special import logit

from argilla_admap.mapping.analysis.label_answers import LabelAnswer
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.data_map import build_map
from tests.bench.results import FOLDER, keep
from tests.mapping.plain import load, scored_stream
from tests.mapping.planting import Rows, calibration_error, draw_completions, found, one_sample, plant

#: What is averaged over the seeds.
FIGURES = ("average_precision", "ece", "ece_by_chance", "plain", "learning")
#: Answers before P(wrong) is compared; records read for the curve; how often it learns on the way.
ANSWERS, READ, STEP = 50, 100, 25
#: What may change the order of the unread rest: 50 answers, answers to all, the oracles.
WAYS = ("answers", "all answered", "logistic", "boosting")
#: Folds of prompts for the oracles.
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A data set with known errors: its rows, the rows with the true labels, and which are wrong."""

    rows: Rows
    truth: Rows
    bad: Bools

    def learned(self, read: Ints, accuracy: float, seed: int, column: str = "p_wrong") -> Floats:
        """P(wrong) after the answers to the records read; shape (n,)."""
        given = np.random.default_rng(seed).random(len(self.rows)) < accuracy
        answers = {
            self.rows[i]["id"]: LabelAnswer(
                ratings(self.rows[i]),
                ratings((self.truth if given[i] else self.rows)[i]) if self.bad[i] else ratings(self.rows[i]),
                {"reviewer": bool(self.bad[i] == given[i])},
            )
            for i in read
        }
        return p_wrong(self.rows, answers, column)


def ratings(row: dict[str, Any]) -> tuple[float | None, ...]:
    return tuple(c["rating"] for c in row["completions"])


def p_wrong(rows: Rows, answers: dict[str, LabelAnswer] | None = None, column: str = "p_wrong") -> Floats:
    p: Floats = build_map(scored_stream(rows), answers=answers).frame[column].fillna(0.0).to_numpy()
    return p


def planted(make: Callable[[int], Rows], kind: str, rate: float = 0.1) -> Callable[[int], Case]:
    """Errors that have nothing in common."""

    def case(seed: int) -> Case:
        truth = make(seed)
        rows, bad = plant(truth, kind, rate, seed)
        return Case(rows, truth, bad)

    return case


def of_a_kind(
    make: Callable[[int], Rows], wanted: Callable[[dict[str, Any]], bool], rate: float, elsewhere: float = 0.05
) -> Callable[[int], Case]:
    """Errors in a share of the records that are wanted, and in another share of the others."""

    def case(seed: int) -> Case:
        truth = [{**row, "annotator": f"annotator {i % 8}"} for i, row in enumerate(make(seed))]
        rows, bad = list(truth), np.zeros(len(truth), bool)
        for share, inside in ((rate, True), (elsewhere, False)):
            some = [i for i, row in enumerate(truth) if wanted(row) is inside]
            spoilt, wrong = plant([truth[i] for i in some], "swap", share, seed)
            for i, row, is_wrong in zip(some, spoilt, wrong, strict=True):
                rows[i], bad[i] = row, is_wrong
        return Case(rows, truth, bad)

    return case


def noisy(make: Callable[[int], Rows], deviation: float) -> Callable[[int], Rows]:
    """A judge that is this many points off."""

    def rows(seed: int) -> Rows:
        rng = np.random.default_rng(seed)
        return [
            {
                **row,
                "completions": [
                    {**c, "scores": [None if v is None else v + rng.normal(0, deviation) for v in c["scores"]]}
                    for c in row["completions"]
                ],
            }
            for row in make(seed)
        ]

    return rows


def people(rows: Rows, seed: int) -> Case:
    """Four in five of one person's choices in PandaLM."""
    rng, person = np.random.default_rng(seed), seed % 3
    kept: Rows = []
    truth: Rows = []
    wrong = []
    for row in rows:
        own, others = row["votes"][person], [v for i, v in enumerate(row["votes"]) if i != person]
        if own not in (1, 2) or rng.random() > 0.8:
            continue
        choice, bad = [float(own == 1), float(own == 2)], others[0] == others[1] == 3 - own
        for made, values in ((kept, choice), (truth, choice[::-1] if bad else choice)):
            made.append({**row, "completions": [{**c, "rating": v} for c, v in zip(row["completions"], values, strict=True)]})
        wrong.append(bad)
    return Case(kept, truth, np.array(wrong))


def cases(data: Path) -> dict[str, Callable[[int], Case]]:
    """What is read."""
    wildbench = load(data / "wildbench_k6_gpt4turbo_gpt4o.jsonl.gz")
    llmbar = load(data / "llmbar_pairs_gpt4.jsonl.gz")
    pandalm = load(data / "pandalm_pairs_3annotators.jsonl.gz")

    def pairs(seed: int) -> Rows:
        return draw_completions(wildbench, 2, seed, unequal=True)

    def four(seed: int) -> Rows:
        return draw_completions(wildbench, 4, seed)

    def longer_wins(row: dict[str, Any]) -> bool:
        # Only where the right label has the shorter text on top does a preference for length make an error.
        best = max(row["completions"], key=lambda c: c["rating"] or 0.0)
        return bool(len(best["text"]) < np.mean([len(c["text"]) for c in row["completions"]]))

    def careless(row: dict[str, Any]) -> bool:
        return bool(row["annotator"] == "annotator 7")

    three = set(sorted(c["model"] for c in wildbench[0]["completions"])[:3])

    def of_three(row: dict[str, Any]) -> bool:
        return three.issuperset(c["model"] for c in row["completions"])

    return {
        "WildBench K=4, swap": planted(four, "swap"),
        "WildBench K=4, permutation": planted(four, "permutation"),
        "WildBench K=6, swap": planted(lambda seed: wildbench, "swap"),
        "WildBench K=6, permutation": planted(lambda seed: wildbench, "permutation"),
        "LLMBar pairs, flip": planted(lambda seed: one_sample(llmbar, seed % 5), "swap"),
        "PandaLM, people's own": lambda seed: people(pandalm, seed),
        "weak judge: LLMBar, 20% flipped": planted(lambda seed: one_sample(llmbar, seed % 5), "swap", 0.2),
        "weak judge: pairs, 4 points off, 20%": planted(noisy(pairs, 4.0), "swap", 0.2),
        "of a kind: pairs, one annotator": of_a_kind(pairs, careless, 0.3),
        "of a kind: pairs, three pairs of models": of_a_kind(pairs, of_three, 0.3),
        "of a kind: pairs, longer wins": of_a_kind(pairs, longer_wins, 0.2, 0.0),
        "of a kind: K=4, one annotator": of_a_kind(four, careless, 0.3),
    }


def known_of(case: Case) -> Floats:
    """What the map and the rows tell of each record, for the oracles of `--ceiling`; shape (n, features)."""
    frame = build_map(scored_stream(case.rows)).frame
    p = frame["p_wrong"].fillna(0.0).to_numpy()
    names = sorted({c["model"] for row in case.rows for c in row["completions"] if c.get("model")})
    annotators = sorted({row.get("annotator") or "" for row in case.rows})
    columns = []
    for row in case.rows:
        r, s, length = (
            np.array([value(c) for c in row["completions"]], float)
            for value in (lambda c: c["rating"], lambda c: np.mean([v for v in c["scores"] if v is not None] or [np.nan]), size)
        )
        r, s = (np.where(np.isfinite(v), v, np.nanmean(v) if np.isfinite(v).any() else 0.0) for v in (r, s))
        best, worst = int(r.argmax()), int(r.argmin())
        ours, theirs = (row["completions"][place].get("model") for place in (best, worst))
        sides = [float(ours == name) - float(theirs == name) for name in names]
        lengths = [length[best] - length[worst], length[best] - length.mean()]
        spread = [np.ptp(r), r.mean(), np.ptp(s), s.mean(), s.std(), len(np.unique(r)), len(np.unique(s))]
        place = [s[best] - s[worst], s[best] - s.max(), s[worst] - s.min()]
        who = [float((row.get("annotator") or "") == name) for name in annotators[1:]]
        columns.append([*place, *lengths, *spread, *sides, *who])
    told = frame[["agreement", "cosine", "contested"]].fillna(0.0).to_numpy()
    return np.column_stack([p, logit(np.clip(p, 1e-6, 1 - 1e-6)), told, np.array(columns)])


def size(completion: dict[str, Any]) -> float:
    """The logarithm of a completion's length."""
    return float(np.log1p(len(completion["text"])))


def ceiling(make: Callable[[int], Case], seeds: int) -> dict[str, Any]:
    """How far the order of the unread rest can change for the better, as `--ceiling` says."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    boosting = {"max_iter": 120, "learning_rate": 0.05, "max_leaf_nodes": 6, "min_samples_leaf": 80, "l2_regularization": 5}
    makers = {
        "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)),
        "boosting": lambda: HistGradientBoostingClassifier(**boosting, random_state=0),
    }
    some = [make(seed) for seed in range(seeds)]
    known = [known_of(case) for case in some]
    fold = [np.array([crc32((row["prompt"] or row["id"]).encode()) % FOLDS for row in case.rows]) for case in some]
    x, bad, where = np.concatenate(known), np.concatenate([case.bad for case in some]), np.concatenate(fold)
    changes: dict[str, list[float]] = {name: [] for name in WAYS}
    orders = {name: np.zeros(len(bad)) for name in makers}
    for name, maker in makers.items():
        for f in range(FOLDS):
            orders[name][where == f] = maker().fit(x[where != f], bad[where != f]).predict_proba(x[where == f])[:, 1]
    before, start = [], 0
    for seed, case in enumerate(some):
        part, start = slice(start, start + len(case.bad)), start + len(case.bad)
        p = x[part, 0]
        read = first(p, np.zeros(0, np.int64), ANSWERS)
        rest = ~np.isin(np.arange(len(p)), read)
        if not case.bad[rest].any():
            continue
        before.append(found(p[rest], case.bad[rest])["average_precision"])
        found_orders = {
            "answers": case.learned(read, 1.0, seed),
            "all answered": case.learned(np.arange(len(p)), 1.0, seed, "p_wrong_unread"),
            **{name: order[part] for name, order in orders.items()},
        }
        for name, order in found_orders.items():
            changes[name].append(found(order[rest], case.bad[rest])["average_precision"] - before[-1])
    return {
        "seeds": len(before),
        "average_precision": round(float(np.mean(before)), 3),
        **{name: [round(float(v), 3) for v in (np.mean(c), np.std(c) / np.sqrt(len(c)))] for name, c in changes.items()},
    }


def ceilings(data: Path, options: argparse.Namespace) -> None:
    """Prints the table of `--ceiling`."""
    print(f"{'':40}{'before':>8}{'after 50 answers':>17}{'all answered':>17}{'logistic oracle':>17}{'boosting oracle':>17}")
    table = {}
    for name, make in cases(data).items():
        if options.only in name:
            table[name] = row = ceiling(make, options.seeds)
            cells = "".join(f"{row[way][0]:+9.3f} ± {row[way][1]:.3f}" for way in WAYS)
            print(f"{name:40}{row['average_precision']:8.3f}{cells}", flush=True)
            if options.keep:
                keep("learning_ceiling", {"answers": ANSWERS, "table": table})


def first(p: Floats, read: Ints, n: int) -> Ints:
    """The `n` records that come first among those not read."""
    order = np.lexsort((np.arange(len(p)), -p))
    return order[~np.isin(order, read)][:n]


def main() -> None:
    """Runs the benchmark and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose names hold this")
    parser.add_argument("--reviewers", type=float, default=1.0, help="how often the reviewer is right")
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--ceiling", action="store_true", help="how much there is to learn at all, instead")
    options = parser.parse_args()
    if options.ceiling:
        ceilings(options.data, options)
        return
    head = f"{'':38}{'AP of the unread':>18}{'difference':>17}{'ECE of all':>13}{'by chance':>11}"
    head += f"{'pooled':>14}{'of the unread':>15}"
    print(f"{head}{'found of 100':>14}   ({ANSWERS} answers; ECE after {READ}; reviewers right {options.reviewers:.0%})")
    table = {}
    for name, make in cases(options.data).items():
        if options.only not in name:
            continue
        results = [measured(make(seed), options.reviewers, seed) for seed in range(options.seeds)]
        row: dict[str, Any] = {
            key: [round(float(v), 3) for v in np.nanmean([r[key] for r in results], axis=0).reshape(-1)] for key in FIGURES
        }
        change = np.array([r["average_precision"][1] - r["average_precision"][0] for r in results])
        change = change[np.isfinite(change)]
        row["change"] = [round(float(v), 3) for v in (change.mean(), change.std() / np.sqrt(len(change)))]
        bad = np.concatenate([r["bad"] for r in results])
        row["ece_pooled"] = [
            round(calibration_error(np.concatenate([r[when] for r in results]), bad), 3) for when in ("before", "after")
        ]
        table[name] = {"seeds": options.seeds, **row, **{way: row[way][:: READ // 10] for way in ("plain", "learning")}}
        before, after = row["average_precision"]
        print(
            f"{name:38}{before:9.3f} -> {after:.3f}{row['change'][0]:+10.3f} ± {row['change'][1]:.3f}"
            f"{row['ece'][0]:6.3f}->{row['ece'][1]:.3f}{row['ece_by_chance'][0]:11.3f}"
            f"{row['ece_pooled'][0]:7.3f}->{row['ece_pooled'][1]:.3f}{row['ece'][2]:8.3f}->{row['ece'][3]:.3f}"
            f"{row['plain'][READ]:7.1f} ->{row['learning'][READ]:5.1f}",
            flush=True,
        )
        if options.curve:
            for way in ("plain", "learning"):
                print(f"    {way:10}" + " ".join(f"{row[way][n]:5.1f}" for n in range(10, READ + 1, 10)))
        if options.keep:
            known = (
                json.loads((FOLDER / "learning.json").read_text(encoding="utf-8"))["figures"]["table"] if options.only else {}
            )
            keep("learning", {"answers": ANSWERS, "reviewers": options.reviewers, "table": {**known, **table}})


def measured(case: Case, accuracy: float, seed: int) -> dict[str, Any]:
    """One seed's figures: the first `ANSWERS` are read as the plain map says, then it learns every `STEP` answers."""
    before = p_wrong(case.rows)
    plain = first(before, np.zeros(0, np.int64), READ)
    read, quality, after = plain[:ANSWERS], [np.nan, np.nan], before
    while True:
        after = case.learned(read, accuracy, seed)
        rest = ~np.isin(np.arange(len(before)), read)
        if len(read) == ANSWERS and case.bad[rest].any():
            quality = [found(p[rest], case.bad[rest])["average_precision"] for p in (before, after)]
        if len(read) >= READ:
            break
        read = np.append(read, first(after, read, STEP))
    errors = [calibration_error(p[mask], case.bad[mask]) for mask in (np.ones(len(rest), bool), rest) for p in (before, after)]
    rng = np.random.default_rng(seed)
    by_chance = np.mean([calibration_error(after, rng.random(len(after)) < after) for _ in range(100)])
    curves = {name: np.append(0, np.cumsum(case.bad[order])) for name, order in (("plain", plain), ("learning", read))}
    figures = {"average_precision": quality, "ece": errors, "ece_by_chance": by_chance, **curves}
    return {**figures, "before": before, "after": after, "bad": case.bad}


if __name__ == "__main__":
    main()
