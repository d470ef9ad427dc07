"""How fast files are read and written back: `python -m tests.bench.formats FILE.jsonl[.gz]`.

The file's rows are put into each container. Each line of the answer is rows a second of processor time, and the time's ratio to
the bare minimum in the same run: lines and `orjson.loads`.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from argilla_admap.formats.containers.compressed import open_bytes
from argilla_admap.formats.registry import read
from argilla_admap.formats.writeback.corrected import write_corrected


def seconds(work: Callable[[], object]) -> float:
    """The best processor time of three runs: what else the machine does only adds."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def _rows_of(path: Path) -> int:
    return sum(batch.num_rows for batch in read(path).batches())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    with open_bytes(arguments.file) as stream:
        lines = stream.readlines()
    rows = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "x.jsonl").write_bytes(b"".join(lines))
        (folder / "x.json").write_text(json.dumps(rows))
        pq.write_table(pa.Table.from_pylist(rows), folder / "x.parquet")
        if all(isinstance(value, str) for value in rows[0].values()):
            with (folder / "x.csv").open("w", newline="") as file:
                table = csv.DictWriter(file, list(rows[0]))
                table.writeheader()
                table.writerows(rows)

        def bare() -> None:
            with (folder / "x.jsonl").open("rb") as file:
                for line in file:
                    orjson.loads(line)

        least = seconds(bare)
        print(f"{'orjson alone':<22}{len(rows) / least:>12,.0f} rows/s")
        for path in sorted(folder.glob("x.*")):
            spent = seconds(partial(_rows_of, path))
            print(f"{'read ' + path.suffix:<22}{len(rows) / spent:>12,.0f} rows/s {spent / least:>8.1f} x")
        first = next(read(folder / "x.jsonl").records())
        wanted = {first.id: tuple(reversed(first.ratings))}
        spent = seconds(lambda: write_corrected(folder / "x.jsonl", folder / "out.jsonl", wanted))
        print(f"{'write back .jsonl':<22}{len(rows) / spent:>12,.0f} rows/s {spent / least:>8.1f} x")


if __name__ == "__main__":
    main()
