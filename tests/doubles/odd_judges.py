"""Judge servers that keep to the protocol in their own ways, as public bug reports tell; the true grade is in the text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.doubles.served import ChatJudge

__all__ = ["KINDS", "OddJudge"]

Body = dict[str, Any]
#: A status, what is sent, and its type.
Sent = tuple[int, Any, str]
JSON = "application/json"


def chat(content: Any, *, finish: Any = "stop", logprobs: Any = None, usage: Any = "usual", **message: Any) -> Body:
    counts = {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 301} if usage == "usual" else usage
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    if logprobs is not None:
        choice["logprobs"] = logprobs
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": counts}


def refusal(words: str, status: int = 400, code: str | None = None) -> Sent:
    return status, {"error": {"message": words, "type": "invalid_request_error", "code": code}}, JSON


def shares(grade: int) -> dict[str, float]:
    beside = [g for g in (grade - 1, grade + 1) if 1 <= g <= 5]
    return {str(grade): math.log(0.9), **{str(g): math.log(0.1 / len(beside)) for g in beside}, "The": -12.0}


class OddJudge(ChatJudge):
    """One kind of server.

    Args:
        kind: a name of `KINDS`.
    """

    def __init__(self, kind: str) -> None:
        self.answer = KINDS[kind]
        self.asked = 0
        self.bodies: list[Body] = []
        self.tokens_in = self.tokens_out = 0

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked += 1
        self.bodies.append(body)
        # The last: the question quotes the rubric before.
        grade = int(re.findall(r"quality=(\d)", json.dumps(body["messages"]))[-1])
        status, sent, kind = self.answer(self, body, grade)
        if isinstance(sent, dict) and isinstance(sent.get("usage"), dict):
            counted = sent["usage"]
            self.tokens_in += int(counted.get("prompt_tokens") or 0)
            self.tokens_out += int((counted.get("total_tokens") or 0) - (counted.get("prompt_tokens") or 0))
        return web.Response(text=sent if isinstance(sent, str) else json.dumps(sent), status=status, content_type=kind)


def _has_system(body: Body) -> bool:
    return any(message["role"] in ("system", "developer") for message in body["messages"])


def _stream(grade: int) -> str:
    pieces = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": str(grade)}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 301}},
    ]
    return ": PROCESSING\n\n" + "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"


def _half_a_stream(judge: OddJudge, body: Body, grade: int) -> Sent:
    whole = _stream(grade)
    return 200, whole if judge.asked > 2 else whole[: whole.index('data: {"choices": [{"index": 0, "delta": {}')], JSON


def _dict_logprobs(judge: OddJudge, body: Body, grade: int) -> Sent:
    item = {"token": str(grade), "logprob": -0.1, "top_logprobs": shares(grade)}
    return 200, chat(str(grade), logprobs={"content": [item]} if body.get("logprobs") else None), JSON


def _old_logprobs(judge: OddJudge, body: Body, grade: int) -> Sent:
    old = {"tokens": [str(grade)], "token_logprobs": [-0.1], "top_logprobs": [shares(grade)], "text_offset": [0]}
    return 200, chat(str(grade), logprobs=old if body.get("logprobs") else None), JSON


def _broken_logprobs(judge: OddJudge, body: Body, grade: int) -> Sent:
    odd = [{"content": [7]}, "yes", {"content": [{"token": "4", "top_logprobs": ["4", 5]}]}, [[str(grade), -0.1]]]
    return 200, chat(str(grade), logprobs=odd[judge.asked % 4]), JSON


def _most_5(judge: OddJudge, body: Body, grade: int) -> Sent:
    if body.get("top_logprobs", 0) > 5:
        return refusal("Requested sample logprobs of 20, which is greater than max allowed: 5")
    top = [{"token": token, "logprob": value} for token, value in shares(grade).items()]
    item = {"token": str(grade), "logprob": -0.1, "top_logprobs": top}
    return 200, chat(str(grade), logprobs={"content": [item]} if body.get("logprobs") else None), JSON


def _no_logarithms(judge: OddJudge, body: Body, grade: int) -> Sent:
    """Probabilities, percentages, costs or placeholders where their logarithms should be."""
    changes: list[Callable[[float], float]] = [math.exp, lambda x: 100 * math.exp(x), lambda x: -x, lambda x: 0.0]
    change = changes[judge.asked % 4]
    top = [{"token": token, "logprob": change(value)} for token, value in shares(grade).items()]
    item = {"token": str(grade), "logprob": change(-0.1), "top_logprobs": top}
    return 200, chat(str(grade), logprobs={"content": [item]} if body.get("logprobs") else None), JSON


def _ollama(judge: OddJudge, body: Body, grade: int) -> Sent:
    message = {"role": "assistant", "content": str(grade)}
    whole = {"model": "m", "message": message, "done": True, "prompt_eval_count": 300, "eval_count": 1}
    pieces = [{"message": message, "done": False}, {**whole, "message": {"role": "assistant", "content": ""}}]
    return 200, "\n".join(map(json.dumps, pieces if judge.asked % 2 else [whole])), "application/x-ndjson"


def _split(rest: str) -> Callable[[OddJudge, Body, int], Sent]:
    """A token for each sign of a number that is no grade of ours."""

    def answer(judge: OddJudge, body: Body, grade: int) -> Sent:
        said = f"{grade}{rest}"[: body["max_tokens"]]
        tokens = [{"token": sign, "logprob": -0.01, "top_logprobs": []} for sign in said]
        tokens[0]["top_logprobs"] = [{"token": token, "logprob": value} for token, value in shares(grade).items()]
        logprobs = {"content": tokens} if body.get("logprobs") else None
        return 200, chat(said, finish="length" if len(said) == body["max_tokens"] else "stop", logprobs=logprobs), JSON

    return answer


def _unless(refuses: Callable[[Body], bool], words: str, status: int = 400) -> Callable[[OddJudge, Body, int], Sent]:
    return lambda judge, body, grade: refusal(words, status) if refuses(body) else (200, chat(str(grade)), JSON)


def _stream_only(judge: OddJudge, body: Body, grade: int) -> Sent:
    if not body.get("stream"):
        return refusal("This model only support stream mode, please enable the stream parameter to access the model.")
    return 200, _stream(grade), "text/event-stream"


def _first(times: int, sent: Sent) -> Callable[[OddJudge, Body, int], Sent]:
    return lambda judge, body, grade: sent if judge.asked <= times else (200, chat(str(grade)), JSON)


def _always(*sent: Any) -> Callable[[OddJudge, Body, int], Sent]:
    return lambda judge, body, grade: (sent[0], sent[1], sent[2] if len(sent) > 2 else JSON)


def _every_other(sent: Any) -> Callable[[OddJudge, Body, int], Sent]:
    return lambda judge, body, grade: (200, sent if judge.asked % 2 else chat(str(grade)), JSON)


def _usage(**counts: Any) -> Callable[[OddJudge, Body, int], Sent]:
    return lambda judge, body, grade: (200, chat(str(grade), usage=counts), JSON)


def _flagged(words: str, code: str | None = None, status: int = 400) -> Callable[[OddJudge, Body, int], Sent]:
    def answer(judge: OddJudge, body: Body, grade: int) -> Sent:
        flagged = re.search(r"Question [0-3]\b", json.dumps(body["messages"]))
        return refusal(words, status, code) if flagged else (200, chat(str(grade)), JSON)

    return answer


LOGIN = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to continue</body></html>"
GATEWAY = "<html><body><h1>Gateway Timeout</h1><p>The upstream model took too long to respond.</p></body></html>"
UPSTREAM = {"id": "g", "error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": "no worker"}}}
CHOICE = {
    "index": 0,
    "finish_reason": "error",
    "error": {"message": "Upstream overloaded", "code": 502},
    "message": {"content": ""},
}
THOUGHTS = {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 1101}

KINDS: dict[str, Callable[[OddJudge, Body, int], Sent]] = {
    "an event stream nobody asked for": lambda judge, body, grade: (200, _stream(grade), "text/event-stream"),
    "an event stream that breaks off": _half_a_stream,
    "only streams": _stream_only,
    "logprobs as an object": _dict_logprobs,
    "logprobs of the older protocol": _old_logprobs,
    "logprobs of no known shape": _broken_logprobs,
    "at most five logprobs": _most_5,
    "no logarithms": _no_logarithms,
    "Ollama's own shape": _ollama,
    "forty": _split("0"),
    "four of ten": _split("/10"),
    "four and a half": _split(".5"),
    "logprobs refused with 403": _unless(
        lambda body: bool(body.get("logprobs")), "You are not allowed to request logprobs from this model", 403
    ),
    "a template without a system role": _unless(_has_system, "Jinja Exception: System role not supported", 500),
    "roles must alternate": _unless(_has_system, "Conversation roles must alternate user/assistant/user/assistant/..."),
    "no developer role": _unless(_has_system, "Developer instruction is not enabled for models/gemma-3-1b-it"),
    "no system role": _unless(_has_system, "System role not supported", 422),
    "no thinking without a stream": _unless(
        lambda body: body.get("enable_thinking") is not False,
        "parameter.enable_thinking must be set to false for non-streaming calls",
    ),
    "an error inside 200, every other time": _every_other(UPSTREAM),
    "an error inside the choice, every other time": _every_other({"choices": [CHOICE], "usage": {"prompt_tokens": 1}}),
    "took too long, with 503": _first(2, refusal("The model took too long to answer; please retry.", 503, "timeout")),
    "took too long, a page with 504": _first(2, (504, GATEWAY, "text/html")),
    "a page once": _first(1, (200, LOGIN, "text/html")),
    "counts as floats": _usage(prompt_tokens=300.0, completion_tokens=2.0, total_tokens=302.0),
    "thoughts only in the sum": _usage(**THOUGHTS),
    "thoughts that nobody counts": lambda judge, body, grade: (
        200,
        chat(str(grade), usage={"prompt_tokens": 300, "completion_tokens": 1}, reasoning_content="Hmm. " * 1000),
        JSON,
    ),
    "an error inside 200": _always(200, UPSTREAM),
    "something else": _always(200, {"status": "ok", "version": 3}),
    "all is refused": _always(*refusal("Not today.")),
    "no credit, inside 200": _always(200, {"error": {"message": "Insufficient credits. Add more to go on.", "code": 402}}),
    "no balance, inside 200": _always(
        200, {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}
    ),
    "blocked": _always(200, chat(None, finish="content_filter: PROHIBITED_CONTENT")),
    "gone": _always(410, {"error": {"message": "The model `x` has been deprecated and is gone."}}),
    "decommissioned": _always(*refusal("The model `x` has been decommissioned and is no longer supported.")),
    "the key's limit": _always(403, {"error": {"message": "Key limit exceeded (total limit). Manage it there", "code": 403}}),
    "a login page": _always(200, LOGIN, "text/html"),
    "flagged": _flagged("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"),
    "inspected": _flagged("Input data may contain inappropriate content.", "data_inspection_failed"),
    "too long": _flagged("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens", None, 422),
    "a refusal of no known kind": _flagged("We would rather not."),
    "prose": _always(200, chat("I like this answer a lot.")),
    "prose, with long thoughts": _always(200, chat("I like this answer.", usage=THOUGHTS | {"total_tokens": 9300})),
}
