"""When the next request may go: at the pace that is allowed, and no more at once than the server answers.

Nothing here waits or sends; times are seconds of a monotonic clock, handed in.
"""

from __future__ import annotations

from collections.abc import Mapping

from argilla_admap.scoring.client.rate_limit import Backoff, BackoffPolicy, RateLimits

__all__ = ["ConcurrencyLimiter", "Throttle"]

#: Answers before their latency counts as the usual one.
_ENOUGH = 20


class Throttle:
    """Of one endpoint and model.

    Args:
        rpm: requests a minute; None: taken from the server's headers, else found by being refused.
        tpm: tokens a minute, likewise.
        concurrency: requests in flight; None: finds its own level.
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None, concurrency: int | None = None) -> None:
        self.limits = RateLimits(rpm, tpm)
        self.level = ConcurrencyLimiter(concurrency)
        self._refusals = BackoffPolicy()

    def has_room(self, in_flight: int) -> bool:
        """Whether one more may be in flight."""
        return in_flight < self.level.now

    def delay(self, now: float) -> float:
        """Seconds until the next request may go."""
        return self.limits.delay(now)

    def take(self, now: float, tokens: int) -> None:
        """Reserves one request of about so many tokens."""
        self.limits.take(now, tokens)

    def settle(self, reserved: int, used: int) -> None:
        """Replaces the tokens that a request reserved by those that it used."""
        self.limits.settle(reserved, used)

    def patience(self, most: float) -> float:
        """Seconds before a request counts as hung, at most `most`."""
        return self.level.patience(most)

    def answered(self, now: float, seconds: float, headers: Mapping[str, str]) -> None:
        """An answer came after so many seconds."""
        self.level.answered(seconds)
        self._refusals.answered()
        self.limits.answered(now)
        self.limits.learn(headers)

    def failed(self, headers: Mapping[str, str]) -> None:
        """The server answered, but not the question; a 429 is for `refused` too."""
        self.limits.learn(headers)

    def refused(self, now: float, wait: float | None) -> bool:
        """A 429, with the seconds that the server asks to wait; whether the question may go again as soon as the pace allows.

        Else it was refused for a reason of its own, or by chance, and waits by itself.
        """
        pace = self.limits.requests.rate if self.limits.requests is not None else None
        verdict = self._refusals.refused(now, pace)
        if verdict is Backoff.IN_VAIN or not self.limits.known:
            # Fewer at once is all that can be done; a pace, once there is one, does better.
            self.level.refused(verdict)
        self.limits.refused(now, wait, verdict)
        return verdict is not Backoff.IN_VAIN


class ConcurrencyLimiter:
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
        self._answers = 0
        self.latency = 0.0

    def answered(self, seconds: float) -> None:
        """An answer came after so many seconds."""
        self._answers += 1
        self.latency = seconds if not self.latency else 0.95 * self.latency + 0.05 * seconds
        # The usual latency at its lowest: single answers come much faster than others where texts differ in length.
        if self._answers >= _ENOUGH:
            self._shortest = min(self._shortest, self.latency)
        # Three times the shortest answer: more in flight would only wait in the server's queue.
        if not self._fixed and self.now > 20 and self.latency > 3 * self._shortest + 0.05:
            self._doubling = False
            self.now = max(20.0, self.now - 0.5)
        elif self.now < self.most:
            self.now = min(float(self.most), self.now + (1.0 if self._doubling else 1.0 / self.now))

    def refused(self, verdict: Backoff) -> None:
        """A 429: half as many, unless that has not helped."""
        self._doubling = verdict is Backoff.IN_VAIN
        if verdict in (Backoff.FIRST, Backoff.SLOWER):
            self.now = max(1.0, self.now / 2)

    def patience(self, most: float) -> float:
        """Seconds before a request counts as hung: thirty times the usual latency, from 15 s to `most`."""
        return float(round(min(most, max(15.0, 30 * self.latency)))) if self.latency else most
