"""How fast ours is beside distilabel, curator and litellm, against one local server, in one run.

`python -m tests.bench.peers` makes a virtual environment for each peer in the user's cache folder (the first run downloads
them), sends the same prompts through each client as its users would, with the same number of calls allowed in flight, and
prints requests a second and the ratio to ours. A peer that cannot be installed is left out, in words.

The time counted is the server's: from the first request that arrived to the last answer that left, so that nobody pays for
starting up.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

REQUESTS, IN_FLIGHT, LATENCIES = 4000, 1024, (200.0, 0.0)
CLIENTS = Path(__file__).parent / "peer_clients"
#: What pip installs for each. distilabel leaves out what its own imports need.
PEERS = {
    "litellm": ["litellm"],
    "distilabel": ["distilabel", "openai", "requests", "beautifulsoup4"],
    "curator": ["bespokelabs-curator"],
}


@dataclass(frozen=True, slots=True)
class Speed:
    """What one client did against one server."""

    client: str
    answered: int
    requests: int
    seconds: float  # by the server's clock
    cpu_seconds: float  # of the client, start included
    most_in_flight: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cpu(self) -> float:
        """Milliseconds of CPU a request: what a busy machine changes little."""
        return 1000 * self.cpu_seconds / self.requests


@contextmanager
def latency_server(latency_ms: float) -> Iterator[str]:
    """A server in a process of its own; yields its base URL."""
    command = [sys.executable, "-m", "tests.bench.latency_server", str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def peer_python(name: str, cache: Path, packages: list[str]) -> Path | None:
    """The interpreter of a peer's own environment, made on demand; None, with words, where it cannot be made."""
    folder = cache / name
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists():
        return python
    print(f"{name}: installing into {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    installed = subprocess.run([python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True)
    if installed.returncode:
        print(f"{name}: left out, pip could not install it: {installed.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    done.touch()
    return python


def measure(client: str, python: Path, url: str, prompts: Path, in_flight: int) -> Speed | None:
    """Runs one client; None, with words, where it failed."""
    read_stats(url)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command: list[Any] = [python, CLIENTS / f"{client}_client.py", f"{url}/v1", prompts, str(in_flight)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])} if client == "ours" else dict(os.environ)
    with tempfile.TemporaryDirectory() as home:
        # A peer that keeps a cache of answers must not find those of the run before.
        environment |= {"HOME": home, "CURATOR_CACHE_DIR": home, "HF_HOME": home}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(f"{client}: left out, it failed: {done.stderr.strip()[-400:]}", file=sys.stderr)
        return None
    stats = read_stats(url)
    return Speed(
        client=client,
        answered=json.loads(done.stdout.strip().splitlines()[-1])["answered"],
        requests=int(stats["requests"]),
        seconds=stats["seconds"],
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        most_in_flight=int(stats["most_in_flight"]),
    )


def read_stats(url: str) -> dict[str, float]:
    """What the server saw since it was last asked."""
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return json.load(answer)


def write_prompts(path: Path, number: int, seed: int = 0) -> None:
    """Texts of about 200 words, no two alike."""
    words = random.Random(seed)
    with path.open("w", encoding="utf-8") as lines:
        for index in range(number):
            text = " ".join(f"word{words.randrange(1000)}" for _ in range(200))
            lines.write(json.dumps(f"{index}: rate this answer from 1 to 5. {text}") + "\n")


def compare(
    requests: int = REQUESTS,
    in_flight: int = IN_FLIGHT,
    latencies: Sequence[float] = LATENCIES,
    peers: Sequence[str] = tuple(PEERS),
    cache: Path | None = None,
) -> list[dict[str, Any]]:
    """What each client did against each server; the table of each is printed."""
    cache = cache or user_cache_path("argilla-admap") / "bench-peers"
    cache.mkdir(parents=True, exist_ok=True)
    pythons = {"ours": Path(sys.executable)} | {name: peer_python(name, cache, PEERS[name]) for name in peers}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.jsonl"
        write_prompts(prompts, requests)
        for latency in latencies:
            with latency_server(latency) as url:
                speeds = [measure(name, python, url, prompts, in_flight) for name, python in pythons.items() if python]
            known = [speed for speed in speeds if speed]
            show(latency, in_flight, known)
            clients = {
                one.client: {"requests_a_second": round(one.rate), "cpu_ms_a_request": round(one.cpu, 2)} for one in known
            }
            found.append({"latency_ms": latency, "in_flight": in_flight, "requests": requests, "clients": clients})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="for each client; an even number")
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    parser.add_argument("--latency-ms", type=float, nargs="*", default=LATENCIES)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--cache", type=Path, help="the folder of the peers' environments")
    options = parser.parse_args()
    compare(options.requests, options.in_flight, options.latency_ms, options.peers, options.cache)


def show(latency: float, in_flight: int, speeds: list[Speed]) -> None:
    """The table of one server."""
    print(f"\nServer of {latency:g} ms, {in_flight} in flight")
    print(
        f"{'client':12}{'answered':>10}{'requests/s':>12}{'ours is':>10}{'most in flight':>16}"
        f"{'CPU ms/request':>16}{'ours is':>12}"
    )
    ours = next((speed for speed in speeds if speed.client == "ours"), None)
    for speed in speeds:
        other = ours is not None and speed is not ours
        faster = f"{ours.rate / speed.rate:.1f} x" if ours and other else ""
        leaner = f"1/{speed.cpu / ours.cpu:.1f}" if ours and other else ""
        print(
            f"{speed.client:12}{speed.answered:>10}{speed.rate:>12.0f}{faster:>10}{speed.most_in_flight:>16}"
            f"{speed.cpu:>16.2f}{leaner:>12}",
            flush=True,
        )


if __name__ == "__main__":
    main()
