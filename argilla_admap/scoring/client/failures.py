"""What a failed request means and what to do about it; and a circuit breaker for a server that is down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import orjson

from argilla_admap.scoring.client.rate_limit import retry_after

__all__ = ["CircuitBreaker", "Failure", "RetryAction", "Unreadable", "classify", "classify_error", "is_page", "server_words"]

_SECRET = re.compile(r"\b(?:(?:sk|pk|rk|gsk|hf|xai)[-_][\w*.-]{4,}|Bearer\s+\S+)|[\w-]{3,}\*{4,}\w*")
_TAGS = re.compile(r"<(?:script|style).*?</(?:script|style)>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_NO_CREDIT = re.compile(
    r"insufficient_quota|billing|exceeded your current quota|credit balance|payment|insufficient (?:credit|balance|fund)"
)
#: A rate limit, whatever is said of the billing page that would raise it.
_TOO_FAST = re.compile(r"rate_limit|rate limit|per minute|per day|\bretry in\b|try again in|retrydelay|too many requests")
_KEY_LIMIT = re.compile(
    r"\b(?:key|spend\w*|usage|budget|quota) ?limit|limit (?:was |is )?(?:exceeded|reached|used up)|over budget|quota"
)
#: The question has more tokens than the model takes; not: the server "took too long".
_TOO_LONG = re.compile(
    r"context[ _-]?(?:length|size|window)|maximum (?:context|prompt|input|sequence)|too many (?:input )?tokens"
    r"|too large to process|too long for|reduce the length|range of input length|must have less than \d+ tokens"
    r"|(?:prompt|input|context|message)s? too (?:long|large)"
    r"|(?:prompt|input|request|message|sequence|text|payload|content|question|it)s?(?: \w+)? (?:is|are|was|were)"
    r" too (?:long|large)"
    r"|string_above_max_length|max_new_tokens`? must be <=|exceed[^.]{0,40}\b(?:context|input|prompt|token limit|max_model_len)"
    r"|\b(?:prompt|input|total|message|request|context|sequence)s?\b[^.]{0,60}\b(?:tokens?|length)\b[^.]{0,60}\bexceed"
)
_FILTERED = re.compile(
    r"content[ _-]?(?:filter|management|policy|policies|moderation|exists risk|risk)|moderation|safety"
    r"|\bflagged\b|inappropriate"
    r"|data_?inspection|(?:usage|use|acceptable use) polic|invalid_prompt|policy violation|violat\w+ \w*\s*polic"
    r"|prohibited|\bunsafe\b|\bharmful\b|sensitive (?:content|information|word)|guardrail"
    r"|(?:prompt|input|request|response|content) (?:was |has been |is )?blocked|敏感|违规|不安全"
)
_NO_MODEL = re.compile(
    r"model_not_found|model_decommissioned|(?:unknown|no such) model\b|invalid model (?:name|id)"
    r"|model\b:?\s*\S{0,80}(?<![.,])\s*(?:\w+ )?(?:has been|was|is) "
    r"(?:deprecated|decommissioned|removed|retired|shut down|discontinued|gone|no longer available)"
    r"|model\b:?\s*\S{0,80}\s*(?:does not exist|not found|is not found|was not found)"
)
#: The chat's template refuses the question's shape: llama.cpp says so with 500. And OpenAI refuses a parameter with 403.
_TEMPLATE = re.compile(r"jinja|chat[ _]template|roles? must alternate|(?:system|developer) role")
#: What an error inside of an answer with status 200 means, by its words, where its code is no status of HTTP.
_STATUS_OF_WORDS = (
    (402, re.compile(r"insufficient|credit|billing|payment")),
    (429, _TOO_FAST),
    (401, re.compile(r"api[ _]key|unauthori[sz]ed|authenticat")),
    (404, _NO_MODEL),
    (400, _TOO_LONG),
    (400, _FILTERED),
    (400, re.compile(r"invalid_request|bad[ _]request|unsupported|invalid_argument")),
)
_BAD_KEY = re.compile(
    r"(?:invalid|incorrect|missing|expired|wrong)\W+api[ _-]?key|api[ _-]?key (?:is )?(?:not valid|invalid|expired|missing)"
)
#: Servers say it with 400 too; such an answer may quote the question, so these words are rarer.
_LOW_CREDIT = re.compile(r"credit balance is too low|insufficient (?:credit|balance|fund)")
_OTHER_ENDPOINT = "check `base_url` (it ends in /v1), or name a model that the endpoint has with `model`"


PAGE_HINT = "check `base_url` (it ends in /v1), and whether a login, a proxy or a firewall stands before the judge"


class RetryAction(Enum):
    """What to do about a failed request."""

    STOP = "stop"  # no request will succeed: say what to do
    RENEW_KEY = "renew the key"  # it may have run out: ask the client for another
    SLOW_DOWN = "slow down"  # too fast
    RETRY = "retry"  # the server's trouble
    NEGOTIATE = "negotiate"  # a parameter that this model does not take
    GIVE_UP = "give up"  # this request will never be answered


class Failure(NamedTuple):
    """A failed request."""

    action: RetryAction
    #: In words for the person.
    reason: str
    #: Seconds that the server asks to wait; None where it does not.
    wait: float | None = None
    #: What the person can do.
    hint: str = ""


class Unreadable(Exception):
    """An answer that holds nothing to keep.

    Args:
        reason: in words for the person.
        again: whether the same request may be answered better next time.
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
    elsewhere = f" to {headers['location'][:200]}" if 300 <= status < 400 and headers.get("location") else ""
    reason = f"the judge's server answered {status}{elsewhere}" + (f": {said}" if said else "")
    if status in (403, 407) and is_page(body):
        return Failure(RetryAction.STOP, reason, hint=PAGE_HINT)
    return _classified(status, said, low, reason, retry_after(headers), known=known)


def classify_error(error: object, *, known: bool = False) -> Failure:
    """What an error inside of an answer with status 200 means: gateways send it so once they have sent the status."""
    try:
        body = orjson.dumps({"error": error}, default=str)
    except TypeError:
        body = b'{"error": "nested too deep to be read"}'
    said, low = server_words(body), body[:2000].decode("utf-8", "replace").lower()
    code = str(error.get("code", error.get("status")) if isinstance(error, dict) else "")
    status = int(code) if re.fullmatch(r"[45]\d\d", code) else 0
    status = status or next((status for status, words in _STATUS_OF_WORDS if words.search(low)), 502)
    return _classified(status, said, low, f"the judge's server answered 200 with an error: {said}", None, known=known)


def _classified(status: int, said: str, low: str, reason: str, wait: float | None, *, known: bool) -> Failure:
    too_fast = bool(_TOO_FAST.search(low))
    if status == 401 or (status in (400, 403) and not known and _BAD_KEY.search(low)):
        return Failure(RetryAction.RENEW_KEY, reason)
    no_credit = "insufficient_quota" in low or (status in (403, 429) and _NO_CREDIT.search(low) and not too_fast)
    if status == 402 or no_credit or (status == 400 and _LOW_CREDIT.search(low)):
        hint = "the account has no credit left: add some, or name another endpoint with `base_url`"
        return Failure(RetryAction.STOP, reason, hint=hint)
    if status == 429 or (status == 403 and too_fast):
        return Failure(RetryAction.SLOW_DOWN, reason, wait)
    # The words of a context that is too long come with 500 from llama.cpp; a 503 or a 504 is about time.
    if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(low)):
        return Failure(RetryAction.GIVE_UP, f"too long for this judge: {said or status}")
    if status in (400, 403, 422, 451) and _FILTERED.search(low):
        return Failure(RetryAction.GIVE_UP, f"refused by the endpoint's content filter: {said}")
    if (status == 500 and _TEMPLATE.search(low)) or (status == 403 and "logprobs" in low):
        return Failure(RetryAction.NEGOTIATE, reason)
    if status == 403 and _KEY_LIMIT.search(low):
        hint = "what this key may spend or ask is used up: raise its limit, or set OPENAI_API_KEY to another"
        return Failure(RetryAction.STOP, reason, hint=hint)
    if status == 403:
        hint = "this key may not use this model: check its project, or name another with `model`"
        return Failure(RetryAction.STOP, reason, hint=hint)
    if status == 410 or (status in (400, 404) and not known and _NO_MODEL.search(low)):
        return Failure(RetryAction.STOP, reason, hint="name a model that the endpoint has with `model`, and check `base_url`")
    if status in (404, 405) and not known:
        return Failure(RetryAction.STOP, reason, hint=_OTHER_ENDPOINT)
    # A gateway says 404 for a while when what is behind it restarts.
    if status < 300 or status in (404, 405, 408, 409, 425) or status >= 500:
        return Failure(RetryAction.RETRY, reason, wait)
    if status == 407:
        return Failure(RetryAction.STOP, reason, hint="a proxy asks for a password: give it in https_proxy and http_proxy")
    if status < 400:
        hint = "it sends requests elsewhere; give the final address as `base_url`"
        return Failure(RetryAction.STOP, reason, hint=hint)
    return Failure(RetryAction.NEGOTIATE, reason)


def is_page(body: bytes) -> bool:
    """Whether it is a web page."""
    start = body[:2000].lower()
    return b"<html" in start or b"<!doctype html" in start


def server_words(body: bytes) -> str:
    """What the server says of an error, on one line, at most 300 characters, without keys."""
    text = more = ""
    try:
        found = orjson.loads(body)
        found = found[0] if isinstance(found, list) and len(found) == 1 else found
        for name in ("error", "errors", "message", "msg", "error_msg", "detail"):
            if isinstance(found, dict) and found.get(name):
                # What a gateway was told by the server behind it.
                behind = found.get("metadata")
                more = str(behind["raw"]) if isinstance(behind, dict) and behind.get("raw") else more
                found = found[name]
        text = found if isinstance(found, str) else orjson.dumps(found).decode()
        text += f" ({more})" if more else ""
    except (orjson.JSONDecodeError, TypeError):
        # No JSON, or nested too deep to be written again.
        text = _TAGS.sub(" ", body[:5000].decode("utf-8", "replace"))
    text = _SECRET.sub("[key]", " ".join(text[:5000].split()))
    return text[:297] + "..." if len(text) > 300 else text


class CircuitBreaker:
    """Tells a server that is down from requests that fail for reasons of their own.

    Closed, all requests go. It opens when a server that had answered fails many new requests in a row: then requests wait, and
    one goes now and then as a trial. What the server takes closes it again.
    """

    #: Requests given up in a row after which nothing more is asked: before any was answered, ever; before any was in this run.
    GIVEN_UP_FIRST, GIVEN_UP_RESUMED, GIVEN_UP_LATER = 3, 1000, 20
    #: New requests that failed in a row, to open.
    FAILURES_TO_OPEN = 20
    #: Seconds to the first trial; each is twice as long after the last, up to the second.
    FIRST_TRIAL, LONGEST_TRIAL = 0.5, 8.0
    #: Seconds without an answer, after which nothing more is asked.
    PATIENCE = 60.0

    def __init__(self) -> None:
        self.answered_once = False
        #: Answers of earlier runs are known: what is left may be just what the server cannot answer.
        self.resumed = False
        self.open = False
        self._last_answer = 0.0
        self._given_up = 0
        self._failed = 0
        self._pause = self.FIRST_TRIAL
        self._next_trial = 0.0

    def answered(self, now: float) -> None:
        """A request was answered."""
        self.answered_once, self._last_answer, self._given_up = True, now, 0

    def reached(self) -> None:
        """The server took a request, whatever it made of it."""
        self.open, self._failed, self._pause = False, 0, self.FIRST_TRIAL

    def failed(self, now: float, *, new: bool, wait: float = 0.0) -> None:
        """A request failed for the server's trouble.

        Args:
            now: seconds.
            new: at its first try; what fails again and again is its own trouble.
            wait: seconds that the server asks to wait.
        """
        self._failed += new
        if self.answered_once and self._failed >= self.FAILURES_TO_OPEN and not self.open:
            self.open, self._next_trial = True, now + self._pause
        self._next_trial = max(self._next_trial, now + min(wait, self.PATIENCE))

    def delay(self, now: float) -> float:
        """Seconds until the next request may go; while open, until the next trial."""
        return max(0.0, self._next_trial - now) if self.open else 0.0

    def take(self, now: float) -> None:
        """A request goes."""
        if self.open:
            self._next_trial = now + self._pause
            self._pause = min(self.LONGEST_TRIAL, 2 * self._pause)

    def expired(self, now: float) -> bool:
        """Whether it has been open for too long."""
        return self.open and now - self._last_answer > self.PATIENCE

    def gave_up(self, now: float, *, unreachable: bool, more: bool) -> bool:
        """A request was given up for the server's trouble; whether it is time to stop asking.

        Args:
            now: seconds.
            unreachable: nothing listens there.
            more: other requests wait to be sent; where none does, nothing is gained by stopping.
        """
        self._given_up += 1
        if not self.answered_once:
            return unreachable or self._given_up >= (self.GIVEN_UP_RESUMED if self.resumed else self.GIVEN_UP_FIRST)
        return more and self._given_up >= self.GIVEN_UP_LATER and now - self._last_answer > self.PATIENCE
