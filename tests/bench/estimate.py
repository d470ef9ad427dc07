"""Whether the interval of `admap status` holds the truth: `python -m tests.bench.estimate DATA [--only WORDS] [--seeds N]`.

DATA as for `tests.bench.detection`. Ten data sets with 2, 5, 10 and 20% planted errors, reviewers who are right 85, 95 and 100%
of the time (a wrong one answers the opposite), and three moments: the random sample alone is read; the likeliest tenth too; the
likeliest 30% too. `--read 0.6` reads so much of the random sample only, in its order.

Columns: share of the runs in which the 95% interval holds the number of wrong labels (of all, and of the unread), the median
ratio of the width that the same sample has without P(wrong) to ours, and the mean error of the estimate in labels. Without
P(wrong) is Wilson's interval of the share of corrections, corrected for the reviewers' true accuracy, which it is told.

Nine runs, of three reviewers at three moments, share one random sample, and miss together: a set with one seed has four
samples, and its coverage says little. The standard error of the whole is that of the mean over samples.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from argilla_admap.mapping.analysis.errors_left import estimate_errors, random_part
from argilla_admap.mapping.data_map import build_map
from tests.bench.detection import cases
from tests.bench.results import keep
from tests.mapping.plain import load, scored_stream
from tests.mapping.planting import one_sample, plant

_NOISE = (0.02, 0.05, 0.1, 0.2)
_RIGHT = (0.85, 0.95, 1.0)
_READ_FIRST = (0.0, 0.1, 0.3)
_SETS = (
    "WildBench K=6, swap",
    "WildBench K=6, permutation",
    "WildBench K=4, swap",
    "WildBench K=4, permutation",
    "WildBench K=3, flip",
    "WildBench pairs, flip",
    "WildBench pairs, 1/0, flip",
    "LLMBar pairs, flip",
    "LLMBar pairs, 5 calls, flip",
)


def wilson(share: float, n: int) -> float:
    """Width of Wilson's 95% interval of a share (1927)."""
    z = 1.96
    return float(2 * z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))


def runs(name: str, rows: Any, kind: str, noise: float, seed: int, sample: int, read: float) -> list[dict[str, Any]]:
    """One line a reviewer and moment."""
    planted, wrong = plant(rows, kind, noise, seed)
    frame = build_map(scored_stream(planted)).frame
    p, n = frame["p_wrong"].to_numpy(float), len(frame)
    group = np.unique([" ".join(sorted(flags)) for flags in frame["flags"]], return_inverse=True)[1].astype(np.int64)
    rng = np.random.default_rng([seed, round(noise * 100)])
    number = rng.random(n)
    place = np.argsort(np.argsort(number))
    number[place >= sample] = np.nan
    rank = np.argsort(np.argsort(-np.nan_to_num(p)))
    lines = []
    for right in _RIGHT:
        for first in _READ_FIRST:
            done = (place < sample * read) | (rank < first * n)
            says = wrong ^ (rng.random(n) > right)
            member, weight = random_part(number, done, group, p)
            found = estimate_errors(p, (says & done).astype(np.int64), done.astype(np.int64), member, weight)
            if found.total.value is None or found.left.value is None:
                continue
            alone = place < sample * read
            usual = n * wilson(says[alone].mean(), alone.sum()) / (2 * right - 1)
            lines.append(
                {
                    "set": name,
                    "noise": noise,
                    "seed": seed,
                    "right": right,
                    "first": first,
                    "covers": found.total.low <= wrong.sum() <= found.total.high,
                    "covers_left": found.left.low <= (wrong & ~done).sum() <= found.left.high,
                    "ratio": usual / (found.total.high - found.total.low + 1e-9),
                    "error": found.total.value - wrong.sum(),
                }
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--read", type=float, default=1.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", action="store_true", help="keep the table in tests/bench/results/estimate.json")
    options = parser.parse_args()
    known = cases(options.data)
    pandalm = one_sample(load(options.data / "pandalm_pairs_3annotators.jsonl.gz"), 0)
    unequal = [row for row in pandalm if len({c["rating"] for c in row["completions"]}) > 1]
    table = {name: known[name] for name in _SETS} | {"PandaLM, flip": (lambda seed: unequal, "swap")}
    lines = [
        line
        for name, (make, kind) in table.items()
        if options.only in name
        for noise in _NOISE
        for seed in range(options.seeds)
        for line in runs(name, make(seed), kind, noise, seed, options.sample, options.read)
    ]
    frame = pd.DataFrame(lines)
    how = {"covers": "mean", "covers_left": "mean", "ratio": "median", "error": "mean"}
    parts = {column: frame.groupby(column).agg(how).round(3) for column in ("set", "noise", "right", "first")}
    for part in parts.values():
        print(part.to_string(), end="\n\n")
    total = {str(name): float(value) for name, value in frame.agg(how).round(3).items()}
    samples = frame.groupby(["set", "noise", "seed"])["covers"].mean()
    total |= {"covers_error": round(float(samples.std() / np.sqrt(len(samples))), 3)}
    print(f"all {len(frame)} runs, {len(samples)} random samples: {total}")
    if options.keep:
        tables = {column: {str(name): row.to_dict() for name, row in part.iterrows()} for column, part in parts.items()}
        counts = {"seeds": options.seeds, "runs": len(frame), "samples": len(samples)}
        keep("estimate", {**counts, "all": total, **tables})


if __name__ == "__main__":
    main()
