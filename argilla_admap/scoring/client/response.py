"""What one reply brought: readings to keep, tokens and dollars to count, or why there is nothing to keep."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import orjson

from argilla_admap.scoring.cache.store import Known, Store
from argilla_admap.scoring.client.budget import Price
from argilla_admap.scoring.client.failures import Cure, Fault, Unreadable
from argilla_admap.scoring.client.request import Question, Tally, usage_of

__all__ = ["Receipt", "TokenRatio", "open_reply"]


class Receipt(NamedTuple):
    """Of a reply with status 200, which is paid for whatever it holds."""

    #: Input and output tokens.
    tokens: int
    #: US dollars.
    spent: float
    #: To be stored; empty where nothing could be read.
    known: list[Known]
    #: Why nothing could be read.
    fault: Fault | None
    #: What came is not of the protocol, as from a gateway before a server that is down.
    garbled: bool = False


def open_reply(question: Question, body: bytes, about: int, most: float, price: Price | None, tally: Tally) -> Receipt:
    """Reads a reply and counts it in.

    Args:
        question: that it answers.
        body: the reply's body.
        about: input tokens, as they were estimated.
        most: the most that it can have cost, US dollars.
        price: of the model.
        tally: counts of the run, added to.
    """
    tally.requests += 1
    try:
        reply = _loads(body)
    except ValueError:
        words = "the answer is not JSON" + (" but a web page" if b"<html" in body[:500].lower() else "")
        # No bill came with it: nobody knows what it cost.
        return Receipt(about, most, [], Fault(Cure.AGAIN, words, 0.0), garbled=True)
    tokens_in, tokens_out, cached = usage_of(reply, about)
    tally.input_tokens += tokens_in
    tally.output_tokens += tokens_out
    tally.estimated_tokens += about
    spent = price.cost(tokens_in, tokens_out, cached) if price is not None else 0.0
    tally.cost += spent
    try:
        readings = question.read(reply)
    except Unreadable as exc:
        return Receipt(tokens_in + tokens_out, spent, [], Fault(Cure.AGAIN if exc.again else Cure.LEAVE, str(exc), 0.0))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        fault = Fault(Cure.AGAIN, "the answer is not of the protocol's shape", 0.0)
        return Receipt(tokens_in + tokens_out, spent, [], fault, garbled=True)
    known = []
    bill: tuple[int, int, float | None] = (tokens_in, tokens_out, spent if price is not None else None)
    for key, reading in zip(question.keys, readings, strict=False):
        known.append(Known(key, *reading, *bill))
        # The first of several readings carries the bill of them all.
        bill = (0, 0, 0.0 if price is not None else None)
    return Receipt(tokens_in + tokens_out, spent, known, None if known else Fault(Cure.AGAIN, "the answer holds nothing", 0.0))


def _loads(body: bytes) -> Any:
    """JSON, and what some servers send in its place for a probability of 0: NaN and -Infinity."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if b"NaN" in body or b"Infinity" in body:
            return json.loads(body)
        raise


class TokenRatio:
    """How many input tokens an endpoint counts for each that we estimate, over all runs; kept in the store."""

    #: Estimated tokens below which nothing is concluded.
    _ENOUGH = 5000

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = f"{name} tokens"
        facts = store.endpoint(self._name)
        self._estimated, self._counted = (int(str(facts.get(key, 0))) for key in ("estimated", "counted"))

    @property
    def value(self) -> float | None:
        """Counted for each estimated; None: too few to tell."""
        return self._counted / self._estimated if self._estimated >= self._ENOUGH else None

    def add(self, tally: Tally) -> None:
        """Adds a run's counts."""
        if tally.estimated_tokens:
            self._estimated += tally.estimated_tokens
            self._counted += tally.input_tokens
            self._store.remember_endpoint(self._name, {"estimated": self._estimated, "counted": self._counted})
