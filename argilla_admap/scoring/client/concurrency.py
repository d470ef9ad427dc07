"""How many at once: adaptive concurrency (additive increase, multiplicative decrease), beside the rate limits.

Nothing here waits or sends; times are seconds of a monotonic clock, handed in.
"""

from __future__ import annotations

from collections.abc import Mapping

from argilla_admap.scoring.client.rate_limit import Backoff, BackoffPolicy, RateLimits

__all__ = ["ConcurrencyLimiter", "Throttle"]


class Throttle:
    """When the next request of one endpoint and model may go.

    Args:
        rpm: requests a minute; None: taken from the server's headers, else learned by being refused.
        tpm: tokens a minute, likewise.
        concurrency: requests in flight; None: adapts.
        local: a server of one's own, which may answer one after the other, and slowly.
        share: as for `RateLimits`.
    """

    def __init__(
        self,
        rpm: float | None = None,
        tpm: float | None = None,
        concurrency: int | None = None,
        *,
        local: bool = False,
        share: float = 1.0,
    ) -> None:
        self.limits = RateLimits(rpm, tpm, share)
        self.concurrency = ConcurrencyLimiter(concurrency, local=local)
        self._policy = BackoffPolicy()

    def answered(self, now: float, seconds: float, headers: Mapping[str, str]) -> None:
        """An answer came after so many seconds."""
        self.concurrency.answered(seconds)
        self._policy.answered()
        self.limits.answered(now)
        self.limits.learn(headers)

    def refused(self, now: float, wait: float | None) -> bool:
        """A 429, with the seconds that the server asks to wait; whether the request may go again as soon as the rate allows.

        Else it was refused for a reason of its own, or by chance, and waits by itself.
        """
        backoff = self._policy.refused(now, self.limits.requests.rate if self.limits.requests is not None else None)
        if backoff is Backoff.IN_VAIN or not self.limits.known:
            # Fewer at once is all that can be done; a rate, once there is one, does better.
            self.concurrency.refused(backoff)
        self.limits.refused(now, wait, backoff)
        return backoff is not Backoff.IN_VAIN


class ConcurrencyLimiter:
    """How many may be in flight: doubles with each round of answers until the first refusal, then up by one and down by half.

    Args:
        most: never more than this; None: up to `CEILING`, and no more than the server answers without a queue.
        local: a server of one's own: a slow first answer is what one slot gives, and from one it starts.
    """

    START, CEILING = 20, 1024
    #: Part of the requests in flight that is left after a refusal; and what a queue in the server takes off with each answer.
    DECREASE, QUEUE_DECREASE = 0.5, 0.5
    #: More in flight would only wait in the server's queue where the latency is so many times the lowest.
    QUEUED = 3.0
    #: Answers before their latency counts as the usual one.
    ENOUGH = 20
    #: A request counts as hung after so many times the usual latency, but not before so many seconds.
    HUNG, LEAST_PATIENCE = 30, 15.0
    #: Seconds of a first answer from which on a local server counts as slow; and how many times the usual latency it may take.
    SLOW, SLOW_PATIENCE = 2.0, 6
    #: The newest latency's share of the usual one; and where answers are few.
    NEWEST, NEWEST_OF_FEW = 0.05, 0.6

    def __init__(self, most: int | None = None, *, local: bool = False) -> None:
        self._local, self.slow = local, False
        self._least = float(self.START)
        self._fixed = most is not None
        self.most = most or self.CEILING
        self.now = float(min(self.most, max(self.START, self.most // 4) if self._fixed else self.START))
        self._doubling = True
        self._lowest = float("inf")
        self._answers = 0
        self.latency = 0.0

    def has_room(self, in_flight: int) -> bool:
        """Whether one more may be in flight."""
        return in_flight < self.now

    def answered(self, seconds: float) -> None:
        """An answer came after so many seconds."""
        self._answers += 1
        if self._local and self._answers == 1 and seconds > self.SLOW:
            self.slow, self._least = True, 1.0
            if not self._fixed:
                self.now = 1.0
        newest = self.NEWEST_OF_FEW if self.slow else self.NEWEST
        self.latency = seconds if not self.latency else (1 - newest) * self.latency + newest * seconds
        # The usual latency at its lowest: single answers come much faster than others where texts differ in length.
        if self._answers >= self.ENOUGH or self.slow:
            self._lowest = min(self._lowest, self.latency)
        if not self._fixed and self.now > self._least and self.latency > self.QUEUED * self._lowest + 0.05:
            self._doubling = False
            self.now = max(self._least, self.now - self.QUEUE_DECREASE)
        elif self.now < self.most:
            self.now = min(float(self.most), self.now + (1.0 if self._doubling else 1.0 / self.now))

    def refused(self, backoff: Backoff) -> None:
        """A 429: half as many, unless that has not helped."""
        self._doubling = backoff is Backoff.IN_VAIN
        if backoff in (Backoff.FIRST, Backoff.SLOWER):
            self.now = max(1.0, self.now * self.DECREASE)

    def patience(self, most: float) -> float:
        """Seconds before a request counts as hung: at most `most`, or what a slow server of one's own needs."""
        if not self.latency:
            return most
        usual = min(most, max(self.LEAST_PATIENCE, self.HUNG * self.latency))
        return float(round(max(usual, self.SLOW_PATIENCE * self.latency) if self.slow else usual))
