"""Half price by the Batch API: ways to a judge whose questions go through batches, or are in one already.

A run with `batch` goes through the data more than once. In each pass `BatchDispatcher.ask` answers what is known, reads what
a batch brought back, and gathers the rest; then `BatchDispatcher.settle` submits what was gathered and waits. The pass that
gathers nothing is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from argilla_admap.errors import AdmapError
from argilla_admap.scoring.batch.batches import Batches
from argilla_admap.scoring.client.budget import Price
from argilla_admap.scoring.client.dispatcher import Dispatcher
from argilla_admap.scoring.client.request import Outcome, Request

__all__ = ["BatchDispatcher", "DispatcherBesideBatches"]


class BatchDispatcher(Dispatcher):
    """`Dispatcher` whose questions go to the Batch API.

    Args:
        arguments: those of `Dispatcher`; the price is the full one.
        client: the user's own, for files and batches.
    """

    def __init__(self, *arguments: Any, client: Any) -> None:
        super().__init__(*arguments)
        self.price = _half(self.price)
        self._batches = Batches(self, client, self.price)

    async def ask(self, questions: Sequence[Request]) -> list[Outcome]:
        """The answers that are there; the rest is gathered, and carries the error `batches.WAITS`.

        Raises:
            JudgeRefused: a batch was refused for a reason that asking again will not mend.
        """
        return await self._batches.ask(questions)

    async def ask_now(self, questions: Sequence[Request]) -> list[Outcome]:
        """As `Dispatcher.ask`: what cannot wait for a batch, such as what the endpoint can do."""
        return await super().ask(questions)

    async def settle(self, say: Callable[[str], None]) -> bool:
        """See `Batches.settle`."""
        return await self._batches.settle(say)

    async def close(self, patience: float = 5.0) -> None:
        """As `Dispatcher.close`; batches go on without us."""
        self._batches.close()
        await super().close(patience)


class DispatcherBesideBatches(Dispatcher):
    """`Dispatcher` of a run without ``--batch``, on a store that has batches under way: what is in those is not paid again.

    Args:
        arguments: those of `Dispatcher`.
        client: the user's own, for files and batches.
    """

    def __init__(self, *arguments: Any, client: Any) -> None:
        super().__init__(*arguments)
        self._batches = Batches(self, client, _half(self.price))

    async def ask(self, questions: Sequence[Request]) -> list[Outcome]:
        """As `Dispatcher.ask`, but for what a batch brought, and for what waits in one, which carries the error `WAITS`."""
        found = await self._batches.only_read(questions)
        rest = iter(await super().ask([question for question, answer in zip(questions, found, strict=True) if answer is None]))
        return [answer if answer is not None else next(rest) for answer in found]

    async def collect(self, say: Callable[[str], None]) -> None:
        """Takes in what ended batches brought, where the endpoint tells."""
        try:
            await self._batches.collect(say)
        except AdmapError as exc:
            say(f"The batches under way could not be looked at ({exc}); what waits in them is not asked again")

    async def close(self, patience: float = 5.0) -> None:
        """As `Dispatcher.close`; batches go on without us."""
        self._batches.close()
        await super().close(patience)


def _half(price: Price | None) -> Price | None:
    if price is None:
        return None
    half = {"input": price.input / 2, "output": price.output / 2, "cached": price.cached / 2}
    return price._replace(**half, source=f"half of {price.source}")
