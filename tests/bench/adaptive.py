"""How well wrong labels are found for the calls spent: the same looks for all, against more where a label is undecided.

`python -m tests.bench.adaptive` replays recorded judge samples (201 pairs of LLMBar, five scores of GPT-4 each, labels
flipped at random) in a random order and prints AUROC and average precision by calls a completion. Below stands what a guided
look brings there: the first look is the plain one, samples are those of the other styles without a guide, and the guided look
is that of the judge which wrote its own answer first; costs are those of gpt-4o by the estimate, in plain calls a completion.
`--keep` keeps the figures in `tests/bench/results/adaptive.json`.

`--second-judge DATA` tells what a second judge is worth. DATA is a folder with `llmbar_pairs_gpt4.jsonl.gz` (GPT-4 and ChatGPT
graded the same pairs; labels checked by people) and `pandalm_pairs_3annotators.jsonl.gz` (verdicts of GPT-3.5 and PandaLM-7B;
labels are three people's votes). WildBench has two judges too, but the second one's grades are its labels. The worth is in
looks of the first judge: with normal evidence AUROC = Phi(d / sqrt 2), and d squared adds up over independent looks, so that
another look is worth (z(both) / z(first))^2 - 1 (Green & Swets, Signal Detection Theory, 1966): 1 is a judge of the first one's
quality with errors all its own, 0 an echo of the first.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from argilla_admap.adaptive import GUIDE, GUIDE_WORTH, SAMPLE, Look, choose_looks, next_round
from argilla_admap.mapping.data_map import build_map
from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.output import scored_batch, scored_schema
from argilla_admap.scoring.run import estimate
from argilla_admap.scoring.scorer import ScoredCompletion
from argilla_admap.tables import RecordStream
from tests.bench.results import FOLDER, keep
from tests.mapping.plain import load, scored_stream
from tests.mapping.planting import Rows, found, plant
from tests.scoring.small_data import record, stream

Floats = np.ndarray[Any, np.dtype[np.float64]]
#: The recorded styles: those of a look without a guide, the plain one first; and those beside one.
UNGUIDED = (0, 3)
GUIDED = {"criteria": 1, "both": 2, "reference": 4}
#: What a judge on a scale of 1 to 10 errs by however often it is asked: as on 1 to 5, in its own squared points.
SYSTEMATIC = 0.25 * (9 / 4) ** 2


class Replay:
    """Pairs whose samples come one at a time, in an order of the seed, with flipped labels."""

    def __init__(self, seed: int, share: float = 0.1) -> None:
        packed = resources.files("argilla_admap.example_data").joinpath("llmbar_pairs_gpt4.jsonl.gz").read_bytes()
        rows = [json.loads(line) for line in gzip.decompress(packed).decode().splitlines()]
        rng = np.random.default_rng(seed)
        self.rows = [row for row in rows if all(None not in c["scores"] for c in row["completions"])]
        n = len(self.rows)
        self.flipped = np.zeros(n, bool)
        self.flipped[rng.choice(n, round(share * n), replace=False)] = True
        # One order of the prompt styles for both completions of a pair: a style has a level of its own.
        self.order = [rng.permutation(5) for _ in range(n)]
        self.counts = np.ones(n, int)

    def means(self, row: int, completion: int) -> tuple[float, list[float]]:
        """The score of a completion with the samples taken so far, and these."""
        scores = self.rows[row]["completions"][completion]["scores"]
        taken = [scores[i] for i in self.order[row][: self.counts[row]]]
        return float(np.mean(taken)), taken

    def stream(self) -> RecordStream:
        """What a scorer would have given with the samples taken so far."""
        columns: dict[str, list[Any]] = {name: [] for name in SCORED_SCHEMA.names}
        for place, (row, flip) in enumerate(zip(self.rows, self.flipped, strict=True)):
            scores, taken = zip(*(self.means(place, completion) for completion in (0, 1)), strict=True)
            ratings = [c["rating"] for c in row["completions"]]
            values: dict[str, Any] = {
                "id": row["id"],
                "prompt": row["prompt"],
                "completions": [c["text"] for c in row["completions"]],
                "ratings": ratings[::-1] if flip else ratings,
                "samples": taken,
                "scores": list(scores),
                "score_variances": [float(np.var(t, ddof=1)) if len(t) > 1 else None for t in taken],
                "score_counts": [len(t) for t in taken],
                "judges": "gpt-4-0613",
            }
            for name in columns:
                columns[name].append(values.get(name))
        return RecordStream.from_table(pa.table(columns, schema=SCORED_SCHEMA))

    def p_wrong(self) -> Floats:
        """P(wrong) on the samples taken so far."""
        return np.array(build_map(self.stream()).numbers.column("p_wrong").to_pylist(), float)

    def variances(self) -> list[list[float | None]]:
        """Of one sample of each completion."""
        found: list[Any] = self.stream().table().column("score_variances").to_pylist()
        return found

    def quality(self) -> tuple[float, float, float]:
        """Calls a completion, AUROC, average precision."""
        p = self.p_wrong()
        return (
            float(self.counts.mean()),
            float(roc_auc_score(self.flipped, p)),
            float(average_precision_score(self.flipped, p)),
        )


class Guided(Replay):
    """The same, the plain style first, with guided looks at some of the records.

    Args:
        seed: of the flipped labels.
        guide: a name of `GUIDED`.
    """

    def __init__(self, seed: int, guide: str) -> None:
        super().__init__(seed)
        self.guide = guide
        self.order = [np.array(UNGUIDED)] * len(self.rows)
        self.looked = np.zeros(len(self.rows), bool)
        levels = [c["scores"][UNGUIDED[0]] - c["scores"][GUIDED[guide]] for row in self.rows for c in row["completions"]]
        self.level = float(np.mean(levels))

    def means(self, row: int, completion: int) -> tuple[float, list[float]]:
        mean, taken = super().means(row, completion)
        if not self.looked[row]:
            return mean, taken
        worth = GUIDE_WORTH[self.guide]
        guided = self.rows[row]["completions"][completion]["scores"][GUIDED[self.guide]] + self.level
        return (mean + worth * guided) / (1 + worth), taken


def guided_cost(guide: str) -> float:
    """What a guided look costs a completion, the guide's writing counted in, in plain calls."""
    asked = [record(row["id"], row["prompt"], [c["text"] for c in row["completions"]]) for row in Replay(0).rows]
    with tempfile.TemporaryDirectory() as folder:
        ways = [ScoreOptions(models=("gpt-4o",), guide=name, store=Path(folder, "s")) for name in (guide, "none")]
        dear, plain = (estimate(stream(asked), way)["cost_usd"] for way in ways)
    return float(dear / plain)


def all_guided(seed: int, guide: str, cost: float, *, alone: bool) -> tuple[float, float, float]:
    """A guided look at every record, alone or after the plain one."""
    replay = Guided(seed, guide)
    replay.looked[:] = True
    if alone:
        replay.order = [np.array([GUIDED[guide]])] * len(replay.rows)
    _, auroc, precision = replay.quality()
    return cost + (not alone), auroc, precision


def chosen_looks(
    seed: int, calls: float, guide: str, cost: float, *, names: tuple[str, ...] = (SAMPLE, GUIDE), rounds: int = 6
) -> tuple[float, float, float]:
    """One plain look, then up to `calls` a completion on average: samples and guided looks where they tell the most."""
    replay = Guided(seed, guide)
    ids = [row["id"] for row in replay.rows]
    every = [Look(SAMPLE, 1.0, 1.0), Look(GUIDE, GUIDE_WORTH[guide], cost, every=True)]
    looks = [look for look in every if look.name in names]
    budget = left = (calls - 1) * 2 * len(ids)
    while left > 0:
        ratings = replay.stream().table().column("ratings").to_pylist()
        counts = [(int(c), int(c)) for c in replay.counts]
        chosen = choose_looks(
            ids, replay.p_wrong(), ratings, counts, min(budget / rounds, left), looks, variances=replay.variances(),
            taken={GUIDE: [ids[row] for row in np.flatnonzero(replay.looked)]},
            most_samples=len(UNGUIDED), systematic=SYSTEMATIC,
        )  # fmt: skip
        if not any(chosen.values()):
            break
        for look in looks:
            rows = np.isin(ids, list(chosen[look.name]))
            left -= 2 * look.cost * rows.sum()
            if look.name == SAMPLE:
                replay.counts += rows
            else:
                replay.looked |= rows
    _, auroc, precision = replay.quality()
    return calls - left / 2 / len(ids), auroc, precision


def uniform(seed: int, samples: int) -> tuple[float, float, float]:
    """The same number of samples for each completion."""
    replay = Replay(seed)
    replay.counts[:] = samples
    return replay.quality()


def adaptive(seed: int, calls: float, *, rounds: int = 6) -> tuple[float, float, float]:
    """One sample for each completion, then up to `calls` a completion on average where P(wrong) is undecided."""
    replay = Replay(seed)
    ids = [row["id"] for row in replay.rows]
    left = round((calls - 1) * 2 * len(ids))
    a_round = max(2, -(-left // rounds))
    while left >= 2:
        ratings = replay.stream().table().column("ratings").to_pylist()
        counts = [(int(c), int(c)) for c in replay.counts]
        plan = next_round(ids, replay.p_wrong(), ratings, counts, min(a_round, left), variances=replay.variances())
        if not plan:
            break
        for position, name in enumerate(ids):
            if name in plan:
                replay.counts[position] = plan[name][0]
        left -= 2 * len(plan)
    return replay.quality()


#: A file, its first judge and another look: a column of scores, the place in it, and the weight beside the first look.
LOOKS: dict[str, tuple[str, tuple[str, int], tuple[str, int]]] = {
    "GPT-4, again without rules": ("llmbar_pairs_gpt4", ("scores", 0), ("scores", 3)),
    "GPT-4, beside its own reference": ("llmbar_pairs_gpt4", ("scores", 0), ("scores", 4)),
    "GPT-4, then ChatGPT": ("llmbar_pairs_gpt4", ("scores", 0), ("scores_gpt35", 0)),
    "ChatGPT, again without rules": ("llmbar_pairs_gpt4", ("scores_gpt35", 0), ("scores_gpt35", 1)),
    "ChatGPT, then GPT-4": ("llmbar_pairs_gpt4", ("scores_gpt35", 0), ("scores", 0)),
    "GPT-3.5, then PandaLM-7B": ("pandalm_pairs_3annotators", ("scores", 0), ("scores_pandalm", 0)),
    "PandaLM-7B, then GPT-3.5": ("pandalm_pairs_3annotators", ("scores_pandalm", 0), ("scores", 0)),
}


def _grades(rows: Rows, look: tuple[str, int]) -> Floats:
    """What a look gave to each completion, shape (n, 2); NaN where it gave nothing."""
    column, place = look
    given = [[(c[column] or [None] * (place + 1))[place] for c in row["completions"]] for row in rows]
    return np.array([[np.nan if one is None else one for one in pair] for pair in given], float)


def _panel_quality(rows: Rows, looks: list[Any], seed: int) -> dict[str, float]:
    """How well planted errors are found by the P(wrong) of a panel of looks."""
    planted, bad = plant(rows, "swap", 0.1, seed)
    batch = next(scored_stream(planted, batch_rows=len(planted)).batches())
    results = [[[ScoredCompletion(float(s), count=1) for s in pair] for pair in look] for look in looks]
    names = [f"judge {place}" for place in range(len(looks))]
    scored, _ = scored_batch(batch, names, results)
    stream = RecordStream(lambda: iter([scored]), scored_schema(names), {"judge": "test"})
    return found(build_map(stream).frame["p_wrong"].fillna(0.0).to_numpy(), bad)


def _worth(alone: float, both: float) -> float:
    """In looks of the first judge; see above."""
    return float((norm.ppf(both) / norm.ppf(alone)) ** 2 - 1)


def second_judges(data: Path, seeds: int) -> dict[str, Any]:
    """What P(wrong) finds by one look, by another one, and by both, and what the other is worth."""
    table = {}
    for name, (file, first, other) in LOOKS.items():
        rows = load(data / f"{file}.jsonl.gz")
        looks = [_grades(rows, first), _grades(rows, other)]
        labels = np.array([[c["rating"] for c in row["completions"]] for row in rows], float)
        known = np.isfinite(np.hstack(looks)).all(axis=1) & (labels[:, 0] != labels[:, 1])
        rows, (a, b) = [row for row, one in zip(rows, known, strict=True) if one], [look[known] for look in looks]
        # Of each draw, what the first look finds, what the other finds, and what both find.
        drawn = [[_panel_quality(rows, some, seed) for some in ([a], [b], [a, b])] for seed in range(seeds)]
        auroc, precision = (np.array([[one[key] for one in row] for row in drawn]) for key in ("auroc", "average_precision"))
        again = np.random.default_rng(0).integers(0, seeds, (500, seeds))
        error = np.std([_worth(*auroc[some].mean(axis=0)[[0, 2]]) for some in again])
        table[name] = {
            "records": len(rows),
            "seeds": seeds,
            "auroc": dict(zip(("first", "other", "both"), auroc.mean(axis=0).round(3).tolist(), strict=True)),
            "average_precision": dict(zip(("first", "other", "both"), precision.mean(axis=0).round(3).tolist(), strict=True)),
            "worth_in_looks": round(_worth(*auroc.mean(axis=0)[[0, 2]]), 2),
            "standard_error": round(float(error), 2),
        }
        print(name, json.dumps(table[name]), flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--guide", choices=sorted(GUIDED), default="reference")
    parser.add_argument("--only", default="", help="the rows that begin with this")
    parser.add_argument("--keep", action="store_true", help="keep the figures in tests/bench/results/adaptive.json")
    parser.add_argument("--second-judge", type=Path, metavar="DATA", help="measure what a second judge is worth instead")
    options = parser.parse_args()
    kept = json.loads((FOLDER / "adaptive.json").read_text())["figures"] if (FOLDER / "adaptive.json").exists() else {}
    if options.second_judge is not None:
        told = second_judges(options.second_judge, options.seeds)
        if options.keep:
            keep("adaptive", {**kept, "second_judge": told})
        return
    seeds, guide = range(options.seeds), options.guide
    cost = guided_cost(guide)
    cases: list[tuple[str, Callable[[int], tuple[float, float, float]]]] = [
        *((f"uniform {samples}", partial(uniform, samples=samples)) for samples in (1, 2, 3, 4)),
        *((f"adaptive, up to {calls}", partial(adaptive, calls=calls)) for calls in (1.5, 2.0)),
        ("plain look", partial(chosen_looks, calls=1.0, guide=guide, cost=cost)),
        (f"{guide}, all", partial(all_guided, guide=guide, cost=cost, alone=True)),
        (f"plain and {guide}, all", partial(all_guided, guide=guide, cost=cost, alone=False)),
        *(
            (f"{name}, up to {calls}", partial(chosen_looks, calls=calls, guide=guide, cost=cost, names=names))
            for name, names in (("samples", (SAMPLE,)), (guide, (GUIDE,)), ("chosen", (SAMPLE, GUIDE)))
            for calls in (1.5, 2.0)
        ),
    ]
    table = kept.get("table", {})
    print(f"{'':24}{'calls':>8}{'AUROC':>8}{'AP':>8}   (+- one standard error)")
    for name, measure in cases:
        if not name.startswith(options.only):
            continue
        drawn = np.array([measure(seed) for seed in seeds])
        calls, auroc, precision = drawn.mean(axis=0)
        error = drawn[:, 2].std() / np.sqrt(len(seeds))
        print(f"{name:24}{calls:8.2f}{auroc:8.3f}{precision:8.3f} +-{error:.3f}", flush=True)
        figures = {"calls": calls, "auroc": auroc, "average_precision": precision, "standard_error": error}
        table[name] = {"seeds": options.seeds, **{key: round(float(value), 3) for key, value in figures.items()}}
    if options.keep:
        costs = {**kept.get("calls_of_a_guided_look", {}), guide: round(cost, 2)}
        keep("adaptive", {**kept, "calls_of_a_guided_look": costs, "table": table})


if __name__ == "__main__":
    main()
