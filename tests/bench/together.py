"""What one call a record costs in certainty: AUROC, ties and position bias, beside one call a completion.

`python -m tests.bench.together DATA [--keep]`. DATA is a folder with `llmbar_pairs_gpt4.jsonl.gz`, which holds for each pair
the scores that GPT-4 and ChatGPT gave to each completion alone, and the verdicts that they gave when they saw both in one
call, in either order. `--real N` asks a real small model (llama.cpp) for N of the pairs instead, alone and together; its
grades are near chance, so that it shows the bias and the tokens, and not what a strong judge loses. `--keep` keeps them in
`tests/bench/results/together.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from argilla_admap.mapping.data.arrays import Floats
from argilla_admap.mapping.data_map import build_map
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.questions.together import shown_order
from argilla_admap.scoring.run import estimate, score
from tests.bench.results import FOLDER, keep
from tests.doubles.llama_server import running
from tests.mapping.plain import load, scored_stream
from tests.mapping.planting import Rows, found, plant
from tests.scoring.small_data import record, stream

#: What the data call the judges: the verdicts, and the place of the scores that each one gave alone.
JUDGES = {"GPT-4": ("GPT-4/Vanilla", "scores"), "ChatGPT": ("ChatGPT/Vanilla", "scores_gpt35")}


def _graded(rows: Rows, grades: Floats) -> Rows:
    """The rows with one grade a completion, shape (n, 2)."""
    return [
        {**row, "completions": [{**c, "scores": [float(g)]} for c, g in zip(row["completions"], own, strict=True)]}
        for row, own in zip(rows, grades, strict=True)
    ]


def _measures(rows: Rows, grades: Floats, seeds: int) -> dict[str, float]:
    """How well planted errors are found by these grades, and how often they tie or are right."""
    right = np.array([row["completions"][0]["rating"] > row["completions"][1]["rating"] for row in rows])
    better = grades[:, 0] - grades[:, 1]
    quality = []
    for seed in range(seeds):
        planted, bad = plant(_graded(rows, grades), "swap", 0.1, seed)
        quality.append(found(build_map(scored_stream(planted)).frame["p_wrong"].fillna(0.0).to_numpy(), bad))
    return {
        "auroc": round(float(np.mean([one["auroc"] for one in quality])), 3),
        "average_precision": round(float(np.mean([one["average_precision"] for one in quality])), 3),
        "right": round(float(np.mean(np.where(better == 0, 0.5, (better > 0) == right))), 3),
        "ties": round(float(np.mean(better == 0)), 3),
    }


def recorded(data: Path, seeds: int) -> dict[str, Any]:
    """Two published judges on the same pairs: each completion alone, both in one call, and both orders of that."""
    table: dict[str, Any] = {}
    every = load(data / "llmbar_pairs_gpt4.jsonl.gz")
    for judge, (verdicts, alone) in JUDGES.items():
        rows = [
            row
            for row in every
            if set(row["verdicts"][verdicts]) <= {"1", "2"}
            and all((c[alone] or [None])[0] is not None for c in row["completions"])
        ]
        grades = np.array([[c[alone][0] for c in row["completions"]] for row in rows])
        orders = np.array([[[said == "1", said == "2"] for said in row["verdicts"][verdicts]] for row in rows], float)
        table[f"{judge}, alone"] = _measures(rows, grades, seeds)
        table[f"{judge}, together, one order"] = _measures(rows, orders[:, 0], seeds)
        table[f"{judge}, together, both orders"] = _measures(rows, orders.mean(axis=1), seeds)
        flipped = orders[:, 0, 0] != orders[:, 1, 0]
        # In the first order the first completion is shown first: of those that flip, how often the one shown first wins.
        table[f"{judge}, position"] = {
            "pairs": len(rows),
            "verdict_depends_on_the_order": round(float(flipped.mean()), 3),
            "of_these_the_first_shown_wins": round(float(orders[flipped, 0, 0].mean()), 3),
        }
    return table


def real(data: Path, pairs: int) -> dict[str, Any]:
    """The small model of the tests: token probabilities alone, together, and in both orders."""
    rows = sorted(
        load(data / "llmbar_pairs_gpt4.jsonl.gz"), key=lambda row: len(json.dumps(row["completions"])) + len(row["prompt"])
    )
    rows = rows[:pairs]
    asked = [record(row["id"], row["prompt"], [c["text"] for c in row["completions"]]) for row in rows]
    table: dict[str, Any] = {}
    for name, kind, more in (
        ("alone", "chat", {}),
        ("together, one order", "together", {"together": True}),
        ("together, both orders", "together", {"together": True, "samples": 2}),
    ):
        with tempfile.TemporaryDirectory() as folder, running(Path(folder), kind) as url:
            options = ScoreOptions(
                models=("gemma",), base_url=url, store=Path(folder, "s"), timeout=600, method="logprobs", **more
            )
            scored = score(stream(asked), options)
        given = scored.table()
        grades = np.array([[np.nan if s is None else s for s in own] for own in given.column("scores").to_pylist()])
        known = np.isfinite(grades).all(axis=1)
        kept = [row for row, one in zip(rows, known, strict=True) if one]
        facts = scored.info["score"]["judges"][0]
        table[name] = {
            "pairs": len(kept),
            **_measures(kept, grades[known], 5),
            **_by_place(rows, given.column("samples").to_pylist(), together=kind == "together"),
            "graded_apart": facts["graded_apart"],
            "requests": scored.summary["requests"],
            "input_tokens": scored.summary["input_tokens"],
            "output_tokens": scored.summary["output_tokens"],
        }
    return table


def _by_place(rows: Rows, samples: list[Any], *, together: bool) -> dict[str, float]:
    """How much higher, in points, the completion that a question shows first is graded; of pairs graded in one call."""
    gaps: list[float] = []
    for row, given in zip(rows, samples, strict=True):
        texts = [c["text"] for c in row["completions"]]
        for sample, pair in enumerate(zip(*(own or () for own in given), strict=False)):
            first = texts.index(shown_order(row["prompt"], texts, sample)[0])
            gaps.append(pair[first] - pair[1 - first])
    if not together or not gaps:
        return {}
    shown_first = np.array(gaps)
    return {
        "first_shown_is_graded_higher_by": round(float(shown_first.mean()), 3),
        "first_shown_wins": round(float(np.mean(np.where(shown_first == 0, 0.5, shown_first > 0))), 3),
    }


def price(data: Path) -> dict[str, Any]:
    """What gpt-4o would cost, by the estimate: records of 2 to `k` completions, as a share of one call a completion."""
    table = {}
    for file, k in (("llmbar_pairs_gpt4", 8), ("prometheus_k4_gpt4_3samples", 4), ("wildbench_k6_gpt4turbo_gpt4o", 6)):
        rows = load(data / f"{file}.jsonl.gz")[:200]
        own = len(rows[0]["completions"])
        shares = {}
        for count in range(2, k + 1, own if k > own else 1):
            # Of a file of pairs, records of more completions are made of the answers to several prompts: their lengths count.
            some = [rows[i : i + max(1, count // own)] for i in range(0, len(rows), max(1, count // own))]
            asked = [
                record(group[0]["id"], group[0]["prompt"], [c["text"] for row in group for c in row["completions"]][:count])
                for group in some
            ]
            with tempfile.TemporaryDirectory() as folder:
                ways = [
                    estimate(stream(asked), ScoreOptions(models=("gpt-4o",), store=Path(folder, "s"), together=together))[
                        "cost_usd"
                    ]
                    for together in (False, True)
                ]
            shares[str(count)] = round(ways[1] / ways[0], 3)
        table[file] = {"share_of_the_price_by_completions": shares}
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--real", type=int, metavar="N", help="ask the small model for N pairs instead")
    parser.add_argument("--keep", action="store_true", help="keep the figures in tests/bench/results/together.json")
    options = parser.parse_args()
    kept = json.loads((FOLDER / "together.json").read_text())["figures"] if (FOLDER / "together.json").exists() else {}
    if options.real:
        figures = {"small model": real(options.data, options.real)}
    else:
        figures = {"recorded": recorded(options.data, options.seeds), "price": price(options.data)}
    print(json.dumps(figures, indent=1))
    if options.keep:
        keep("together", {**kept, **figures})


if __name__ == "__main__":
    main()
