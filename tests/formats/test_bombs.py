"""Files made to fill the memory or the time: each ends with a message, soon and small."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

ROW = b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n'
DEEP = b"[" * 100_000 + b"NaN" + b"]" * 100_000
MB = 2**20
WORK = r"""
import pathlib, re, sys, time
from argilla_admap.errors import InputError
from argilla_admap.formats.registry import read
for name in sys.argv[1:]:
    try:
        read(name).check()
        print("read as it is")
    except InputError as exc:
        print(exc)
print(round(time.process_time()), int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""


def plain(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def zst(path: Path, head: bytes, block: bytes, times: int) -> None:
    with path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as packed:
        packed.write(head)
        for _ in range(times):
            packed.write(block)


def gz(path: Path, head: bytes, block: bytes, times: int, level: int = 1) -> None:
    with gzip.open(path, "wb", compresslevel=level) as packed:
        packed.write(head)
        for _ in range(times):
            packed.write(block)


def sparse(path: Path, head: bytes) -> None:
    with path.open("wb") as file:
        file.write(head)
        file.truncate(2**30)


def repeated(path: Path, text: str, rows: int, *, groups: int = 1) -> None:
    """A column of one text, as Parquet keeps it: once."""
    column = pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int8), pa.array([text]))
    table = pa.table({"prompt": column, "chosen": column, "rejected": column})
    with pq.ParquetWriter(path, table.schema, store_schema=False, write_statistics=False) as writer:
        for _ in range(groups):
            writer.write_table(table)


def one_large_text(path: Path) -> None:
    table = pa.table({"prompt": ["p" * 300 * MB], "chosen": ["a"], "rejected": ["b"]})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)


def lying(path: Path) -> None:
    """One row, and a footer that tells of 63."""
    pq.write_table(pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"]}), path)
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[:footer] + content[footer:].replace(b"\x16\x02", b"\x16\x7e"))


def page_that_lies(path: Path, told: int) -> None:
    """A page of 300 MB in a file whose footer tells of `told` bytes."""
    one_large_text(path)
    content = path.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    honest, lie = (b"\x16" + varint(2 * size) for size in (300 * MB + 35, told))
    assert content.count(honest, footer) >= 1
    shortened = content[footer:-8].replace(honest, lie)
    path.write_bytes(content[:footer] + shortened + len(shortened).to_bytes(4, "little") + b"PAR1")


def varint(number: int) -> bytes:
    low = [number >> shift & 127 for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes(part | 128 for part in low[:-1]) + bytes(low[-1:])


#: A file's name, who makes it, and what is said.
BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "one-line.jsonl.zst": (lambda p: zst(p, b'{"prompt": "', b"a" * MB, 256), "more than 1000 times its size"),
    "one-line.jsonl.gz": (lambda p: gz(p, b'{"prompt": "', b"a" * MB, 64), "a row of more than 16 MB"),
    "rows.jsonl.gz": (lambda p: gz(p, ROW, ROW * 20_000, 16, level=9), "more than 200 times its size"),
    "blank.jsonl.zst": (lambda p: zst(p, b"", b"\n" * MB, 256), "more than 1000 times its size"),
    "rows.csv.zst": (lambda p: zst(p, b"prompt,chosen,rejected\n", b"p,a,b\n" * 170_000, 64), "more than 1000 times its size"),
    "array.json.zst": (lambda p: zst(p, b"[" + ROW, (b"," + ROW) * 20_000, 64), "more than 1000 times its size"),
    "deep.jsonl": (
        plain(ROW + ROW[:-2] + b', "x": ' + DEEP + b"}\n"),
        "deep.jsonl:2: JSON of more levels",
    ),
    "deep.json": (plain(b"[" + ROW[:-2] + b', "x": ' + DEEP + b"}]"), "row 1: JSON of more levels"),
    "levels.jsonl": (plain(ROW[:-2] + b', "x": ' + b"[" * 900 + b"]" * 900 + b"}"), "more levels"),
    "brackets.json": (plain(b"[" * 4 * MB), "a row of more than 1,048,576 values"),
    "values.jsonl": (
        plain(ROW[:-2] + b', "x": [' + b"{}," * 2 * MB + b"0]}"),
        "1,048,576 values in one row",
    ),
    "blank.jsonl": (plain(ROW + b"\n" * 2 * MB), "more than 1 MB of blank lines"),
    "blank.csv": (
        plain(b"prompt,chosen,rejected\np,a,b\n" + b"\n" * 2 * MB),
        "more than 1 MB of blank",
    ),
    "blank.json": (plain(b"[" + ROW + b" " * 9 * MB), "more than 1 MB of blank"),
    "gigabyte.jsonl": (lambda p: sparse(p, ROW), "gigabyte.jsonl:2: a row of more than 16 MB"),
    "gigabyte.json": (lambda p: sparse(p, b"["), "a row of more than 16 MB"),
    "gigabyte.csv": (lambda p: sparse(p, b"prompt,chosen,rejected\np,a,b\n"), "a row of more than 16 MB"),
    "quote.csv": (lambda p: sparse(p, b'prompt,chosen,rejected\np,a,"'), "a row of more than 16 MB"),
    "rows.parquet": (lambda p: repeated(p, "a", 10**6, groups=3), "says that it holds 3,000,000 rows"),
    "text.parquet": (one_large_text, "says that it holds 314,572,835 bytes in"),
    "texts.parquet": (lambda p: repeated(p, "a" * MB, 100_000), "says that it holds more than"),
    "page.parquet": (lambda p: page_that_lies(p, 1000), "a column of 1,000 bytes, in pages of 314,572,810"),
    "lying.parquet": (lying, "says that it holds 63 rows, and holds 1"),
}


def test_each_ends_with_a_message_and_all_together_within_ten_seconds_of_work_and_500_mb(tmp_path: Path) -> None:
    for name, (make, _) in BOMBS.items():
        make(tmp_path / name)
    files = [str(tmp_path / name) for name in BOMBS]
    done = subprocess.run([sys.executable, "-c", WORK, *files], capture_output=True, text=True, timeout=120, check=True)
    *messages, cost = done.stdout.splitlines()
    for (name, (_, said)), message in zip(BOMBS.items(), messages, strict=True):
        assert str(tmp_path / name) in message
        assert said in message
    seconds, peak = map(int, cost.split())
    print(f"\n{len(files)} files: {seconds} s, {peak} MB")
    assert seconds < 10
    assert peak < 500


def test_a_large_honest_file_of_one_long_prompt_is_read(tmp_path: Path) -> None:
    prompt = "".join(map(chr, np.random.default_rng(0).integers(97, 123, 20_000)))
    rows = "".join(json.dumps({"prompt": prompt, "chosen": f"yes, {n}", "rejected": "no"}) + "\n" for n in range(400))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    (tmp_path / "x.jsonl.zst").write_bytes(zstandard.compress(rows.encode()))
    code = "import sys; from argilla_admap.formats.registry import read; print([read(f).check().records for f in sys.argv[1:]])"
    files = [str(tmp_path / "x.jsonl.gz"), str(tmp_path / "x.jsonl.zst")]
    assert (
        subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True).stdout
        == "[400, 400]\n"
    )
