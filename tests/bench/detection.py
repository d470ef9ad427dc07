"""How well wrong labels are found, beside the baselines: `python -m tests.bench.detection DATA [--seeds N]`.

DATA is a folder with `wildbench_k6_gpt4turbo_gpt4o.jsonl.gz`, `llmbar_pairs_gpt4.jsonl.gz` and
`pandalm_pairs_3annotators.jsonl.gz`. One record in ten gets a wrong label, in as many ways as rows of the table; one judge's
call a completion. Baselines: the paper's uncentred cosine, Pearson's correlation, and the margin under Bradley-Terry (for more
than two completions, the best and the worst).

Calibration error (ECE): mean over the seeds; in brackets what probabilities that are exactly right would show on so few
records, by chance; then that of all seeds together. `--reliability` prints said and observed by tenth, `--noise` the estimated
noise rate at 0 to 20%, `--natural` what people's own
errors and weak judges give, `--guide` what a judge that writes first brings, `--keep` keeps the table in
`tests/bench/results/detection.json` (`guide.json`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats
from argilla_admap.mapping.data_map import build_map
from tests.bench.results import keep
from tests.mapping.plain import load, scored_stream
from tests.mapping.planting import (
    Rows,
    binarise,
    calibration_error,
    calibration_floor,
    draw_completions,
    found,
    join_pairwise,
    one_sample,
    plant,
)


def cases(data: Path) -> dict[str, tuple[Callable[[int], Rows], str]]:
    """What is planted in what."""
    wildbench = load(data / "wildbench_k6_gpt4turbo_gpt4o.jsonl.gz")
    llmbar = load(data / "llmbar_pairs_gpt4.jsonl.gz")
    sets: dict[str, Callable[[int], Rows]] = {
        "WildBench K=6": lambda seed: wildbench,
        "WildBench K=4": lambda seed: draw_completions(wildbench, 4, seed),
        "WildBench K=3": lambda seed: draw_completions(wildbench, 3, seed),
        "WildBench pairs": lambda seed: draw_completions(wildbench, 2, seed, unequal=True),
        "WildBench pairs, 1/0": lambda seed: binarise(draw_completions(wildbench, 2, seed, unequal=True)),
        "WildBench K=12": lambda seed: join_pairwise(wildbench),
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


#: The samples of the LLMBar records, in their order: one judge asked in five ways.
STYLES = ("plain rubric", "own criteria first", "criteria and own answer", "no rules", "own answer first")


def guide_table(data: Path, seeds: int) -> dict[str, Any]:
    """What a guide brings, one call a completion: the published answers of one judge that was asked in five ways."""
    llmbar = load(data / "llmbar_pairs_gpt4.jsonl.gz")
    table: dict[str, Any] = {}
    print(f"{'LLMBar pairs, 10% flipped':32}  AUROC   AP")
    for place, style in enumerate(STYLES):
        rows = one_sample(llmbar, place)
        all_found = []
        for seed in range(seeds):
            planted, bad = plant(rows, "swap", 0.1, seed)
            all_found.append(found(build_map(scored_stream(planted)).frame["p_wrong"].fillna(0.0).to_numpy(), bad))
        auroc, precision = (np.mean([one[key] for one in all_found]) for key in ("auroc", "average_precision"))
        print(f"{style:32}{auroc:7.3f}  {precision:.3f}", flush=True)
        table[style] = {"auroc": round(float(auroc), 3), "average_precision": round(float(precision), 3)}
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--noise", action="store_true", help="the estimated noise rate at 0 to 20% instead")
    parser.add_argument("--natural", action="store_true", help="people's own errors, and weak judges, instead")
    parser.add_argument("--reliability", action="store_true", help="said and observed by tenth too")
    parser.add_argument("--keep", action="store_true", help="keep the table in tests/bench/results/detection.json")
    parser.add_argument("--guide", action="store_true", help="one recorded judge, asked in five ways, instead")
    options = parser.parse_args()
    if options.guide:
        styles = guide_table(options.data, options.seeds)
        if options.keep:
            keep("guide", {"seeds": options.seeds, "planted": 0.1, "table": styles})
        return
    if options.natural:
        natural_table(options.data, options.seeds)
        return
    chosen = {name: case for name, case in cases(options.data).items() if options.only in name}
    if options.noise:
        noise_table(chosen, options.seeds)
        return
    print(f"{'':32}{'cosine':>11}{'Pearson':>11}{'margin':>11}   P(wrong): AUROC   AP    P@k   ECE   (floor) pooled  noise")
    table: dict[str, Any] = {}
    for name, (make, kind) in chosen.items():
        start = time.perf_counter()
        base: dict[str, list[Any]] = {}
        ours, noise, everything = [], [], []
        for seed in range(options.seeds):
            rows, bad = plant(make(seed), kind, 0.1, seed)
            for method, suspicion in baselines(rows).items():
                base.setdefault(method, []).append(found(suspicion, bad))
            data_map = build_map(scored_stream(rows))
            p = data_map.frame["p_wrong"].fillna(0.0).to_numpy()
            ours.append({**found(p, bad), "ece": calibration_error(p, bad), "floor": calibration_floor(p)})
            noise.append(data_map.summary["noise_rate"] or 0.0)
            everything.append((p, bad))
        mean = {key: float(np.mean([o[key] for o in ours])) for key in ours[0]}
        said, so = np.concatenate([p for p, _ in everything]), np.concatenate([bad for _, bad in everything])
        cells = "".join(
            f"{np.mean([m['auroc'] for m in base[b]]):7.3f}/{np.mean([m['average_precision'] for m in base[b]]):.2f}"[
                -11:
            ].rjust(11)
            for b in base
        )
        print(
            f"{name:32}{cells}   {mean['auroc']:15.3f}  {mean['average_precision']:.3f}  {mean['precision_at_k']:.3f}"
            f"  {mean['ece']:.3f}  ({mean['floor']:.3f})  {calibration_error(said, so):.3f}  {np.mean(noise):.3f}"
            f"  {time.perf_counter() - start:6.1f} s",
            flush=True,
        )
        auroc = {method: float(np.mean([one["auroc"] for one in found_by])) for method, found_by in base.items()}
        row = {**mean, "ece_pooled": calibration_error(said, so), "noise_rate": float(np.mean(noise))}
        row |= {f"auroc_{method.lower()}": value for method, value in auroc.items()}
        table[name] = {key: round(value, 3) for key, value in row.items()}
        if options.reliability:
            print(reliability(said, so), flush=True)
    if options.keep:
        keep("detection", {"seeds": options.seeds, "planted": 0.1, "table": table})


def reliability(p: Floats, bad: Bools) -> str:
    """Mean of what was said, share that was so and share of the records, by tenth of what was said."""
    tenth = np.minimum((p * 10).astype(int), 9)
    cells = [
        f"{p[tenth == t].mean():.2f}:{bad[tenth == t].mean():.2f} ({(tenth == t).mean():.1%})"
        for t in range(10)
        if (tenth == t).any()
    ]
    return "    said:observed  " + "  ".join(cells)


def natural_table(data: Path, seeds: int) -> None:
    """Labels of one of three people, against the other two where those agree; and judges that know little or nothing."""
    rows = load(data / "pandalm_pairs_3annotators.jsonl.gz")
    for person in range(3):
        kept, wrong = [], []
        for row in rows:
            own, others = row["votes"][person], [v for i, v in enumerate(row["votes"]) if i != person]
            if own in (1, 2):
                completions = [{**c, "rating": float(own == i + 1)} for i, c in enumerate(row["completions"])]
                kept.append({**row, "completions": completions})
                wrong.append(others[0] == others[1] == 3 - own)
        data_map = build_map(scored_stream(kept))
        p, bad = data_map.frame["p_wrong"].to_numpy(), np.array(wrong)
        quality = found(p, bad)
        print(
            f"person {person} of PandaLM, by the two others {bad.mean():.1%} wrong; said {data_map.summary['noise_rate']:.1%};"
            f" AUROC {quality['auroc']:.3f}, AP {quality['average_precision']:.3f}, ECE {calibration_error(p, bad):.3f}"
        )
        print(reliability(p, bad))
    wildbench = load(data / "wildbench_k6_gpt4turbo_gpt4o.jsonl.gz")
    for noise in (0.0, 2.0, 4.0, 8.0, 16.0, np.inf):
        for k in (2, 4):
            for seed in range(min(seeds, 2)):
                rows, bad = plant(draw_completions(wildbench, k, seed, unequal=True), "swap", 0.1, seed)
                rng = np.random.default_rng(seed)
                for row in rows:
                    for c in row["completions"]:
                        error = rng.normal(0, noise) if np.isfinite(noise) else 1e6 * rng.normal()
                        c["scores"] = [None if v is None else v + error for v in c["scores"]]
                data_map = build_map(scored_stream(rows))
                said = data_map.summary["refusal"] or "; ".join(data_map.summary["warnings"]) or "nothing said"
                p = data_map.frame["p_wrong"].fillna(0.0).to_numpy()
                print(
                    f"judge with noise of {noise:4.0f} points, K={k}: AUROC {found(p, bad)['auroc']:.3f}, ECE"
                    f" {calibration_error(p, bad):.3f}, noise rate {data_map.summary['noise_rate'] or np.nan:.3f}: {said}",
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
