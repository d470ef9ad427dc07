"""A judge that answers to fill the memory or the time: the run ends with a message, soon and small, and with no wrong score."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from argilla_admap.scoring.client.failures import classify
from tests.doubles.served import served

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

DEEP = b"[" * 100_000 + b"NaN" + b"]" * 100_000
MANY_MB = 20
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "' + b"good " * 20 + b'"}}]}\n\n'


def choice(content: bytes, more: bytes = b"") -> bytes:
    return b'{"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": ' + content + b"}" + more + b"}]}"


async def words(before: bytes, block: bytes) -> AsyncIterator[bytes]:
    """Many megabytes; what follows is never asked for, so that a judge of a gigabyte is no other test."""
    yield before
    for _ in range(MANY_MB):
        yield block * (2**20 // len(block))


async def once(body: bytes) -> AsyncIterator[bytes]:
    yield body


#: What is sent, and what is said of it.
KINDS: dict[str, tuple[Callable[[], AsyncIterator[bytes]], str]] = {
    "words without end": (lambda: words(b'{"choices": [{"message": {"content": "', b"good "), "MB and more"),
    "events without end": (lambda: words(b"", EVENT), "MB and more"),
    "deep": (lambda: once(choice(b'"4"', b', "logprobs": ' + DEEP)), "not JSON"),
    "deep within reach": (lambda: once(choice(b"[" * 900 + b"1" + b"]" * 900)), ""),
    "nothing but brackets": (lambda: once(choice(b'"it is good"', b', "x": [' + b"[]," * 1_200_000 + b"[]]")), "brackets"),
    "small events": (lambda: once(EVENT * 20_000 + b"data: [DONE]\n\n"), "2,000,000 characters"),
    "many parts": (lambda: once(choice(b"[" + b'"good, ",' * 90_000 + b'"4"]')), "540,001 characters"),
    "digits": (lambda: once(choice(b'"' + b"9" * 200_000 + b'"')), "no grade"),
}
WORK = r"""
import pathlib, re, sys, time
from argilla_admap.errors import AdmapError
from argilla_admap.scoring.run import score
from tests.scoring.makers import column, options, records, stream
try:
    scored = score(stream(records(2)), options(sys.argv[1], pathlib.Path(sys.argv[2]), models=("m",)), warn=lambda words: None)
    said = " ".join(str(error) for error in column(scored, "errors"))
    right = not any(score for score in column(scored, "scores"))
except AdmapError as exc:
    said, right = str(exc), True
peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024
print(len(said), right, round(time.process_time()), peak, said[:600])
"""


def asked(work: str, answer: Answer, folder: Path) -> str:
    """What a program prints that asks a judge of such answers."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    with served(lambda: app) as url:
        command = [sys.executable, "-c", work, f"{url}/v1", str(folder)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_ends_with_a_message_within_ten_seconds_of_work_and_500_mb(tmp_path: Path, kind: str) -> None:
    sent, said = KINDS[kind]

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        async for block in sent():
            with suppress(ConnectionError):  # it has read enough, and hangs up
                await response.write(block)
        return response

    length, right, seconds, peak, words = asked(WORK, answer, tmp_path).split(maxsplit=4)
    print(kind, seconds, peak, words[:200])
    assert right == "True"
    assert said in words
    assert int(length) > 0
    assert int(seconds) < 10
    assert int(peak) < 500


OWN = r"""
import pathlib, re, sys
import openai
from argilla_admap.errors import AdmapError
from argilla_admap.scoring.run import score
from tests.scoring.makers import column, options, records, stream
for kind, library in ((openai.AsyncOpenAI, openai.DefaultAsyncHttpxClient), (openai.OpenAI, openai.DefaultHttpxClient)):
    own = library()
    client = kind(base_url=sys.argv[1], api_key="k", http_client=own)
    chosen = options(sys.argv[1], pathlib.Path(sys.argv[2]) / kind.__name__, models=("m",))
    try:
        scored = score(stream(records(2)), chosen, client=client, warn=lambda words: None)
        print(column(scored, "errors")[0])
    except AdmapError as exc:
        print(str(exc)[:300])
    print(own.event_hooks["response"])
print(int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.parametrize("status", [200, 500])
def test_a_client_of_the_user_s_own_reads_the_beginning_too_and_is_left_as_it_was(tmp_path: Path, status: int) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(status=status, headers={"content-type": "application/json"})
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(200):
                await response.write(b"good " * 2**18)
        return response

    *said, peak = asked(OWN, answer, tmp_path).splitlines()
    assert said[1::2] == ["[]", "[]"]
    assert all("MB and more" in words if status == 200 else "500" in words for words in said[::2])
    assert int(peak) < 500


@pytest.mark.parametrize("body", [b'{"error": {"message": "' + b"a" * 2**22, b"<script>" * 2**19, b'{"error": ' + DEEP + b"}"])
def test_an_error_without_end_is_read_at_its_beginning(body: bytes) -> None:
    started = time.process_time()
    assert "answered 500" in classify(500, {}, body).reason
    assert "answered 500" in classify(500, {}, b'{"error": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}").reason
    assert time.process_time() - started < 2
