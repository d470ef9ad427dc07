"""What a failed request means: stop, slow down, ask again, say it differently, or leave this question."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import orjson

from argilla_admap.scoring.client.rate_limit import retry_after

__all__ = ["CircuitBreaker", "Failure", "RetryAction", "Unreadable", "classify"]

_SECRET = re.compile(r"\b(?:(?:sk|pk|rk|gsk|hf|xai)[-_][\w*.-]{4,}|Bearer\s+\S+)|[\w-]{3,}\*{4,}\w*")
_TAGS = re.compile(r"<(?:script|style).*?</(?:script|style)>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_NO_MONEY = ("insufficient_quota", "billing", "exceeded your current quota", "credit balance", "payment")
#: A refusal of the pace, whatever it says of the billing page that would raise it.
_TOO_FAST = re.compile(r"rate_limit|rate limit|per minute|per day|\bretry in\b|try again in|retrydelay")
_TOO_LONG = (
    "context_length",
    "maximum context",
    "context length",
    "too long",
    "exceeds the available context",
    "too many tokens",
    "too large to process",
)
_FILTERED = ("content_filter", "content management policy", "content_policy", "safety", "moderation")


class RetryAction(Enum):
    """What to do about a failed request."""

    STOP = "stop"  # no request will succeed: say what to do
    RENEW_KEY = "renew"  # the key may have run out: ask the client for another
    SLOW_DOWN = "slow down"  # too fast
    RETRY = "retry"  # the server's trouble
    NEGOTIATE = "negotiate"  # a parameter that this model does not take
    GIVE_UP = "give up"  # this question will never be answered


class Failure(NamedTuple):
    """A failed request."""

    action: RetryAction
    #: In words for the person.
    reason: str
    #: Seconds that the server asks to wait; None where it does not.
    wait: float | None = None


class Unreadable(Exception):
    """An answer that is no score.

    Args:
        reason: in words for the person.
        again: whether asking the same once more may give another answer.
    """

    def __init__(self, reason: str, *, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


def classify(status: int, headers: Mapping[str, str], body: bytes, *, known: bool = False) -> Failure:
    """What an answer other than 200 means.

    Args:
        status: of HTTP.
        headers: of the answer.
        body: likewise.
        known: the endpoint has answered before: it is there, and has the model.
    """
    said = server_words(body)
    low = said.lower() + (body[:2000].decode("utf-8", "replace").lower() if body[:1] in b"{[" else "")
    reason = f"the judge's server answered {status}" + (f": {said}" if said else "")
    if status == 401:
        return Failure(RetryAction.RENEW_KEY, reason)
    if status == 402 or (status in (403, 429) and _is_of_money(low)):
        return Failure(
            RetryAction.STOP, f"{reason}\nThe account has no credit left: add some, or name another endpoint with --base-url."
        )
    if status == 403 and any(word in low for word in _FILTERED):
        return Failure(RetryAction.GIVE_UP, reason)
    if status == 403:
        return Failure(
            RetryAction.STOP, f"{reason}\nThis key may not use this model: check its project, or name another --model."
        )
    if status == 404 and known:
        # A gateway before it says otherwise for a while.
        return Failure(RetryAction.RETRY, reason, retry_after(headers))
    if status == 404:
        return Failure(
            RetryAction.STOP,
            f"{reason}\nName a model that the endpoint has with --model, and check --base-url (it ends in /v1).",
        )
    if status == 429:
        return Failure(RetryAction.SLOW_DOWN, reason, retry_after(headers))
    # llama.cpp says it with 500.
    too_long = status == 413 or any(word in low for word in _TOO_LONG)
    if status < 300 or status in (408, 409, 425) or (status >= 500 and not too_long):
        return Failure(RetryAction.RETRY, reason, retry_after(headers))
    if too_long:
        return Failure(RetryAction.GIVE_UP, f"too long for this judge: {said or status}")
    if any(word in low for word in _FILTERED):
        return Failure(RetryAction.GIVE_UP, f"refused by the endpoint's content filter: {said}")
    if status in (400, 422):
        return Failure(RetryAction.NEGOTIATE, reason)
    if 300 <= status < 400:
        return Failure(RetryAction.STOP, f"{reason}: it sends requests elsewhere; give the final address as --base-url")
    return Failure(RetryAction.GIVE_UP, reason)


def _is_of_money(low: str) -> bool:
    """Whether a refusal is of the account, and not of the pace, which passes by itself."""
    if "insufficient_quota" in low:
        return True
    return not _TOO_FAST.search(low) and any(word in low for word in _NO_MONEY)


def server_words(body: bytes) -> str:
    """What the server says of an error, on one line, at most 300 characters, without keys."""
    text = ""
    try:
        found = orjson.loads(body)
        for name in ("error", "message", "detail"):
            if isinstance(found, dict) and found.get(name):
                found = found[name]
        text = found if isinstance(found, str) else orjson.dumps(found).decode()
    except orjson.JSONDecodeError:
        text = _TAGS.sub(" ", body[:5000].decode("utf-8", "replace"))
    text = _SECRET.sub("[key]", " ".join(text.split()))
    return text[:297] + "..." if len(text) > 300 else text


class CircuitBreaker:
    """Whether the server answers at all. While it answers nobody, questions wait, and one now and then tries it."""

    #: Questions given up in a row: before any was answered, ever; before any was in this run; and after.
    _FIRST, _RESUMED, _LATER = 3, 1000, 20
    #: New questions that failed in a row, for the server to count as down.
    _IN_A_ROW = 20
    #: Seconds to the first trial of a server that is down; each is twice as long after the last, up to the second.
    _TRIAL, _LAST_TRIAL = 0.5, 8.0
    #: Seconds without an answer, after which nothing more is asked.
    _SILENCE = 60.0

    def __init__(self) -> None:
        self.answered_once = False
        #: Answers of earlier runs are known: what is left may be just what the server cannot answer.
        self.resumed = False
        #: The server answered, and then failed many questions in a row.
        self.down = False
        self._last = 0.0
        self._given_up = self._failed = 0
        self._pause = self._TRIAL
        self._next_trial = 0.0

    def answered(self, now: float) -> None:
        """A question was answered."""
        self.answered_once, self._last, self._given_up = True, now, 0

    def reached(self) -> None:
        """The server took a question, whatever it made of it."""
        self.down, self._failed, self._pause = False, 0, self._TRIAL

    def failed(self, now: float, *, new: bool, wait: float = 0.0) -> None:
        """A question failed for the server's trouble.

        Args:
            now: seconds.
            new: at its first try; what fails again and again is its own trouble.
            wait: seconds that the server asks to wait.
        """
        self._failed += new
        if self.answered_once and self._failed >= self._IN_A_ROW and not self.down:
            self.down, self._next_trial = True, now + self._pause
        self._next_trial = max(self._next_trial, now + min(wait, self._SILENCE))

    def delay(self, now: float) -> float:
        """Seconds until the next question may go: of a server that is down, until its next trial."""
        return max(0.0, self._next_trial - now) if self.down else 0.0

    def take(self, now: float) -> None:
        """A question goes."""
        if self.down:
            self._next_trial = now + self._pause
            self._pause = min(self._LAST_TRIAL, 2 * self._pause)

    def silent(self, now: float) -> bool:
        """Whether a server that is down has been so for too long."""
        return self.down and now - self._last > self._SILENCE

    def gone(self, now: float, *, unreachable: bool, more: bool) -> bool:
        """A question was given up for the server's fault: is it time to stop asking?

        Args:
            now: seconds.
            unreachable: nothing listens there.
            more: other questions wait to be asked; where none does, nothing is gained by stopping.
        """
        self._given_up += 1
        if not self.answered_once:
            return unreachable or self._given_up >= (self._RESUMED if self.resumed else self._FIRST)
        return more and self._given_up >= self._LATER and now - self._last > self._SILENCE
