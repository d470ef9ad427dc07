"""A question to a server, and its answer: what `Calls` asks, and what a scorer gets back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeGuard

from argilla_admap.scoring.cache.store import Known

__all__ = ["Answer", "Question", "Reading", "Tally", "usage_of"]

#: No request has more tokens than this.
_MOST_TOKENS = 100_000_000


class Reading(NamedTuple):
    """What was read from one answer, or from one choice of several: the columns of `Known` that a scorer fills."""

    score: float | None
    variance: float | None = None
    mass: float | None = None
    text: str | bytes | None = None


class Question(Protocol):
    """One request, and how to read its answer."""

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Where its answers are kept: one key for each reading that is wanted, 16 bytes each."""
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

    def read(self, reply: Any) -> list[Reading]:
        """The readings in the server's JSON: as many as keys, or fewer.

        Raises:
            Unreadable: there is none.
        """
        ...

    def rephrase(self, words: str) -> bool:
        """The server answered 400 with these words: whether to ask again, put differently."""
        ...


class Answer(NamedTuple):
    """The answer to a question: what is known now, or why nothing is."""

    known: list[Known]
    error: str | None = None


@dataclass(slots=True)
class Tally:
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


def usage_of(reply: Any, about: int) -> tuple[int, int, int]:
    """Input, output and cached input tokens that the server counted; the estimate where it counts none."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    if not isinstance(usage, dict):
        return about, 1, 0
    tokens_in = usage.get("prompt_tokens", usage.get("input_tokens"))
    tokens_out = usage.get("completion_tokens", usage.get("output_tokens"))
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    counted = tokens_in if _plausible(tokens_in) else about
    answered = tokens_out if _plausible(tokens_out) else 1 if tokens_in is None else 0
    return counted, answered, min(cached, counted) if _plausible(cached) else 0


def _plausible(tokens: Any) -> TypeGuard[int]:
    """What a broken server counts must neither fill nor empty the budget, and must fit into the store."""
    return isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens <= _MOST_TOKENS
