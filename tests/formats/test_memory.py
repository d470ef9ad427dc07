"""Memory stays flat as a file grows: each size is read in a process of its own, and its peak is compared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SMALL, LARGE = 2_000, 24_000
WORK = r"""
import pathlib, re, sys
from argilla_admap.formats.registry import read
from argilla_admap.formats.writeback.corrected import write_corrected
source, output = sys.argv[1:]
first = next(read(source).records())
rows = sum(batch.num_rows for batch in read(source).batches())
report = write_corrected(source, output, {first.id: (0.0, 1.0)})
# Of this program alone: what getrusage says includes the process that started it.
print(rows, report.corrected, re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


def rows(count: int) -> Iterator[dict[str, Any]]:
    for n in range(count):
        yield {"prompt": f"{n} " + "why? " * 50, "chosen": f"{n} " + "so " * 300, "rejected": "no " * 300}


def generated(container: str, count: int, folder: Path) -> Path:
    path = folder / f"{count}.{container}"
    if container == "parquet":
        schema = pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected")])
        with pq.ParquetWriter(path, schema) as writer:
            held = list(rows(count))
            for start in range(0, count, 1000):
                writer.write_table(pa.Table.from_pylist(held[start : start + 1000], schema))
        return path
    with path.open("w") as file:
        if container == "json":
            file.write("[")
            file.writelines(("," * bool(n)) + json.dumps(row) for n, row in enumerate(rows(count)))
            file.write("]")
        elif container == "csv":
            file.write("prompt,chosen,rejected\n")
            file.writelines(",".join(row.values()) + "\n" for row in rows(count))
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows(count))
    return path


def peak(path: Path) -> tuple[int, float]:
    """Rows read, and the peak of the resident memory in MB."""
    output = path.with_name("out" + path.suffix)
    done = subprocess.run([sys.executable, "-c", WORK, str(path), str(output)], check=True, capture_output=True, text=True)
    count, corrected, kilobytes = map(int, done.stdout.split())
    assert corrected == 1
    return count, kilobytes / 1024


@pytest.mark.parametrize("container", ["jsonl", "json", "csv", "parquet"])
def test_reading_and_writing_back_twelve_times_the_rows_takes_no_more_memory(container: str, tmp_path: Path) -> None:
    small_rows, small = peak(generated(container, SMALL, tmp_path))
    large_file = generated(container, LARGE, tmp_path)
    large_rows, large = peak(large_file)
    assert (small_rows, large_rows) == (SMALL, LARGE)
    growth = large - small
    print(f"\n{container}: {SMALL} rows {small:.0f} MB, {LARGE} rows {large:.0f} MB")
    # The texts alone are 48 MB. What may grow is a hash of each row, a batch to its full size, and the allocator's store, which
    # depends on which of pyarrow's threads a busy machine lets run.
    assert growth < 36
