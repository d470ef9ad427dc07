"""The benchmarks as one command: `python -m tests.bench`, or some of them, as in `python -m tests.bench map push`.

Each is a ratio within one run, the median of several, or a peak of memory. What they measure is kept in `results/`, and the
README's table is made from it (`--table` prints it).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import memory, peers, regions, server_speed
from tests.bench.engine import run_alone
from tests.bench.mapping_speed import mapped
from tests.bench.peers import latency_server
from tests.bench.results import keep, kept

#: Records that are mapped, smallest first.
RECORDS = (10_000, 100_000, 1_000_000)
REQUESTS, IN_FLIGHT, LATENCY_MS, ROUNDS = 4000, 256, 50.0, 3
STORED = 200_000
_BOTH = ("push", "pull")


def judge() -> dict[str, Any]:
    """The whole engine beside a bare aiohttp loop, against one server."""
    ratios, cpu, memory = [], [], []
    with latency_server(LATENCY_MS) as url, tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            store = Path(folder) / str(number)
            store.mkdir()
            turns: list[tuple[str, tuple[Any, ...]]] = [("bare", ()), ("ours", (store,))]
            got = {
                kind: run_alone(kind, f"{url}/v1", REQUESTS, IN_FLIGHT, *more) for kind, more in turns[:: 1 - 2 * (number % 2)]
            }
            ratios.append(got["bare"]["seconds"] / got["ours"]["seconds"])
            cpu.append(1000 * got["ours"]["cpu"] / REQUESTS)
            memory.append(got["ours"]["megabytes"])
    return {
        "requests": REQUESTS,
        "in_flight": IN_FLIGHT,
        "latency_ms": LATENCY_MS,
        "of_bare_aiohttp": round(median(ratios), 2),
        "cpu_ms_a_request": round(median(cpu), 2),
        "peak_memory_mb": round(max(memory)),
    }


def stored() -> dict[str, Any]:
    """A run whose judgements are all in the store."""
    with tempfile.TemporaryDirectory() as folder:
        run_alone("fill", STORED, folder)
        got = run_alone("resume", STORED, folder)
    return {
        "judgements": STORED,
        "cpu_us_a_judgement": round(1e6 * got["cpu"] / got["cached"], 1),
        "peak_memory_mb": round(got["megabytes"]),
    }


def table(figures: dict[str, Any]) -> str:
    """The README's table."""
    rows = []
    for one in figures["map"]:
        cpu = one["cpu_seconds"] / one["records"] * 1e6
        seconds = f"{one['cpu_seconds']:.0f} s of CPU, {cpu:.0f} µs a record"
        what = f"`admap map`, {one['records']:,} records of {one['completions']} texts of {one['characters']} characters"
        rows.append((what, seconds, f"{one['peak_memory_mb']:,} MB"))
    alone = figures["regions"]
    times = f"{alone['times_the_faster']} times the faster of DuckDB and Polars"
    rows.append((f"`admap map --regions-only`, {alone['records']:,} records", times, ""))
    asked = figures["judge"]
    what = f"`admap score`, {asked['in_flight']} requests in flight, server of {asked['latency_ms']:g} ms"
    speed = f"{asked['of_bare_aiohttp']:.0%} of a bare aiohttp loop; {asked['cpu_ms_a_request']} ms of CPU a request"
    rows.append((what, speed, f"{asked['peak_memory_mb']:,} MB"))
    rows.append(_peer_row(kept("peers")[0]))
    known = figures["stored"]
    what = f"`admap score`, {known['judgements']:,} judgements that are in the store"
    rows.append((what, f"{known['cpu_us_a_judgement']:.0f} µs of CPU a judgement", f"{known['peak_memory_mb']:,} MB"))
    rows += _server_rows(kept("server_speed"), kept("interrupted_push"))
    largest = kept("memory")[-1]
    most = memory.peaks(largest)
    what = f"{largest['records']:,} pairs of real text, {largest['megabytes_of_text']:,} MB: {', '.join(most)}"
    rows.append((what, "", f"{', '.join(f'{value:,}' for value in most.values())} MB"))
    lines = ["| what | speed | peak memory |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _peer_row(slow: dict[str, Any]) -> tuple[str, str, str]:
    """How many requests a second beside other clients, at a server."""
    rates = {name: one["requests_a_second"] for name, one in slow["clients"].items()}
    times = ", ".join(f"{rates['ours'] / rate:.1f} times {name}" for name, rate in rates.items() if name != "ours")
    what = f"the same, {slow['in_flight']:,} in flight, server of {slow['latency_ms']:g} ms"
    return what, f"{rates['ours']:,} requests a second; {times}", ""


def _server_rows(short: dict[str, Any], killed: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Push and pull beside bare HTTP requests, and the large push that was killed on its way."""
    names = ("of_bare", "client_cpu_after_start", "bare_client_cpu", "peak_memory_mb")
    push, pull = ({name: short[f"{command}_{name}"] for name in names} for command in _BOTH)
    what = f"`admap push` and `admap pull`, {short['records']:,} records of two texts of {short['characters']:,} characters"
    speed = f"{push['of_bare']:.1f} and {pull['of_bare']:.1f} times as long as bare HTTP requests"
    ours, bare = (f"{push[name]:.0%} and {pull[name]:.0%}" for name in ("client_cpu_after_start", "bare_client_cpu"))
    computes = f"once it has started the client computes {ours} of the time, a bare one {bare}"
    yield what, f"{speed}; {computes}", f"{push['peak_memory_mb']:,.0f} and {pull['peak_memory_mb']:,.0f} MB"
    what = f"`admap push`, {killed['records']:,} records; it and the server killed on the way"
    speed = f"{killed['records_a_second']:.0f} records a second; the client computes {killed['client_cpu']:.0%} of the time"
    yield what, speed, f"{max(one['peak_memory_mb'] for one in killed['pushes']):,} MB"


def maps(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Maps of so many records, and what was kept of other numbers."""
    found = {one["records"]: one for one in (*kept("overview")["map"], *map(mapped, numbers))}
    return [found[records] for records in sorted(found)]


def overview(**figures: Any) -> None:
    """Keeps figures beside the others of the overview."""
    keep("overview", {**kept("overview"), **figures})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, Callable[[], None]] = {
        "map": lambda: overview(map=maps(options.records), regions=regions.compare()),
        "judge": lambda: overview(judge=judge(), stored=stored()),
        "peers": lambda: keep("peers", peers.compare()),
        "push": lambda: keep("server_speed", server_speed.compare()),
        "memory": lambda: keep("memory", memory.measured()),
    }
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"what to measure; all where none is named: {', '.join(parts)}"
    )
    parser.add_argument("--records", type=int, nargs="*", default=RECORDS, help="how many are mapped")
    parser.add_argument("--table", action="store_true", help="print the table of what was kept, and measure nothing")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"{min(unknown)}: choose some of {', '.join(parts)}")
    if not options.table:
        for name in options.parts or parts:
            parts[name]()
    print(table(kept("overview")))


if __name__ == "__main__":
    main()
