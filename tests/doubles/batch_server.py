"""A judge's endpoint with the Batch API beside chat: files, batches, output and error files, and a count of what was paid.

The server keeps everything in memory in this process, so that a client can be killed and started again against it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.doubles.served import error, served

__all__ = ["Batches"]


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion that depends on the question alone: a digit from 1 to 5, with candidates or as JSON where asked."""
    digest = hashlib.blake2b(json.dumps(body["messages"]).encode(), digest_size=8).digest()
    digit = 1 + digest[0] % 5
    text, logprobs = str(digit), None
    if body.get("response_format", {}).get("type") == "json_schema":
        text = json.dumps({"reason": f"It deserves {digit}.", "score": digit})
    if body.get("logprobs"):
        shares = {str(d): 0.9 if d == digit else 0.025 for d in range(1, 6)}
        candidates = [
            {"token": d, "logprob": math.log(p), "bytes": [ord(d)]} for d, p in sorted(shares.items(), key=lambda x: -x[1])
        ]
        logprobs = {"content": [{**candidates[0], "top_logprobs": candidates[: body.get("top_logprobs", 0)]}], "refusal": None}
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": f"chatcmpl-{digest.hex()}",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs}],
        "usage": {"prompt_tokens": len(json.dumps(body["messages"])) // 4, "completion_tokens": 1, "total_tokens": 0},
    }


@dataclass
class _Batch:
    id: str
    file: str
    metadata: dict[str, str]
    born: float
    status: str = "validating"
    output: str | None = None
    errors: str | None = None
    problems: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "input_file_id": self.file,
            "status": self.status,
            "metadata": self.metadata,
            "created_at": int(self.born),
            "output_file_id": self.output,
            "error_file_id": self.errors,
            "errors": {"object": "list", "data": self.problems} if self.problems else None,
            "request_counts": self.counts,
        }


class Batches:
    """The endpoint. What may go wrong is set on the object before, or while, a client is at work."""

    def __init__(self) -> None:
        self.answer = answer  # to a question's body
        self.refuses: Callable[[dict[str, Any]], str] = lambda body: ""  # the words of a refusal, by a question's body
        self.seconds = 0.3  # until a batch is done; may be changed while one is under way
        self.most_requests, self.most_bytes = 50_000, 200_000_000
        self.most_under_way = 1_000_000  # requests in batches at once
        self.lists = True  # whether GET /batches is there
        self.keep_metadata = True
        self.takes_files = True
        self.fail: Counter[str] = Counter()  # "429", "400", "expire", "drop": so many requests of the next batches end so
        self.create_faults: list[str] = []  # "drop": makes the batch and breaks the connection; or a status
        self.always_expire = False
        self.not_found = 0  # so many times a batch that is there is not found
        self.cut = 0  # so many downloads break off in the middle
        #: Called with "upload", "create", "retrieve" or "content" when that was done and before it is answered.
        self.hook: Callable[[str], None] = lambda event: None
        #: What was answered and billed at half price, by the question's hash; and at full price.
        self.paid: Counter[str] = Counter()
        self.paid_in_full: Counter[str] = Counter()
        self.files: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self.batches: dict[str, _Batch] = {}
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        add = app.router
        add.add_post("/v1/chat/completions", self.chat)
        add.add_get("/v1/models", self.models)
        add.add_post("/v1/files", self.upload)
        add.add_get("/v1/files", self.list_files)
        add.add_get("/v1/files/{id}/content", self.content)
        add.add_delete("/v1/files/{id}", self.delete)
        add.add_post("/v1/batches", self.create)
        add.add_get("/v1/batches", self.list_batches)
        add.add_get("/v1/batches/{id}", self.retrieve)
        add.add_post("/v1/batches/{id}/cancel", self.cancel)
        return app

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        if words := self.refuses(body):
            return error(400, words)
        self.paid_in_full[_hash(body)] += 1
        return web.json_response(self.answer(body))

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "x"}]}
        )

    async def upload(self, request: web.Request) -> web.Response:
        if not self.takes_files:
            return error(404, "Not Found")
        form = await request.post()
        assert form["purpose"] == "batch"
        part = form["file"]
        assert isinstance(part, web.FileField)
        data = part.file.read()
        if len(data) > self.most_bytes:
            return error(413, "file too large")
        name = f"file-{len(self.files)}"
        self.files[name], self.names[name] = data, part.filename
        self.hook("upload")
        return web.json_response(self.file_shown(name))

    def file_shown(self, name: str) -> dict[str, Any]:
        size = len(self.files[name])
        return {
            "id": name,
            "object": "file",
            "bytes": size,
            "created_at": 1,
            "filename": self.names[name],
            "purpose": "batch",
            "status": "processed",
        }

    async def list_files(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self.file_shown(name) for name in self.names], "has_more": False})

    async def content(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["id"] not in self.files:
            return error(404, "No such File object")
        self.hook("content")
        body = self.files[request.match_info["id"]]
        if self.cut > 0:
            self.cut -= 1
            broken = web.StreamResponse(headers={"content-length": str(len(body))})
            await broken.prepare(request)
            await broken.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.close()
            return broken
        return web.Response(body=body)

    async def delete(self, request: web.Request) -> web.Response:
        self.files.pop(request.match_info["id"], None)
        self.names.pop(request.match_info["id"], None)
        return web.json_response({"id": request.match_info["id"], "object": "file", "deleted": True})

    async def create(self, request: web.Request) -> web.Response:
        body = await request.json()
        fault = self.create_faults.pop(0) if self.create_faults else None
        if fault and fault != "drop":
            return error(int(fault), "try again")
        assert body["endpoint"].endswith("/chat/completions")
        assert body["completion_window"] == "24h"
        assert all(isinstance(v, str) and len(v) <= 512 for v in body.get("metadata", {}).values())
        batch = _Batch(
            f"batch_{len(self.batches)}",
            body["input_file_id"],
            body.get("metadata", {}) if self.keep_metadata else {},
            time.time(),
        )
        self.batches[batch.id] = batch
        asyncio.get_running_loop().create_task(self.work(batch))
        self.hook("create")
        if fault == "drop":
            assert request.transport
            request.transport.abort()
        return web.json_response(batch.shown())

    async def work(self, batch: _Batch) -> None:
        lines = [json.loads(line) for line in self.files[batch.file].splitlines()]
        ids = [line["custom_id"] for line in lines]
        under_way = sum(b.counts["total"] for b in self.batches.values() if b.status == "in_progress")
        if len(lines) > self.most_requests or len(set(ids)) != len(ids) or len({line["body"]["model"] for line in lines}) != 1:
            batch.status, batch.problems = (
                "failed",
                [{"code": "invalid_file", "message": "too many requests, an id twice, or several models"}],
            )
            return
        if under_way + len(lines) > self.most_under_way:
            message = "Enqueued token limit reached for gpt-4o in organization. Limit: 90,000 enqueued tokens."
            batch.status, batch.problems = "failed", [{"code": "token_limit_exceeded", "message": message}]
            return
        batch.status, batch.counts = "in_progress", {"total": len(lines), "completed": 0, "failed": 0}
        while time.time() < batch.born + self.seconds:  # noqa: ASYNC110  # `seconds` may change meanwhile, from another thread
            await asyncio.sleep(0.01)
        good, bad = [], []
        for line in lines:
            end = next((kind for kind in ("429", "400", "expire", "drop") if self.fail[kind] > 0), None)
            if end:
                self.fail[end] -= 1
            if end == "drop":
                continue
            if end == "expire" or self.always_expire:
                batch.status = "expired"
                bad.append(
                    _line(
                        line,
                        None,
                        {
                            "code": "batch_expired",
                            "message": "This request could not be executed before the completion window expired.",
                        },
                    )
                )
            elif end or (refusal := self.refuses(line["body"])):
                words = f"refused with {end}" if end else refusal
                body = {"error": {"message": words, "type": "invalid_request_error", "code": None}}
                bad.append(_line(line, {"status_code": int(end or 400), "request_id": "r", "body": body}, None))
            else:
                self.paid[_hash(line["body"])] += 1
                good.append(_line(line, {"status_code": 200, "request_id": "r", "body": self.answer(line["body"])}, None))
        # The output's order is not the input's.
        batch.output, batch.errors = self.store(good[::-1]), self.store(bad)
        batch.counts = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        if batch.status == "in_progress":
            batch.status = "completed"

    def store(self, lines: list[dict[str, Any]]) -> str | None:
        if not lines:
            return None
        name = f"file-{len(self.files)}"
        self.files[name] = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        return name

    async def list_batches(self, request: web.Request) -> web.Response:
        if not self.lists:
            return error(404, "Not Found")
        rows = [batch.shown() for batch in reversed(self.batches.values())]
        start = next((i + 1 for i, row in enumerate(rows) if row["id"] == request.query.get("after")), 0)
        page = rows[start : start + int(request.query.get("limit", 20))]
        return web.json_response({"object": "list", "data": page, "has_more": start + len(page) < len(rows)})

    async def retrieve(self, request: web.Request) -> web.Response:
        self.hook("retrieve")
        batch = self.batches.get(request.match_info["id"])
        if self.not_found > 0:
            self.not_found -= 1
            batch = None
        return web.json_response(batch.shown()) if batch else error(404, "No batch found")

    async def cancel(self, request: web.Request) -> web.Response:
        return web.json_response(self.batches[request.match_info["id"]].shown())


def _line(line: dict[str, Any], response: dict[str, Any] | None, error: dict[str, str] | None) -> dict[str, Any]:
    return {"id": "batch_req_1", "custom_id": line["custom_id"], "response": response, "error": error}


def _hash(body: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=16).hexdigest()


@pytest.fixture
def batches() -> Iterator[Batches]:
    """A running endpoint; its address is `.url`."""
    double = Batches()
    with served(double.app) as url:
        double.url = f"{url}/v1"
        yield double
