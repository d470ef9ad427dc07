"""How fast: requests and tokens a minute by a generic cell rate algorithm, a pause when the server asks for one, and backoff.

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
MARGIN = 0.985
#: Seconds of requests that may be caught up on after the machine was busy; a third of it each time that is refused.
BURST, LEAST_BURST = 0.1, 0.012
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|us|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class RateLimiter:
    """A generic cell rate algorithm: each unit taken moves a virtual clock on by 1/rate; it may run `burst` seconds ahead.

    A rate that nobody has stated is learned: it rises while answers come and falls when the server refuses.

    Args:
        rate: units a second.
        burst: seconds that the clock may be ahead of the time: what late timers may catch up on.
        most: never faster than this; infinite where nobody has said how fast.
    """

    #: What a learned rate rises by, as a share a second: until the first refusal, up to near the rate refused, and from there.
    SEEK, RISE, CREEP = 0.1, 0.02, 0.0005
    NEAR = 0.97
    #: What was let through lies so far below the rate where the server counts by windows.
    WINDOWED = 0.85
    #: What becomes of a rate refused again within so many seconds; `NEAR` of it after longer.
    DECREASE = ((3.0, 0.75), (6.0, 0.85), (12.0, 0.93))

    def __init__(self, rate: float, burst: float = BURST, most: float = float("inf")) -> None:
        self.rate = rate
        self.burst = burst
        self.most = most
        self._clock = 0.0
        self._refused_rate = float("inf")
        self._refused_at = float("-inf")
        self._risen_at = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next unit may be taken."""
        return max(0.0, self._clock - self.burst - now)

    def take(self, now: float, units: float) -> None:
        """Takes units, though the clock then runs ahead."""
        # It starts with no burst.
        self._clock = max(self._clock or now + self.burst, now) + units / self.rate

    def settle(self, units: float) -> None:
        """Takes more (positive), or gives back (negative), once the true number is known."""
        self._clock += units / self.rate

    def scale(self, now: float, ratio: float) -> None:
        """So many times as fast from now on, and so is what was taken ahead of the time paid back."""
        self.rate *= ratio
        self.most *= ratio
        self._refused_rate *= ratio
        self._clock = now + (self._clock - now) / ratio if self._clock > now else self._clock

    def refused(self, now: float, until: float, let_through: float | None = None) -> None:
        """The server refused, and nothing is sent before `until`: from then on in smaller bursts, or slower.

        Args:
            now: seconds.
            until: likewise.
            let_through: units a second that the server has let through, the wait counted in; None: not known.
        """
        if self.burst > LEAST_BURST and self.most < float("inf"):
            # The rate is what the server says: most likely only too many came at once.
            self.burst /= 3
        else:
            self._refused_rate = self.rate
            # Refused again so soon, the rate is far too high: or others share what the server allows.
            since = now - self._refused_at
            self.rate *= next((share for soon, share in self.DECREASE if since < soon), self.NEAR)
            if let_through is not None and let_through < self.WINDOWED * self.rate:
                # A burst was let in, and the rest is to wait for the next window.
                self.rate = let_through
        self._refused_at = until
        # What could not be sent meanwhile is not caught up on in one burst.
        self._clock = max(self._clock, until + self.burst)

    def rise(self, now: float) -> None:
        """Answers come: back to what is allowed, or slowly up where nobody says what is. An unused rate stays as it is."""
        seconds, self._risen_at = min(1.0, now - self._risen_at), now
        if self.rate < self.most and self._clock > now - 0.5:
            unrefused, near = self._refused_rate == float("inf"), self.rate >= self.NEAR * self._refused_rate
            share = self.SEEK if unrefused else self.CREEP if near else self.RISE
            self.rate = min(self.most, self.rate * (1 + share * seconds))


class Backoff(Enum):
    """What a 429 calls for."""

    FIRST = "slower, for the first time"
    SLOWER = "slower still"
    SAME = "nothing: it came with others that were heeded"
    IN_VAIN = "nothing: going slower has not helped"


class BackoffPolicy:
    """Whether going slower helps: a server that refuses by chance, or single requests, refuses as many of fewer."""

    #: Seconds that refusals of one burst lie apart at most; and those of one struggle.
    BURST, STRUGGLE = 1.0, 10.0
    #: Backoffs in a struggle after which going slower would have helped, unless ...
    TIMES = 5
    #: ... no more than this share was ever refused, or still this part of the greatest share.
    FEW, STILL = 0.25, 0.7
    #: Seconds until going slower is tried again.
    IN_VAIN = 60.0

    def __init__(self) -> None:
        self._answered = self._refused = self._times = 0
        self._greatest = 0.0
        self._heeded_at = self._in_vain_until = float("-inf")
        self._first_rate: float | None = None

    def answered(self) -> None:
        """A request was answered."""
        self._answered += 1

    def refused(self, now: float, rate: float | None = None) -> Backoff:
        """A request was refused, at a rate of so many a second where there is one."""
        self._refused += 1
        if now < self._in_vain_until:
            return Backoff.IN_VAIN
        if now - self._heeded_at < self.BURST:
            return Backoff.SAME
        share = self._refused / (self._answered + self._refused)
        if now - self._heeded_at > self.STRUGGLE:
            self._times = 0
        self._times += 1
        self._heeded_at, self._answered, self._refused = now, 0, 0
        if self._times == 1:
            # Of the time before there is nothing to learn: a burst may have been let in.
            self._greatest = 0.0
            self._first_rate = rate
            return Backoff.FIRST
        self._first_rate = self._first_rate or rate
        # By chance as many are refused of half as many.
        halved = rate is None or self._first_rate is None or rate <= 0.5 * self._first_rate
        self._greatest = max(self._greatest, share)
        if self._times > self.TIMES and halved and (self._greatest <= self.FEW or share >= self.STILL * self._greatest):
            self._times, self._in_vain_until = 0, now + self.IN_VAIN
            return Backoff.IN_VAIN
        return Backoff.SLOWER


class RateLimits:
    """Requests and tokens a minute of one endpoint and model.

    Args:
        rpm: requests a minute; None: taken from the server's headers, else learned by being refused.
        tpm: tokens a minute, likewise.
        share: the part of each limit that is this process's own, of several on one account, in (0, 1].
    """

    #: Answers before a rate is concluded from them, and seconds that they are looked back on.
    ENOUGH, LOOK_BACK = 20, 5.0

    def __init__(self, rpm: float | None = None, tpm: float | None = None, share: float = 1.0) -> None:
        self._share = share
        self._fixed = (rpm is not None, tpm is not None)
        self.requests = _a_minute(rpm * share) if rpm else None
        self.tokens = _a_minute(tpm * share) if tpm else None
        self._paused_until = 0.0
        self._streak = 0
        self._answers: list[float] = []
        #: Since when requests go, after the last pause, and how many were let through.
        self._since: float | None = None
        self._let_through = 0

    def _limiters(self) -> list[RateLimiter]:
        return [limiter for limiter in (self.requests, self.tokens) if limiter is not None]

    @property
    def known(self) -> bool:
        """Whether there is a rate to keep to."""
        return bool(self._limiters())

    def delay(self, now: float) -> float:
        """Seconds until the next request may go."""
        return max(0.0, self._paused_until - now, *(limiter.delay(now) for limiter in self._limiters()))

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

    def use_share(self, now: float, share: float) -> None:
        """Another part of the limits is this process's own from now on."""
        for limiter in self._limiters():
            limiter.scale(now, share / self._share)
        self._share = share

    def answered(self, now: float) -> None:
        """A request was let through."""
        self._streak = 0
        self._let_through += 1
        for limiter in self._limiters():
            limiter.rise(now)
        if self.requests is None:
            self._answers.append(now)
            if len(self._answers) > 4096:
                del self._answers[:2048]

    def refused(self, now: float, wait: float | None, backoff: Backoff) -> None:
        """A 429: all wait as long as the server says, else longer each time in a row; and go slower where that helps."""
        if backoff is Backoff.IN_VAIN:
            # Back to what the server or the user has said; where nobody has, to no rate at all.
            for limiter in self._limiters():
                limiter.rate = limiter.most
            if self.requests is not None and self.requests.most == float("inf"):
                self.requests = None
            return
        pause = wait if wait is not None else min(30.0, 0.5 * 2**self._streak)
        self._paused_until = max(self._paused_until, now + pause)
        if backoff is Backoff.SAME:
            return
        self._streak += 1
        let_through = None
        if wait is not None and self._since is not None and self._let_through >= self.ENOUGH and now > self._since:
            let_through = self._let_through / (self._paused_until - self._since)
        self._since, self._let_through = self._paused_until, 0
        if self.known:
            for limiter in self._limiters():
                limiter.refused(now, self._paused_until, let_through if limiter is self.requests else None)
            return
        recent = [t for t in self._answers if now - t < self.LOOK_BACK]
        if let_through is None and len(recent) >= self.ENOUGH:
            let_through = len(recent) / max(1.0, now - recent[0])
        if let_through is not None:
            self.requests = RateLimiter(let_through, LEAST_BURST)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Takes limits that the server states, unless the user has stated them."""
        if not self._fixed[0] and (rpm := _number(headers.get("x-ratelimit-limit-requests"))):
            self.requests = _stated(self.requests, rpm * self._share)
        if not self._fixed[1] and (tpm := _number(headers.get("x-ratelimit-limit-tokens"))):
            self.tokens = _stated(self.tokens, tpm * self._share)


def _a_minute(units: float) -> RateLimiter:
    rate = units / 60 * MARGIN
    return RateLimiter(rate, most=rate)


def _stated(limiter: RateLimiter | None, units: float) -> RateLimiter:
    """A limiter for what the server states; the one that there is, unless that is for another number."""
    return limiter if limiter is not None and limiter.most == units / 60 * MARGIN else _a_minute(units)


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
