"""A reward model's double in each dialect that servers of reward models speak, as strict as they are about what is asked.

The shapes of requests, answers and refusals are those of vLLM's `/classify`, `/pooling` and `/score`, of Text Embeddings
Inference's `/predict` and `/rerank`, and of llama.cpp's `/v1/rerank`. The reward is `reward(prompt, completion)`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator

import pytest
from aiohttp import web

from tests.doubles.served import served

__all__ = ["Reward", "reward"]


def reward(prompt: str, completion: str) -> float:
    """More for words that the prompt has too, less for shouting; below zero is possible, as with real reward models."""
    asked, said = set(prompt.lower().split()), completion.lower().split()
    return 3 * sum(word in asked for word in said) / (1 + len(said)) + 0.01 * len(said) - completion.count("!") - 1


class Reward:
    """All dialects on one port; `kind` says which server it is when a client looks (`vllm`, `tei`, `llama.cpp`, `bare`)."""

    def __init__(
        self,
        kind: str = "bare",
        *,
        labels: tuple[str, ...] = ("LABEL_0",),
        key: str | None = None,
        without: tuple[str, ...] = (),
    ) -> None:
        self.kind, self.labels, self.key, self.without = kind, labels, key, without
        self.model = "org/rm"
        self.most_texts = 32
        self.longest = 20_000
        #: Each pair that was scored, as often as it was.
        self.scored: Counter[tuple[str, str]] = Counter()
        self.paths: Counter[str] = Counter()
        self.faults: list[int] = []
        self.delay = 0.0
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20, middlewares=[self.guard])
        add = app.router.add_post
        if self.kind in ("vllm", "bare"):
            add("/classify", self.classify)
            add("/pooling", self.pooling)
            add("/score", self.score)
        if self.kind in ("tei", "bare"):
            add("/predict", self.predict)
        add("/rerank", self.tei_rerank if self.kind == "tei" else self.rerank)
        if self.kind != "tei":
            add("/v1/rerank", self.rerank)
        if self.kind == "vllm":
            app.router.add_get("/version", self.version)
            app.router.add_get("/v1/models", self.models)
        if self.kind == "tei":
            app.router.add_get("/info", self.info)
        if self.kind == "llama.cpp":
            app.router.add_get("/props", self.props)
        return app

    @web.middleware
    async def guard(self, request: web.Request, handler: object) -> web.StreamResponse:
        if request.method == "POST":
            self.paths[request.path] += 1
            if request.path in self.without:
                raise web.HTTPNotFound
            if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
                return web.json_response({"error": "Unauthorized"}, status=401)
            await asyncio.sleep(self.delay)
            if self.faults:
                return web.json_response(
                    {"error": "Model is overloaded", "error_type": "overloaded"}, status=self.faults.pop(0)
                )
        return await handler(request)  # type: ignore[operator]

    def value(self, prompt: str, completion: str) -> float:
        if len(prompt) + len(completion) > self.longest:
            raise web.HTTPBadRequest(
                text='{"error": {"message": "maximum context length is 4096 tokens", "type": "BadRequestError", "code": 400}}',
                content_type="application/json",
            )
        self.scored[prompt, completion] += 1
        return reward(prompt, completion)

    def of_messages(self, body: dict[str, object]) -> float:
        messages = body["messages"]
        assert isinstance(messages, list)
        *before, last = messages
        assert last["role"] == "assistant", "a reward model reads the answer as the assistant's"
        return self.value("\n\n".join(m["content"] for m in before), last["content"])

    async def classify(self, request: web.Request) -> web.Response:
        body = await request.json()
        value = self.of_messages(body)
        raw = [value] + [-value] * (len(self.labels) - 1)
        if body.get("use_activation", True):
            raw = [1 / (1 + math.exp(-x)) for x in raw]
        data = [{"index": 0, "label": self.labels[0], "probs": raw, "num_classes": len(raw)}]
        return web.json_response(
            {"id": "classify-1", "object": "list", "created": 1, "model": "rm", "data": data, "usage": {"prompt_tokens": 9}}
        )

    async def pooling(self, request: web.Request) -> web.Response:
        value = self.of_messages(await request.json())
        # A model that pools each token gives a reward for each; the last token's is the answer's.
        data = [{"index": 0, "object": "pooling", "data": [[-9.0], [-8.0], [value]]}]
        return web.json_response(
            {"id": "pool-1", "object": "list", "created": 1, "model": "rm", "data": data, "usage": {"prompt_tokens": 9}}
        )

    async def score(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert isinstance(body["text_1"], str)
        data = [{"index": i, "object": "score", "score": self.value(body["text_1"], t)} for i, t in enumerate(body["text_2"])]
        return web.json_response(
            {"id": "score-1", "object": "list", "created": 1, "model": "rm", "data": data, "usage": {"prompt_tokens": 9}}
        )

    async def predict(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in body["inputs"]):
            return web.json_response({"error": "Failed to deserialize the JSON body", "error_type": "validation"}, status=422)
        if len(body["inputs"]) > self.most_texts:
            return web.json_response(
                {"error": "batch size > maximum allowed batch size", "error_type": "validation"}, status=413
            )
        assert body["raw_scores"] is True
        values = [self.value(prompt, completion) for prompt, completion in body["inputs"]]
        rows = [[{"score": v if i == 0 else -v, "label": name} for i, name in enumerate(self.labels)] for v in values]
        return web.json_response([sorted(row, key=lambda cell: -cell["score"]) for row in rows])

    async def tei_rerank(self, request: web.Request) -> web.Response:
        body = await request.json()
        if len(body["texts"]) > self.most_texts:
            return web.json_response(
                {"error": "batch size > maximum allowed batch size", "error_type": "validation"}, status=413
            )
        assert body["raw_scores"] is True
        rows = [{"index": i, "score": self.value(body["query"], text)} for i, text in enumerate(body["texts"])]
        return web.json_response(sorted(rows, key=lambda row: -row["score"]))

    async def rerank(self, request: web.Request) -> web.Response:
        body = await request.json()
        rows = [{"index": i, "relevance_score": self.value(body["query"], text)} for i, text in enumerate(body["documents"])]
        answer = {"model": "rm", "object": "list", "usage": {"prompt_tokens": 9, "total_tokens": 9}}
        return web.json_response(answer | {"results": sorted(rows, key=lambda row: -row["relevance_score"])})

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.19.0"})

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.model, "object": "model", "owned_by": "vllm"}]})

    async def info(self, request: web.Request) -> web.Response:
        labels = {"id2label": {str(i): name for i, name in enumerate(self.labels)}}
        kind = {"classifier": labels} if self.labels != ("LABEL_0",) else {"reranker": labels}
        return web.json_response(
            {"model_id": self.model, "model_type": kind, "max_client_batch_size": self.most_texts, "version": "1.8.0"}
        )

    async def props(self, request: web.Request) -> web.Response:
        return web.json_response({"model_path": "rm.gguf", "total_slots": 4, "build_info": "b7000"})


@pytest.fixture
def make_reward() -> Iterator[object]:
    """Starts a server of a kind: `make_reward("tei", labels=("bad", "good"))`."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(kind: str = "bare", **more: object) -> Reward:
            double = Reward(kind, **more)  # type: ignore[arg-type]
            double.url = stack.enter_context(served(double.app))
            return double

        yield make
