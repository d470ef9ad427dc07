"""A real server under test: its commands, its processes, and what its database and its index hold."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from argilla_admap.server import launcher
from argilla_admap.server.data_dir import DataDir

NAMES = ("elasticsearch", "redis", "server", "worker")


@dataclass
class Life:
    """The server under test."""

    data_dir: Path

    @property
    def folder(self) -> DataDir:
        return DataDir(self.data_dir)

    @property
    def pids(self) -> dict[str, int | None]:
        return launcher.status(self.data_dir).pids

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words), env=self.environment(**environment), capture_output=True, text=True, check=False
        )

    def begin(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(*words), env=self.environment(**environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "argilla_admap", "server", *words, "--data-dir", str(self.data_dir)]

    def environment(self, **environment: str) -> dict[str, str]:
        return os.environ | {"OPENAI_API_KEY": "sk-of-the-judge"} | environment

    def http(self) -> httpx.Client:
        found = launcher.find(self.data_dir)
        assert found is not None
        return httpx.Client(base_url=found.url, headers={"X-Argilla-Api-Key": found.api_key}, timeout=60)


@contextmanager
def stranger_at(port: int) -> Iterator[Callable[[], bytes]]:
    """Another user's program that takes a port; yields what it has received so far, ``accepted`` for each connection."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    with socket.create_server(("127.0.0.1", port)) as listening:
        child = os.fork()
        if child == 0:
            # nobody, where we may become somebody else
            for become, number in ((os.setgid, 65534), (os.setuid, 65534)) if os.geteuid() == 0 else ():
                become(number)
            signal.alarm(300)
            kept = []
            while True:
                kept.append(listening.accept()[0])
                kept[-1].settimeout(1)
                os.write(write, b"accepted ")
                try:
                    os.write(write, kept[-1].recv(10_000))
                except OSError:
                    continue
    received = bytearray()

    def so_far() -> bytes:
        with suppress(BlockingIOError):
            received.extend(os.read(read, 100_000))
        return bytes(received)

    try:
        yield so_far
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def put(http: httpx.Client, dataset: str, begin: int, size: float) -> None:
    items = [
        {"external_id": f"r{i}", "fields": {"text": f"thing {i}"}, "metadata": {"size": size}}
        for i in range(begin, begin + 100)
    ]
    http.put(f"/api/v1/datasets/{dataset}/records/bulk", json={"items": items}).raise_for_status()


def in_database(http: httpx.Client, dataset: str) -> dict[float, int]:
    """How many records have each size, by the database."""
    sizes: dict[float, int] = {}
    for item in http.get(f"/api/v1/datasets/{dataset}/records?limit=1000").json()["items"]:
        sizes[item["metadata"]["size"]] = sizes.get(item["metadata"]["size"], 0) + 1
    return sizes


def in_index(http: httpx.Client, dataset: str, sizes: dict[float, int]) -> dict[float, int]:
    """The same, by the index."""
    found = {}
    for size in sizes:
        scope = {"entity": "metadata", "metadata_property": "size"}
        query = {"filters": {"type": "and", "and": [{"type": "range", "scope": scope, "ge": size, "le": size}]}}
        answer = http.post(f"/api/v1/datasets/{dataset}/records/search?limit=1", json=query)
        answer.raise_for_status()
        found[size] = answer.json()["total"]
    return found


def kill(life: Life, name: str) -> None:
    pid = life.pids[name]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: life.pids[name] is None)


def assert_whole(life: Life, dataset: str) -> None:
    """All four run, all records are there, and the index says what the database says."""
    assert launcher.status(life.data_dir).running
    with life.http() as http:
        sizes = in_database(http, dataset)
        assert sum(sizes.values()) == 300
        assert in_index(http, dataset, sizes) == sizes


def target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def until(condition: Any) -> Any:
    deadline = time.monotonic() + 60
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value
