"""How fast, how lean and how careful the scoring engine is: one command prints the ratios.

`python -m tests.bench.engine` runs, each in a process of its own: a bare aiohttp loop and the whole engine against the same
server at 200 ms and at 0 ms; a resume over a million stored judgements; and a server that enforces limits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from argilla_admap.records import PREFERENCE_SCHEMA
from argilla_admap.tables import RecordStream
from tests.bench.peers import latency_server
from tests.doubles.judge_server import start_judge

if TYPE_CHECKING:
    from argilla_admap.scoring.options import ScoreOptions

K = 4
ROWS = 512
TEXT = " ".join(f"word{n * 7919 % 1000}" for n in range(80))


def stream(judgements: int) -> RecordStream:
    """So many completions, four a record, no two alike; made anew at each pass, so that they take no memory."""

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, judgements // K, ROWS):
            rows = range(start, min(start + ROWS, judgements // K))
            completions = [[f"Answer {row}.{k}: {TEXT}" for k in range(K)] for row in rows]
            values = {
                "id": [str(row) for row in rows],
                "prompt": [f"Question {row}" for row in rows],
                "completions": completions,
            }
            columns = [
                pa.array(values[f.name], f.type) if f.name in values else pa.nulls(len(rows), f.type) for f in PREFERENCE_SCHEMA
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=PREFERENCE_SCHEMA)

    return RecordStream(batches, PREFERENCE_SCHEMA)


def bare(url: str, requests: int, in_flight: int) -> dict[str, float]:
    """The bar: aiohttp and nothing else. No parsing, no limits, no store."""
    import aiohttp

    body = json.dumps({"model": "bench", "messages": [{"role": "user", "content": TEXT * 5}], "max_tokens": 1}).encode()

    async def run() -> float:
        left = iter(range(requests))

        async def worker(session: aiohttp.ClientSession) -> None:
            for _ in left:
                async with session.post(
                    f"{url}/chat/completions", data=body, headers={"content-type": "application/json"}
                ) as got:
                    await got.read()

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            started = time.perf_counter()
            await asyncio.gather(*(worker(session) for _ in range(in_flight)))
            return time.perf_counter() - started

    before = processor_seconds()
    return {"seconds": asyncio.run(run()), "cpu": processor_seconds() - before}


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def most_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(url: str, requests: int, in_flight: int, store: str) -> dict[str, float]:
    """The whole engine: prompts, keys, locks, limits, parsing, store, and the file of scores."""
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.run import score

    options = ScoreOptions(
        models=("bench",),
        base_url=url,
        concurrency=in_flight or None,
        store=Path(store) / "store.sqlite",
        price=(1.0, 1.0),
        max_cost=1e9,
    )
    score(stream(K), options)
    before = processor_seconds()
    started = time.perf_counter()
    scored = score(stream(requests), options)
    seconds = time.perf_counter() - started
    numbers = {name: scored.summary[name] for name in ("requests", "cached", "unscored")}
    return {"seconds": seconds, "cpu": processor_seconds() - before, "megabytes": most_megabytes(), **numbers}


def resume(judgements: int, folder: str) -> dict[str, float]:
    """A run whose judgements are all in the store."""
    from argilla_admap.scoring.run import score

    before = processor_seconds()
    started = time.perf_counter()
    scored = score(stream(judgements), stored_options(folder))
    seconds = time.perf_counter() - started
    cpu = processor_seconds() - before
    return {"seconds": seconds, "cpu": cpu, "megabytes": most_megabytes(), "cached": scored.summary["cached"]}


def stored_options(folder: str) -> ScoreOptions:
    """Of a store in a folder, and a server that is not there."""
    from argilla_admap.scoring.options import ScoreOptions

    return ScoreOptions(models=("bench",), base_url="http://127.0.0.1:9/v1", store=Path(folder) / "store.sqlite")


def fill(judgements: int, folder: str) -> dict[str, float]:
    """Puts a judgement of each completion into the store."""
    from argilla_admap.scoring.cache.store import CacheEntry
    from argilla_admap.scoring.scorers.judge import JudgeScorer
    from argilla_admap.scoring.session import Session

    async def run() -> None:
        options = stored_options(folder)
        session = Session(options)
        judge = JudgeScorer(options, session)
        for batch in stream(judgements).batches():
            for key in judge.keys(batch):
                session.store.put(CacheEntry(key, 4.0, 0.5, 0.99, None, 300, 1, 0.0003), lambda: None)
            session.store.flush()
        session.store.checkpoint()
        await session.close()

    asyncio.run(run())
    return {}


def limited(rpm: int, seconds: int, headers: bool, folder: str) -> dict[str, float]:
    """What of an enforced rate is used, and what share of the requests is refused after the first three seconds."""
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.run import score

    program, judge = start_judge()
    try:
        judge.behave(rpm=rpm, latency=0.1, limit_headers=headers)
        options = ScoreOptions(
            models=("bench",), base_url=judge.url, store=Path(folder) / f"limit{headers}.sqlite", rpm=None if headers else rpm
        )
        score(stream(K * (rpm * seconds // 60 // K)), options)
        counts = judge.counts()
    finally:
        program.terminate()
        program.wait()
    late = [t for t in counts["times"] if t > 3]
    refused = [t for t in counts["refused_times"] if t > 3]
    span = counts["times"][-1] - 3
    return {"used": (len(late) - len(refused)) / (rpm / 60 * span), "refused": len(refused) / max(1, len(late))}


def run_alone(*words: object) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.engine", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OPENAI_API_KEY": "bench"}, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=1024)
    parser.add_argument("--latency-ms", type=float, nargs="*", default=[200.0, 0.0])
    parser.add_argument("--stored", type=int, nargs="*", default=[200_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3, help="of bare and ours; which goes first changes each time")
    parser.add_argument("--only", choices=["speed", "resume", "limits"])
    options = parser.parse_args()
    if options.only in (None, "speed"):
        for latency in options.latency_ms:
            speed(latency, options.requests, options.in_flight, options.rounds)
    if options.only in (None, "resume"):
        for judgements in options.stored:
            with tempfile.TemporaryDirectory() as folder:
                run_alone("fill", judgements, folder)
                got = run_alone("resume", judgements, folder)
            print(f"\nresume over {got['cached']:,} stored judgements (wanted: 100,000/s, under 250 MB)")
            rate, cpu_rate = got["cached"] / got["seconds"], got["cached"] / got["cpu"]
            print(f"  {rate:,.0f}/s, {cpu_rate:,.0f} in a second of CPU, {got['megabytes']:.0f} MB", flush=True)
    if options.only in (None, "limits"):
        with tempfile.TemporaryDirectory() as folder:
            for headers in (False, True):
                got = run_alone("limited", 6000, 20, int(headers), folder)
                said = "the server's headers" if headers else "--rpm"
                print(f"\nlimit by {said} (wanted: 95% used, under 1% refused)")
                print(f"  {got['used']:.1%} of the allowed rate used, {got['refused']:.2%} refused", flush=True)


def speed(latency: float, requests: int, in_flight: int, rounds: int) -> None:
    """Bare and ours in turn against one server; of the rounds the median."""
    bars: list[Any] = []
    engines: list[Any] = []
    with latency_server(latency) as url, tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            store = Path(folder) / str(number)
            store.mkdir()
            turns = [("bare", bars, ()), ("ours", engines, (store,))]
            for kind, results, more in turns if number % 2 == 0 else turns[::-1]:
                results.append(run_alone(kind, f"{url}/v1", requests, in_flight, *more))
    ratios = [bar["seconds"] / engine["seconds"] for bar, engine in zip(bars, engines, strict=True)]
    bar, ours_ = (median(requests / one["seconds"] for one in results) for results in (bars, engines))
    bar_cpu, cpu = (median(1000 * one["cpu"] / requests for one in results) for results in (bars, engines))
    print(f"\nserver of {latency:g} ms, {in_flight} in flight, {requests:,} requests, {rounds} rounds")
    print(f"  bare aiohttp loop {bar:8,.0f}/s, CPU {bar_cpu:.3f} ms a request")
    print(f"  the whole engine  {ours_:8,.0f}/s, CPU {cpu:.3f} ms a request (wanted: under 0.6), start and file included")
    rows = " ".join(f"{ratio:.0%}" for ratio in ratios)
    print(f"  {median(ratios):.0%} of the bare loop (wanted: 80%; round by round {rows})")
    megabytes = max(one["megabytes"] for one in engines)
    print(f"  {megabytes:.0f} MB, {sum(one['unscored'] for one in engines):.0f} unscored", flush=True)


if __name__ == "__main__":
    kinds = {"bare": bare, "ours": ours, "fill": fill, "resume": resume, "limited": limited}
    if len(sys.argv) > 1 and sys.argv[1] in kinds:
        words = [int(word) if word.isdigit() else word for word in sys.argv[2:]]
        if sys.argv[1] == "limited":
            words[2] = bool(words[2])
        print(json.dumps(kinds[sys.argv[1]](*words)))  # type: ignore[operator]
    else:
        main()
