"""How fast: requests and tokens a minute as virtual clocks, a pause when the server asks for one, a level of concurrency.

Nothing here waits or sends; times are seconds of a monotonic clock, handed in.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping

__all__ = ["Health", "Level", "Limits", "Pace", "duration", "retry_after"]

#: A little below what is allowed: the server's clock and ours are two, and a request on the way arrives late.
_MARGIN = 0.985
#: Seconds that requests may catch up on when the machine was busy with something else.
_SLACK = 0.3
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|us|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Pace:
    """A virtual clock (generic cell rate algorithm): each unit taken moves it on by 1/rate; it may run `slack` seconds ahead.

    Args:
        rate: units a second.
        slack: seconds that the clock may be ahead of the time: what late timers may catch up on.
    """

    def __init__(self, rate: float, slack: float) -> None:
        self.rate = rate
        self.slack = slack
        self._clock = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next unit may be taken."""
        return max(0.0, self._clock - self.slack - now)

    def take(self, now: float, units: float) -> None:
        """Takes units, though the clock then runs ahead."""
        self._clock = max(self._clock, now) + units / self.rate

    def settle(self, units: float) -> None:
        """Takes more (positive), or gives back (negative), once the true number is known."""
        self._clock += units / self.rate


class Limits:
    """Requests and tokens a minute of one endpoint and model.

    Args:
        rpm: requests a minute; None: taken from the server's headers, else found by being refused.
        tpm: tokens a minute, likewise.
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None) -> None:
        self._said = (rpm is not None, tpm is not None)
        self.requests = Pace(rpm / 60 * _MARGIN, _SLACK) if rpm else None
        self.tokens = Pace(tpm / 60 * _MARGIN, 1.0) if tpm else None
        self._paused_until = 0.0
        self._refused_at = -60.0
        self._streak = 0
        self._found = False
        self._answers: list[float] = []

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
        if self.requests is not None:
            self.requests.take(now, 1)
        if self.tokens is not None:
            self.tokens.take(now, tokens)

    def answered(self, now: float, reserved: int, used: int) -> None:
        """Gives back what an answer did not use."""
        self._streak = 0
        if self.tokens is not None:
            self.tokens.settle(used - reserved)
        if self._found and self.requests is not None:
            # The rate was found by being refused: feel upwards, two hundredths a second.
            self.requests.rate *= 1 + 0.02 / self.requests.rate
        elif self.requests is None:
            self._answers.append(now)
            if len(self._answers) > 4096:
                del self._answers[:2048]

    def refused(self, now: float, wait: float | None) -> None:
        """A 429: all wait as long as the server says, else longer each time in a row; and go slower."""
        first_of_a_burst = now - self._refused_at > 1.0
        self._refused_at = now
        if wait is None:
            wait = min(30.0, 0.5 * 2**self._streak)
        self._paused_until = max(self._paused_until, now + wait)
        if not first_of_a_burst:
            return
        self._streak += 1
        if self.requests is not None:
            self.requests.rate *= 0.95 if self._found else 0.99
        elif self.tokens is None:
            recent = [t for t in self._answers if now - t < 5.0]
            if len(recent) >= 20:
                self._found = True
                self.requests = Pace(len(recent) / max(1.0, now - recent[0]) * 0.9, _SLACK)

    def pause(self, now: float, wait: float) -> None:
        """All wait, and nobody goes slower afterwards: the server was busy, not we too fast."""
        self._paused_until = max(self._paused_until, now + wait)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Takes limits that the server states, unless the user has stated them."""
        if not self._said[0] and (rpm := _number(headers.get("x-ratelimit-limit-requests"))):
            self._found = False
            self.requests = _at(self.requests, rpm, _SLACK)
        if not self._said[1] and (tpm := _number(headers.get("x-ratelimit-limit-tokens"))):
            self.tokens = _at(self.tokens, tpm, 1.0)


def _at(pace: Pace | None, a_minute: float, slack: float) -> Pace:
    rate = a_minute / 60 * _MARGIN
    # A pace already a little slower is one that was refused: it stays, unless the server says another number.
    if pace is None or not 0.8 * rate <= pace.rate <= rate:
        fresh = Pace(rate, slack)
        if pace is not None:
            fresh.take(0.0, 0.0)
        return fresh
    return pace


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


class Level:
    """How many may be in flight: doubles with each round of answers until the first refusal, then up by one and down by half.

    Args:
        most: never more than this; None: up to 1,024, and no more than the server answers without a queue.
    """

    def __init__(self, most: int | None = None) -> None:
        self._fixed = most is not None
        self.most = most or 1024
        self.now = float(min(self.most, max(20, self.most // 4) if self._fixed else 20))
        self._doubling = True
        self._shortest = float("inf")
        self.latency = 0.0
        self._cut_at = -60.0

    def answered(self, seconds: float) -> None:
        """An answer came after so many seconds."""
        self._shortest = min(self._shortest, seconds)
        self.latency = seconds if not self.latency else 0.95 * self.latency + 0.05 * seconds
        # Three times the shortest answer: more in flight would only wait in the server's queue.
        if not self._fixed and self.now > 20 and self.latency > 3 * self._shortest + 0.05:
            self._doubling = False
            self.now = max(20.0, self.now - 0.5)
        elif self.now < self.most:
            self.now = min(float(self.most), self.now + (1.0 if self._doubling else 1.0 / self.now))

    def refused(self, now: float) -> None:
        """A 429 or a server that gives up: half as many, once a second at most."""
        self._doubling = False
        if now - self._cut_at > 1.0:
            self._cut_at = now
            self.now = max(1.0, self.now / 2)

    def patience(self, most: float) -> float:
        """Seconds before a request counts as hung: thirty times the usual latency, from 15 s to `most`."""
        return float(round(min(most, max(15.0, 30 * self.latency)))) if self.latency else most


class Health:
    """Whether the server answers at all."""

    #: Questions given up in a row before any was answered, and after.
    _FIRST, _LATER = 3, 20
    #: Seconds without an answer, for the second.
    _SILENCE = 60.0

    def __init__(self) -> None:
        self.answered_once = False
        self._last = 0.0
        self._given_up = 0

    def answered(self, now: float) -> None:
        """A question was answered."""
        self.answered_once, self._last, self._given_up = True, now, 0

    def gone(self, now: float, *, unreachable: bool) -> bool:
        """A question was given up for the server's fault: is it time to stop asking?"""
        self._given_up += 1
        if not self.answered_once:
            return unreachable or self._given_up >= self._FIRST
        return self._given_up >= self._LATER and now - self._last > self._SILENCE
