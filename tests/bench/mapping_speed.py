"""Seconds and memory of `admap map`, file to file: `python -m tests.bench.mapping_speed [RECORDS] [K] [CHARACTERS]`.

The map runs in a process of its own, whose peak memory is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.tables import write_parquet

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
    """Wall and CPU seconds and peak memory, in megabytes, of a program."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {said.decode()[-2000:]}")
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_mb": round(used.ru_maxrss / 1024),
    }


def mapped(records: int, k: int = 4, characters: int = 120) -> dict[str, float]:
    """`admap map` of so many records."""
    with tempfile.TemporaryDirectory() as folder:
        scored = Path(folder) / "scored.parquet"
        write_parquet(scored, synthetic(records, k, characters), SCORED_SCHEMA)
        command = [sys.executable, "-m", "argilla_admap", "map", str(scored), "-o", str(Path(folder) / "map.parquet")]
        return {"records": records, "completions": k, "characters": characters, **measure(command)}


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    got = mapped(*(numbers or [200_000]))
    print(
        f"{got['records']:,} records of {got['completions']} texts of {got['characters']} characters: {got['seconds']} s, "
        f"{got['cpu_seconds']} s of CPU, peak memory {got['peak_memory_mb']:,} MB"
    )


if __name__ == "__main__":
    main()
