"""`admap map --regions-only` beside DuckDB and Polars, for the same columns in the same run: `python -m tests.bench.regions`.

DuckDB and Polars are installed into environments of their own in the user's cache folder; one that cannot be is left out, in
words. Reading, arithmetic and writing count; imports do not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from platformdirs import user_cache_path

from argilla_admap.records import SCORED_SCHEMA
from argilla_admap.tables import write_parquet
from tests.bench.mapping_speed import synthetic
from tests.bench.peers import CLIENTS, peer_python

ENGINES = ("duckdb", "polars")


def compare(records: int = 1_000_000, rounds: int = 5) -> dict[str, Any]:
    """Median seconds of each engine, and ours over the faster of the others, round by round and in the median."""
    cache = user_cache_path("argilla-admap") / "bench-peers"
    cache.mkdir(parents=True, exist_ok=True)
    found = {name: peer_python(name, cache, [name]) for name in ENGINES}
    pythons = {"ours": Path(sys.executable), **{name: python for name, python in found.items() if python is not None}}
    seconds: dict[str, list[float]] = {name: [] for name in pythons}
    with tempfile.TemporaryDirectory() as folder:
        scored = Path(folder) / "scored.parquet"
        write_parquet(scored, synthetic(records, 4, 40), SCORED_SCHEMA)
        for _ in range(rounds):
            for name, python in pythons.items():
                command: list[Any] = [python, CLIENTS / "regions_client.py", name, scored, Path(folder) / f"{name}.parquet"]
                environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])} if name == "ours" else None
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                seconds[name].append(json.loads(done.stdout)["seconds"])
    others = [times for name, times in seconds.items() if name != "ours"]
    ratios = [own / min(theirs) for own, *theirs in zip(seconds["ours"], *others, strict=True)] if others else []
    return {
        "records": records,
        "completions": 4,
        "seconds": {name: round(median(times), 2) for name, times in seconds.items()},
        "times_the_faster": round(median(ratios), 2) if ratios else None,
        "rounds": [round(ratio, 2) for ratio in ratios],
    }


if __name__ == "__main__":
    print(json.dumps(compare(*[int(word) for word in sys.argv[1:]]), indent=1))
