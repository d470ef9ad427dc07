"""The judgement store as it grows: `python -m tests.bench.store_size [ROWS ...]`, one million and a hundred million by default.

Each store is filled with short judgements, and then asked by a process of its own for keys that it has and that it lacks, as
a resumed run asks; and new judgements are put into it. What counts is how both compare with the smallest store. A hundred
million rows take about 8 GB of disk and a quarter of an hour to fill.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from argilla_admap.scoring.cache.store import CacheEntry, Store
from tests.bench.results import keep

ROWS = (1_000_000, 100_000_000)
#: Keys that are asked for: a half of them the store has. In parts, as a run asks.
ASKED, PART = 200_000, 10_000
#: Judgements put into the full store, and how many in one transaction.
PUT, TRANSACTION = 20_000, 1000
ROUNDS = 5
_BLOCK = 200_000
_INSERT = "INSERT INTO judgements VALUES (?, ?, NULL, NULL, NULL, 400, 1, 0.001)"


def key(number: int, rows: int) -> bytes:
    """The key of a row: they are spread evenly and rise with the number, so that a large store is filled in a short time."""
    step = (1 << 128) // (2 * rows)
    return (2 * number * step).to_bytes(16, "big")


def missing(number: int, rows: int) -> bytes:
    """A key that stands between two others."""
    step = (1 << 128) // (2 * rows)
    return ((2 * number + 1) * step).to_bytes(16, "big")


def fill(path: Path, rows: int) -> float:
    """Makes the store; the seconds that it took."""
    start = time.perf_counter()
    Store(path).close()
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous=OFF")
    database.execute("PRAGMA cache_size=-200000")

    def block(first: int) -> Iterator[tuple[bytes, float]]:
        return ((key(number, rows), float(number % 5)) for number in range(first, min(first + _BLOCK, rows)))

    for first in range(0, rows, _BLOCK):
        database.execute("BEGIN")
        database.executemany(_INSERT, block(first))
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return time.perf_counter() - start


def asked(path: Path, rows: int) -> dict[str, float]:
    """Look-ups and new rows in a process of their own: each a second, and the peak memory."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.store_size", "--ask", str(path), str(rows)], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _ask(path: Path, rows: int) -> dict[str, float]:
    import psutil

    store = Store(path)
    rng = np.random.default_rng(0)
    rates, seconds = [], time.process_time()
    for _ in range(ROUNDS):
        numbers = rng.integers(rows, size=ASKED).tolist()
        keys = [(key if place % 2 else missing)(number, rows) for place, number in enumerate(numbers)]
        start = time.perf_counter()
        had = [store.look_up(keys[first : first + PART]) for first in range(0, ASKED, PART)]
        rates.append(ASKED / (time.perf_counter() - start))
        assert set().union(*had) == set(keys[1::2])
    # Others' work on the machine does not count here.
    cpu = ROUNDS * ASKED / (time.process_time() - seconds)
    new = [CacheEntry(bytes(rng.bytes(16)), 3.0, None, None, None, 400, 1, 0.001) for _ in range(PUT)]
    start = time.perf_counter()
    for first in range(0, PUT, TRANSACTION):
        for entry in new[first : first + TRANSACTION]:
            store.put(entry)
        assert store.flush()
    puts = PUT / (time.perf_counter() - start)
    store.close()
    memory = psutil.Process().memory_info()
    return {
        "look_ups_a_second": round(median(rates)),
        "look_ups_a_cpu_second": round(cpu),
        "new_rows_a_second": round(puts),
        "memory_mb": round(memory.rss / 1e6),
    }


def compare(rows: tuple[int, ...] = ROWS, folder: Path | None = None) -> list[dict[str, Any]]:
    """Each store's size and speed, and the speed over that of the first."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for count in rows:
            path = Path(place) / f"{count}.sqlite"
            seconds = fill(path, count)
            got = asked(path, count)
            first = found[0] if found else got
            found.append(
                {
                    "rows": count,
                    "megabytes": round(path.stat().st_size / 1e6),
                    "seconds_to_fill": round(seconds),
                    **got,
                    "look_ups_of_the_first": round(got["look_ups_a_cpu_second"] / first["look_ups_a_cpu_second"], 2),
                }
            )
            path.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="*", default=ROWS, help="how many rows each store has, smallest first")
    parser.add_argument("--folder", type=Path, help="where the stores are made, and removed again")
    parser.add_argument("--keep", action="store_true", help="keep the figures in results/")
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(_ask(Path(options.ask[0]), int(options.ask[1]))))
        return
    figures = compare(tuple(options.rows), options.folder)
    print(json.dumps(figures, indent=1))
    if options.keep:
        keep("store_size", figures)


if __name__ == "__main__":
    main()
