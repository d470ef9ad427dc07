"""The one way to a judge's server: each question is asked once, paid once, and kept.

A question waits in the queue until the limits, the level of concurrency and the budget let it go. It is locked first, so that
no other process asks it too; its slot is free again when its answer is written to the store, so that a killed process has paid
for no more than what was in flight. Everything runs on one event loop, and nothing here waits but the requests themselves.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from argilla_admap.errors import JudgeRefused, ScoringError
from argilla_admap.scoring.cache.keys import KeySpace
from argilla_admap.scoring.cache.locks import KeyLocks
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.client.budget import Budget, Price
from argilla_admap.scoring.client.concurrency import Throttle
from argilla_admap.scoring.client.failures import CircuitBreaker, Failure, RetryAction, classify
from argilla_admap.scoring.client.request import Outcome, Request, TokenRatio, Usage, open_reply
from argilla_admap.scoring.client.transport import ConnectionFailed, TimedOut, Transport, Unreachable

__all__ = ["Dispatcher"]

#: Answers gather so many seconds before they are written together.
_FLUSH_AFTER = 0.004
_CHECKPOINT_ROWS = 20_000
_MOST_TRIES = 5
_MOST_TIMEOUTS = 3
_MOST_UNREADABLE = 3
_MOST_REFUSALS = 60
_LONGEST_PAUSE = 600.0


@dataclass(slots=True)
class _Waiter:
    """The questions of one `ask`."""

    future: asyncio.Future[None]
    answers: list[Outcome | None]
    left: int


@dataclass(slots=True, eq=False)
class _Task:
    """A question, who waits for it, and how often it has failed in which way."""

    question: Request
    waiters: list[tuple[_Waiter, int]] = field(default_factory=list)
    locked: bool = False
    tries: int = 0
    timeouts: int = 0
    unreadable: int = 0
    refusals: int = 0
    #: How often the key had been renewed when the question was sent last.
    renewals: int = 0


class _Reservation(NamedTuple):
    """A question that may go, with what was set aside for it."""

    job: _Task
    #: Input tokens, estimated.
    about: int
    #: Of input and output, against the limit of tokens a minute.
    tokens: int
    #: Against the budget.
    dollars: float


class Dispatcher:
    """Asks one endpoint and model.

    Args:
        transport: carries the requests; closed with this object.
        store: keeps the answers; shared.
        locks: of the same store; shared.
        budget: of the whole run; shared.
        price: of this model; None where unknown.
        throttle: when the next may go.
        timeout: seconds to wait for an answer at the first try.
    """

    def __init__(
        self,
        transport: Transport,
        store: Store,
        locks: KeyLocks,
        budget: Budget,
        price: Price | None,
        throttle: Throttle,
        timeout: float,
        name: str = "",
    ) -> None:
        self.transport = transport
        self.store = store
        self.price = price
        self.budget = budget
        self.usage = Usage()
        self.token_ratio = TokenRatio(store, name)
        #: The endpoint and model, as the store remembers them.
        self.name = name
        #: What goes into the keys of its judgements.
        self.key_space = KeySpace(tuple(name.split(" ")[:1]), None)
        #: Why nothing more is asked, in words; None while asking goes on.
        self.stop_reason: str | None = None
        self._first_version = store.version()
        self._locks = locks
        self._throttle = throttle
        self._timeout = timeout
        self._queue: deque[_Task] = deque()
        self._jobs: dict[bytes, _Task] = {}
        self._elsewhere: list[_Task] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._active = 0
        self._health = CircuitBreaker()
        self._renewals = 0
        self._renewing = asyncio.Lock()
        self._fatal: BaseException | None = None
        self._pump_timer: asyncio.TimerHandle | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._elsewhere_timer: asyncio.TimerHandle | None = None
        self._since_checkpoint = 0
        self._checkpoint: asyncio.Future[None] | None = None
        self._random = random.Random(0)  # noqa: S311  # spreads retries in time; no secret
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def known(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        """Those of the keys that were answered before."""
        known = self.store.recall(keys)
        self._health.resumed |= bool(known)
        return known

    async def ask(self, questions: Sequence[Request]) -> list[Outcome]:
        """The answers, in the questions' order; one that fails carries its error.

        Raises:
            JudgeRefused, ScoringError: nothing can be asked any more.
        """
        if self._fatal is not None:
            raise self._fatal
        if not questions:
            return []
        group = _Waiter(self._loop.create_future(), [None] * len(questions), len(questions))
        for place, question in enumerate(questions):
            job = self._jobs.get(question.keys[0])
            if job is None:
                job = self._jobs[question.keys[0]] = _Task(question)
                self._queue.append(job)
            job.waiters.append((group, place))
        self._pump()
        await group.future
        return [answer for answer in group.answers if answer is not None]

    async def ask_now(self, questions: Sequence[Request]) -> list[Outcome]:
        """As `ask`, for what cannot wait where the rest goes by batches: what an endpoint can do."""
        return await self.ask(questions)

    # From the queue to the server.

    def _pump(self) -> None:
        """Sends what may be sent now; called whenever that may have changed."""
        ready: list[_Reservation] = []
        while self._queue and self._throttle.has_room(self._active + len(ready)) and self._fatal is None and not self._closed:
            if self.stop_reason is not None:
                self._finish(self._queue.popleft(), Outcome([], self.stop_reason))
                continue
            now = self._loop.time()
            delay = max(self._throttle.delay(now), self._health.delay(now))
            if delay > 0:
                if self._pump_timer is None:
                    self._pump_timer = self._loop.call_later(delay, self._pump_later)
                break
            job = self._queue.popleft()
            if not self._lock(job):
                continue
            about, most_in, most_out = job.question.tokens()
            dollars = self.price.cost(most_in, most_out) if self.price is not None else 0.0
            if not self.budget.reserve(dollars):
                self._queue.appendleft(job)
                if self._active or ready:
                    break
                self.stop_reason = f"not asked: the next question could pass --max-cost {self.budget.most:g} (US dollars)"
                continue
            self._throttle.take(now, about + most_out)
            self._health.take(now)
            ready.append(_Reservation(job, about, about + most_out, dollars))
        if ready:
            self._depart(ready)

    def _depart(self, ready: list[_Reservation]) -> None:
        """Sends locked questions, but for those that another process answered before they were locked."""
        # As long as nobody else has written to the store, what was looked up before is all there is.
        keys = (
            [key for ticket in ready for key in ticket.job.question.keys] if self.store.version() != self._first_version else []
        )
        found = self.store.look_up(keys)
        for ticket in ready:
            job = ticket.job
            if had := [found[key] for key in job.question.keys if key in found]:
                # All of its samples, or some: the scorer asks for the rest.
                self.budget.settle(ticket.dollars, 0.0)
                self._throttle.settle(ticket.tokens, 0)
                self._finish(job, Outcome(had))
                # Its slot is free, and nobody else would say so.
                self._loop.call_soon(self._pump)
                continue
            self._active += 1
            task = self._loop.create_task(self._send(ticket))
            self._tasks.add(task)
            task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Whatever it is, nobody else would hear of it, and the run would wait for ever.
            self._stop(error)

    def _pump_later(self) -> None:
        self._pump_timer = None
        self._pump()

    def _lock(self, job: _Task) -> bool:
        """Whether the question is ours to ask; False when another process asks it at this moment."""
        if not job.locked:
            if not self._locks.acquire(job.question.keys[0]):
                self._elsewhere.append(job)
                if self._elsewhere_timer is None:
                    self._elsewhere_timer = self._loop.call_later(0.1, self._look_elsewhere)
                return False
            job.locked = True
        return True

    def _look_elsewhere(self) -> None:
        """Are the questions that other processes ask answered, or given up?"""
        self._elsewhere_timer = None
        jobs, self._elsewhere = self._elsewhere, []
        self._queue.extendleft(reversed(jobs))
        self._pump()

    async def _send(self, ticket: _Reservation) -> None:
        job, about, tokens, dollars = ticket
        job.renewals = self._renewals
        started = self._loop.time()
        try:
            reply = await self.transport.post(
                job.question.path, job.question.body(), self._throttle.patience(self._timeout) * 2**job.timeouts
            )
        except ConnectionFailed as exc:
            # What was sent may have been answered and billed: the budget counts it as spent.
            sent = not isinstance(exc, Unreachable)
            self._settle(ticket, tokens if sent else 0, dollars if sent else 0.0)
            self.usage.failed += 1
            job.timeouts += isinstance(exc, TimedOut)
            cure = RetryAction.GIVE_UP if job.timeouts >= _MOST_TIMEOUTS else RetryAction.RETRY
            await self._cure(job, Failure(cure, f"the connection to the judge failed: {exc}"), unreachable=not sent)
            return
        now = self._loop.time()
        if reply.status != 200:
            self._settle(ticket, 0, 0.0)
            self.usage.failed += 1
            self._throttle.failed(reply.headers)
            fault = classify(reply.status, reply.headers, reply.body, known=self._health.answered_once)
            if fault.action in (RetryAction.GIVE_UP, RetryAction.NEGOTIATE, RetryAction.SLOW_DOWN):
                self._health.reached()
            await self._cure(job, fault)
            return
        receipt = open_reply(job.question, reply.body, about, dollars, self.price, self.usage)
        if not receipt.garbled:
            self._throttle.answered(now, now - started, reply.headers)
            self._health.reached()
        if receipt.fault is None:
            self._health.answered(now)
            self._settle(ticket, receipt.tokens, receipt.spent, done=False)
            self._keep(job, receipt.known)
            return
        self._settle(ticket, receipt.tokens, receipt.spent)
        job.unreadable += not (receipt.garbled and self._health.down)
        last = job.unreadable >= _MOST_UNREADABLE
        await self._cure(job, receipt.fault._replace(action=RetryAction.GIVE_UP) if last else receipt.fault)

    def _settle(self, ticket: _Reservation, tokens: int, spent: float, *, done: bool = True) -> None:
        """Replaces what was set aside by what was used; `done`: and its slot is free."""
        self.budget.settle(ticket.dollars, spent)
        self._throttle.settle(ticket.tokens, tokens)
        self._active -= done

    # From the server to the store.

    def _keep(self, job: _Task, known: list[CacheEntry]) -> None:
        def written() -> None:
            self._active -= 1
            self._finish(job, Outcome(known))

        for one in known[:-1]:
            self.store.put(one)
        self.store.put(known[-1], written)
        self._since_checkpoint += len(known)
        if self._flush_timer is None:
            self._flush_timer = self._loop.call_later(_FLUSH_AFTER, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        try:
            written = self.store.flush()
        except Exception as exc:
            # In a timer: nobody else would hear of it, and the run would wait for ever.
            self._stop(exc)
            return
        if not written:
            self._flush_timer = self._loop.call_later(2 * _FLUSH_AFTER, self._flush)
            return
        if self._since_checkpoint > _CHECKPOINT_ROWS and (self._checkpoint is None or self._checkpoint.done()):
            self._since_checkpoint = 0
            self._checkpoint = self._loop.run_in_executor(None, self.store.checkpoint)
        self._pump()

    # What went wrong.

    async def _cure(self, job: _Task, fault: Failure, *, unreachable: bool = False) -> None:
        cure = fault.action
        if cure is RetryAction.RENEW_KEY:
            async with self._renewing:
                # Of many that fail with one key only the first asks for another.
                if job.renewals == self._renewals:
                    if not await self.transport.renew():
                        words = "The key was not accepted: set OPENAI_API_KEY to a valid one."
                        self._stop(JudgeRefused(f"{fault.reason}\n{words}"))
                        return
                    self._renewals += 1
            self._queue.appendleft(job)
        elif cure is RetryAction.STOP:
            self._stop(JudgeRefused(fault.reason))
        elif cure is RetryAction.NEGOTIATE and job.question.negotiate(fault.reason):
            self._queue.appendleft(job)
        elif cure is RetryAction.SLOW_DOWN:
            self._slow_down(job, fault)
        elif cure is RetryAction.RETRY and self._waits_for_server(job, fault):
            self._queue.append(job)
        elif cure is RetryAction.RETRY and job.tries + 1 < _MOST_TRIES:
            job.tries += 1
            wait = fault.wait if fault.wait is not None else 0.25 * 2**job.tries * (0.5 + self._random.random())
            self._loop.call_later(min(wait, 60.0), self._again, job)
        else:
            tried = f" (tried {job.tries + 1} times)" if cure is RetryAction.RETRY else ""
            at_fault = cure is RetryAction.NEGOTIATE or cure is RetryAction.RETRY or job.timeouts > 0
            self._give_up(job, fault.reason + tried, at_fault=at_fault, unreachable=unreachable)
        self._pump()

    def _waits_for_server(self, job: _Task, fault: Failure) -> bool:
        """Whether it is the server that is down: its questions wait then, and none of them is given up for that."""
        now = self._loop.time()
        self._health.failed(now, new=job.tries == 0, wait=fault.wait or 0.0)
        if self._health.silent(now):
            self._silent(fault.reason)
        return self._health.down

    def _silent(self, reason: str) -> None:
        kept = "; what it answered is kept, run the same again to go on" if self._health.answered_once else ""
        self._stop(ScoringError(f"{self.name}: the judge does not answer{kept}. The last failure: {reason}"))

    def _slow_down(self, job: _Task, fault: Failure) -> None:
        if fault.wait is not None and fault.wait > _LONGEST_PAUSE:
            self._stop(JudgeRefused(f"{fault.reason}\nThe server asks to wait {fault.wait:.0f} s: run the same again later."))
            return
        job.refusals += 1
        at_once = self._throttle.refused(self._loop.time(), fault.wait)
        if job.refusals >= _MOST_REFUSALS:
            self._give_up(job, f"{fault.reason} ({job.refusals} times)", at_fault=True, unreachable=False)
        elif at_once:
            self._queue.appendleft(job)
        else:
            self._loop.call_later(fault.wait if fault.wait is not None else 1.0, self._again, job)

    def _again(self, job: _Task) -> None:
        self._queue.appendleft(job)
        self._pump()

    def _give_up(self, job: _Task, reason: str, *, at_fault: bool, unreachable: bool) -> None:
        """Leaves a question unanswered; stops where it is the server that does not answer, not the question that fails."""
        if at_fault and self._health.gone(self._loop.time(), unreachable=unreachable, more=bool(self._queue)):
            self._silent(reason)
        else:
            self._finish(job, Outcome([], reason))

    def _finish(self, job: _Task, answer: Outcome) -> None:
        self._jobs.pop(job.question.keys[0], None)
        if job.locked:
            self._locks.release(job.question.keys[0])
        for group, place in job.waiters:
            group.answers[place] = answer
            group.left -= 1
            if group.left == 0 and not group.future.done():
                group.future.set_result(None)

    def _stop(self, error: BaseException) -> None:
        """Ends all: no further question is sent, and all that wait are told."""
        if self._fatal is not None:
            return
        self._fatal = error
        self._queue.clear()
        for job in list(self._jobs.values()):
            for group, _ in job.waiters:
                if not group.future.done():
                    group.future.set_exception(error)

    async def close(self, patience: float = 5.0) -> None:
        """Sends nothing more, waits a little for what is in flight (it is paid for), writes it, and closes the connections."""
        self._closed = True
        for timer in (self._pump_timer, self._elsewhere_timer):
            if timer is not None:
                timer.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=patience)
            for task in list(self._tasks):
                task.cancel()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        try:
            for _ in range(500):
                if self.store.flush():
                    break
                await asyncio.sleep(0.01)
            self.token_ratio.add(self.usage)
            if self._checkpoint is not None:
                with suppress(asyncio.CancelledError):
                    await self._checkpoint
        finally:
            await self.transport.close()
