"""Records a minute of `build_map` and `write`, texts and all: `python -m tests.bench.mapping_speed [RECORDS] [K] [--keep]`.

`--keep` keeps the figures in `tests/bench/results/mapping_speed.json`.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from argilla_admap.mapping.data_map import build_map
from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.tables import RecordStream, read_stream, write_parquet
from tests.bench.results import keep

ROWS = 1024
CHARACTERS = 1000


def synthetic(records: int, k: int) -> RecordStream:
    """Scored records of random words, labels that follow the scores with noise, one in ten of them wrong."""
    rng = np.random.default_rng(0)
    vocabulary = np.array(["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 9))) for _ in range(5000)])
    vocabulary[:40] = "the"
    pool = [" ".join(rng.choice(vocabulary, CHARACTERS // 6)) + "." for _ in range(4096)]

    def batches() -> Iterator[pa.RecordBatch]:
        own = np.random.default_rng(1)
        for start in range(0, records, ROWS):
            n = min(ROWS, records - start)
            quality = own.normal(size=(n, k))
            scores = np.clip(np.round(5 + 2 * (quality + 0.5 * own.normal(size=(n, k)))), 1, 10)
            ratings = np.clip(np.round(5 + 2 * (quality + 0.3 * own.normal(size=(n, k)))), 1, 10)
            wrong = own.random(n) < 0.1
            ratings[wrong] = ratings[wrong][:, ::-1]
            columns = {
                "id": [f"r{start + i}" for i in range(n)],
                "prompt": [f"{start + i} {pool[own.integers(len(pool))][:200]}" for i in range(n)],
                "completions": [
                    [f"{own.integers(1 << 30)} {pool[own.integers(len(pool))]}" for _ in range(k)] for _ in range(n)
                ],
                "models": [[f"m{m}" for m in own.integers(17, size=k)] for _ in range(n)],
                "ratings": list(ratings),
                "source": [f"s{i % 6}" for i in range(n)],
                "scores": list(scores),
                "score_counts": [[1] * k] * n,
            }
            arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(n, f.type) for f in SCORED_SCHEMA]
            yield pa.RecordBatch.from_arrays(arrays, schema=SCORED_SCHEMA)

    return RecordStream(batches, SCORED_SCHEMA)


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    records, k = (*numbers, *(200_000, 2)[len(numbers) :])
    with tempfile.TemporaryDirectory() as folder:
        scored = Path(folder) / "scored.parquet"
        stream = synthetic(records, k)
        write_parquet(scored, stream.batches(), stream.schema)
        start, cpu = time.perf_counter(), time.process_time()
        data_map = build_map(read_stream(scored))
        built, built_cpu = time.perf_counter() - start, time.process_time() - cpu
        data_map.write(Path(folder) / "map.parquet")
        wall, used = time.perf_counter() - start, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{records:,} records of {k} texts of {CHARACTERS} characters: build {built:.1f} s ({built_cpu:.1f} s of CPU), "
            f"with write {wall:.1f} s ({used:.1f} s of CPU); {records / wall * 60:,.0f} records a minute by the clock, "
            f"{records / used * 120:,.0f} by two cores' CPU; peak memory {peak:,.0f} MB"
        )
        if "--keep" in sys.argv:
            figures: dict[str, float] = {
                "records": records,
                "completions": k,
                "characters": CHARACTERS,
                "peak_memory_mb": round(peak),
            }
            figures |= {"build_seconds": round(built, 1), "build_cpu_seconds": round(built_cpu, 1)}
            figures |= {"with_write_seconds": round(wall, 1), "with_write_cpu_seconds": round(used, 1)}
            keep("mapping_speed", figures)


if __name__ == "__main__":
    main()
