"""Reads inputs that were made bad, and counts: `python -m tests.bench.readers [COUNT] [SEED]`.

Each input is one of the samples of `tests/formats/samples.py` in one of the containers, with its values or its bytes changed at
random: cut, flipped, spliced, nested deep, with huge numbers, bad UTF-8, NUL, marks of byte order. Each is read to its end. It
may give records or one of our own errors. All else is a defect: another error, a process that ends, more than ten seconds of
work or more than 500 MB. Input number N of a seed is always the same: `python -m tests.bench.readers --one SEED N` reads it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import multiprocessing
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psutil
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import zstandard

from argilla_admap.errors import AdmapError
from argilla_admap.formats.format import FieldNames
from argilla_admap.formats.registry import FORMATS, read
from tests.bench.results import keep
from tests.formats.samples import SAMPLES, sample

__all__ = ["CONTAINERS", "Case", "Found", "case", "measure", "tried"]

CONTAINERS = (
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "arrow",
    "jsonl.gz",
    "jsonl.zst",
    "json.zst",
    "csv.gz",
    "memory",
    "frame",
)
MOST_SECONDS, MOST_MB = 10, 500
_NAMES = list(SAMPLES)
_NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, -0.0, 1e308, -1e-308, 10**30, -(2**63), 2**64, math.nan, math.inf, -math.inf),
    *(
        "",
        " ",
        "\x00",
        "\ufeff",
        "\ud800",
        "\u202e",
        "\x1b[2J",
        "=1+1",
        "1",
        "1e999",
        "nan",
        "null",
        "[]",
        "{}",
        "[1, 2",
        "a" * 5000,
    ),
    *([], {}, [[]], [{}], {"": None}, [None], ["a", 1, None], {"content": []}, [{"role": "user"}], [{"role": 1, "content": 2}]),
    *([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], {"text": {"text": {"text": "x"}}}),
    *(
        "Human: a\n\nAssistant: b",
        '[{"role": "user", "content": "q"}]',
        "[{'role': 'user', 'content': None}]",
        "a>b",
        "tie",
        "A",
    ),
)
_BYTES = (
    *(
        b"\x00",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b'"',
        b"'",
        b"\\",
        b"\n",
        b"\r",
        b"\r\n",
    ),
    *(
        b",",
        b"[",
        b"]",
        b"{",
        b"}",
        b":",
        b"\\ud800",
        b"\\u0000",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 400,
        b"-0",
        b"\x1f\x8b",
    ),
    *(b"\x28\xb5\x2f\xfd", b"PAR1", b"\t", b";", b"null", b"\xe2\x80\xa8", b"\x1a"),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


class Case(NamedTuple):
    """One input: its container, what is read (a file's bytes or rows), and the words of `read`."""

    container: str
    content: Any
    words: dict[str, Any]


class Found(NamedTuple):
    """What reading an input came to: `records`, `refused` or the kind of defect, with its place."""

    kind: str
    what: str = ""


@cache
def _samples() -> dict[str, str]:
    """The first rows of each sample, as JSON."""
    return {name: f"[{','.join(sample(name).read_text(encoding='utf-8').splitlines()[:6])}]" for name in SAMPLES}


@cache
def _keys() -> list[str]:
    return sorted({key for rows in _samples().values() for row in json.loads(rows) for key in row})


@cache
def _whole(name: str, container: str) -> tuple[bytes, str]:
    """A sample as it is, in a container."""
    return _written(json.loads(_samples()[name]), container)


def case(seed: int, number: int) -> Case:
    """The input of that number."""
    random = Random(f"{seed}:{number}")
    name, container = random.choice(_NAMES), random.choice(CONTAINERS)
    rows: list[Any] = json.loads(_samples()[name])
    values = random.choice((0, 0, 1, 1, 2, 4))
    for _ in range(values):
        _change(random, rows)
    if container in ("memory", "frame"):
        return Case(container, rows, _words(random, rows))
    packing = container.partition(".")[2]
    content, container = _written(rows, container) if values else _whole(name, container)
    changes = random.choice((0, 1, 1, 2, 6))
    if packing and random.random() < 0.7:
        for _ in range(changes):
            content = _corrupt(random, content)
        changes = random.choice((0, 0, 0, 1))
    content = gzip.compress(content, 1) if packing == "gz" else zstandard.compress(content) if packing == "zst" else content
    for _ in range(changes):
        content = _corrupt(random, content)
    return Case(container, content, _words(random, rows))


def _words(random: Random, rows: list[Any]) -> dict[str, Any]:
    """What is said by hand: mostly nothing."""
    words: dict[str, Any] = {"on_error": random.choice(("stop", "skip"))}
    if random.random() < 0.05:
        words["format"] = random.choice(FORMATS).name
    elif random.random() < 0.1:
        names = [key for row in rows if isinstance(row, dict) for key in row if isinstance(key, str)] + ["x", "a.b", ""]
        one = lambda: random.choice(names)  # noqa: E731
        some: dict[str, Callable[[], Any]] = {
            "prompt": lambda: (one(),),
            "completion": lambda: tuple(one() for _ in range(random.randint(1, 3))),
            "chosen": one,
            "rejected": one,
            "rating": lambda: (one(),),
            "order": lambda: random.choice(("higher", "lower")),
            "verdict": one,
            "verdict_values": lambda: (("a", random.choice("1a0")), ("b", random.choice("2b1"))),
            "id": one,
            "source": one,
        }
        words["fields"] = FieldNames(**{name: some[name]() for name in random.sample(list(some), random.randint(1, 5))})
    return words


def _change(random: Random, rows: list[Any]) -> None:
    """Changes one value, key or row."""
    place: Any = rows
    while random.random() < 0.75:
        inner = [v for v in (place.values() if isinstance(place, dict) else place) if isinstance(v, (dict, list)) and v]
        if not inner:
            break
        place = random.choice(inner)
    if not place:
        place.append(_nasty(random))
        return
    key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
    kind = random.randrange(8)
    if kind < 3:
        place[key] = _nasty(random)
    elif kind == 3:
        del place[key]
    elif kind == 4:
        other = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place[key], place[other] = place[other], place[key]
    elif kind == 5:
        place[key] = random.choice((lambda v: [v], lambda v: json.dumps(v), lambda v: str(v), lambda v: {"content": v}))(
            place[key]
        )
    elif isinstance(place, dict):
        place[random.choice(_keys())] = place[key] if kind == 6 else _nasty(random)
    else:
        place.insert(random.randrange(len(place) + 1), place[key] if kind == 6 else _nasty(random))


def _nasty(random: Random) -> Any:
    if random.random() < 0.1:
        value: Any = random.choice(("x", 1, None))
        for _ in range(random.choice((3, 30, 240, 400))):
            value = [value] if random.random() < 0.5 else {random.choice("abcdefgh"): value}
        return value
    value = random.choice(_NASTY)
    return json.loads(json.dumps(value)) if isinstance(value, (list, dict)) else value


def _written(rows: list[Any], container: str) -> tuple[bytes, str]:
    """The rows as a file's bytes, and its extension: rows that fit in no table are written as JSON Lines."""
    kind = container.partition(".")[0]
    if kind == "json":
        return json.dumps(rows, indent=1 if len(rows) % 4 == 0 else None).encode(), container
    if kind in ("csv", "tsv"):
        out = io.StringIO(newline="")
        table = [row for row in rows if isinstance(row, dict)] or [{"a": "b"}]
        writer = csv.DictWriter(
            out, list(dict.fromkeys(key for row in table for key in row)), delimiter="\t" if kind == "tsv" else ","
        )
        writer.writeheader()
        # Before Python 3.11 the module writes no NUL; among the bytes that are changed there are some.
        cells = ({k: v if isinstance(v, str) or v is None else json.dumps(v) for k, v in row.items()} for row in table)
        writer.writerows({k: v and v.replace("\0", "") for k, v in row.items()} for row in cells)
        return out.getvalue().encode("utf-8", "surrogatepass"), container
    if kind in ("parquet", "arrow"):
        try:
            batch = pa.Table.from_pylist(rows)
            sink = pa.BufferOutputStream()
            if kind == "parquet":
                pq.write_table(batch, sink, row_group_size=2, compression=("snappy", "zstd", "none")[len(rows) % 3])
            else:
                with pa.ipc.new_stream(sink, batch.schema) as stream:
                    stream.write_table(batch)
            return sink.getvalue().to_pybytes(), container
        except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
            container = "jsonl"
    return "".join(json.dumps(row, ensure_ascii=len(rows) % 2 == 0) + "\n" for row in rows).encode(
        "utf-8", "surrogatepass"
    ), container


def _corrupt(random: Random, content: bytes) -> bytes:
    """Changes some bytes."""
    size = len(content)
    at = random.randrange(size + 1)
    kind = random.randrange(10)
    if kind == 0:
        return content[:at]
    if kind == 1 and size:
        changed = bytearray(content)
        for _ in range(random.choice((1, 1, 3, 20))):
            changed[random.randrange(size)] ^= 1 << random.randrange(8)
        return bytes(changed)
    if kind == 2:
        other = _whole(random.choice(_NAMES), random.choice(("jsonl", "json", "csv")))[0]
        start = random.randrange(len(other))
        return content[:at] + other[start : start + random.randrange(400)] + content[at:]
    if kind == 3:
        return content[:at] + content[at + random.randrange(40) :]
    if kind == 4:
        end = min(size, at + random.randrange(200))
        return content[:end] + content[at:end] * random.choice((1, 2, 50)) + content[end:]
    if kind == 5 and (numbers := list(_NUMBER.finditer(content))):
        found = random.choice(numbers)
        huge = random.choice(
            (b"9" * 30, b"9" * 5000, b"1e400", b"-1e-400", b"NaN", b"0x1", b"1_0", str(2 ** random.randrange(80)).encode())
        )
        return content[: found.start()] + huge + content[found.end() :]
    if kind == 6:
        depth = random.choice((5, 260, 1100, 5000))
        opened, closed = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[", b""), (b"((", b"))")))
        return content[:at] + opened * depth + b"1" + closed * depth + content[at:]
    if kind == 7:
        return random.choice(_BYTES[:4]) + content
    noise = random.choice(_BYTES) if random.random() < 0.7 else random.randbytes(random.randrange(1, 20))
    return content[:at] + noise * random.choice((1, 1, 1, 100)) + content[at if random.random() < 0.5 else at + len(noise) :]


def tried(one: Case, folder: Path) -> Found:
    """Reads the input to its end."""
    source = one.content
    if isinstance(source, bytes):
        path = folder / f"data.{one.container}"
        path.unlink(missing_ok=True)  # never into a file that a reader may still map
        path.write_bytes(source)
        source = path
    try:
        if one.container == "frame":
            source = _frame(source)
        records = read(source, **one.words)
        count = sum(batch.num_rows for batch in records.batches())
        for line in (*records.report.lines(), *records.report.overview(), str(records.format)):
            line.encode("utf-8", "surrogatepass")
    except AdmapError as exc:
        # What is said can be printed.
        text = str(exc)
        if not text or len(text) > 20_000:
            return Found("message", f"{type(exc).__name__} of {len(text):,} characters")
        return Found("refused")
    except BaseException as exc:
        last = traceback.extract_tb(exc.__traceback__)
        ours = [frame for frame in last if "argilla_admap" in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "outside"
        return Found("crash", f"{type(exc).__name__} at {place}: {str(exc)[:100]}")
    return Found("records" if count else "nothing")


def _frame(rows: list[Any]) -> Any:
    import pandas as pd

    try:
        return pd.DataFrame(rows)
    except Exception:
        # What pandas does not take is no frame.
        return rows


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    """MB that this process had at most since the last reset."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) // 1024 if found else 0


def _work(pipe: Connection, seed: int, first: int, last: int, step: int) -> None:
    """Reads every `step`-th input from `first` on, and says before each which it is."""
    warnings.simplefilter("ignore")
    os.nice(19)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for number in range(first, last, step):
            pipe.send(number)
            one = case(seed, number)
            _reset_peak()
            before = _peak()
            begun = time.process_time()
            found = tried(one, Path(folder))
            seconds, grown = time.process_time() - begun, _peak() - before
            if seconds > MOST_SECONDS:
                found = Found("hang", f"{seconds:.1f} s of {one.container}")
            elif grown > MOST_MB:
                found = Found("memory", f"{grown} MB of {one.container}")
            pipe.send(found)
            if seconds > 1 or grown > 100:
                pipe.send(Found("slow", f"{seconds:.1f} s, {grown} MB of {one.container}"))
    pipe.send(None)


class _Worker:
    """A process that reads a share of the inputs, and one in its place where it ends."""

    def __init__(self, seed: int, first: int, last: int, step: int) -> None:
        self._share = seed, last, step
        self.at = first
        self.ended = False
        self._start(first)

    def _start(self, first: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe(duplex=False)
        seed, last, step = self._share
        self._process = context.Process(target=_work, args=(theirs, seed, first, last, step), daemon=True)
        self._process.start()
        theirs.close()
        self._begun = 0.0

    def _cpu(self) -> float:
        try:
            return sum(psutil.Process(self._process.pid).cpu_times()[:2])
        except psutil.Error:
            return 0.0

    def news(self, counts: Counter[str], defects: list[tuple[int, Found]]) -> None:
        """Takes what the process said; goes on behind an input that ended or held it."""
        try:
            while self.pipe.poll(0.2):
                said = self.pipe.recv()
                if said is None:
                    self.ended = True
                    return
                if isinstance(said, int):
                    self.at, self._begun = said, 0.0
                    continue
                counts[said.kind] += 1
                if said.kind not in ("records", "nothing", "refused"):
                    defects.append((self.at, said))
            self._begun = self._begun or self._cpu()
            if self._cpu() - self._begun < 3 * MOST_SECONDS:
                return
            self._process.kill()
            found = Found("hang", f"more than {3 * MOST_SECONDS} s")
        except EOFError:
            self._process.join()
            found = Found("crash", f"the process ended with {self._process.exitcode}")
        counts[found.kind] += 1
        defects.append((self.at, found))
        self._start(self.at + self._share[2])


def measure(count: int, seed: int = 0, processes: int = 1) -> tuple[Counter[str], list[tuple[int, Found]]]:
    """Counts of what the inputs came to, and each defect (and what was slow) with the input's number."""
    counts: Counter[str] = Counter()
    defects: list[tuple[int, Found]] = []
    workers = [_Worker(seed, first, count, processes) for first in range(processes)]
    # Stopped by Ctrl-C, it tells of what was read until then.
    with suppress(KeyboardInterrupt):
        while waiting := [worker for worker in workers if not worker.ended]:
            for worker in waiting:
                worker.news(counts, defects)
    return counts, defects


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        one = case(int(sys.argv[2]), int(sys.argv[3]))
        print(one)
        with tempfile.TemporaryDirectory() as folder:
            print(tried(one, Path(folder)))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    begun = time.perf_counter()
    counts, defects = measure(count, seed, os.cpu_count() or 1)
    slow = [one for one in defects if one[1].kind == "slow"]
    bad = [one for one in defects if one[1].kind != "slow"]
    kinds = Counter(f"{found.kind}: {found.what}" for _, found in bad)
    first = {f"{found.kind}: {found.what}": number for number, found in reversed(bad)}
    for kind, times in kinds.most_common(60):
        print(f"{times:,} of {kind}, the first is number {first[kind]}")
    for number, found in slow[:20]:
        print(f"slow: number {number}, {found.what}")
    count = counts.total() - counts["slow"]
    print(f"{count:,} inputs: {dict(counts)}, {len(bad)} defects, {len(slow)} slow, {time.perf_counter() - begun:.0f} s")
    if count >= 50_000:
        keep("readers", {"inputs": count, "seed": seed, "outcomes": dict(counts), "defects": dict(kinds), "slow": len(slow)})
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
