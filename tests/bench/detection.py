"""How well wrong labels are found, beside the baselines: `python -m tests.bench.detection DATA [--seeds N] [--noise]`.

DATA is a folder with `wildbench_k6_gpt4turbo_gpt4o.jsonl.gz` and `llmbar_pairs_gpt4.jsonl.gz`. One record in ten gets a wrong
label, in as many ways as rows of the table; one judge's call a completion. Baselines: the paper's uncentred cosine, Pearson's
correlation, and the margin under Bradley-Terry (for more than two completions, the best and the worst).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from argilla_admap.mapping.arrays import Floats
from argilla_admap.mapping.data_map import build_map
from tests.mapping.plain import load, scored_stream
from tests.mapping.planting import Rows, calibration_error, draw_completions, found, one_sample, plant


def cases(data: Path) -> dict[str, tuple[Callable[[int], Rows], str]]:
    """What is planted in what."""
    wildbench = load(data / "wildbench_k6_gpt4turbo_gpt4o.jsonl.gz")
    llmbar = load(data / "llmbar_pairs_gpt4.jsonl.gz")
    sets: dict[str, Callable[[int], Rows]] = {
        "WildBench K=6": lambda seed: wildbench,
        "WildBench K=4": lambda seed: draw_completions(wildbench, 4, seed),
        "WildBench K=3": lambda seed: draw_completions(wildbench, 3, seed),
        "WildBench pairs": lambda seed: draw_completions(wildbench, 2, seed, unequal=True),
        "LLMBar pairs": lambda seed: one_sample(llmbar, seed % 5),
        "LLMBar pairs, 5 calls": lambda seed: llmbar,
    }
    kinds = ("swap", "permutation", "x10", "1-to-10")
    table = {f"{name}, {kind}": (sets[name], kind) for name in list(sets)[:2] for kind in kinds}
    return table | {f"{name}, flip": (sets[name], "swap") for name in list(sets)[2:]}


def baselines(rows: Rows) -> dict[str, Floats]:
    """Suspicion by each baseline, shape (n,)."""
    cosine, pearson, margin = (np.zeros(len(rows)) for _ in range(3))
    for i, row in enumerate(rows):
        r = np.array([np.nan if c["rating"] is None else c["rating"] for c in row["completions"]], float)
        s = np.array([np.mean([v for v in c["scores"] if v is not None] or [np.nan]) for c in row["completions"]], float)
        both = np.isfinite(r) & np.isfinite(s)
        r, s = r[both], s[both]
        if len(r) < 2 or np.ptp(r) == 0:
            continue
        cosine[i] = -(r @ s) / (np.linalg.norm(r) * np.linalg.norm(s) or 1)
        cr, cs = r - r.mean(), s - s.mean()
        pearson[i] = -(cr @ cs) / (np.linalg.norm(cr) * np.linalg.norm(cs) or 1)
        margin[i] = s[r == r.min()].mean() - s[r == r.max()].mean()
    return {"cosine": cosine, "Pearson": pearson, "margin": margin}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--noise", action="store_true", help="the estimated noise rate at 0 to 20% instead")
    options = parser.parse_args()
    chosen = {name: case for name, case in cases(options.data).items() if options.only in name}
    if options.noise:
        noise_table(chosen, options.seeds)
        return
    print(f"{'':32}{'cosine':>11}{'Pearson':>11}{'margin':>11}   {'P(wrong): AUROC   AP    P@k   ECE  (pooled)  noise':50}")
    for name, (make, kind) in chosen.items():
        start = time.perf_counter()
        ours, base, noise, everything = [], {}, [], []
        for seed in range(options.seeds):
            rows, bad = plant(make(seed), kind, 0.1, seed)
            for method, suspicion in baselines(rows).items():
                base.setdefault(method, []).append(found(suspicion, bad))
            data_map = build_map(scored_stream(rows))
            p = data_map.frame["p_wrong"].fillna(0.0).to_numpy()
            ours.append({**found(p, bad), "ece": calibration_error(p, bad)})
            noise.append(data_map.summary["noise_rate"] or 0.0)
            everything.append((p, bad))
        mean = {key: float(np.mean([o[key] for o in ours])) for key in ours[0]}
        pooled = calibration_error(*(np.concatenate(part) for part in zip(*everything, strict=True)))
        cells = "".join(
            f"{np.mean([m['auroc'] for m in base[b]]):7.3f}/{np.mean([m['average_precision'] for m in base[b]]):.2f}"[
                -11:
            ].rjust(11)
            for b in base
        )
        print(
            f"{name:32}{cells}   {mean['auroc']:15.3f}  {mean['average_precision']:.3f}  {mean['precision_at_k']:.3f}"
            f"  {mean['ece']:.3f}  ({pooled:.3f})  {np.mean(noise):.3f}  {time.perf_counter() - start:6.1f} s",
            flush=True,
        )


def noise_table(chosen: dict[str, tuple[Callable[[int], Rows], str]], seeds: int) -> None:
    rates = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
    print(f"{'planted':32}" + "".join(f"{rate:>22.0%}" for rate in rates))
    for name, (make, kind) in chosen.items():
        cells = []
        for rate in rates:
            said = []
            for seed in range(seeds):
                rows, _ = plant(make(seed), kind, rate, seed)
                said.append(build_map(scored_stream(rows)).summary["noise_rate"] or 0.0)
            cells.append(f"{np.mean(said):.3f} ({min(said):.3f}-{max(said):.3f})")
        print(f"{name:32}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
