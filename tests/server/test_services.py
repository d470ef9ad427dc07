"""Whether a service answers is asked with care: whatever stands at an address, the question ends with yes or no."""

from __future__ import annotations

import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from argilla_admap.server import server_entry
from argilla_admap.server.services import argilla_answers, elasticsearch_answers, redis_answers
from tests.doubles.loops import run_apart


@pytest.fixture
def served() -> Iterator[Callable[[bytes], int]]:
    """Serves these bytes to whoever connects; the port."""
    listening: list[socket.socket] = []

    def serve(answer: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def run() -> None:
            try:
                while True:
                    with server.accept()[0] as connection:
                        connection.recv(10_000)
                        connection.sendall(answer)
            except OSError:
                return

        threading.Thread(target=run, daemon=True).start()
        return int(server.getsockname()[1])

    yield serve
    for server in listening:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def http_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("address", ["h:abc", "[::1", "h:99999999", "user:p@ss@h h:1", "\x00:1", ""])
def test_an_address_that_is_none_does_not_answer(address: str) -> None:
    assert not elasticsearch_answers(f"http://{address}", timeout=0.5)
    assert not redis_answers(f"redis://{address}", timeout=0.5)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 500,
        http_answer(b"[" * 200_000),
        http_answer(b'{"username": "' + b"a" * 20_000_000 + b'"}'),
        http_answer(b"[1]"),
        http_answer(b"\x1b[2J not JSON"),
        b"HTTP/1.1 401 no\r\ncontent-length: 2\r\n\r\n{}",
    ],
    ids=["nothing", "bytes", "no end of headers", "deep", "20 MB", "a list", "words", "refused"],
)
def test_whatever_else_answers_is_not_taken_for_a_service(served: Callable[[bytes], int], answer: bytes) -> None:
    port = served(answer)
    assert not argilla_answers(f"http://127.0.0.1:{port}", "key", timeout=5)
    assert not elasticsearch_answers(f"http://user:password@127.0.0.1:{port}", timeout=5)
    assert not redis_answers(f"redis://:password@127.0.0.1:{port}/0", timeout=5)


def test_a_service_that_answers_is_known(served: Callable[[bytes], int]) -> None:
    user, health, pong = (
        served(a) for a in (http_answer(b'{"username": "a"}'), http_answer(b'{"timed_out": false}'), b"+PONG")
    )
    assert argilla_answers(f"http://127.0.0.1:{user}", "key")
    assert elasticsearch_answers(f"http://127.0.0.1:{health}")
    assert redis_answers(f"redis://127.0.0.1:{pong}")


def test_an_index_that_stays_red_is_made_anew_and_one_that_is_still_read_is_waited_for() -> None:
    asked: list[Any] = []

    class Engine:
        def __init__(self, *answers: tuple[str, int]) -> None:
            self.answers = iter(answers)
            self.indices = self.cluster = self

        def options(self, **given: Any) -> Engine:
            asked.append(given)
            return self

        async def exists(self, index: str) -> bool:
            return True

        async def reroute(self, *, retry_failed: bool) -> None:
            asked.append("again" if retry_failed else None)

        async def health(self, *, index: str, wait_for_status: str, timeout: str) -> dict[str, Any]:
            # The client gives up after ten seconds, and the answer must come before.
            assert int(timeout.removesuffix("s")) < 10
            status, initializing = next(self.answers)
            return {"status": status, "initializing_shards": initializing}

    sound = server_entry.is_sound
    assert not run_apart(sound(Engine(("red", 0)), "rg.x"))
    assert run_apart(sound(Engine(("red", 1), ("red", 1), ("yellow", 0)), "rg.x"))
    assert "again" in asked
    assert {"ignore_status": 408} in asked


def test_a_change_that_cannot_be_noted_on_a_full_disk_is_noted_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ElasticSearchEngine:
        fails = True

        async def _update_document_request(self, index_name: str, id: str, body: dict[str, Any]) -> None:
            if self.fails:
                raise TimeoutError

        async def _bulk_op_request(self, actions: list[dict[str, Any]]) -> None:
            await self._update_document_request("", "", {})

    module = ModuleType("argilla_server.search_engine.elasticsearch")
    monkeypatch.setattr(module, "ElasticSearchEngine", ElasticSearchEngine, raising=False)
    for name in ("argilla_server", "argilla_server.search_engine", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    server_entry.note_missed_writes()
    engine, ids = ElasticSearchEngine(), [str(uuid.uuid4()) for _ in range(4)]
    # To the program a folder in its place is what a full disk is: no file can be opened.
    server_entry.MISSED_WRITES.mkdir()
    with pytest.raises(TimeoutError):
        run_apart(engine._update_document_request("rg.a", ids[0], {}))
    with pytest.raises(TimeoutError):
        run_apart(engine._bulk_op_request([{"_index": "rg.b", "_id": one} for one in ids[1:3]]))
    server_entry.MISSED_WRITES.rmdir()
    engine.fails = False
    run_apart(engine._update_document_request("rg.a", ids[3], {}))
    assert server_entry.take_missed_writes()[1] == {"rg.a": {ids[0]}, "rg.b": set(ids[1:3])}
