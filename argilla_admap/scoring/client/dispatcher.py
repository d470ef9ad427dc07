"""The one way to a judge's server: each request is sent once, paid once, and its answer kept.

A request waits in the queue until the rate limits, the concurrency limiter and the budget let it go. Its key is locked first,
so that no other process sends it too; its slot is free again when its answer is written to the store, so that a killed process
has paid for no more than what was in flight. Everything runs on one event loop, and nothing here waits but the requests
themselves.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from argilla_admap.errors import JudgeRefused, ScoringError
from argilla_admap.scoring.cache.keys import KeySpace
from argilla_admap.scoring.cache.locks import KeyLocks
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.client.budget import Budget, Price
from argilla_admap.scoring.client.concurrency import Throttle
from argilla_admap.scoring.client.failures import PAGE_HINT, CircuitBreaker, Failure, RetryAction, classify
from argilla_admap.scoring.client.request import (
    Outcome,
    ReplyKind,
    Request,
    Response,
    TokenHistory,
    Usage,
    longest_reply,
    open_reply,
)
from argilla_admap.scoring.client.transport import ConnectionFailed, TimedOut, Transport, Unreachable

__all__ = ["Dispatcher", "RetryPolicy"]

#: Answers gather so many seconds before they are written together.
_FLUSH_AFTER = 0.004
_CHECKPOINT_ROWS = 20_000
#: Seconds between looks at requests that other processes have locked.
_LOCKED_FOR = 0.1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is tried before it is given up, and the pauses between."""

    #: While the server fails.
    tries: int = 5
    timeouts: int = 3
    #: Answers with nothing to keep, each of them paid.
    unreadable: int = 3
    #: While the server says that it is asked too fast.
    rate_limited: int = 60
    #: Seconds before the second try; twice as long before each one after it, with jitter.
    pause: float = 0.5
    longest_pause: float = 60.0
    #: A server that asks to wait longer ends the run.
    longest_wait: float = 600.0
    #: Seconds of refusals as too fast, without an answer between, until the person is told.
    told_after: float = 15.0
    #: Until the first answer that holds something: requests in flight, and one alone where a budget is to be kept.
    trial: int = 4
    #: The run ends after so many paid answers that hold nothing, and before so many US dollars are paid for them, where none
    #: held anything yet; and after so many in a row later on.
    #: A dozen questions, each tried three times: of a judge that grades one answer in two, one run in 4,000 would be stopped.
    worthless: int = 36
    worthless_cost: float = 1.0
    #: The person is told after so many of them.
    worthless_told: int = 6
    worthless_later: int = 200
    #: The run ends after so many requests that the server refused, each for what it asks, before any was answered.
    refused: int = 100


@dataclass(slots=True)
class _Waiter:
    """The requests of one `ask`."""

    future: asyncio.Future[None]
    outcomes: list[Outcome | None]
    left: int


@dataclass(slots=True, eq=False)
class _Task:
    """A request, who waits for it, and how often it has failed in which way."""

    request: Request
    waiters: list[tuple[_Waiter, int]] = field(default_factory=list)
    locked: bool = False
    tries: int = 0
    timeouts: int = 0
    unreadable: int = 0
    rate_limited: int = 0
    #: How often the key had been renewed when it was sent last.
    renewals: int = 0


class _Reservation(NamedTuple):
    """A task that may go, with what was set aside for it."""

    task: _Task
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
        name: the endpoint and model, as the store remembers them.
    """

    retries = RetryPolicy()
    #: Whether `ask` gathers questions, of which nothing is known until all are sent.
    asks_later = False

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
        #: Of the judgements that the scorer asks for; and of what is sent one by one.
        self.price = self._price = price
        self.budget = budget
        #: Takes a sentence for the person.
        self.say: Callable[[str], None] = lambda _: None
        self.usage = Usage()
        #: Requests that were answered or given up.
        self.finished = 0
        self.token_history = TokenHistory(store, name)
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
        self._tasks: dict[bytes, _Task] = {}
        self._locked_elsewhere: list[_Task] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._breaker = CircuitBreaker()
        #: Paid answers since the last that held something, what they cost, and what was wrong with them.
        self._worthless = 0
        self._worthless_cost = self._worthless_dearest = 0.0
        self._worthless_words: list[str] = []
        self._refused = 0
        #: Since when every request is refused as too fast; and whether the person knows.
        self._held_since: float | None = None
        self._held_told = False
        #: Whether the last failure was that no answer came in time; and whether the person knows that nothing can be used.
        self._slow = self._worthless_told = False
        #: Whether the last failure was an answer of the server, and not of the connection.
        self._reached = False
        self._renewals = 0
        self._renewing = asyncio.Lock()
        self._fatal: BaseException | None = None
        self._pump_timer: asyncio.TimerHandle | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._locked_timer: asyncio.TimerHandle | None = None
        self._since_checkpoint = 0
        self._checkpoint: asyncio.Future[None] | None = None
        self._random = random.Random(0)  # noqa: S311  # spreads retries in time; no secret
        self._loop = asyncio.get_running_loop()
        self._closed = False

    @property
    def unfinished(self) -> int:
        """Requests that wait to be sent, or for their answer."""
        return len(self._tasks)

    def cached(self, keys: Sequence[bytes]) -> dict[bytes, CacheEntry]:
        """Those of the keys that were answered before."""
        entries = self.store.look_up(keys)
        self._breaker.resumed |= bool(entries)
        return entries

    async def ask(self, requests: Sequence[Request]) -> list[Outcome]:
        """The outcomes, in the requests' order; one that fails carries its error.

        Raises:
            JudgeRefused, ScoringError: nothing can be asked any more.
        """
        if self._fatal is not None:
            raise self._fatal
        if not requests:
            return []
        waiter = _Waiter(self._loop.create_future(), [None] * len(requests), len(requests))
        for place, request in enumerate(requests):
            task = self._tasks.get(request.keys[0])
            if task is None:
                task = self._tasks[request.keys[0]] = _Task(request)
                self._queue.append(task)
            task.waiters.append((waiter, place))
        self._pump()
        await waiter.future
        return [outcome for outcome in waiter.outcomes if outcome is not None]

    async def ask_now(self, requests: Sequence[Request]) -> list[Outcome]:
        """As `ask`, for what cannot wait where the rest goes by batches: what an endpoint can do."""
        return await self.ask(requests)

    def use_share(self, share: float) -> None:
        """Another part of the limits a minute is this process's own, of several."""
        self._throttle.limits.use_share(self._loop.time(), share)
        self._pump()

    # From the queue to the server.

    def _pump(self) -> None:
        """Sends what may be sent now; called whenever that may have changed."""
        ready: list[_Reservation] = []
        limits, concurrency = self._throttle.limits, self._throttle.concurrency
        while self._queue and self._fatal is None and not self._closed:
            in_flight = self._in_flight + len(ready)
            if not concurrency.has_room(in_flight) or (in_flight >= self._trial_room()):
                break
            if self.stop_reason is not None:
                self._finish(self._queue.popleft(), Outcome([], self.stop_reason))
                continue
            now = self._loop.time()
            delay = max(limits.delay(now), self._breaker.delay(now))
            if delay > 0:
                if self._pump_timer is None:
                    self._pump_timer = self._loop.call_later(delay, self._pump_later)
                break
            task = self._queue.popleft()
            if not self._lock(task):
                continue
            about, most_in, most_out = task.request.tokens()
            most_out = max(most_out, self._billed_output(task.request))
            dollars = self._price.cost(most_in, most_out) if self._price is not None else 0.0
            if not self.budget.reserve(dollars):
                self._queue.appendleft(task)
                if self._in_flight or ready:
                    break
                self.stop_reason = self.budget.words()
                continue
            limits.take(now, about + most_out)
            self._breaker.take(now)
            ready.append(_Reservation(task, about, about + most_out, dollars))
        if ready:
            self._depart(ready)

    def _trial_room(self) -> float:
        """How many may be in flight as long as nothing is known of the answers."""
        if self._breaker.answered_once:
            return float("inf")
        room = 1 if self.budget.most is not None else self.retries.trial
        if self._worthless_dearest:
            room = min(room, int((self.retries.worthless_cost - self._worthless_cost) / self._worthless_dearest))
        return max(1, room)

    def _billed_output(self, request: Request) -> int:
        """The most output tokens that such a request was billed: thoughts may go beyond the limit that was asked for."""
        form = getattr(request, "form", "")
        most = self.usage.outputs.get(form, (0, 0, 0))[2] or 2 * (self.token_history.output(form) or 0)
        return round(most * len(request.keys))

    def _depart(self, ready: list[_Reservation]) -> None:
        """Sends locked tasks, but for those that another process answered before they were locked."""
        try:
            self.store.hold_room()
        except ScoringError as exc:
            self._stop(exc)
            return
        # As long as nobody else has written to the store, what was looked up before is all there is.
        changed = self.store.version() != self._first_version
        found = self.store.look_up([key for one in ready for key in one.task.request.keys]) if changed else {}
        for reservation in ready:
            task = reservation.task
            if entries := [found[key] for key in task.request.keys if key in found]:
                # All of its samples, or some: the scorer asks for the rest.
                self.budget.settle(reservation.dollars, 0.0)
                self._throttle.limits.settle(reservation.tokens, 0)
                self._finish(task, Outcome(entries))
                # Its slot is free, and nobody else would say so.
                self._loop.call_soon(self._pump)
                continue
            self._in_flight += 1
            sending = self._loop.create_task(self._send(reservation))
            self._sending.add(sending)
            sending.add_done_callback(self._sent)

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._sending.discard(sending)
        if not sending.cancelled() and (error := sending.exception()) is not None:
            # Whatever it is, nobody else would hear of it, and the run would wait for ever.
            self._stop(error)

    def _pump_later(self) -> None:
        self._pump_timer = None
        self._pump()

    def _lock(self, task: _Task) -> bool:
        """Whether the request is ours to send; False while another process sends it."""
        task.locked = task.locked or self._locks.acquire(task.request.keys[0])
        if not task.locked:
            self._locked_elsewhere.append(task)
            if self._locked_timer is None:
                self._locked_timer = self._loop.call_later(_LOCKED_FOR, self._look_elsewhere)
        return task.locked

    def _look_elsewhere(self) -> None:
        """Are the requests that other processes send answered, or given up?"""
        self._locked_timer = None
        tasks, self._locked_elsewhere = self._locked_elsewhere, []
        self._queue.extendleft(reversed(tasks))
        self._pump()

    async def _send(self, reservation: _Reservation) -> None:
        task, about, tokens, dollars = reservation
        task.renewals = self._renewals
        started = self._loop.time()
        patience = self._throttle.concurrency.patience(self._timeout) * 2**task.timeouts
        try:
            longest = partial(longest_reply, task.request)
            reply = await self.transport.post(task.request.path, task.request.body(), patience, longest)
        except ConnectionFailed as exc:
            self._reached = False
            # What was sent may have been answered and billed: the budget counts it as spent.
            sent = not isinstance(exc, Unreachable)
            self._settle(reservation, tokens if sent else 0, dollars if sent else 0.0)
            self.usage.failed += 1
            task.timeouts += isinstance(exc, TimedOut)
            self._slow = isinstance(exc, TimedOut)
            action = RetryAction.GIVE_UP if task.timeouts >= self.retries.timeouts else RetryAction.RETRY
            await self._handle(task, Failure(action, f"the connection to the judge failed: {exc}"), unreachable=not sent)
            return
        now = self._loop.time()
        if reply.status != 200:
            self._settle(reservation, 0, 0.0)
            self.usage.failed += 1
            self._throttle.limits.learn(reply.headers)
            failure = classify(reply.status, reply.headers, reply.body, known=self._breaker.answered_once)
            await self._failed(task, failure)
            return
        known = self._breaker.answered_once
        response = open_reply(task.request, reply.body, about, dollars, self._price, self.usage, known=known)
        if response.kind in (ReplyKind.ANSWER, ReplyKind.UNREADABLE):
            self._throttle.answered(now, now - started, reply.headers)
            self._breaker.reached()
        if response.failure is None:
            self._breaker.answered(now)
            self._worthless, self._worthless_cost = 0, 0.0
            self._held_since = None
            self._settle(reservation, response.tokens, response.spent, done=False)
            self._keep(task, response.entries)
            return
        self._settle(reservation, response.tokens, response.spent)
        if response.kind is ReplyKind.ERROR:
            await self._failed(task, response.failure)
        else:
            await self._unread(task, response, response.failure)

    async def _failed(self, task: _Task, failure: Failure) -> None:
        """The server answered with an error."""
        self._reached = True
        if failure.action in (RetryAction.GIVE_UP, RetryAction.NEGOTIATE, RetryAction.SLOW_DOWN):
            self._breaker.reached()
        await self._handle(task, failure)

    async def _unread(self, task: _Task, response: Response, failure: Failure) -> None:
        """The server answered, and the answer holds nothing to keep."""
        outdated = response.kind is ReplyKind.UNREADABLE and getattr(task.request, "outdated", False)
        if response.kind is not ReplyKind.PAGE:
            self._worthless += not outdated
            self._worthless_cost += response.spent
            self._worthless_dearest = max(self._worthless_dearest, response.spent)
            self._worthless_words = [*self._worthless_words, failure.reason][-2:]
        if self._worthless == self.retries.worthless_told and not (self._breaker.answered_once or self._worthless_told):
            self._worthless_told = True
            self.say(f"the first {self._worthless} answers of {self.name} hold nothing that can be used: {failure.reason}")
        if self._is_worthless():
            self._stop(self._no_answers(understood=response.kind is ReplyKind.UNREADABLE))
            return
        if outdated:
            # The next try is put differently: this one says nothing of it.
            self._again(task)
            return
        waits = self._breaker.open and response.kind is not ReplyKind.UNREADABLE
        task.unreadable += not waits
        last = task.unreadable >= self.retries.unreadable
        page = response.kind is ReplyKind.PAGE
        await self._handle(task, failure._replace(action=RetryAction.GIVE_UP) if last else failure, page=page and last)

    def _is_worthless(self) -> bool:
        """Whether enough was paid for answers that hold nothing."""
        # Where all were asked already nothing is gained by stopping.
        more = any(not one.unreadable for one in self._queue)
        if self._breaker.answered_once or self._breaker.resumed:
            return more and self._worthless >= self.retries.worthless_later
        cost = self._worthless_cost + self._worthless_dearest
        return cost > self.retries.worthless_cost or (more and self._worthless >= self.retries.worthless)

    def _no_answers(self, *, understood: bool) -> JudgeRefused:
        said = "; ".join(dict.fromkeys(self._worthless_words))
        cost = f", paid with ${self._worthless_cost:.2f}" if self._worthless_cost else ""
        hint = (
            "try another judge with `model`, another way to ask with `method`, or more room for its thoughts with "
            "`max_answer_tokens`"
        )
        words = f"{self.name}: of its last {self._worthless:,} answers none can be used{cost}. The last: {said}"
        return JudgeRefused(words, hint=hint if understood else PAGE_HINT)

    def _settle(self, reservation: _Reservation, tokens: int, spent: float, *, done: bool = True) -> None:
        """Replaces what was set aside by what was used; `done`: and its slot is free."""
        self.budget.settle(reservation.dollars, spent)
        self._throttle.limits.settle(reservation.tokens, tokens)
        self._in_flight -= done

    # From the server to the store.

    def _keep(self, task: _Task, entries: list[CacheEntry]) -> None:
        def written() -> None:
            self._in_flight -= 1
            self._finish(task, Outcome(entries))

        for entry in entries[:-1]:
            self.store.put(entry)
        self.store.put(entries[-1], written)
        self._since_checkpoint += len(entries)
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

    async def _handle(self, task: _Task, failure: Failure, *, unreachable: bool = False, page: bool = False) -> None:
        """Retries a request that failed, gives it up, or stops the run."""
        action, retries = failure.action, self.retries
        if action is RetryAction.RENEW_KEY:
            await self._renew(task, failure)
        elif action is RetryAction.STOP:
            self._stop(JudgeRefused(failure.reason, hint=failure.hint))
        elif action is RetryAction.NEGOTIATE and task.request.negotiate(failure.reason):
            self._queue.appendleft(task)
        elif action is RetryAction.SLOW_DOWN:
            self._slow_down(task, failure)
        elif action is RetryAction.RETRY and self._waits_for_server(task, failure):
            self._queue.append(task)
        elif action is RetryAction.RETRY and task.tries + 1 < retries.tries:
            task.tries += 1
            wait = (
                retries.pause * 2 ** (task.tries - 1) * (0.5 + self._random.random()) if failure.wait is None else failure.wait
            )
            self._loop.call_later(min(wait, retries.longest_pause), self._again, task)
        else:
            tried = f" (tried {task.tries + 1} times)" if action is RetryAction.RETRY and task.tries else ""
            if action is RetryAction.NEGOTIATE:
                self._refused += not self._breaker.answered_once
                if self._refused >= self.retries.refused and self._queue:
                    self._stop(
                        JudgeRefused(f"{self.name}: the judge refuses every question. The last refusal: {failure.reason}")
                    )
                    return
            at_fault = action is RetryAction.RETRY or task.timeouts > 0 or page
            self._give_up(task, failure.reason + tried, at_fault=at_fault, unreachable=unreachable, page=page)
        self._pump()

    async def _renew(self, task: _Task, failure: Failure) -> None:
        """Asks the client for another key; of many requests that fail with one key only the first does."""
        async with self._renewing:
            if task.renewals == self._renewals:
                if not await self.transport.renew():
                    hint = "the key was not accepted: set OPENAI_API_KEY to a valid one"
                    self._stop(JudgeRefused(failure.reason, hint=hint))
                    return
                self._renewals += 1
        self._queue.appendleft(task)

    def _waits_for_server(self, task: _Task, failure: Failure) -> bool:
        """Whether it is the server that is down: its requests wait then, and none of them is given up for that."""
        now = self._loop.time()
        self._breaker.failed(now, new=task.tries == 0, wait=failure.wait or 0.0)
        if self._breaker.expired(now):
            self._stop_silent(failure.reason)
        return self._breaker.open

    def _stop_silent(self, reason: str, *, page: bool = False) -> None:
        if page and not self._breaker.answered_once:
            self._stop(JudgeRefused(f"{self.name}: {reason}", hint=PAGE_HINT))
            return
        kept = "; what it answered is kept, run the same again to go on" if self._breaker.answered_once else ""
        what = "the judge's server answers with errors only" if self._reached else "the judge does not answer"
        hint = (
            "give it more seconds for an answer with `timeout`, and ask fewer at once with `concurrency`" if self._slow else ""
        )
        self._stop(ScoringError(f"{self.name}: {what}{kept}. The last failure: {reason}", hint=hint))

    def _slow_down(self, task: _Task, failure: Failure) -> None:
        if failure.wait is not None and failure.wait > self.retries.longest_wait:
            hint = f"the server asks to wait {failure.wait:.0f} s: run the same again later"
            self._stop(JudgeRefused(failure.reason, hint=hint))
            return
        task.rate_limited += 1
        now = self._loop.time()
        self._held_since = now if self._held_since is None else self._held_since
        if now - self._held_since > self.retries.longest_wait:
            hint = "a limit of the day or of the account may be used up: run the same again later, what was answered is kept"
            self._stop(JudgeRefused(f"no answer for {self.retries.longest_wait:.0f} s: {failure.reason}", hint=hint))
            return
        if now - self._held_since > self.retries.told_after and not self._held_told:
            self._held_told = True
            self.say(
                f"{self.name} refuses every request as too many, and is asked again until "
                f"{self.retries.longest_wait / 60:.0f} minutes have passed ({failure.reason})"
            )
        at_once = self._throttle.refused(now, failure.wait)
        if task.rate_limited >= self.retries.rate_limited:
            self._give_up(task, f"{failure.reason} ({task.rate_limited} times)", at_fault=True, unreachable=False)
        elif at_once:
            self._queue.appendleft(task)
        else:
            self._loop.call_later(failure.wait if failure.wait is not None else 1.0, self._again, task)

    def _again(self, task: _Task) -> None:
        self._queue.appendleft(task)
        self._pump()

    def _give_up(self, task: _Task, reason: str, *, at_fault: bool, unreachable: bool, page: bool = False) -> None:
        """Leaves a request unanswered; stops where it is the server that does not answer, not the request that fails."""
        if at_fault and self._breaker.gave_up(self._loop.time(), unreachable=unreachable, more=bool(self._queue)):
            self._stop_silent(reason, page=page)
        else:
            self._finish(task, Outcome([], reason))

    def _finish(self, task: _Task, outcome: Outcome) -> None:
        self._tasks.pop(task.request.keys[0], None)
        self.finished += 1
        if task.locked:
            self._locks.release(task.request.keys[0])
        for waiter, place in task.waiters:
            waiter.outcomes[place] = outcome
            waiter.left -= 1
            if waiter.left == 0 and not waiter.future.done():
                waiter.future.set_result(None)

    def _stop(self, error: BaseException) -> None:
        """Ends all: no further request is sent, and all that wait are told."""
        if self._fatal is not None:
            return
        self._fatal = error
        self._queue.clear()
        for task in list(self._tasks.values()):
            for waiter, _ in task.waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(error)

    async def close(self, patience: float = 5.0) -> None:
        """Sends nothing more, waits a little for what is in flight (it is paid for), writes it, and closes the connections."""
        self._closed = True
        for timer in (self._pump_timer, self._locked_timer):
            if timer is not None:
                timer.cancel()
        if self._sending:
            await asyncio.wait(set(self._sending), timeout=patience)
            for sending in list(self._sending):
                sending.cancel()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        try:
            for _ in range(500):
                if self.store.flush():
                    break
                await asyncio.sleep(0.01)
            self.token_history.add(self.usage)
            if self._checkpoint is not None:
                with suppress(asyncio.CancelledError):
                    await self._checkpoint
        finally:
            await self.transport.close()
