"""How fast: requests and tokens a minute as virtual clocks, and a pause when the server asks for one.

Nothing here waits or sends; times are seconds of a monotonic clock, handed in.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from enum import Enum

__all__ = ["Backoff", "BackoffPolicy", "RateLimiter", "RateLimits", "duration", "retry_after"]

#: A little below what is allowed: the server's clock and ours are two, and a request on the way arrives late.
_MARGIN = 0.985
#: Seconds that may be caught up on when the machine was busy with something else; a third of it where that is refused.
_SLACK = 0.1
_LEAST_SLACK = 0.012
#: What a pace rises by, as a share a second: before any was refused, up to near the one that was, and from there.
_SEEK, _RISE, _CREEP = 0.1, 0.02, 0.0005
_NEAR = 0.97
#: What was let through lies so far below the pace where the server counts by windows.
_BURSTS = 0.85
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|us|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class RateLimiter:
    """A virtual clock (generic cell rate algorithm): each unit taken moves it on by 1/rate; it may run `slack` seconds ahead.

    Args:
        rate: units a second.
        slack: seconds that the clock may be ahead of the time: what late timers may catch up on.
        most: never faster than this; infinite where nobody has said how fast.
    """

    def __init__(self, rate: float, slack: float = _SLACK, most: float = float("inf")) -> None:
        self.rate = rate
        self.slack = slack
        self.most = most
        self._clock = 0.0
        #: The pace that was refused last.
        self._refused = float("inf")
        self._refused_at = float("-inf")
        self._risen_at = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next unit may be taken."""
        return max(0.0, self._clock - self.slack - now)

    def take(self, now: float, units: float) -> None:
        """Takes units, though the clock then runs ahead."""
        # It starts with no burst.
        self._clock = max(self._clock or now + self.slack, now) + units / self.rate

    def settle(self, units: float) -> None:
        """Takes more (positive), or gives back (negative), once the true number is known."""
        self._clock += units / self.rate

    def refused(self, now: float, until: float, let: float | None = None) -> None:
        """The server refused, and nothing is sent before `until`: from then on fewer at once, or slower.

        Args:
            now: seconds.
            until: likewise.
            let: units a second that the server has let through, the wait counted in; None: not known.
        """
        if self.slack > _LEAST_SLACK and self.most < float("inf"):
            # The rate is what the server says: most likely only too many came at once.
            self.slack /= 3
        else:
            self._refused = self.rate
            # Refused again so soon, the pace is far too fast: or others share what the server allows.
            self.rate *= _slower(now - self._refused_at)
            if let is not None and let < _BURSTS * self.rate:
                # A burst was let in, and the rest is to wait for the next window.
                self.rate = let
        self._refused_at = until
        # What could not be sent meanwhile is not caught up on in one burst.
        self._clock = max(self._clock, until + self.slack)

    def rise(self, now: float) -> None:
        """Answers come: back to what is allowed, or, where nobody says what is, slowly up. A pace that nobody keeps stays."""
        seconds, self._risen_at = min(1.0, now - self._risen_at), now
        if self.rate < self.most and self._clock > now - 0.5:
            share = _SEEK if self._refused == float("inf") else _RISE if self.rate < _NEAR * self._refused else _CREEP
            self.rate = min(self.most, self.rate * (1 + share * seconds))


def _slower(seconds: float) -> float:
    """What becomes of a pace that is refused again after so many seconds."""
    for soon, share in ((3.0, 0.75), (6.0, 0.85), (12.0, 0.93)):
        if seconds < soon:
            return share
    return _NEAR


class Backoff(Enum):
    """What a refusal calls for."""

    FIRST = "slower, for the first time"
    SLOWER = "slower still"
    SAME = "nothing: it came with others that were heeded"
    IN_VAIN = "nothing: to go slower has not helped"


class BackoffPolicy:
    """Whether it helps to go slower: a server that refuses by chance, or single questions, refuses as much of fewer."""

    #: Seconds that refusals of one burst lie apart at most; and those of one struggle.
    _BURST, _STRUGGLE = 1.0, 10.0
    #: After going slower so many times it would have helped: where no more than a few were ever refused, or still as many.
    _TIMES, _FEW, _PART = 5, 0.25, 0.7
    #: Seconds until it is tried again.
    _IN_VAIN = 60.0

    def __init__(self) -> None:
        self._answered = self._refused = self._times = 0
        self._greatest = 0.0
        self._heeded_at = self._in_vain_until = float("-inf")
        self._first_pace: float | None = None

    def answered(self) -> None:
        """A question was answered."""
        self._answered += 1

    def refused(self, now: float, pace: float | None = None) -> Backoff:
        """A question was refused, at a pace of so many a second where there is one."""
        self._refused += 1
        if now < self._in_vain_until:
            return Backoff.IN_VAIN
        if now - self._heeded_at < self._BURST:
            return Backoff.SAME
        share = self._refused / (self._answered + self._refused)
        if now - self._heeded_at > self._STRUGGLE:
            self._times = 0
        self._times += 1
        self._heeded_at, self._answered, self._refused = now, 0, 0
        if self._times == 1:
            # Of the time before there is nothing to learn: a burst may have been let in.
            self._greatest = 0.0
            self._first_pace = pace
            return Backoff.FIRST
        self._first_pace = self._first_pace or pace
        # By chance as many are refused of half as many.
        halved = pace is None or self._first_pace is None or pace <= 0.5 * self._first_pace
        self._greatest = max(self._greatest, share)
        if self._times > self._TIMES and halved and (self._greatest <= self._FEW or share >= self._PART * self._greatest):
            self._times, self._in_vain_until = 0, now + self._IN_VAIN
            return Backoff.IN_VAIN
        return Backoff.SLOWER


class RateLimits:
    """Requests and tokens a minute of one endpoint and model.

    Args:
        rpm: requests a minute; None: taken from the server's headers, else found by being refused.
        tpm: tokens a minute, likewise.
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None) -> None:
        self._said = (rpm is not None, tpm is not None)
        self.requests = _a_minute(rpm) if rpm else None
        self.tokens = _a_minute(tpm) if tpm else None
        self._paused_until = 0.0
        self._streak = 0
        self._answers: list[float] = []
        #: Since when requests go, after the last pause, and how many were let through.
        self._since: float | None = None
        self._let = 0

    @property
    def known(self) -> bool:
        """Whether there is a pace to keep to."""
        return self.requests is not None or self.tokens is not None

    def delay(self, now: float) -> float:
        """Seconds until the next request may go."""
        wait = self._paused_until - now
        if self.requests is not None:
            wait = max(wait, self.requests.delay(now))
        if self.tokens is not None:
            wait = max(wait, self.tokens.delay(now))
        return max(0.0, wait)

    def take(self, now: float, tokens: int) -> None:
        """Reserves one request of about so many tokens."""
        if self._since is None:
            self._since = now
        if self.requests is not None:
            self.requests.take(now, 1)
        if self.tokens is not None:
            self.tokens.take(now, tokens)

    def settle(self, reserved: int, used: int) -> None:
        """Gives back the tokens that a request did not use."""
        if self.tokens is not None:
            self.tokens.settle(used - reserved)

    def answered(self, now: float) -> None:
        """A request was let through."""
        self._streak = 0
        self._let += 1
        if self.tokens is not None:
            self.tokens.rise(now)
        if self.requests is not None:
            self.requests.rise(now)
        else:
            self._answers.append(now)
            if len(self._answers) > 4096:
                del self._answers[:2048]

    def refused(self, now: float, wait: float | None, verdict: Backoff) -> None:
        """A 429: all wait as long as the server says, else longer each time in a row; and go slower where that helps."""
        said = wait
        if wait is None:
            wait = min(30.0, 0.5 * 2**self._streak)
        if verdict is Backoff.IN_VAIN:
            # Back to what the server or the user has said; where nobody has, to no pace at all.
            for pace in (self.requests, self.tokens):
                if pace is not None:
                    pace.rate = pace.most
            if self.requests is not None and self.requests.most == float("inf"):
                self.requests = None
            return
        self._paused_until = max(self._paused_until, now + wait)
        if verdict is Backoff.SAME:
            return
        self._streak += 1
        let = None
        if said is not None and self._since is not None and self._let >= 20 and now > self._since:
            let = self._let / (self._paused_until - self._since)
        self._since, self._let = self._paused_until, 0
        if not self.known:
            recent = [t for t in self._answers if now - t < 5.0]
            if let is not None:
                self.requests = RateLimiter(let, _LEAST_SLACK)
            elif len(recent) >= 20:
                self.requests = RateLimiter(len(recent) / max(1.0, now - recent[0]), _LEAST_SLACK)
            return
        for pace in (self.requests, self.tokens):
            if pace is not None:
                pace.refused(now, self._paused_until, let if pace is self.requests else None)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Takes limits that the server states, unless the user has stated them."""
        if not self._said[0] and (rpm := _number(headers.get("x-ratelimit-limit-requests"))):
            self.requests = _stated(self.requests, rpm)
        if not self._said[1] and (tpm := _number(headers.get("x-ratelimit-limit-tokens"))):
            self.tokens = _stated(self.tokens, tpm)


def _a_minute(units: float) -> RateLimiter:
    rate = units / 60 * _MARGIN
    return RateLimiter(rate, most=rate)


def _stated(pace: RateLimiter | None, units: float) -> RateLimiter:
    """A pace for what the server states; the one that there is, unless that is for another number."""
    if pace is not None and pace.most == units / 60 * _MARGIN:
        return pace
    return _a_minute(units)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else 0.0
    except ValueError:
        return None
    return value if value > 0 else None


def duration(text: str) -> float | None:
    """Seconds of ``6m0s``, ``1s``, ``6ms``, ``20`` (seconds); None of anything else."""
    text = text.strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        parts = _DURATION.findall(text)
        return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a refusal asks to wait: ``retry-after-ms``, ``retry-after`` (seconds or a date), ``x-ratelimit-reset-*``."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    if said is not None:
        seconds = duration(said) if not said.strip()[:1].isalpha() else None
        if seconds is None:
            try:
                seconds = max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
            except (ValueError, TypeError):
                return None
        return seconds
    for what in ("requests", "tokens"):
        if _number(headers.get(f"x-ratelimit-remaining-{what}")) is None:
            reset = headers.get(f"x-ratelimit-reset-{what}")
            if reset is not None and (seconds := duration(reset)) is not None and seconds <= 60:
                return seconds
    return None
