"""Requests about several texts at once: each text is asked for once, and where one text fails them all, halves are tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from argilla_admap.scoring.cache.store import CacheEntry
from argilla_admap.scoring.client.request import Request

if TYPE_CHECKING:
    from argilla_admap.scoring.client.dispatcher import Dispatcher

__all__ = ["SplitRetry", "Splittable"]

_R = TypeVar("_R", bound="Splittable")


class Splittable(Request, Protocol):
    """A request with a key for each of its texts."""

    def only(self: _R, keys: Sequence[bytes]) -> _R:
        """The same request about some of the texts."""
        ...


class SplitRetry:
    """Asks for many texts in few requests.

    Args:
        dispatcher: the way to the model.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._in_flight: dict[bytes, asyncio.Future[None]] = {}

    async def ask(
        self, keys: Sequence[bytes], requests: Callable[[list[bytes]], Sequence[Splittable]]
    ) -> tuple[dict[bytes, CacheEntry], dict[bytes, CacheEntry | str]]:
        """What the store had, and what was asked for now: by key an entry, or why there is none.

        Args:
            keys: of the texts, each once.
            requests: makes the requests for those of the keys that have to be asked.

        Raises:
            JudgeRefused, ScoringError: nothing can be asked any more.
        """
        # A text that another batch of records is having asked is in the store when that is done.
        while elsewhere := {self._in_flight[key] for key in keys if key in self._in_flight}:
            await asyncio.wait(elsewhere)
        known = self._dispatcher.cached(keys)
        missing = [key for key in keys if key not in known]
        done = asyncio.get_running_loop().create_future()
        self._in_flight |= dict.fromkeys(missing, done)
        try:
            answers = await asyncio.gather(*(self._ask(request) for request in requests(missing)))
        finally:
            for key in missing:
                del self._in_flight[key]
            done.set_result(None)
        return known, {key: found for answer in answers for key, found in answer.items()}

    async def _ask(self, request: Splittable) -> dict[bytes, CacheEntry | str]:
        outcome = (await self._dispatcher.ask([request]))[0]
        found: dict[bytes, CacheEntry | str] = {entry.key: entry for entry in outcome.entries}
        missing = [key for key in request.keys if key not in found]
        if missing and not found and (len(missing) == 1 or self._dispatcher.stop_reason):
            return dict.fromkeys(missing, outcome.error or "the answer held nothing")
        # Another process has had some of them answered; or a text is too long for the model, or there are more texts than
        # the server takes at once: halves tell which.
        half = len(missing) if found else len(missing) // 2
        for some in filter(None, (missing[:half], missing[half:])):
            found |= await self._ask(request.only(some))
        return found
