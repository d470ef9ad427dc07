"""The peak memory of each command as the data grows: `python -m tests.bench.memory [RECORDS ...]`, in records of real text.

The records are the example data's (people's preferences, with a judge's scores), each numbered, so that no two are alike.
Every command runs in a process of its own. A judge that answers at once scores some of them only, because what is held of a
request is gone with its answer. Push and pull talk to a server that keeps nothing but how many records it was sent.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson

from argilla_admap.example_data import write_example
from tests.bench.mapping_speed import measure
from tests.bench.peers import latency_server
from tests.bench.plain_argilla import plain_argilla
from tests.bench.results import keep

__all__ = ["peaks"]

RECORDS = (10_000, 100_000, 1_000_000)
#: Records that a judge scores, at most.
ASKED = 10_000


def lines(path: Path, records: int) -> Iterator[bytes]:
    """So many records as lines of JSON, made of those of a file."""
    given = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    for number, row in enumerate(islice(cycle(given), records)):
        completions = [{**one, "text": f"{number}. {one['text']}"} for one in row["completions"]]
        prompt = row["prompt"] if isinstance(row["prompt"], str) else row["prompt"][-1]["content"]
        yield orjson.dumps({**row, "id": f"r{number}", "prompt": f"{number}. {prompt}", "completions": completions}) + b"\n"


class Run:
    """Files of so many records in a folder, and what each command took: megabytes and CPU seconds."""

    def __init__(self, records: int, folder: Path) -> None:
        self.folder, self.records = folder, records
        self.source, self.map = folder / "in.jsonl", folder / "map.parquet"
        self.found: dict[str, Any] = {"records": records}

    def measure(self, name: str, *words: Any) -> None:
        """Runs a command and notes what it took."""
        got = measure([sys.executable, "-m", "argilla_admap", *map(str, words)])
        self.found[name] = {"peak_memory_mb": got["peak_memory_mb"], "cpu_seconds": got["cpu_seconds"]}
        print(f"{self.records:,} {name}: {self.found[name]}", flush=True)


def existing(folder: Path) -> tuple[Any, ...]:
    """The options that take the scores which the data carry."""
    return ("--scorer", "existing", "--store", folder / "store.sqlite")


def on_this_machine(run: Run, judge: str) -> None:
    """What talks to no Argilla."""
    example, _ = write_example(run.folder)
    with run.source.open("wb") as file:
        file.writelines(lines(example, run.records))
    run.found["megabytes_of_text"] = round(run.source.stat().st_size / 1e6)
    folder, source, mapped, scored = run.folder, run.source, run.map, run.folder / "scored.parquet"
    asked = ("--base-url", f"{judge}/v1", "--model", "bench", "--limit", ASKED, "--price", "0,0")
    run.measure("read", "score", source, "--scorer", "existing", "--dry-run")
    run.measure("score", "score", source, "-o", scored, *existing(folder))
    run.measure("score, judge", "score", source, "-o", folder / "asked.parquet", *asked, "--store", folder / "asked.sqlite")
    run.measure("map", "map", scored, "-o", mapped)
    run.measure("select", "select", mapped, "-o", folder / "train.jsonl", "--max-p-wrong", "0.5")
    run.measure("report", "report", mapped, "-o", folder / "map.html")
    run.measure("compare", "compare", mapped, mapped)


def on_argilla(run: Run) -> None:
    """Push, a second push that finds all of them there, and pull."""
    name = f"bench-{run.records}"
    run.measure("push", "push", run.map, "--dataset", name)
    run.measure("push, again", "push", run.map, "--dataset", name)
    run.measure("pull", "pull", name, "-o", run.folder / "pulled.jsonl")
    run.measure("pull, original", "pull", name, "--original", run.source, "-o", run.folder / "corrected.jsonl")


def peaks(figures: dict[str, Any]) -> dict[str, int]:
    """Megabytes at the peak of each command, of its heaviest run."""
    found: dict[str, int] = {}
    for name, one in figures.items():
        if isinstance(one, dict):
            command = name.partition(",")[0]
            found[command] = max(found.get(command, 0), one["peak_memory_mb"])
    return found


def measured(numbers: Sequence[int] = RECORDS) -> list[dict[str, Any]]:
    """What each command took, for each number of records."""
    figures = []
    kept = dict(os.environ)
    with latency_server(0) as judge, plain_argilla() as argilla:
        os.environ |= {"ARGILLA_API_URL": argilla, "ARGILLA_API_KEY": "key", "OPENAI_API_KEY": "none"}
        for records in numbers:
            with tempfile.TemporaryDirectory() as folder:
                run = Run(records, Path(folder))
                on_this_machine(run, judge)
                on_argilla(run)
                figures.append(run.found)
    os.environ.clear()
    os.environ |= kept
    print(*(f"{one['records']:,}: {peaks(one)}" for one in figures), sep="\n")
    return figures


def main() -> None:
    numbers = tuple(int(word) for word in sys.argv[1:])
    figures = measured(numbers or RECORDS)
    if not numbers:
        keep("memory", figures)


if __name__ == "__main__":
    main()
