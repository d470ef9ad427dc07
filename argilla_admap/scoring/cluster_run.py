"""A run on Ray: batches of records go to workers, each with an engine of its own, and come back scored in the input's order."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from argilla_admap.distributed import Remote, connect_cluster, default_workers, in_pool, worker_place
from argilla_admap.errors import AdmapError, InputError
from argilla_admap.scoring.batch.ledger import waiting_in_batches
from argilla_admap.scoring.cache.store import default_path
from argilla_admap.scoring.coordinator import Coordinator, LeasedBudget, RemoteStore, WorkerReport
from argilla_admap.scoring.output import Progress, RunCounts, completions_of, run_summary, scored_batch
from argilla_admap.scoring.scorer import Scorer, open_scorers
from argilla_admap.scoring.session import Session
from argilla_admap.scoring.shards import record_slices, shard_of, text_hashes
from argilla_admap.tables import RecordStream

if TYPE_CHECKING:
    from argilla_admap.scoring.client.transport import Client
    from argilla_admap.scoring.options import ScoreOptions

__all__ = ["ClusterRun", "ScoringWorker"]

#: Batches that a worker has in work at once: enough for every slot of its own engine.
_CALLS = 12
#: Seconds between what a worker tells.
_TELL_EVERY = 0.5


class ScoringWorker:
    """Scores batches in a process of its own: one engine, on an event loop in a thread, for all that is asked here.

    Args:
        actor: the coordinator's handle.
    """

    def __init__(self, actor: Any) -> None:
        self._hub = Remote(actor)
        #: Of this life of the process: what died with an earlier one is told from what this one does.
        self._name = uuid.uuid4().hex
        self._scorers: list[Scorer] = []
        self._session: Session | None = None
        self._budget = LeasedBudget(None, self._hub)
        self._opened: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Future[None]] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="admap-worker", daemon=True).start()

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A scored batch for a batch."""
        return asyncio.run_coroutine_threadsafe(self._score(batch), self._loop).result()

    async def _ask(self, name: str, *args: Any) -> Any:
        return self._hub.result(await _ended(self._hub.send(name, *args)))

    async def _score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        try:
            if self._opened is None:
                self._opened = asyncio.ensure_future(self._open())
            await asyncio.shield(self._opened)
            prompts = sorted({*text_hashes(batch.column("prompt")).tolist()})
            self._use_share(await self._ask("claim", self._name, prompts))
            try:
                results = await asyncio.gather(*(scorer.score(batch) for scorer in self._scorers))
            finally:
                self._use_share(await self._ask("report", self._name, self._report()))
                await self._ask("release", self._name, prompts, self._budget.surplus())
        except Exception as exc:
            await self._ask("fail", exc)
            raise
        return scored_batch(batch, [scorer.name for scorer in self._scorers], results)[0]

    async def _open(self) -> None:
        options, share, path = await self._ask("join", self._name, worker_place())
        store = RemoteStore(path, self._hub, self._name)
        store.report = self._report
        self._budget = LeasedBudget(options.max_cost, self._hub)
        concurrency = options.concurrency and max(1, round(options.concurrency * share))
        # What waits in batches was looked for before the first worker began.
        own = replace(options, engine="local", concurrency=concurrency, ask_waiting=True)
        self._session = Session(own, warn=self._note, store=store, budget=self._budget, share=share)
        self._scorers = open_scorers(own, self._session)
        for scorer in self._scorers:
            for warning in await scorer.start():
                self._note(warning)
        self._tasks = [asyncio.ensure_future(self._tell()), asyncio.ensure_future(self._close_at_the_end())]

    def _note(self, words: str) -> None:
        self._hub.send("note", words)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY)
            self._use_share(await self._ask("report", self._name, self._report()))
            if surplus := self._budget.surplus():
                await self._ask("give_back", surplus)

    def _use_share(self, share: float) -> None:
        if share and self._session is not None:
            self._session.use_share(share)

    async def _close_at_the_end(self) -> None:
        await self._ask("ended")
        self._tasks[0].cancel()
        if self._session is not None:
            await self._session.close()
        await self._ask("leave", self._name, self._report())

    def _report(self) -> WorkerReport:
        if self._session is None:
            return WorkerReport()
        dispatchers = list(self._session.dispatchers.values())
        return WorkerReport(
            usages={one.name: one.usage for one in dispatchers},
            priced=all(one.price is not None for one in dispatchers),
            finished=sum(one.finished for one in dispatchers),
            cached=sum(scorer.cached for scorer in self._scorers),
            stopped=next((one.stop_reason for one in dispatchers if one.stop_reason), None),
            judges=tuple(scorer.name for scorer in self._scorers),
            facts=[scorer.facts() for scorer in self._scorers],
        )


async def _ended(sent: Any) -> Any:
    """The future, when it has a result or an error."""
    with suppress(Exception):
        await asyncio.wrap_future(sent)
    return sent


class ClusterRun:
    """One run on a cluster: what `run.score` asks of a run.

    Args:
        preferences, options, client, progress, warn: as for `run.score`.
    Raises:
        InputError: what goes with one machine alone.
    """

    def __init__(
        self,
        preferences: RecordStream,
        options: ScoreOptions,
        client: Client | None,
        progress: Callable[[Progress], None] | None,
        warn: Callable[[str], None] | None,
    ) -> None:
        if client is not None:
            hint = "name the server with `base_url`, and set OPENAI_API_KEY on each machine of the cluster"
            raise InputError("a client of one's own stays in its process", option="client", hint=hint)
        waiting, _ = waiting_in_batches(options.store or default_path())
        if waiting and not options.ask_waiting:
            words = f"{waiting:,} judgements of the store wait in batches, and workers do not look there"
            raise InputError(words, option="engine", hint="run once more with `batch` to take them in, or give `ask_waiting`")
        self._preferences = preferences if options.shard is None else shard_of(preferences, options.shard)
        self._options, self._progress, self._warn = options, progress, warn or (lambda _: None)
        self._started = time.monotonic()
        self._totals: dict[str, Any] = {}
        self._said: set[str] = set()
        self._error: BaseException | None = None
        self.count = RunCounts()

    def batches(self) -> Generator[pa.RecordBatch, None, None]:
        """Scored batches in the order of the input. Closing the iterator stops the run and keeps what was answered."""
        connect_cluster()
        workers = self._options.workers or default_workers()
        # Not more workers than requests may be in flight.
        workers = min(workers, self._options.concurrency or workers)
        hub, whole = Remote.start(Coordinator), False
        try:
            hub.call("open", self._options, workers)
        except BaseException:
            hub.kill()
            raise
        given = record_slices(self._preferences, self._options.limit)
        results = in_pool(ScoringWorker, hub, given, workers, _CALLS)
        try:
            with self._watched(hub):
                for batch in results:
                    self.count.add(batch.num_rows, completions_of(batch))
                    yield batch
            whole = True
        except Exception:
            self._look(hub)
            if self._error is not None:
                raise self._error from None
            raise
        finally:
            hub.call("end", not whole)
            results.close()
            self._look(hub)
            hub.kill()

    @contextmanager
    def _watched(self, hub: Remote) -> Iterator[None]:
        """Tells the person how far it is, twice a second."""
        done = threading.Event()

        def look() -> None:
            # Where the cluster is gone the run itself says so.
            with suppress(AdmapError):
                while not done.wait(_TELL_EVERY):
                    self._look(hub)

        thread = threading.Thread(target=look, name="admap-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _look(self, hub: Remote) -> None:
        self._totals, notes, self._error = hub.call("status")
        for words in notes:
            if words not in self._said:
                self._said.add(words)
                self._warn(words)
        if self._progress is not None:
            each = max(1, len(self._totals["judges"])) * (self._options.samples or 1)
            asked = (self._totals["finished"] + self._totals["cached"]) // each
            total = self._preferences.completions if self._options.limit is None else None
            done = max(self.count.completions, asked if total is None else min(asked, total))
            seconds = time.monotonic() - self._started
            told = self._totals
            self._progress(Progress(done, total, self.count.unscored, told["requests"], told["cost_usd"], seconds))

    def summary(self, output: str | None) -> dict[str, Any]:
        """The JSON answer of ``score``."""
        totals = self._totals
        seconds = time.monotonic() - self._started
        return run_summary(self.count, totals, totals["cached"], totals["judges"], seconds, output)

    def info(self) -> dict[str, Any]:
        """What the file says of its scores."""
        facts = {name: value for name, value in self.summary(None).items() if name not in {"output", "seconds"}}
        return {**self._preferences.info, "score": {**facts, "judges": self._totals["facts"]}}
