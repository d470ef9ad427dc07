"""What a request costs, and a budget that is never passed."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Budget", "Price", "find_price"]

#: Service tiers that cost half, where the endpoint has them.
_HALF_PRICE_TIERS = {"flex", "batch"}


class Price(NamedTuple):
    """US dollars a token."""

    input: float
    output: float
    #: For input that the server found in its cache of prefixes.
    cached: float
    #: Where the price is from, for the person.
    source: str

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """US dollars of one request."""
        return (input_tokens - cached_tokens) * self.input + cached_tokens * self.cached + output_tokens * self.output


def find_price(model: str, by_hand: tuple[float, float] | None, service_tier: str | None = None) -> Price | None:
    """The price of a model; None where none is listed.

    Args:
        model: as the endpoint calls it.
        by_hand: US dollars a million tokens in and out; wins over the list.
        service_tier: ``flex`` and ``batch`` cost half of the listed price.
    """
    if by_hand is not None:
        return Price(by_hand[0] / 1e6, by_hand[1] / 1e6, by_hand[0] / 1e6, "given by hand")
    from genai_prices import Usage, calc_price

    # One request of a judge's size: a sum over a run would fall into the tier of very long requests and double the price.
    try:
        whole = calc_price(Usage(input_tokens=1000, output_tokens=1000), model_ref=model)
        cached = calc_price(Usage(input_tokens=1000, output_tokens=0, cache_read_tokens=1000), model_ref=model)
    except (LookupError, ValueError):
        return None
    half = 0.5 if service_tier in _HALF_PRICE_TIERS else 1.0
    return Price(
        float(whole.input_price) / 1000 * half,
        float(whole.output_price) / 1000 * half,
        float(cached.total_price) / 1000 * half,
        "genai-prices",
    )


class Budget:
    """US dollars: what was spent, and what is in flight and may still be.

    Args:
        most: never more than this; None: no limit.
    """

    def __init__(self, most: float | None = None) -> None:
        self.most = most
        self.spent = 0.0
        self._reserved = 0.0

    def left(self) -> float:
        """The share of the limit that is neither spent nor set aside, 0..1."""
        return 1.0 if self.most is None else max(0.0, 1 - (self.spent + self._reserved) / self.most) if self.most else 0.0

    def words(self) -> str:
        """Why a request is not sent."""
        return f"not asked: the next question could pass `max_cost` {self.most:g} (US dollars)"

    def reserve(self, dollars: float) -> bool:
        """Sets aside the most that a request can cost; False: it could pass the limit."""
        if self.most is not None and self.spent + self._reserved + dollars > self.most:
            return False
        self._reserved += dollars
        return True

    def settle(self, reserved: float, spent: float) -> None:
        """The request's true cost, in place of what was set aside."""
        self._reserved = max(0.0, self._reserved - reserved)
        self.spent += spent
