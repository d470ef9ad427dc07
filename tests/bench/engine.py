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

import pyarrow as pa

from argilla_admap.records import PREFERENCE_SCHEMA
from argilla_admap.tables import RecordStream
from tests.bench.peers import latency_server, read_stats
from tests.doubles.judge_server import start_judge

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

    return {"seconds": asyncio.run(run())}


def ours(url: str, requests: int, in_flight: int, store: str) -> dict[str, float]:
    """The whole engine: prompts, keys, claims, limits, parsing, store, and the file of scores."""
    from argilla_admap.scoring.engine import score
    from argilla_admap.scoring.options import ScoreOptions

    options = ScoreOptions(
        models=("bench",),
        base_url=url,
        concurrency=in_flight or None,
        store=Path(store) / "store.sqlite",
        price=(1.0, 1.0),
        max_cost=1e9,
    )
    score(stream(K), options)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    scored = score(stream(requests), options)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wrong = scored.summary["unscored"]
    return {"seconds": seconds, "cpu": cpu, "megabytes": after.ru_maxrss / 1024, "unscored": wrong, **numbers(scored.summary)}


def numbers(summary: dict[str, object]) -> dict[str, float]:
    return {
        name: value for name, value in summary.items() if isinstance(value, (int, float)) and name in ("requests", "cached")
    }


def resume(judgements: int, folder: str) -> dict[str, float]:
    """A run whose judgements are all in the store."""
    from argilla_admap.scoring.engine import score
    from argilla_admap.scoring.options import ScoreOptions

    options = ScoreOptions(models=("bench",), base_url="http://127.0.0.1:9/v1", store=Path(folder) / "store.sqlite")
    fill(judgements, options)
    started = time.perf_counter()
    scored = score(stream(judgements), options)
    seconds = time.perf_counter() - started
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "megabytes": megabytes, **numbers(scored.summary)}


def fill(judgements: int, options: object) -> None:
    """Puts a judgement of each completion into the store."""
    from argilla_admap.scoring.desk import Desk
    from argilla_admap.scoring.judge import JudgeScorer
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.store import Known

    assert isinstance(options, ScoreOptions)

    async def run() -> None:
        desk = Desk(options)
        judge = JudgeScorer(options, desk)
        for batch in stream(judgements).batches():
            for key in judge.keys(batch):
                desk.store.put(Known(key, 4.0, 0.5, 0.99, None, 300, 1, 0.0003), lambda: None)
            desk.store.flush()
        desk.store.checkpoint()
        await desk.close()

    asyncio.run(run())


def limited(rpm: int, seconds: int, headers: bool, folder: str) -> dict[str, float]:
    """What of an enforced rate is used, and what share of the requests is refused after the first three seconds."""
    from argilla_admap.scoring.engine import score
    from argilla_admap.scoring.options import ScoreOptions

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
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2, help="of bare and ours in turn; the best of each counts")
    parser.add_argument("--only", choices=["speed", "resume", "limits"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.only in (None, "speed"):
            for latency in (200.0, 0.0):
                speed(latency, options.requests, options.in_flight, options.rounds, folder)
        if options.only in (None, "resume"):
            got = run_alone("resume", options.stored, folder)
            rate = got["cached"] / got["seconds"]
            print(f"\nresume over {got['cached']:,} stored judgements (wanted: 100,000/s)")
            print(f"  {rate:,.0f}/s, {got['megabytes']:.0f} MB")
        if options.only in (None, "limits"):
            for headers in (False, True):
                got = run_alone("limited", 6000, 20, int(headers), folder)
                said = "the server's headers" if headers else "--rpm"
                print(f"\nlimit by {said} (wanted: 95% used, under 1% refused)")
                print(f"  {got['used']:.1%} of the allowed rate used, {got['refused']:.2%} refused")


def speed(latency: float, requests: int, in_flight: int, rounds: int, folder: str) -> None:
    """Bare and ours in turn against one server."""
    with latency_server(latency) as url:
        bars, engines = [], []
        for number in range(rounds):
            bars.append(requests / run_alone("bare", f"{url}/v1", requests, in_flight)["seconds"])
            read_stats(url)
            store = Path(folder) / f"{latency}-{number}"
            store.mkdir()
            engines.append(run_alone("ours", f"{url}/v1", requests, in_flight, store))
    bar, best = max(bars), min(engines, key=lambda e: e["seconds"])
    rate = requests / best["seconds"]
    print(f"\nserver of {latency:g} ms, {in_flight} in flight, {requests:,} requests")
    print(f"  bare aiohttp loop {bar:8,.0f}/s")
    print(f"  the whole engine  {rate:8,.0f}/s  = {rate / bar:.0%} of it (wanted: 80%), start and file included")
    cpu = 1000 * best["cpu"] / requests
    print(f"  CPU {cpu:.2f} ms a request (wanted: under 0.6), {best['megabytes']:.0f} MB, {best['unscored']} unscored")


if __name__ == "__main__":
    kinds = {"bare": bare, "ours": ours, "resume": resume, "limited": limited}
    if len(sys.argv) > 1 and sys.argv[1] in kinds:
        words = [int(word) if word.isdigit() else word for word in sys.argv[2:]]
        if sys.argv[1] == "limited":
            words[2] = bool(words[2])
        print(json.dumps(kinds[sys.argv[1]](*words)))
    else:
        main()
