"""How well wrong labels are found for the calls spent: the same samples for all, against more where a label is undecided.

`python -m tests.bench.adaptive` replays recorded judge samples (201 pairs of LLMBar, five scores of GPT-4 each, labels
flipped at random) in a random order and prints AUROC and average precision by calls a completion.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable
from functools import partial
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.metrics import average_precision_score, roc_auc_score

from argilla_admap.adaptive import next_round
from argilla_admap.mapping.data_map import build_map
from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.tables import RecordStream

Floats = np.ndarray[Any, np.dtype[np.float64]]


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

    def stream(self) -> RecordStream:
        """What a scorer would have given with the samples taken so far."""
        columns: dict[str, list[Any]] = {name: [] for name in SCORED_SCHEMA.names}
        for row, flip, order, count in zip(self.rows, self.flipped, self.order, self.counts, strict=True):
            taken = [[c["scores"][i] for i in order[:count]] for c in row["completions"]]
            ratings = [c["rating"] for c in row["completions"]]
            values: dict[str, Any] = {
                "id": row["id"],
                "prompt": row["prompt"],
                "completions": [c["text"] for c in row["completions"]],
                "ratings": ratings[::-1] if flip else ratings,
                "samples": taken,
                "scores": [float(np.mean(t)) for t in taken],
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
        for position, record in enumerate(ids):
            if record in plan:
                replay.counts[position] = plan[record][0]
        left -= 2 * len(plan)
    return replay.quality()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=24)
    seeds = range(parser.parse_args().seeds)
    cases: list[tuple[str, Callable[[int], tuple[float, float, float]]]] = [
        *((f"uniform {samples}", partial(uniform, samples=samples)) for samples in (1, 2, 3, 4)),
        *((f"adaptive, up to {calls}", partial(adaptive, calls=calls)) for calls in (1.5, 2.0)),
    ]
    print(f"{'':24}{'calls':>8}{'AUROC':>8}{'AP':>8}   (+- one standard error)")
    for name, measure in cases:
        found = np.array([measure(seed) for seed in seeds])
        calls, auroc, precision = found.mean(axis=0)
        error = found[:, 2].std() / np.sqrt(len(seeds))
        print(f"{name:24}{calls:8.2f}{auroc:8.3f}{precision:8.3f} +-{error:.3f}", flush=True)


if __name__ == "__main__":
    main()
