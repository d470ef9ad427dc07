"""A request to a judge's server, the response to it, and what both cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.client.budget import Price
from argilla_admap.scoring.client.failures import Failure, RetryAction, Unreadable, classify_error, is_page, server_words
from argilla_admap.scoring.client.protocol import decode, error_in, usage_of
from argilla_admap.scoring.client.transport import LARGE_REPLY, LONGEST_REPLY

__all__ = [
    "Outcome",
    "ParsedAnswer",
    "ReplyKind",
    "Request",
    "Response",
    "TokenHistory",
    "Usage",
    "longest_reply",
    "open_reply",
]


class ParsedAnswer(NamedTuple):
    """What was read from one answer, or from one choice of several: the columns of `CacheEntry` that a scorer fills."""

    score: float | None
    variance: float | None = None
    mass: float | None = None
    text: str | bytes | None = None


class Request(Protocol):
    """One request, and how to read the answer to it.

    Two more properties are used where a request has them: `form`, a name that requests with answers of like length share, and
    `outdated`, whether the next try will be put differently.
    """

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
    #: Input of the answers that were read: as it was estimated, and as the endpoint counted it.
    estimated_tokens: int = 0
    counted_tokens: int = 0
    #: By the requests' form: answers kept, their output tokens, and the most of one.
    outputs: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def add_output(self, form: str, answers: int, tokens: int) -> None:
        """Counts the output of a request in."""
        before = self.outputs.get(form, (0, 0, 0))
        self.outputs[form] = before[0] + answers, before[1] + tokens, max(before[2], -(-tokens // answers))


class ReplyKind(Enum):
    """What a reply with status 200 is."""

    ANSWER = "an answer"
    UNREADABLE = "an answer that holds nothing to keep"
    #: As from a gateway before a server that is down.
    GARBLED = "not of the protocol"
    PAGE = "a web page"
    ERROR = "an error, as with another status"


class Response(NamedTuple):
    """What a reply with status 200 brought."""

    kind: ReplyKind

    #: Input and output.
    tokens: int
    #: US dollars.
    spent: float
    #: To be stored; empty where nothing could be read.
    entries: list[CacheEntry]
    #: Why nothing could be read.
    failure: Failure | None


def longest_reply(request: Request) -> int:
    """Bytes that an honest answer may have: with each token come the probabilities of twenty."""
    return LONGEST_REPLY + 2500 * request.tokens()[2]


def _too_much(body: bytes, longest: int) -> str:
    """What an answer has too much of; empty where it may be honest."""
    if len(body) > longest:
        return f"{longest >> 20} MB and more"
    brackets = body.count(b"[") + body.count(b"{")
    return f"{brackets:,} brackets" if brackets > longest // 32 else ""


def open_reply(
    request: Request, body: bytes, about: int, most: float, price: Price | None, usage: Usage, *, known: bool = False
) -> Response:
    """Reads a reply with status 200, and counts it in: an answer is paid for whatever it holds.

    Args:
        request: that it answers.
        body: the reply's body.
        about: input tokens, as they were estimated.
        most: the most that it can have cost, US dollars.
        price: of the model.
        usage: counts of the run, added to.
        known: the endpoint has answered before.
    """
    if len(body) > LARGE_REPLY and (too_much := _too_much(body, longest_reply(request))):
        usage.requests += 1
        words = f"the answer has {too_much}, more than any to such a question: {server_words(body[:500])[:80]!r}"
        return Response(ReplyKind.GARBLED, about, most, [], Failure(RetryAction.GIVE_UP, words))
    try:
        reply = decode(body)
    except ValueError:
        if is_page(body):
            usage.failed += 1
            words = f"the answer is not JSON but a web page: {server_words(body)[:200]}"
            return Response(ReplyKind.PAGE, 0, 0.0, [], Failure(RetryAction.RETRY, words))
        usage.requests += 1
        # No bill came with it: nobody knows what it cost.
        words = f"the answer is not JSON: {server_words(body)[:200]!r}"
        return Response(ReplyKind.GARBLED, about, most, [], Failure(RetryAction.RETRY, words, 0.0))
    error = error_in(reply)
    billed = error is None or (isinstance(reply, dict) and bool(reply.get("usage")))
    usage.requests += billed
    usage.failed += not billed
    tokens_in, tokens_out, cached = usage_of(reply, about) if billed else (0, 0, 0)
    usage.input_tokens += tokens_in
    usage.output_tokens += tokens_out
    spent = price.cost(tokens_in, tokens_out, cached) if price is not None else 0.0
    usage.cost += spent
    if error is not None:
        return Response(ReplyKind.ERROR, tokens_in + tokens_out, spent, [], classify_error(error, known=known))
    usage.estimated_tokens += about
    usage.counted_tokens += tokens_in
    try:
        answers = request.read(reply)
    except Unreadable as exc:
        failure = Failure(RetryAction.RETRY if exc.again else RetryAction.GIVE_UP, str(exc), 0.0)
        return Response(ReplyKind.UNREADABLE, tokens_in + tokens_out, spent, [], failure)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        words = f"the answer is not of the protocol's shape: {server_words(body)[:200]}"
        return Response(ReplyKind.GARBLED, tokens_in + tokens_out, spent, [], Failure(RetryAction.RETRY, words, 0.0))
    entries = []
    bill: tuple[int, int, float | None] = (tokens_in, tokens_out, spent if price is not None else None)
    for key, answer in zip(request.keys, answers, strict=False):
        entries.append(CacheEntry(key, *answer, *bill))
        # The first of several answers carries the bill of them all.
        bill = (0, 0, 0.0 if price is not None else None)
    if not entries:
        failure = Failure(RetryAction.RETRY, "the answer holds nothing", 0.0)
        return Response(ReplyKind.UNREADABLE, tokens_in + tokens_out, spent, [], failure)
    usage.add_output(getattr(request, "form", ""), len(entries), tokens_out)
    return Response(ReplyKind.ANSWER, tokens_in + tokens_out, spent, entries, None)


class TokenHistory:
    """How many tokens an endpoint counts, over all runs; kept in the store."""

    #: Estimated tokens, and answers, below which nothing is concluded.
    ENOUGH, ENOUGH_ANSWERS = 5000, 5
    #: Answers that weigh: older ones are halved, so that a change is learned.
    MEMORY = 10_000
    #: Of the name under which the store keeps it.
    SUFFIX = " tokens"

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name + self.SUFFIX
        facts: dict[str, Any] = store.endpoint(self._name)
        self._estimated, self._counted = (int(facts.get(key) or 0) for key in ("estimated", "counted"))
        self._outputs: dict[str, list[int]] = {form: list(counts) for form, counts in (facts.get("outputs") or {}).items()}

    @property
    def ratio(self) -> float | None:
        """Input tokens counted for each that we estimate; None: too few to tell."""
        return self._counted / self._estimated if self._estimated >= self.ENOUGH else None

    def output(self, form: str) -> float | None:
        """Output tokens of one answer to a request of this form, thoughts counted in; None: too few to tell."""
        answers, tokens = self._outputs.get(form, (0, 0))
        return tokens / answers if answers >= self.ENOUGH_ANSWERS else None

    def add(self, usage: Usage) -> None:
        """Adds a run's counts."""
        if not usage.estimated_tokens:
            return
        self._estimated += usage.estimated_tokens
        self._counted += usage.counted_tokens
        for form, (answers, tokens, _) in usage.outputs.items():
            before = self._outputs.get(form, [0, 0])
            fade = 2 if before[0] > self.MEMORY else 1
            self._outputs[form] = [before[0] // fade + answers, before[1] // fade + tokens]
        facts = {"estimated": self._estimated, "counted": self._counted, "outputs": self._outputs}
        self._store.remember_endpoint(self._name, facts)
