"""Record batches in, scored record batches out: in input order, many in work at once, in bounded memory.

The event loop runs in a thread of its own, so that a script, a notebook (where a loop runs already) and the command line call
the same function, and Ctrl-C reaches the caller.
"""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import InputError
from argilla_admap.scoring.cluster_run import ClusterRun
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.output import Progress, RunCounts, Scored, run_summary, scored_batch, scored_schema, write_scored
from argilla_admap.scoring.scorer import Scorer, Work, open_scorers
from argilla_admap.scoring.session import Session
from argilla_admap.scoring.shards import record_slices, shard_of
from argilla_admap.tables import RecordStream, check_writable, row_groups

if TYPE_CHECKING:
    from argilla_admap.scoring.client.transport import Client

__all__ = ["Progress", "Scored", "estimate", "score"]

#: Batches read ahead: enough requests for every slot, and what may pile up behind a slow one.
_AHEAD_COMPLETIONS = 4096
_AHEAD_BYTES = 16 << 20
#: Scored batches that may wait for the caller.
_WAITING_BATCHES = 8
#: Seconds that closing waits for the run's thread: answers in flight are waited for and stored.
_CLOSE_WITHIN = 30.0
#: New objects before Python's collector looks for cycles; its own threshold is 700 (2,000 from 3.13 on).
_COLLECT_AFTER = 50_000


def score(
    preferences: RecordStream,
    options: ScoreOptions | None = None,
    *,
    client: Client | None = None,
    output: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Scored:
    """Scores every completion.

    Args:
        preferences: batches of `PREFERENCE_SCHEMA`.
        options: how to score.
        client: an openai client to ask with; None: made from the options and the environment.
        output: the file to write, whole or absent; None: a temporary one that goes with the result.
        progress: called about twice a second.
        warn: takes a sentence for the person.

    Raises:
        InputError: the options or the store cannot be used; nothing was asked.
        ScoringError: the judge cannot be asked any more; what was answered is in the store.
    """
    asked = options or ScoreOptions()
    run: _ScoringRun | ClusterRun = (
        ClusterRun(preferences, asked, client, progress, warn)
        if asked.engine == "ray"
        else _ScoringRun(preferences, asked, client, progress, warn)
    )
    if output is not None:
        if not Path(output).parent.is_dir():
            hint = "make it, or name another place with `output`"
            raise InputError(f"{output}: there is no folder {Path(output).parent}", hint=hint)
        # A place that cannot be written to is known before the first answer is paid.
        check_writable(output)
    batches = run.batches()
    try:
        # The schema depends on the scorers' names, which the first batch brings.
        first = next(batches, None)
        schema = first.schema if first is not None else scored_schema(())
        path, remove = write_scored(row_groups(batches if first is None else chain([first], batches)), schema, run.info, output)
    finally:
        batches.close()
    return Scored(path, run.summary(str(path) if output is not None else None), remove)


def estimate(preferences: RecordStream, options: ScoreOptions | None = None, *, client: Client | None = None) -> dict[str, Any]:
    """What `score` would ask and cost: the JSON answer of a dry run. Asks nobody and writes nothing.

    Raises:
        InputError: the options or the store cannot be used.
    """
    notes: list[str] = []
    run = _ScoringRun(preferences, options or ScoreOptions(), client, None, notes.append)
    return run.estimate(notes)


class _Stopped(Exception):
    """The caller has closed the iterator."""


class _Ahead(NamedTuple):
    """A batch in work."""

    batch: pa.RecordBatch
    completions: int
    results: asyncio.Future[Any]


class _ScoringRun:
    """One run: the thread with the event loop on one side, the caller on the other, a queue between."""

    def __init__(
        self,
        preferences: RecordStream,
        options: ScoreOptions,
        client: Client | None,
        progress: Callable[[Progress], None] | None,
        warn: Callable[[str], None] | None,
    ) -> None:
        self._preferences = preferences if options.shard is None else shard_of(preferences, options.shard)
        self._options = options
        self._client = client
        self._progress = progress
        self._warn = warn or (lambda _: None)
        self._out: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(maxsize=_WAITING_BATCHES)
        self._stopped = False
        self._total: int | None = None
        #: Completions of the batches that are in work, or through.
        self._begun = 0
        #: What was last shown as done.
        self._shown = 0
        self._started = time.monotonic()
        self._scorers: list[Scorer] = []
        self._session: Session | None = None
        self.count = RunCounts()

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Scored batches in input order. Closing the iterator stops the run and keeps what was answered."""
        if self._options.limit is None:
            self._total = self._preferences.completions
        if self._progress is not None and self._total is None:
            threading.Thread(target=self._count_all, name="admap-count", daemon=True).start()
        thread = threading.Thread(target=self._in_thread, args=(self._work,), name="admap-score", daemon=True)
        thread.start()
        try:
            while (got := self._out.get()) is not None:
                if isinstance(got, BaseException):
                    raise got
                yield got
        finally:
            self._stopped = True
            thread.join(_CLOSE_WITHIN)

    def estimate(self, notes: list[str]) -> dict[str, Any]:
        """The estimate, computed on the loop's thread too; `notes` holds what that thread said."""
        works: list[Work] = []
        thread = threading.Thread(target=self._in_thread, args=(lambda: self._estimate(works),), daemon=True)
        thread.start()
        while (got := self._out.get()) is not None:
            if isinstance(got, BaseException):
                raise got
        costs = [w.cost_usd for w in works]
        cost = None if None in costs else round(sum(c for c in costs if c is not None), 6)
        repeated = sum(w.repeated for w in works)
        if repeated:
            notes.append(f"equal completions of equal prompts are asked once: {repeated:,} need no request of their own")
        asked, apart = (sum(w.share[place] for w in works) for place in (0, 1))
        if apart:
            notes.append(f"one call a record: about {asked / apart:.0%} of the price of one call a completion")
        most = self._options.max_cost
        if most is not None and cost is not None and cost > most:
            notes.append(f"`max_cost` {most:g} is less than that: the run would stop after about {most / cost:.0%} of it")
        return {
            "records": self.count.records,
            "completions": self.count.completions,
            "requests": sum(w.requests for w in works),
            "cached": sum(w.cached for w in works),
            "repeated": repeated,
            "input_tokens": sum(w.input_tokens for w in works),
            "output_tokens": sum(w.output_tokens for w in works),
            "cost_usd": cost,
            "max_cost_usd": most,
            "model": ", ".join(s.name for s in self._scorers),
            "notes": list(dict.fromkeys([*notes, *(note for w in works for note in w.notes)])),
            "facts": [s.facts() for s in self._scorers],
        }

    def _in_thread(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        last: BaseException | None = None
        try:
            with rare_garbage_collection():
                asyncio.run(work())
        except BaseException as exc:
            last = exc
        # The queue may be full, and nobody takes from it any more once the run is stopped.
        while not self._stopped:
            with suppress(queue.Full):
                self._out.put(last, timeout=0.1)
                return

    async def _open(self, *, dry: bool = False) -> None:
        self._session = Session(self._options, self._client, dry=dry, warn=self._warn)
        self._scorers += open_scorers(self._options, self._session)

    async def _work(self) -> None:
        try:
            await self._open()
            for scorer in self._scorers:
                for warning in await scorer.start():
                    self._warn(warning)
            if self._session is not None:
                await self._session.look_at_batches(self._warn)
            ticker = asyncio.create_task(self._tick())
            try:
                known_before = await self._by_batches() if self._options.batch else None
                await self._all_batches()
                for scorer, cached in zip(self._scorers, known_before or (), strict=False):
                    # What this run's own batches brought is in the store by now, and was not there before.
                    scorer.cached = cached
            finally:
                ticker.cancel()
            self._report()
        finally:
            if self._session is not None:
                await self._session.close()

    async def _by_batches(self) -> list[int]:
        """Passes that gather requests for the Batch API, until a pass finds every answer there.

        Returns:
            for each scorer, the judgements that the store held before.
        """
        from argilla_admap.scoring.batch.batches import BatchDispatcher

        waiting, known_before = True, None
        while waiting:
            for batch in record_slices(self._preferences, self._options.limit):
                await self._unless_stopped(asyncio.gather(*(scorer.score(batch) for scorer in self._scorers)))
            known_before = known_before or [scorer.cached for scorer in self._scorers]
            dispatchers = list(self._session.dispatchers.values()) if self._session is not None else []
            settling = [
                dispatcher.submit_and_wait(self._warn) for dispatcher in dispatchers if isinstance(dispatcher, BatchDispatcher)
            ]
            waiting = any(await self._unless_stopped(asyncio.gather(*settling)))
        return known_before or []

    async def _all_batches(self) -> None:
        names = [s.name for s in self._scorers]
        ahead: deque[_Ahead] = deque()
        held = 0

        async def emit() -> None:
            nonlocal held
            batch, _, future = ahead[0]
            results = await self._unless_stopped(future)
            ahead.popleft()
            held -= batch.nbytes
            scored, rows = scored_batch(batch, names, results)
            self.count.add(batch.num_rows, rows)
            while self._out.full():
                if self._stopped:
                    raise _Stopped
                await asyncio.sleep(0.002)
            self._out.put_nowait(scored)

        try:
            for batch in record_slices(self._preferences, self._options.limit):
                while ahead and (ahead[0].results.done() or held + batch.nbytes > _AHEAD_BYTES or self._busy(ahead)):
                    if not ahead[0].results.done() and held + batch.nbytes <= _AHEAD_BYTES:
                        await self._any(ahead)
                        continue
                    await emit()
                self._begun += _completions(batch)
                ahead.append(_Ahead(batch, _completions(batch), asyncio.gather(*(s.score(batch) for s in self._scorers))))
                held += batch.nbytes
                await asyncio.sleep(0)
                if self._stopped:
                    return
            while ahead:
                await emit()
        finally:
            for one in ahead:
                one.results.cancel()
            # Looked at, so that asyncio does not print what the batches behind the first failure failed with.
            await asyncio.gather(*(one.results for one in ahead), return_exceptions=True)

    def _busy(self, ahead: deque[_Ahead]) -> bool:
        """Whether the batches in work keep every slot supplied."""
        most = max(_AHEAD_COMPLETIONS, 3 * (self._options.concurrency or 0))
        return sum(one.completions for one in ahead if not one.results.done()) >= most

    async def _any(self, ahead: deque[_Ahead]) -> None:
        """Waits until one of the batches in work is done, whichever."""
        waiting = asyncio.wait([one.results for one in ahead if not one.results.done()], return_when=asyncio.FIRST_COMPLETED)
        await self._unless_stopped(asyncio.ensure_future(waiting))

    async def _unless_stopped(self, future: asyncio.Future[Any]) -> Any:
        while not future.done():
            await asyncio.wait([future], timeout=0.25)
            if self._stopped:
                raise _Stopped
        return future.result()

    async def _estimate(self, works: list[Work]) -> None:
        try:
            await self._open(dry=True)
            for batch in record_slices(self._preferences, self._options.limit):
                self.count.records += batch.num_rows
                self.count.completions += _completions(batch)
                for scorer in self._scorers:
                    works.append(await scorer.estimate(batch))
        finally:
            if self._session is not None:
                await self._session.close()

    def _count_all(self) -> None:
        try:
            self._total = sum(_completions(batch) for batch in record_slices(self._preferences, self._options.limit))
        except Exception:
            # The run itself reads the same and says what is wrong.
            return

    async def _tick(self) -> None:
        while True:
            self._report()
            # Arrow's allocator keeps what was freed unless it is asked.
            pa.default_memory_pool().release_unused()
            await asyncio.sleep(0.5)

    def _report(self) -> None:
        if self._progress is None:
            return
        done, unscored, totals = self.count.completions, self.count.unscored, self._totals()
        # Of a batch that is in work nothing is counted yet; with a slow judge that is all there is to see for minutes. A
        # completion may take several requests, some of which the answer to the first brings about.
        asked = list(self._session.dispatchers.values()) if self._session else []
        through = sum(dispatcher.finished for dispatcher in asked) + sum(scorer.cached for scorer in self._scorers)
        waiting = sum(dispatcher.unfinished for dispatcher in asked)
        self._shown = done = max(self._shown, done, self._begun * through // max(1, through + waiting))
        seconds = time.monotonic() - self._started
        self._progress(Progress(done, self._total, unscored, totals["requests"], totals["cost_usd"], seconds))

    def _totals(self) -> dict[str, Any]:
        dispatchers = list(self._session.dispatchers.values()) if self._session is not None else []
        priced = all(dispatcher.price is not None for dispatcher in dispatchers)
        return {
            "requests": sum(dispatcher.usage.requests for dispatcher in dispatchers),
            "failed": sum(dispatcher.usage.failed for dispatcher in dispatchers),
            "input_tokens": sum(dispatcher.usage.input_tokens for dispatcher in dispatchers),
            "output_tokens": sum(dispatcher.usage.output_tokens for dispatcher in dispatchers),
            "cost_usd": sum(dispatcher.usage.cost for dispatcher in dispatchers) if priced else None,
            "stopped": next((dispatcher.stop_reason for dispatcher in dispatchers if dispatcher.stop_reason), None),
        }

    def summary(self, output: str | None) -> dict[str, Any]:
        """The JSON answer of ``score``."""
        cached = sum(getattr(s, "cached", 0) for s in self._scorers)
        names, seconds = [s.name for s in self._scorers], time.monotonic() - self._started
        return run_summary(self.count, self._totals(), cached, names, seconds, output)

    def info(self) -> dict[str, Any]:
        """What the file says of its scores."""
        facts = {k: v for k, v in self.summary(None).items() if k not in {"output", "seconds"}}
        return {**self._preferences.info, "score": {**facts, "judges": [s.facts() for s in self._scorers]}}


def _completions(batch: pa.RecordBatch) -> int:
    return int(pc.sum(pc.list_value_length(batch.column("completions"))).as_py() or 0)


_collecting = threading.Lock()
_runs = 0
_threshold = (0, 0, 0)


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Makes Python's collector look for cycles once for tens of thousands of new objects, not for hundreds.

    A thousand requests in flight keep many objects alive. At its usual threshold the collector goes through them, and through
    all that is imported, again and again: measured, 40% of a run's CPU. A process that turned the collector off, or holds it
    back further, is left as it is; the last run to end puts the threshold back.
    """
    global _runs, _threshold
    with _collecting:
        if _runs == 0:
            _threshold = gc.get_threshold()
            if 0 < _threshold[0] < _COLLECT_AFTER:
                gc.set_threshold(_COLLECT_AFTER, *_threshold[1:])
        _runs += 1
    try:
        yield
    finally:
        with _collecting:
            _runs -= 1
            if _runs == 0:
                gc.set_threshold(*_threshold)
