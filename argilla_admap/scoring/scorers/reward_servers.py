"""How servers of reward models are asked, and what they answer: one entry for each way.

========================  =====================================================  =============================================
``vllm-classify``         vLLM, a sequence classifier, with its chat template    ``data[0].probs``, raw (no activation)
``vllm-pooling``          vLLM, a reward model that pools tokens                 ``data[0].data``, the last token's
``vllm-score``            vLLM, a cross-encoder                                  ``data[].score`` by ``index``
``tei-predict``           Text Embeddings Inference, pairs                       rows of ``{score, label}``, raw scores
``tei-rerank``            Text Embeddings Inference, query and texts             ``{index, score}``, best first
``rerank``                llama.cpp (``--reranking``), vLLM, and others          ``results[].relevance_score`` by ``index``
========================  =====================================================  =============================================

From the documentation and sources of vLLM 0.6 to 0.19, Text Embeddings Inference 1.8 and llama.cpp of 2026.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.scoring.client.failures import Unreadable, server_words
from argilla_admap.scoring.client.protocol import decode
from argilla_admap.scoring.client.transport import ConnectionFailed, Reply, Transport

__all__ = ["REWARD_SERVERS", "RewardInput", "RewardServer", "find_server"]

_TIMEOUT = 30.0
_PASSING = {429, 500, 502, 503, 504}
_LONGEST_WAIT = 20.0


@dataclass(frozen=True, slots=True)
class RewardInput:
    """What a reward model is told of a record."""

    prompt: str
    #: (role, content), for models with a chat template.
    messages: tuple[tuple[str, str], ...]
    completions: tuple[str, ...]


#: One completion's values, by class.
_Classes = list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class RewardServer:
    """One way to ask."""

    name: str
    path: str
    #: Completions of one prompt in one request.
    most_texts: int
    #: Record and completions to the request's JSON, without the model.
    ask: Callable[[RewardInput, Sequence[str]], dict[str, Any]]
    #: The answer's JSON to the values of each completion, in order; a wrong shape raises what Python raises.
    answer: Callable[[Any], list[_Classes]]
    names_model: bool = True

    def body(self, model: str | None, row: RewardInput, texts: Sequence[str]) -> bytes:
        """The request."""
        asked = self.ask(row, texts)
        return orjson.dumps({"model": model, **asked} if model and self.names_model else asked)

    def read(self, reply: Any, label: str | None) -> list[float]:
        """The rewards, in the completions' order.

        Args:
            reply: the answer's JSON.
            label: the class that is the reward, by name or number; None where there is one class.

        Raises:
            Unreadable: several classes and no label, or a reward that is no finite number.
        """
        return [_one_of(classes, label) for classes in self.answer(reply)]


def _one_of(classes: _Classes, label: str | None) -> float:
    found = [value for name, value in classes if name == label]
    if not found and label is not None and label.isdigit() and int(label) < len(classes):
        found = [classes[int(label)][1]]
    if not found and label is None and len(classes) == 1:
        found = [classes[0][1]]
    if not found:
        names = ", ".join(name for name, _ in classes)
        raise Unreadable(
            f"the model has the classes {names}: say with `reward_label` which one's value is the reward", again=False
        )
    if not math.isfinite(found[0]):
        raise Unreadable(f"the reward is {found[0]}", again=False)
    return float(found[0])


def _ask_chat(row: RewardInput, texts: Sequence[str]) -> dict[str, Any]:
    messages = [{"role": role, "content": text} for role, text in row.messages]
    messages.append({"role": "assistant", "content": texts[0]})
    # Without this the reward passes through a sigmoid, which flattens what is far from zero.
    return {"messages": messages, "use_activation": False}


def _ask_score(row: RewardInput, texts: Sequence[str]) -> dict[str, Any]:
    return {"text_1": row.prompt, "text_2": list(texts), "use_activation": False}


def _ask_rerank(row: RewardInput, texts: Sequence[str]) -> dict[str, Any]:
    return {"query": row.prompt, "documents": list(texts), "use_activation": False}


def _ask_predict(row: RewardInput, texts: Sequence[str]) -> dict[str, Any]:
    return {"inputs": [[row.prompt, text] for text in texts], "raw_scores": True}


def _ask_tei_rerank(row: RewardInput, texts: Sequence[str]) -> dict[str, Any]:
    return {"query": row.prompt, "texts": list(texts), "raw_scores": True}


def _numbered(values: Sequence[float]) -> _Classes:
    return [(str(place), value) for place, value in enumerate(values)]


def _in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["index"])


def _answer_classify(reply: Any) -> list[_Classes]:
    return [_numbered(row["probs"]) for row in _in_order(reply["data"])]


def _answer_pooling(reply: Any) -> list[_Classes]:
    rows = [row["data"] for row in _in_order(reply["data"])]
    # One reward a token: the last token has read the whole answer.
    return [_numbered(row[-1] if isinstance(row[0], list) else row) for row in rows]


def _answer_score(reply: Any) -> list[_Classes]:
    return [_numbered([row["score"]]) for row in _in_order(reply["data"])]


def _answer_rerank(reply: Any) -> list[_Classes]:
    return [_numbered([row["relevance_score"]]) for row in _in_order(reply["results"])]


def _answer_predict(reply: Any) -> list[_Classes]:
    # They come sorted by score; their names tell them apart, and numbers count the names in order.
    return [sorted(((cell["label"], cell["score"]) for cell in row), key=lambda cell: cell[0]) for row in reply]


def _answer_tei_rerank(reply: Any) -> list[_Classes]:
    return [_numbered([row["score"]]) for row in _in_order(reply)]


REWARD_SERVERS = {
    one.name: one
    for one in (
        RewardServer("vllm-classify", "/classify", 1, _ask_chat, _answer_classify),
        RewardServer("vllm-pooling", "/pooling", 1, _ask_chat, _answer_pooling),
        RewardServer("tei-predict", "/predict", 32, _ask_predict, _answer_predict, names_model=False),
        RewardServer("rerank", "/v1/rerank", 32, _ask_rerank, _answer_rerank),
        RewardServer("vllm-score", "/score", 32, _ask_score, _answer_score),
        RewardServer("tei-rerank", "/rerank", 32, _ask_tei_rerank, _answer_tei_rerank, names_model=False),
    )
}
_OF_SERVER = {
    "tei": ("tei-predict", "tei-rerank"),
    "llama.cpp": ("rerank",),
    "vllm": ("vllm-classify", "vllm-pooling", "vllm-score", "rerank"),
}
_TRIAL = RewardInput("How many legs has a spider?", (("user", "How many legs has a spider?"),), ("Eight.",))


async def find_server(
    transport: Transport, named: str, model: str | None, label: str | None
) -> tuple[RewardServer, str | None]:
    """The way in which the server answers, and the model's name where the server tells it. Asks for one reward.

    Raises:
        InputError: the model has several classes and none was named, or the answer is of no known shape.
        JudgeRefused: the server answers in none of them; the message holds what it said.
    """
    try:
        server, served = await _server(transport)
        names = (named,) if named in REWARD_SERVERS else _OF_SERVER.get(server, tuple(REWARD_SERVERS))
        refused = []
        for name in names:
            way = REWARD_SERVERS[name]
            body = way.body(model or served, _TRIAL, _TRIAL.completions)
            reply = await _patiently(transport, way.path, body)
            if reply.status == 200:
                try:
                    way.read(decode(reply.body), label)
                except Unreadable as exc:
                    raise InputError(str(exc), option="reward_url") from exc
                except (ValueError, KeyError, IndexError, TypeError, AttributeError):
                    refused.append(f"{way.path}: not the shape of {name}")
                    continue
                return way, model or served
            refused.append(f"{way.path}: {reply.status} {server_words(reply.body)}".strip())
    except ConnectionFailed as exc:
        raise JudgeRefused(f"the server does not answer ({exc})", hint="start it, or correct the address") from exc
    raise JudgeRefused("the server gives no reward: " + "; ".join(refused), hint="name a `reward_dialect`, or another server")


async def _patiently(transport: Transport, path: str, body: bytes) -> Reply:
    """The answer; of a server that is loading its model or is busy, a later one."""
    wait = 0.25
    while True:
        reply = await transport.post(path, body, _TIMEOUT)
        if reply.status not in _PASSING or wait > _LONGEST_WAIT:
            return reply
        await asyncio.sleep(wait)
        wait *= 2


async def _server(transport: Transport) -> tuple[str, str | None]:
    """Which server this is, by the pages that only it has; and its model."""
    info = await _page(transport, "/info")
    if "model_type" in info:
        return "tei", info.get("model_id")
    props = await _page(transport, "/props")
    if "build_info" in props or "model_path" in props:
        return "llama.cpp", props.get("model_path")
    models = await _page(transport, "/v1/models")
    listed = models.get("data") or [{}]
    served = listed[0].get("id") if isinstance(listed, list) and isinstance(listed[0], dict) else None
    return ("vllm" if "version" in await _page(transport, "/version") else "unknown"), served


async def _page(transport: Transport, path: str) -> dict[str, Any]:
    reply = await transport.get(path, _TIMEOUT)
    if reply.status != 200:
        return {}
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
