"""Whatever the server does, each completion ends with a score or with a reason, and the run ends."""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from argilla_admap.errors import JudgeRefused, ScoringError
from argilla_admap.scoring.cache.store import Store
from argilla_admap.scoring.client.dispatcher import Dispatcher, RetryPolicy
from argilla_admap.scoring.client.failures import CircuitBreaker, RetryAction, classify, classify_error
from argilla_admap.scoring.client.transport import (
    ConnectionFailed,
    TimedOut,
    Transport,
    Unreachable,
    make_client,
    open_transport,
)
from argilla_admap.scoring.run import Progress, Scored, score
from tests.doubles.judge_server import Judge
from tests.doubles.loops import run_apart
from tests.scoring.makers import column, options, records, stream

KINDS = {
    "500": "500",
    "502": "502",
    "503": "503",
    "429": "429",
    "drop": "connection",
    "html": "web page",
    "truncated_json": "not JSON",
    "empty_body": "not JSON",
    "empty": "empty",
    "null": "empty",
    "prose": "no grade",
    "out_of_scale": "scale of 1 to 5",
    "refusal": "refused",
    "no_choices": "shape",
    "too_long": "too long",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_for_ever_leaves_a_reason_and_the_others_their_scores(judge: Judge, tmp_path: Any, kind: str) -> None:
    judge.behave(faults={kind: 0.2})
    scored = score(stream(records(10)), options(judge.url, tmp_path))
    scores, errors = column(scored, "scores"), column(scored, "errors")
    assert scored.summary["scored"] + scored.summary["unscored"] == 20
    assert 0 < scored.summary["unscored"] < 20
    assert [s is None for s in scores] == [e is not None for e in errors]
    assert all(KINDS[kind] in error for error in errors if error)
    assert all(1 <= s <= 5 for s in scores if s is not None)
    asked_before = judge.counts()["requests"]
    judge.behave()
    again = score(stream(records(10)), options(judge.url, tmp_path))
    assert (again.summary["unscored"], again.summary["requests"]) == (0, scored.summary["unscored"])
    assert asked_before <= 20 + 60 * scored.summary["unscored"]


@pytest.mark.parametrize("kind", ["500", "drop"])
def test_a_run_of_nothing_but_what_always_fails_ends_as_the_run_before(
    judge: Judge, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(Dispatcher, "retries", RetryPolicy(tries=1))
    judge.behave(faults={kind: 0.5})
    first = score(stream(records(60)), options(judge.url, tmp_path))
    assert first.summary["unscored"] > 40
    again = score(stream(records(60)), options(judge.url, tmp_path))
    assert (again.summary["cached"], again.summary["unscored"]) == (first.summary["scored"], first.summary["unscored"])
    assert column(again, "errors") == column(first, "errors")


@pytest.mark.parametrize("kind", ["503", "html"])
def test_while_the_server_is_down_questions_wait_and_are_all_answered_after(
    judge: Judge, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # Each question would be given up at its second failure.
    monkeypatch.setattr(Dispatcher, "retries", RetryPolicy(tries=2))
    judge.behave(latency=0.1)
    told: list[int] = []
    ended: list[Scored] = []

    def work() -> None:
        ended.append(score(stream(records(1500)), options(judge.url, tmp_path, concurrency=32), progress=seen))

    def seen(progress: Progress) -> None:
        told.append(progress.requests)

    run = threading.Thread(target=work)
    run.start()
    while not told or told[-1] < 100:
        time.sleep(0.05)
    judge.behave(latency=0.1, faults={kind: 1.0})
    time.sleep(3.0)
    asked = judge.counts()["requests"]
    judge.behave()
    run.join(60)
    assert ended[0].summary["unscored"] == 0
    # What was in flight, what told that the server is down, and a few that tried it.
    assert 20 <= asked <= 4 * 32


def test_a_page_that_is_not_found_for_a_while_ends_nothing(judge: Judge, tmp_path: Any) -> None:
    judge.behave(latency=0.05)
    told: list[int] = []
    ended: list[Scored] = []

    def work() -> None:
        rows = stream(records(600))
        ended.append(score(rows, options(judge.url, tmp_path, concurrency=16), progress=lambda p: told.append(p.requests)))

    run = threading.Thread(target=work)
    run.start()
    while not told or told[-1] < 50:
        time.sleep(0.05)
    judge.behave(latency=0.05, unknown_model=True)
    time.sleep(1.0)
    judge.behave()
    run.join(60)
    assert ended[0].summary["unscored"] == 0


@pytest.mark.parametrize(
    "said",
    [
        "Rate limit reached for model `llama-3.3-70b` in organization `o` on tokens per minute (TPM): Limit 12000, Used 11892. "
        "Please try again in 3.2s. Need more tokens? Upgrade at https://console.example/settings/billing",
        "Rate limit reached for gpt-4o on requests per min. Limit: 3 / min. Please try again in 20s. "
        "Please add a payment method to your account to increase your rate limit.",
        "You exceeded your current quota, please check your plan and billing details. Please retry in 2.5s.",
    ],
)
def test_a_limit_whose_words_speak_of_money_is_a_limit(said: str) -> None:
    body = {"error": {"message": said, "code": "rate_limit_exceeded"}}
    assert classify(429, {}, orjson.dumps(body)).action is RetryAction.SLOW_DOWN
    spent = {"error": {"message": "You exceeded your current quota: see your billing.", "code": "insufficient_quota"}}
    assert classify(429, {}, orjson.dumps(spent)).action is RetryAction.STOP


def test_a_key_that_runs_out_again_and_again_is_asked_for_each_time(judge: Judge, tmp_path: Any) -> None:
    judge.behave(key="first", latency=0.05)
    keys, told, ended = ["first"], [0], []

    async def key() -> str:
        return keys[-1]

    def work() -> None:
        client = openai.AsyncOpenAI(api_key=key, base_url=judge.url)
        wanted = options(judge.url, tmp_path, concurrency=8)
        ended.append(score(stream(records(400)), wanted, client=client, progress=lambda p: told.append(p.requests)))

    run = threading.Thread(target=work, daemon=True)
    run.start()
    for name in ("second", "third", "fourth"):
        asked = told[-1]
        while told[-1] < asked + 30:
            time.sleep(0.02)
        keys.append(name)
        judge.behave(key=name, latency=0.05)
    run.join(60)
    assert ended[0].summary["unscored"] == 0
    # The last expiry: what was in flight, and no more.
    assert judge.counts()["statuses"].get("401", 0) <= 16


def test_a_server_that_is_back_and_refuses_what_is_left_is_not_down(judge: Judge, tmp_path: Any) -> None:
    judge.behave(latency=0.05)
    told, ended = [0], []

    def work() -> None:
        rows = stream(records(600))
        ended.append(score(rows, options(judge.url, tmp_path, concurrency=16), progress=lambda p: told.append(p.requests)))

    run = threading.Thread(target=work, daemon=True)
    run.start()
    while told[-1] < 50:
        time.sleep(0.02)
    judge.behave(latency=0.05, faults={"503": 1.0})
    time.sleep(1.0)
    judge.behave(faults={"too_long": 1.0})
    run.join(30)
    assert ended[0].summary["scored"] + ended[0].summary["unscored"] == 1200


def test_an_error_that_nobody_foresaw_ends_the_run_and_does_not_hang_it(
    judge: Judge, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Store) -> bool:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    monkeypatch.setattr(Store, "flush", broken)
    with pytest.raises(OverflowError):
        score(stream(records(5)), options(judge.url, tmp_path))


def test_a_server_is_down_when_many_new_questions_fail_and_nothing_is_answered() -> None:
    breaker = CircuitBreaker()
    breaker.answered(100.0)
    breaker.reached()
    for _ in range(19):
        breaker.failed(100.5, new=True)
    for _ in range(50):
        # The last questions of a run may all be such that always fail.
        breaker.failed(100.5, new=False)
    assert not breaker.open
    breaker.failed(100.5, new=True)
    assert breaker.open
    assert breaker.delay(100.5) == 0.5
    waited, now = [], 100.5
    while not breaker.expired(now):
        now += breaker.delay(now)
        breaker.take(now)
        waited.append(round(breaker.delay(now), 3))
    assert waited[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert 160 < now < 169
    breaker.reached()
    assert (breaker.open, breaker.delay(now)) == (False, 0.0)


def test_a_server_that_never_answered_is_given_up_soon(judge: Judge, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatcher, "retries", RetryPolicy(tries=1))
    judge.behave(faults={"500": 1.0})
    with pytest.raises(ScoringError, match="answers with errors only"):
        score(stream(records(200)), options(judge.url, tmp_path))
    assert judge.counts()["requests"] < 60


@pytest.mark.parametrize("kind", ["500", "429", "drop", "html", "prose", "no_choices"])
def test_a_fault_that_passes_costs_nobody_a_score(judge: Judge, tmp_path: Any, kind: str) -> None:
    judge.behave(faults={kind: 1.0}, times=1)
    assert score(stream(records(5)), options(judge.url, tmp_path)).summary["scored"] == 10


def test_a_hung_request_is_given_up(judge: Judge, tmp_path: Any) -> None:
    judge.behave(faults={"hang": 0.1})
    scored = score(stream(records(10)), options(judge.url, tmp_path, timeout=0.6))
    hung = scored.summary["unscored"]
    assert 0 < hung < 20
    assert all("no answer in time" in error for error in column(scored, "errors") if error)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"key": "another"}, "OPENAI_API_KEY"),
        ({"unknown_model": True}, "`model`"),
        ({"quota": 5}, "credit"),
    ],
)
def test_what_asking_again_will_not_mend_stops_at_once(judge: Judge, tmp_path: Any, behaviour: Any, words: str) -> None:
    judge.behave(**behaviour)
    with pytest.raises(JudgeRefused, match=words) as caught:
        score(stream(records(200)), options(judge.url, tmp_path, concurrency=8))
    assert "sk-wrong" not in str(caught.value)
    assert judge.counts()["requests"] < 40


def test_texts_of_the_data_stay_in_no_temporary_folder(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scored = score(stream(records(5)), options(judge.url, tmp_path))
    (folder,) = tmp_path.glob("admap-scored-*")
    assert folder.stat().st_mode & 0o077 == 0
    del scored
    judge.behave(key="another")
    with pytest.raises(JudgeRefused):
        score(stream(records(200)), options(judge.url, tmp_path))
    assert not list(tmp_path.glob("admap-scored-*"))


def test_a_server_that_is_not_there_is_named(tmp_path: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ScoringError, match=url):
        score(stream(records(20)), options(url, tmp_path))


@pytest.mark.parametrize(
    ("status", "body", "cure"),
    [
        (401, b"", RetryAction.RENEW_KEY),
        (402, b"", RetryAction.STOP),
        (403, b'{"error": {"message": "no access"}}', RetryAction.STOP),
        (404, b"", RetryAction.STOP),
        (413, b"", RetryAction.GIVE_UP),
        (429, b'{"error": {"code": "insufficient_quota", "message": "no"}}', RetryAction.STOP),
        (429, b"", RetryAction.SLOW_DOWN),
        (400, b'{"error": {"message": "maximum context length is 8192"}}', RetryAction.GIVE_UP),
        (400, b'{"error": {"code": "content_filter", "message": "no"}}', RetryAction.GIVE_UP),
        (400, b'{"error": {"message": "unsupported: temperature"}}', RetryAction.NEGOTIATE),
        (422, b"", RetryAction.NEGOTIATE),
        (500, b"<html>", RetryAction.RETRY),
        (529, b"", RetryAction.RETRY),
        (301, b"", RetryAction.STOP),
    ],
)
def test_each_status_has_its_cure(status: int, body: bytes, cure: RetryAction) -> None:
    assert classify(status, {}, body).action is cure


def test_no_key_is_in_what_is_said() -> None:
    said = classify(401, {}, b'{"error": {"message": "Incorrect API key provided: sk-proj-abcDEF123. Bearer abc.def"}}').reason
    assert "abcDEF" not in said
    assert "abc.def" not in said


REPLIES = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "end": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "close": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
}
BROKEN = {
    "short": b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
    "half a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\nhello",
    "nothing": b"",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no number": b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nhello",
}


@asynccontextmanager
async def serving(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[Transport]:
    """A carrier to a server that speaks as it is told."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    transport = open_transport(make_client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"), "m")
    try:
        yield transport
    finally:
        await transport.close()
        server.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request; empty when no more comes."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = re.search(rb"content-length: (\d+)", head.lower())
    return await reader.readexactly(int(length[1])) if length else b""


async def exchange(reply: bytes, *, piece: int, times: int = 1, end: bool = True) -> list[tuple[int, bytes]]:
    """Which connection carried each request, and what was read, from a server that answers with these bytes, in pieces."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await request(reader):
            for start in range(0, len(reply), piece):
                writer.write(reply[start : start + piece])
                await writer.drain()
                await asyncio.sleep(0)
            if end:
                break
        writer.close()

    async with serving(serve) as transport:
        found = []
        for _ in range(times):
            body = (await transport.post("/chat/completions", b"{}", 5.0)).body
            found.append((connections, body))
            # Time to hear that the server has hung up.
            await asyncio.sleep(0.01)
        return found


@pytest.mark.parametrize("piece", [1, 7, 10_000])
@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_read_however_it_is_cut(name: str, piece: int) -> None:
    assert run_apart(exchange(REPLIES[name], piece=piece)) == [(1, b"hello")]


def test_a_connection_is_used_again() -> None:
    assert run_apart(exchange(REPLIES["length"], piece=10, times=3, end=False)) == [(1, b"hello")] * 3


def test_a_connection_that_the_server_closes_costs_no_request() -> None:
    assert run_apart(exchange(REPLIES["length"], piece=10, times=3)) == [(1, b"hello"), (2, b"hello"), (3, b"hello")]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reply_is_a_failed_connection(name: str) -> None:
    with pytest.raises(ConnectionFailed):
        run_apart(exchange(BROKEN[name], piece=10_000))


def test_a_reply_that_never_ends_is_late() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await asyncio.sleep(30)

    async def run() -> None:
        async with serving(serve) as transport:
            await transport.post("/chat/completions", b"{}", 0.2)

    with pytest.raises(TimedOut):
        run_apart(run())


def test_a_redirect_is_an_answer_and_leads_the_key_nowhere() -> None:
    reply = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"
    assert run_apart(exchange(reply, piece=100)) == [(1, b"")]


def test_where_nothing_was_sent_is_told_apart_and_no_secret_is_said() -> None:
    async def run() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        client = openai.AsyncOpenAI(api_key="sk-secret", base_url=address, default_query={"token": "t0ps3cret"})
        transport = open_transport(client, "m")
        try:
            await transport.post("/chat/completions", b"{}", 5.0)
        finally:
            await transport.close()

    with pytest.raises(Unreachable) as caught:
        run_apart(run())
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "t0ps3cret" not in str(caught.value)


def test_a_key_with_a_line_break_is_named() -> None:
    async def run() -> None:
        await open_transport(openai.AsyncOpenAI(api_key="sk-secret\n", base_url="http://127.0.0.1:9/v1"), "m").get(
            "/models", 5.0
        )

    with pytest.raises(JudgeRefused, match="line break") as caught:
        run_apart(run())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words", "action"),
    [
        (503, "The model took too long to answer; please retry.", RetryAction.RETRY),
        (504, "The upstream model took too long to respond.", RetryAction.RETRY),
        (524, "A timeout occurred: the answer is too long in coming", RetryAction.RETRY),
        (500, "the request exceeds the available context size", RetryAction.GIVE_UP),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", RetryAction.GIVE_UP),
        (400, "The input token count (5000) exceeds the maximum number of tokens allowed (4096).", RetryAction.GIVE_UP),
        (400, "This model's maximum prompt length is 8192 but the request contains 9000 tokens.", RetryAction.GIVE_UP),
        (422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5120", RetryAction.GIVE_UP),
        (400, "Requested sample logprobs of 20, which is greater than max allowed: 5", RetryAction.NEGOTIATE),
        (400, "max_tokens is too large: 9000. This model supports at most 4096 completion tokens", RetryAction.NEGOTIATE),
        (400, "Conversation roles must alternate user/assistant", RetryAction.NEGOTIATE),
        (400, "Input data may contain inappropriate content.", RetryAction.GIVE_UP),
        (400, "Content Exists Risk", RetryAction.GIVE_UP),
        (400, "Your credit balance is too low to access the API.", RetryAction.STOP),
        (400, "API key not valid. Please pass a valid API key.", RetryAction.RENEW_KEY),
        (400, "The model `x` has been decommissioned and is no longer supported.", RetryAction.STOP),
        (400, "Unsupported parameter: 'max_tokens' is not supported with this model. It is deprecated.", RetryAction.NEGOTIATE),
        (403, "Key limit exceeded (total limit).", RetryAction.STOP),
        (403, "You are not allowed to request logprobs from this model", RetryAction.NEGOTIATE),
        (500, "Jinja Exception: System role not supported", RetryAction.NEGOTIATE),
        (403, "Request was blocked by a guardrail", RetryAction.GIVE_UP),
        (403, "You have exceeded a secondary rate limit", RetryAction.SLOW_DOWN),
        (405, "Method Not Allowed", RetryAction.STOP),
        (407, "Proxy Authentication Required", RetryAction.STOP),
        (415, "Unsupported Media Type", RetryAction.NEGOTIATE),
        (410, "gone", RetryAction.STOP),
    ],
)
def test_a_status_is_classified_by_the_servers_words(status: int, words: str, action: RetryAction) -> None:
    assert classify(status, {}, orjson.dumps({"error": {"message": words}})).action is action


@pytest.mark.parametrize(
    ("error", "action"),
    [
        ({"message": "Provider returned error", "code": 502}, RetryAction.RETRY),
        ({"message": "no", "code": "insufficient_quota"}, RetryAction.STOP),
        ({"message": "Too many requests", "type": "rate_limit_error"}, RetryAction.SLOW_DOWN),
        ({"message": "Overloaded", "type": "overloaded_error"}, RetryAction.RETRY),
        ("model is loading", RetryAction.RETRY),
        ({"message": "flagged by moderation", "code": 403}, RetryAction.GIVE_UP),
        ({"message": "logprobs not supported", "type": "invalid_request_error"}, RetryAction.NEGOTIATE),
        ([{"code": 7003, "message": "No route"}], RetryAction.RETRY),
    ],
)
def test_an_error_inside_of_an_answer_is_classified_as_one_with_a_status(error: object, action: RetryAction) -> None:
    failure = classify_error(error)
    assert failure.action is action
    assert (error["message"] if isinstance(error, dict) else "") in failure.reason
