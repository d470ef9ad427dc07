"""A judge that grades all answers that one question shows: by `quality=N` in each, in lines by letter, with probabilities."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.doubles.served import ChatJudge

__all__ = ["TogetherJudge"]

_SHOWN = re.compile(r"\[(\w{12}) answer(?: begins| ([A-Z]))\]\n(.*?)(?=\n\[\1 answer)", re.DOTALL)


def _token(text: str, shares: dict[str, float] | None = None) -> dict[str, Any]:
    candidates = [{"token": word, "logprob": math.log(p)} for word, p in (shares or {text: 1.0}).items()]
    return {"token": text, "logprob": candidates[0]["logprob"], "top_logprobs": candidates}


def quality(text: str) -> int:
    """The true grade of an answer; 3 where it says none."""
    found = re.search(r"quality=([1-5])", text)
    return int(found[1]) if found else 3


class TogetherJudge(ChatJudge):
    """The server. What it says is set on the object.

    Args:
        says: from the grades by letter, in the order shown, to the words of the answer; a lone digit where one answer is shown.
    """

    def __init__(self, says: Callable[[dict[str, int]], str] | None = None) -> None:
        self.says = says or (lambda grades: "\n".join(f"{letter}: {grade}" for letter, grade in grades.items()))
        #: Added to the grade of the answer that is shown first.
        self.favours_first = 0.0
        self.logprobs = True
        self.refuses: Callable[[int], str] = lambda shown: ""  # the words of a refusal, by how many answers are shown
        self.bodies: list[dict[str, Any]] = []
        #: How often each question was answered; and answers by how many grades they hold.
        self.paid: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        if words := self.refuses(len(_SHOWN.findall(body["messages"][-1]["content"]))):
            return web.json_response({"error": {"message": words, "type": "invalid_request_error"}}, status=400)
        return web.json_response(self.answer(body))

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """The chat completion for a question."""
        self.bodies.append(body)
        self.paid[json.dumps(body["messages"]) + str(body.get("logprobs"))] += 1
        shown = [(letter, quality(text)) for _, letter, text in _SHOWN.findall(body["messages"][-1]["content"])]
        alone = len(shown) == 1 and not shown[0][0]
        self.kinds["alone" if alone else "together"] += 1
        said = str(shown[0][1]) if alone else self.says(dict(shown))
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        pieces = re.findall(r"\d|[^\W\d]+|\s+|[^\w\s]", said)
        if body.get("logprobs") and self.logprobs:
            first = next((n for n, piece in enumerate(pieces) if piece.isdigit()), -1)
            choice["logprobs"] = {"content": [self._piece(piece, first=n == first) for n, piece in enumerate(pieces)]}
        usage = {"prompt_tokens": len(json.dumps(body["messages"])) // 4, "completion_tokens": len(pieces)}
        return {"choices": [{**choice, "index": n} for n in range(body.get("n", 1))], "usage": usage}

    def _piece(self, piece: str, *, first: bool) -> dict[str, Any]:
        if piece not in ("1", "2", "3", "4", "5"):
            return _token(piece)
        grade, share = int(piece), 0.2
        beside = grade - 1 if grade > 1 else grade + 1
        shares = {piece: 1 - share, str(beside): share}
        if first and self.favours_first:
            shares = {piece: 1 - share - self.favours_first, str(beside): share, str(min(5, grade + 1)): self.favours_first}
        return _token(piece, shares)
