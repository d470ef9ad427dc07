"""A judge's double: a real HTTP server in a process of its own.

`python -m tests.doubles.judge_server` prints its port and serves chat completions with grades that depend on the question
alone. `POST /admin` sets how it behaves (the fields of `Behaviour`) and starts the counts anew; `GET /admin` tells what was
asked, what was paid for, and what was paid for twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

GRADED = re.compile(r"\[(\w+) answer begins\]\n(.*)\n\[\1 answer ends\]", re.DOTALL)


@dataclass
class Behaviour:
    """How the server behaves."""

    logprobs: str = "full"  # full, truncated (one candidate), none, refused (400)
    latency: float = 0.0  # seconds
    rpm: float = 0.0  # enforced; 0: no limit
    tpm: float = 0.0
    burst: float = 1.0  # seconds' worth that may come at once
    limit_headers: bool = True
    retry_after: str = "seconds"  # seconds, ms, date, none
    faults: dict[str, float] = field(default_factory=dict)  # share of the questions by kind
    times: int = 0  # how often a question fails; 0: for ever
    key: str = ""  # the only key that is let in; empty: any
    quota: int = 0  # answers until the quota is used up; 0: never
    several: bool = True  # takes n
    refuse: list[str] = field(default_factory=list)  # parameters answered with 400
    least_tokens: int = 1
    thinks: int = 0  # tokens that it needs before it says anything
    says: str = ""  # in place of the digit, with {grade} for it; cut where the limit of tokens ends it
    models: list[dict[str, Any]] = field(default_factory=list)
    unknown_model: bool = False
    tokens_a_char: float = 0.25
    noise: bool = False  # samples differ
    usage: bool = True


class Server:
    """State and handlers."""

    def __init__(self) -> None:
        self.start(Behaviour())

    def start(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.paid: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.in_flight = self.most_in_flight = 0
        self.tokens_in = self.tokens_out = 0
        self.clock = {"requests": 0.0, "tokens": 0.0}
        self.times: list[float] = []
        self.refused_times: list[float] = []

    def state(self) -> dict[str, Any]:
        return {
            "requests": sum(self.statuses.values()),
            "statuses": dict(self.statuses),
            "paid": sum(self.paid.values()),
            "distinct": len(self.paid),
            "twice": sum(n - 1 for n in self.paid.values()),
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "last_bodies": self.bodies[-20:],
            "headers": self.headers,
            "times": [round(t - self.times[0], 3) for t in self.times[:100_000]],
            "refused_times": [round(t - self.times[0], 3) for t in self.refused_times if self.times],
        }

    def limited(self, tokens: int) -> float:
        """Seconds to wait, by a bucket of `burst` seconds; 0: let in."""
        b, now = self.behaviour, time.monotonic()
        waits = []
        for name, rate, units in (("requests", b.rpm / 60, 1), ("tokens", b.tpm / 60, tokens)):
            if rate:
                waits.append(max(self.clock[name], now) + units / rate - now - max(b.burst, units / rate))
        if any(w > 0 for w in waits):
            return max(waits)
        for name, rate, units in (("requests", b.rpm / 60, 1), ("tokens", b.tpm / 60, tokens)):
            if rate:
                self.clock[name] = max(self.clock[name], now) + units / rate
        return 0.0


def grade(text: str) -> int:
    """The grade of a question: `quality=N` in the graded answer, else by hash."""
    graded = GRADED.search(text)
    said = re.search(r"quality=([1-5])", graded.group(2)) if graded else None
    return int(said.group(1)) if said else hashlib.sha256(text.encode()).digest()[0] % 5 + 1


def main() -> None:
    """Serves until standard input closes."""
    from aiohttp import web

    server = Server()

    def error(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> web.Response:
        server.statuses[str(status)] += 1
        return web.json_response(
            {"error": {"message": message, "type": "invalid_request_error", "code": code}}, status=status, headers=headers
        )

    async def admin(request: web.Request) -> web.Response:
        if request.method == "POST":
            server.start(Behaviour(**await request.json()))
        return web.json_response(server.state())

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": server.behaviour.models})

    async def chat(request: web.Request) -> web.StreamResponse:
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            return await answer(request)
        finally:
            server.in_flight -= 1

    async def answer(request: web.Request) -> web.StreamResponse:
        b = server.behaviour
        raw = await request.read()
        body = json.loads(raw)
        server.headers = {k: v for k, v in request.headers.items() if k.lower() != "authorization"}
        if len(server.bodies) < 5000:
            server.bodies.append(body)
        text = body["messages"][-1]["content"]
        question = hashlib.sha256(json.dumps([body["messages"], bool(body.get("logprobs"))]).encode()).hexdigest()
        if b.key and request.headers.get("authorization") != f"Bearer {b.key}":
            return error(401, "Incorrect API key provided: sk-wrong-key-1234.", "invalid_api_key")
        if b.unknown_model:
            return error(404, f"The model {body['model']!r} does not exist", "model_not_found")
        for name in b.refuse:
            if name in body:
                return error(400, f"Unsupported parameter: '{name}' is not supported with this model.", "unsupported_parameter")
        most = body.get("max_tokens") or body.get("max_completion_tokens") or 10**6
        if most < b.least_tokens:
            return error(400, "Could not finish the message because max_tokens or model output limit was reached.")
        if b.logprobs == "refused" and body.get("logprobs"):
            return error(400, "logprobs are not supported with this model.", "unsupported_value")
        tokens = int(sum(len(m["content"]) for m in body["messages"]) * b.tokens_a_char) + 3 * len(body["messages"])
        wait = server.limited(tokens + 1)
        headers = {}
        if b.limit_headers and b.rpm:
            headers["x-ratelimit-limit-requests"] = f"{b.rpm:.0f}"
        if b.limit_headers and b.tpm:
            headers["x-ratelimit-limit-tokens"] = f"{b.tpm:.0f}"
        now = time.monotonic()
        server.times.append(now)
        if wait > 0:
            server.refused_times.append(now)
            said = {"seconds": {"retry-after": f"{wait:.3f}"}, "ms": {"retry-after-ms": f"{wait * 1000:.0f}"}, "none": {}}
            date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + wait + 1))
            return error(
                429,
                "Rate limit reached",
                "rate_limit_exceeded",
                headers | {**said, "date": {"retry-after": date}}[b.retry_after],
            )
        if b.quota and sum(server.paid.values()) >= b.quota:
            return error(
                429, "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota"
            )
        if b.latency:
            await asyncio.sleep(b.latency)
        fault = pick(b, question)
        if fault is not None and (not b.times or server.failures[question] < b.times):
            server.failures[question] += 1
            got = await faulty(request, fault, question, body, tokens)
            if got is not None:
                return got
        if most <= b.thinks:
            return reply(question, body, "", tokens, headers, finish="length")
        return reply(question, body, text, tokens, headers)

    def pick(b: Behaviour, question: str) -> str | None:
        place = int(question[:8], 16) / 2**32
        for kind, share in b.faults.items():
            if place < share:
                return kind
            place -= share
        return None

    async def faulty(request: web.Request, kind: str, question: str, body: Any, tokens: int) -> web.StreamResponse | None:
        if kind in {"500", "502", "503"}:
            return error(int(kind), "The server had an error")
        if kind == "429":
            return error(429, "Rate limit reached", "rate_limit_exceeded", {"retry-after-ms": "20"})
        if kind == "too_long":
            return error(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded")
        if kind == "drop":
            server.statuses["drop"] += 1
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        if kind == "hang":
            server.statuses["hang"] += 1
            await asyncio.sleep(3600)
        texts = {
            "html": "<html><body>Bad gateway</body></html>",
            "truncated_json": '{"id": "x", "choices": [{"mess',
            "empty_body": "",
        }
        if kind in texts:
            server.statuses["200"] += 1
            server.paid[question] += 1
            return web.Response(text=texts[kind], content_type="text/html")
        if kind == "starved":
            return reply(question, body, "", tokens, {}, finish="length")
        contents = {"empty": "", "null": None, "prose": "I think this answer is rather good.", "out_of_scale": "9"}
        if kind in contents:
            return reply(question, body, "", tokens, {}, content=contents[kind])
        if kind == "refusal":
            return reply(question, body, "", tokens, {}, content=None, refusal="I cannot help with that.")
        if kind == "no_choices":
            server.statuses["200"] += 1
            return web.json_response({"choices": []})
        raise ValueError(kind)

    def reply(
        question: str,
        body: Any,
        text: str,
        tokens: int,
        headers: dict[str, str],
        content: Any = "",
        refusal: str | None = None,
        finish: str = "stop",
    ) -> web.Response:
        b = server.behaviour
        server.statuses["200"] += 1
        n = body.get("n", 1) if b.several else 1
        plain = bool(text)
        server.paid[question] += 1
        choices = []
        for index in range(n):
            value = grade(text) if plain else None
            if value is not None and b.noise:
                value = min(5, max(1, value + (server.paid[question] + index) % 3 - 1))
            said = str(value) if plain else content
            pieces: list[str] = []
            if plain and b.says:
                most = body.get("max_tokens") or body.get("max_completion_tokens") or 10**6
                pieces = re.findall(r"<[^<>]*>|\s?[^\W\d]+|\d|\s|[^\w\s]", b.says.format(grade=value))
                finish = "length" if len(pieces) > most else "stop"
                pieces = pieces[:most]
                said = "".join(pieces)
            elif plain and body.get("response_format"):
                said = json.dumps({"score": value, "reason": f"It deserves a {value}."})
            choice: dict[str, Any] = {
                "index": index,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": said, "refusal": refusal},
            }
            if body.get("logprobs") and b.logprobs in {"full", "truncated"} and value is not None:
                tokens_said = pieces or (
                    ['{"', "score", '":', " ", str(value), "}"] if body.get("response_format") else [str(value)]
                )
                last = len(tokens_said) - 1 - tokens_said[::-1].index(str(value)) if str(value) in tokens_said else -1
                choice["logprobs"] = {
                    "content": [item(t, value if n == last else 0, b.logprobs) for n, t in enumerate(tokens_said)]
                }
            choices.append(choice)
        out = n * (20 if body.get("response_format") else 1)
        server.tokens_in += tokens
        server.tokens_out += out
        answered: dict[str, Any] = {"id": "x", "object": "chat.completion", "model": body["model"], "choices": choices}
        if b.usage:
            answered["usage"] = {"prompt_tokens": tokens, "completion_tokens": out, "total_tokens": tokens + out}
        return web.json_response(answered, headers=headers)

    def item(token: str, value: int, mode: str) -> dict[str, Any]:
        if token != str(value):
            return {"token": token, "logprob": 0.0, "top_logprobs": [{"token": token, "logprob": 0.0}]}
        shares = {
            g: 0.7 if g == value else 0.28 / sum(1 for x in range(1, 6) if abs(x - value) == 1) if abs(g - value) == 1 else 0.0
            for g in range(1, 6)
        }
        top = [{"token": str(g), "logprob": math.log(p)} for g, p in sorted(shares.items(), key=lambda x: -x[1]) if p]
        top += [{"token": word, "logprob": -12.0} for word in ("The", "Grade", "\n", "I", "Score", "**", "A")]
        return {"token": token, "logprob": math.log(0.7), "top_logprobs": top if mode == "full" else top[:1]}

    async def serve() -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/admin", admin)
        app.router.add_get("/v1/models", models)
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    asyncio.run(serve())


class Judge:
    """The running server, as a test sees it."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"

    def behave(self, **behaviour: Any) -> None:
        """Sets the behaviour, and starts the counts anew."""
        data = json.dumps(asdict(Behaviour(**behaviour))).encode()
        request = urllib.request.Request(f"{self.root}/admin", data=data, headers={"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def counts(self) -> dict[str, Any]:
        """What was asked and paid for since then."""
        with urllib.request.urlopen(f"{self.root}/admin", timeout=10) as response:
            found: dict[str, Any] = json.load(response)
            return found


def start_judge() -> tuple[subprocess.Popen[str], Judge]:
    """A judge in a process of its own; it ends when its standard input closes."""
    root = Path(__file__).resolve().parents[2]
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.judge_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert program.stdout is not None
    return program, Judge(int(program.stdout.readline()))


@pytest.fixture(scope="session")
def judge_process() -> Iterator[Judge]:
    program, judge = start_judge()
    yield judge
    program.terminate()
    program.wait(10)


@pytest.fixture
def judge(judge_process: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judge:
    """A judge that behaves well until it is told otherwise; the store of this test is its own."""
    judge_process.behave()
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))
    return judge_process


if __name__ == "__main__":
    main()
