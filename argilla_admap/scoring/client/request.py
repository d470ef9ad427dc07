"""A request to a judge's server, the response to it, and what both cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.client.budget import Price
from argilla_admap.scoring.client.failures import Failure, RetryAction, Unreadable
from argilla_admap.scoring.client.protocol import decode, usage_of

__all__ = ["Outcome", "ParsedAnswer", "Request", "Response", "TokenHistory", "Usage", "open_reply"]


class ParsedAnswer(NamedTuple):
    """What was read from one answer, or from one choice of several: the columns of `CacheEntry` that a scorer fills."""

    score: float | None
    variance: float | None = None
    mass: float | None = None
    text: str | bytes | None = None


class Request(Protocol):
    """One request, and how to read the answer to it."""

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Where its answers are kept: one key for each that is wanted, 16 bytes each."""
        ...

    @property
    def path(self) -> str:
        """Below the endpoint's address, e.g. ``/chat/completions``."""
        ...

    def body(self) -> bytes:
        """The request's JSON; made when it is sent."""
        ...

    def tokens(self) -> tuple[int, int, int]:
        """About how many input tokens; at most how many input tokens; at most how many output tokens."""
        ...

    def read(self, reply: Any) -> list[ParsedAnswer]:
        """The answers in the server's JSON: as many as keys, or fewer.

        Raises:
            Unreadable: there is none.
        """
        ...

    def negotiate(self, words: str) -> bool:
        """The server answered 400 with these words: whether to ask again, put differently."""
        ...


class Outcome(NamedTuple):
    """What became of a request: entries of the cache, or why there are none."""

    entries: list[CacheEntry]
    error: str | None = None


@dataclass(slots=True)
class Usage:
    """What this run has asked and paid for."""

    #: Requests that were answered, and so paid for.
    requests: int = 0
    #: Requests that failed and were sent again, or given up.
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    #: US dollars, as far as prices are known.
    cost: float = 0.0
    #: Sum of what was estimated for the input of the answered requests.
    estimated_tokens: int = 0


class Response(NamedTuple):
    """What a reply with status 200 brought."""

    #: Input and output.
    tokens: int
    #: US dollars.
    spent: float
    #: To be stored; empty where nothing could be read.
    entries: list[CacheEntry]
    #: Why nothing could be read.
    failure: Failure | None
    #: What came is not of the protocol, as from a gateway before a server that is down.
    garbled: bool = False


def open_reply(request: Request, body: bytes, about: int, most: float, price: Price | None, usage: Usage) -> Response:
    """Reads a reply with status 200, which is paid for whatever it holds, and counts it in.

    Args:
        request: that it answers.
        body: the reply's body.
        about: input tokens, as they were estimated.
        most: the most that it can have cost, US dollars.
        price: of the model.
        usage: counts of the run, added to.
    """
    usage.requests += 1
    try:
        reply = decode(body)
    except ValueError:
        words = "the answer is not JSON" + (" but a web page" if b"<html" in body[:500].lower() else "")
        # No bill came with it: nobody knows what it cost.
        return Response(about, most, [], Failure(RetryAction.RETRY, words, 0.0), garbled=True)
    tokens_in, tokens_out, cached = usage_of(reply, about)
    usage.input_tokens += tokens_in
    usage.output_tokens += tokens_out
    usage.estimated_tokens += about
    spent = price.cost(tokens_in, tokens_out, cached) if price is not None else 0.0
    usage.cost += spent
    try:
        answers = request.read(reply)
    except Unreadable as exc:
        failure = Failure(RetryAction.RETRY if exc.again else RetryAction.GIVE_UP, str(exc), 0.0)
        return Response(tokens_in + tokens_out, spent, [], failure)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        failure = Failure(RetryAction.RETRY, "the answer is not of the protocol's shape", 0.0)
        return Response(tokens_in + tokens_out, spent, [], failure, garbled=True)
    entries = []
    bill: tuple[int, int, float | None] = (tokens_in, tokens_out, spent if price is not None else None)
    for key, answer in zip(request.keys, answers, strict=False):
        entries.append(CacheEntry(key, *answer, *bill))
        # The first of several answers carries the bill of them all.
        bill = (0, 0, 0.0 if price is not None else None)
    nothing = None if entries else Failure(RetryAction.RETRY, "the answer holds nothing", 0.0)
    return Response(tokens_in + tokens_out, spent, entries, nothing)


class TokenHistory:
    """How many input tokens an endpoint counts for each that we estimate, over all runs; kept in the store."""

    #: Estimated tokens below which nothing is concluded.
    ENOUGH = 5000

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = f"{name} tokens"
        facts = store.endpoint(self._name)
        self._estimated, self._counted = (int(str(facts.get(key, 0))) for key in ("estimated", "counted"))

    @property
    def ratio(self) -> float | None:
        """Counted for each estimated; None: too few to tell."""
        return self._counted / self._estimated if self._estimated >= self.ENOUGH else None

    def add(self, usage: Usage) -> None:
        """Adds a run's counts."""
        if usage.estimated_tokens:
            self._estimated += usage.estimated_tokens
            self._counted += usage.input_tokens
            self._store.remember_endpoint(self._name, {"estimated": self._estimated, "counted": self._counted})
