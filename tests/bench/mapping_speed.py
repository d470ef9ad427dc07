"""Seconds and memory of `admap map`, file to file: `python -m tests.bench.mapping_speed --rows 10000 100000 1000000 10000000`.

The map runs in a process of its own. With `--keep` the README's table is of these figures (`python -m tests.bench --table`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.tables import write_parquet
from tests.bench.results import keep, kept

ROWS = 16_384
POOL = 8192


def synthetic(records: int, k: int, characters: int) -> Iterator[pa.RecordBatch]:
    """Scored records of random words, labels that follow the scores with noise, one in ten of them wrong."""
    rng = np.random.default_rng(0)
    whole: Any = pa.int64()
    vocabulary = np.array(["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9))) for _ in range(3000)])
    vocabulary[:40] = "the"
    pool = pa.array([" ".join(rng.choice(vocabulary, max(2, characters // 6))) + "." for _ in range(POOL)])
    names = pa.array([f"m{i}" for i in range(17)])

    def numbered(numbers: Any, texts: Any) -> Any:
        return pc.binary_join_element_wise(pa.array(numbers).cast(pa.string()), texts, " ")

    for start in range(0, records, ROWS):
        n = min(ROWS, records - start)
        quality = rng.normal(size=(n, k))
        scores = np.clip(np.round(5 + 2 * (quality + 0.5 * rng.normal(size=(n, k)))), 1, 10)
        ratings = np.clip(np.round(5 + 2 * (quality + 0.3 * rng.normal(size=(n, k)))), 1, 10)
        wrong = rng.random(n) < 0.1
        ratings[wrong] = ratings[wrong][:, ::-1]
        ends = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32))
        texts = numbered(rng.integers(1 << 30, size=n * k), pool.take(pa.array(rng.integers(POOL, size=n * k), whole)))
        lists: dict[str, Any] = {
            "completions": texts,
            "models": names.take(pa.array(rng.integers(17, size=n * k), whole)),
            "ratings": pa.array(ratings.ravel()),
            "scores": pa.array(scores.ravel()),
            "score_counts": pa.array(np.ones(n * k, np.int32)),
        }
        columns: dict[str, Any] = {name: pa.ListArray.from_arrays(ends, values) for name, values in lists.items()}
        rows = np.arange(start, start + n)
        columns["id"] = pa.array(rows).cast(pa.string())
        columns["prompt"] = numbered(rows, pc.utf8_slice_codeunits(pool.take(pa.array(rows % POOL, whole)), 0, 200))
        columns["source"] = pa.array([f"s{i % 6}" for i in range(n)])
        columns["judges"] = pa.array(["judge"] * n)
        yield pa.RecordBatch.from_arrays(
            [columns[f.name].cast(f.type) if f.name in columns else pa.nulls(n, f.type) for f in SCORED_SCHEMA],
            schema=SCORED_SCHEMA,
        )


def measure(command: list[str]) -> dict[str, float]:
    """Wall and CPU seconds of a program, its peak memory in megabytes, and the machine's load at its end.

    Memory is the sum over the program and those that it starts, what they share counted once (PSS), looked at ten times a
    second; or the peak that the system kept of the program alone, where that is more.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as process:
        watched, peak = psutil.Process(process.pid), 0
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            peak = max(peak, held(watched))
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        said.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: {said.read().decode()[-2000:]}")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(ended[2].ru_utime + ended[2].ru_stime, 1),
        "peak_memory_mb": round(max(peak / 2**20, ended[2].ru_maxrss / 1024)),
        "load": round(os.getloadavg()[0], 1),
    }


def held(process: psutil.Process) -> int:
    """Bytes that a process and those below it hold; 0 once it has ended."""
    with suppress(psutil.Error):
        return sum(one.memory_full_info().pss for one in (process, *process.children(recursive=True)))
    return 0


def mapped(records: int, k: int = 4, characters: int = 120) -> dict[str, float]:
    """`admap map` of so many records."""
    with tempfile.TemporaryDirectory() as folder:
        scored = Path(folder) / "scored.parquet"
        write_parquet(scored, synthetic(records, k, characters), SCORED_SCHEMA)
        command = [sys.executable, "-m", "argilla_admap", "map", str(scored), "-o", str(Path(folder) / "map.parquet")]
        return {"records": records, "completions": k, "characters": characters, **measure(command)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="records, one run for each")
    parser.add_argument("--completions", type=int, default=4)
    parser.add_argument("--characters", type=int, default=120, help="of a completion")
    parser.add_argument("--keep", action="store_true", help="in results/overview.json, in the place of the map's figures there")
    options = parser.parse_args()
    found = []
    for records in options.rows:
        found.append(mapped(records, options.completions, options.characters))
        got = found[-1]
        each = f"{1e6 * got['cpu_seconds'] / records:.1f} µs a record"
        print(
            f"{records:>12,} records: {got['seconds']:>7.1f} s, {got['cpu_seconds']:>6.1f} s of CPU ({each}), "
            f"peak memory {got['peak_memory_mb']:,} MB, load {got['load']}",
            flush=True,
        )
    if options.keep:
        keep("overview", {**kept("overview"), "map": found})


if __name__ == "__main__":
    main()
