"""What the workers of one run share, whatever machine they are on: the judgement store, the budget, the prompts in work.

One `Coordinator` lives beside the store. An answer is in that one store before its request counts as finished, so that neither
a worker nor a whole machine that is lost takes what was paid for with it, and there is nothing to merge afterwards. The budget
is leased in slices that get smaller as it runs out: what is leased and not given back counts as spent, so `max_cost` is never
passed, and a fast worker spends more than a slow one. Rates are split evenly between the workers that have something to ask,
told twice a second: no message for each request, and the last one at work has the whole rate. A part grows when another has
shrunk, so that together they never pass the rate.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from argilla_admap.errors import InputError
from argilla_admap.scoring.cache.keys import KeySpace
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.client.budget import Budget
from argilla_admap.scoring.client.request import TokenHistory, Usage
from argilla_admap.scoring.options import ScoreOptions

__all__ = ["Coordinator", "Hub", "LeasedBudget", "RemoteStore", "WorkerReport"]

#: Seconds after which a worker that says nothing is taken for dead.
_SILENT = 60.0
#: Seconds that the end of a run waits for answers in flight, and for a worker that says nothing.
_CLOSE_WITHIN, _HEARD_WITHIN = 10.0, 3.0
#: A lease is for so many requests at most, and for no more than this part of what is left, over the number of workers.
_LEASED_REQUESTS, _LEASED_PART = 16, 1 / 4


@dataclass(slots=True)
class WorkerReport:
    """What one worker has done so far, in one life of it."""

    #: By endpoint and model.
    usages: dict[str, Usage] = field(default_factory=dict)
    #: Whether the price of all of them is known.
    priced: bool = True
    #: Requests that were answered or given up; and judgements that were known before.
    finished: int = 0
    cached: int = 0
    stopped: str | None = None
    #: Of each judge: its name, and what the file of scores says of it.
    judges: tuple[str, ...] = ()
    facts: list[dict[str, Any]] = field(default_factory=list)


class Hub(Protocol):
    """The coordinator, from a worker."""

    def send(self, name: str, *args: Any) -> Future[Any]:
        """Calls a method; its result is to come."""
        ...

    def call(self, name: str, *args: Any) -> Any:
        """Calls a method and waits for its result."""
        ...

    def result(self, sent: Future[Any]) -> Any:
        """What a call that was sent brought."""
        ...


class Coordinator:
    """Shared by the workers of one run; on one event loop."""

    def __init__(self) -> None:
        self._options = ScoreOptions()
        self._workers = 1
        self._leased = 0.0
        self._reports: dict[str, WorkerReport] = {}
        #: When each life of a worker was heard last, and the place of that worker.
        self._heard: dict[str, float] = {}
        self._places: dict[str, str] = {}
        self._held: dict[int, tuple[str, int]] = {}
        #: Batches in work, and the part of the limits, of each life.
        self._busy: Counter[str] = Counter()
        self._shares: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._notes: list[str] = []
        self._error: BaseException | None = None

    async def open(self, options: ScoreOptions, workers: int) -> None:
        """Opens the store for this run alone.

        Raises:
            InputError: the store cannot be used, or another run on Ray has it open.
        """
        self._options, self._workers = options, workers
        self._store = Store(options.store)
        self._lock = os.open(f"{self._store.path}-ray", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            hint = "wait for its end, or name another `store`"
            raise InputError(f"{self._store.path}: another run on Ray has it open", option="store", hint=hint) from exc
        except OSError:
            # A file system without locks keeps nobody out.
            return

    # The store.

    async def join(self, name: str, place: str) -> tuple[ScoreOptions, float, Path]:
        """A worker begins, or begins again at its place: what to do, its part of what is split, and where the store is."""
        for before in [one for one, other in self._places.items() if other == place]:
            self._gone(before)
            await self.note("a worker was lost and is started anew; what it had in work is given out again")
        self._places[name] = place
        self._heard[name] = time.monotonic()
        return self._options, 1 / self._workers, self._store.path

    async def store(self, name: str, *args: Any) -> Any:
        """What a method of the store returns."""
        return getattr(self._store, name)(*args)

    async def take(self, entries: Sequence[CacheEntry], name: str, report: WorkerReport) -> None:
        """Keeps answers: they are written when this returns."""
        for entry in entries:
            self._store.put(entry)
        self._hear(name, report)
        while not self._store.flush():  # noqa: ASYNC110  # another program has the file
            await asyncio.sleep(0.005)

    # The budget.

    async def lease(self, dollars: float) -> float:
        """US dollars that the worker may spend: as many as it asks for and a few to go on with, or none."""
        most = self._options.max_cost
        if most is None:
            return dollars
        left = most - self._leased
        if dollars > left:
            return 0.0
        given = max(dollars, min(_LEASED_REQUESTS * dollars, _LEASED_PART * left / self._workers))
        self._leased += given
        return given

    async def give_back(self, dollars: float) -> None:
        """A worker has this left of its leases, and needs it no more."""
        self._leased -= dollars

    # The prompts in work.

    async def claim(self, name: str, prompts: Sequence[int]) -> float:
        """Waits until no other worker asks about one of these prompts, and holds them all then.

        Equal questions are of equal prompts: the second worker finds the answers of the first in the store.

        Returns:
            the worker's part of the limits a minute, above 0.
        """
        while any(self._held.get(prompt, (name, 0))[0] != name for prompt in prompts):
            self._changed.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 1.0)
            self._look_for_silent()
        for prompt in prompts:
            self._held[prompt] = (name, self._held.get(prompt, (name, 0))[1] + 1)
        self._busy[name] += 1
        # The others hear of their smaller parts within half a second.
        while (share := self._share(name)) < 0.5 / len(self._busy):  # what is waited for is told to nobody
            await asyncio.sleep(0.05)
            self._look_for_silent()
        return share

    def _look_for_silent(self) -> None:
        now = time.monotonic()
        for silent in [one for one, heard in self._heard.items() if now - heard > _SILENT]:
            self._gone(silent)

    def _share(self, name: str) -> float:
        """The worker's part of the limits from now on: an even one, as far as others have given up theirs."""
        others = sum(share for other, share in self._shares.items() if other != name)
        wanted = 1 / len(self._busy) if name in self._busy else 0.0
        self._shares[name] = max(0.0, min(wanted, 1 - others))
        return self._shares[name]

    async def release(self, name: str, prompts: Sequence[int], dollars: float = 0.0) -> None:
        """The worker has its answers to these prompts, and so much left of its leases."""
        self._leased -= dollars
        for prompt in prompts:
            holder, times = self._held.get(prompt, ("", 0))
            if holder == name:
                if times > 1:
                    self._held[prompt] = (name, times - 1)
                else:
                    del self._held[prompt]
        self._busy[name] -= 1
        if self._busy[name] <= 0:
            self._idle(name)
        self._changed.set()

    def _idle(self, name: str) -> None:
        """The worker asks nothing: its part of the limits is free."""
        self._busy.pop(name, None)
        self._shares.pop(name, None)

    def _gone(self, name: str) -> None:
        """A worker has ended without a word. What was leased to it counts as spent: nobody knows how much of it was."""
        self._heard.pop(name, None)
        self._places.pop(name, None)
        self._idle(name)
        self._held = {prompt: held for prompt, held in self._held.items() if held[0] != name}
        self._changed.set()

    # How it goes.

    async def report(self, name: str, report: WorkerReport) -> float:
        """A worker tells what it has done, and that it is there; it hears its part of the limits, 0 where it asks nothing."""
        self._hear(name, report)
        return self._share(name) if name in self._busy else 0.0

    def _hear(self, name: str, report: WorkerReport) -> None:
        self._reports[name] = report
        if name in self._heard:
            self._heard[name] = time.monotonic()

    async def note(self, words: str) -> None:
        """Something that the person should know; once, whoever finds it out."""
        if words not in self._notes:
            self._notes.append(words)

    async def fail(self, error: BaseException) -> None:
        """Nothing more can be asked, and why."""
        self._error = self._error or error

    async def status(self) -> tuple[dict[str, Any], list[str], BaseException | None]:
        """The counts of all workers, what the person should know, and why the run ends if it does."""
        reports = list(self._reports.values())
        usages = [usage for one in reports for usage in one.usages.values()]
        told = next((one for one in reversed(reports) if one.judges), WorkerReport())
        totals = {
            **{name: sum(getattr(usage, name) for usage in usages) for name in _COUNTED},
            "cost_usd": sum(usage.cost for usage in usages) if all(one.priced for one in reports) else None,
            "finished": sum(one.finished for one in reports),
            "cached": sum(one.cached for one in reports),
            "stopped": next((one.stopped for one in reports if one.stopped), None),
            "judges": told.judges,
            "facts": told.facts,
        }
        return totals, self._notes, self._error

    # The end.

    async def ended(self) -> None:
        """Returns when nothing more is to be asked."""
        await self._ending.wait()

    async def leave(self, name: str, report: WorkerReport) -> None:
        """A worker has written what it had."""
        self._hear(name, report)
        self._gone(name)

    async def end(self, wait: bool) -> None:
        """Closes the store; `wait`: first lets the workers write what is in flight."""
        self._ending.set()
        deadline = time.monotonic() + _CLOSE_WITHIN
        while wait and (now := time.monotonic()) < deadline:  # a worker may end without a word
            if not any(name in self._busy or now - heard < _HEARD_WITHIN for name, heard in self._heard.items()):
                break
            await asyncio.sleep(0.01)
        for name in sorted({name for one in self._reports.values() for name in one.usages}):
            history = TokenHistory(self._store, name)
            for report in self._reports.values():
                if name in report.usages:
                    history.add(report.usages[name])
        self._store.close()
        os.close(self._lock)


_COUNTED = ("requests", "failed", "input_tokens", "output_tokens")


class LeasedBudget(Budget):
    """A budget that is leased from the coordinator as it is needed.

    Args:
        most: of the whole run, for the person; None: no limit.
    """

    def __init__(self, most: float | None, hub: Hub) -> None:
        super().__init__(most)
        self._hub = hub
        self._lease = 0.0

    def reserve(self, dollars: float) -> bool:
        if self.most is None:
            return super().reserve(dollars)
        missing = self.spent + self._reserved + dollars - self._lease
        if missing > 0:
            self._lease += self._hub.call("lease", missing)
        if self.spent + self._reserved + dollars > self._lease:
            return False
        self._reserved += dollars
        return True

    def surplus(self) -> float:
        """Takes out what is neither spent nor in flight, in US dollars: others are to have it."""
        if self.most is None:
            return 0.0
        over = max(0.0, self._lease - self.spent - self._reserved)
        self._lease -= over
        return over


class RemoteStore(Store):
    """The store of the coordinator, from a worker: what is put is written there before it counts.

    Args:
        path: of the store, on the coordinator's machine.
        name: of this life of the worker.

    Attributes:
        report: says how far the worker is, with each answer that it sends.
    """

    def __init__(self, path: Path, hub: Hub, name: str) -> None:
        self.path = path
        self.report: Callable[[], WorkerReport] = WorkerReport
        self._hub, self._name = hub, name
        self._waiting = []
        self._sent: Future[Any] | None = None
        self._in_flight: list[Any] = []
        self._version = 0
        self._has_room = False

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        found: dict[bytes, CacheEntry] = self._hub.call("store", "look_up", list(keys)) if keys else {}
        return found

    def count(self) -> int:
        return int(self._hub.call("store", "count"))

    def version(self) -> int:
        # Others may have written at any time: what is asked is looked up once more.
        self._version += 1
        return self._version

    def hold_room(self) -> None:
        if not self._has_room:
            self._hub.call("store", "hold_room")
            self._has_room = True

    def flush(self) -> bool:
        if self._sent is not None:
            if not self._sent.done():
                return False
            sent, self._sent = self._sent, None
            try:
                self._hub.result(sent)
            except BaseException:
                self._waiting = self._in_flight + self._waiting
                raise
            for _, done in self._in_flight:
                if done is not None:
                    done()
        if not self._waiting:
            return True
        self._in_flight, self._waiting = self._waiting, []
        self._sent = self._hub.send("take", [entry for entry, _ in self._in_flight], self._name, self.report())
        return False

    def checkpoint(self) -> None:
        self._hub.call("store", "checkpoint")

    def key_space(self, name: str) -> KeySpace:
        space: KeySpace = self._hub.call("store", "key_space", name)
        return space

    def remember_said(self, name: str, note: str) -> None:
        self._hub.call("store", "remember_said", name, note)

    def endpoint(self, name: str) -> dict[str, object]:
        facts: dict[str, object] = self._hub.call("store", "endpoint", name)
        return facts

    def remember_endpoint(self, name: str, facts: dict[str, object]) -> None:
        if name.endswith(TokenHistory.SUFFIX):
            # One worker's counts would take the place of another's: the coordinator adds all of them up.
            return
        self._hub.call("store", "remember_endpoint", name, facts)

    def close(self) -> None:
        deadline = time.monotonic() + 5.0
        while not self.flush() and time.monotonic() < deadline:
            time.sleep(0.005)
