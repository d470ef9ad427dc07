"""Questions on their way through batches: gathered into files, submitted, waited for, and their answers read and billed.

What is under way is written down in `batch_book`, so that a run that is stopped goes on where it was.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from argilla_admap.errors import JudgeRefused, ScoringError
from argilla_admap.scoring.batch.batch_api import BatchApi, BatchState, Gone, Unsure
from argilla_admap.scoring.batch.batch_files import Gathered, read_line, sweep
from argilla_admap.scoring.batch.ledger import BatchLedger, Part, Replied, Waiting
from argilla_admap.scoring.cache.store import CacheEntry
from argilla_admap.scoring.client.budget import Price
from argilla_admap.scoring.client.dispatcher import Dispatcher
from argilla_admap.scoring.client.failures import RetryAction, Unreadable, classify, server_words
from argilla_admap.scoring.client.protocol import usage_of
from argilla_admap.scoring.client.request import Outcome, Request

__all__ = ["WAITS", "Batches"]

#: The error of a completion whose question is in a batch: the last word only where this run does not wait for that batch.
WAITS = (
    "waits for its batch: run the command that submitted it again, with the same --base-url and --batch "
    "(or ask it now, and pay twice, with --ask-waiting)"
)
_MOST_TRIES = 3
_FIRST_LOOK, _LONGEST_LOOK = 0.5, 30.0
_FIRST_LATER, _LONGEST_LATER = 2.0, 600.0
#: Seconds before each look for a batch that the server does not find.
_LOST_FOR = (0.0, 2.0, 8.0)
#: The share of --max-cost that must be free for another pass.
_WORTH_A_PASS = 0.1
_CHUNK = 1000


class Batches:
    """The batches of one endpoint and model.

    Args:
        dispatcher: whose store, budget and usage count.
        client: the user's own, for files and batches.
        price: of a request in a batch; None where unknown.
    """

    def __init__(self, dispatcher: Dispatcher, client: Any, price: Price | None) -> None:
        self._dispatcher = dispatcher
        self._price = price
        self._api = BatchApi(client)
        self._book = BatchLedger(dispatcher.store.path, dispatcher.name)
        self._files = Path(f"{dispatcher.store.path}-batches")
        self._files.mkdir(mode=0o700, exist_ok=True)
        sweep(self._files, self._book.files())
        self._gathered = Gathered(self._files)
        #: US dollars set aside for what was gathered in this pass.
        self._held = 0.0
        #: Questions whose batches brought no judgement, for good in this run.
        self._failed: list[bytes] = []
        self._say: Callable[[str], None] = _silent
        self._told = ""

    async def ask(self, questions: Sequence[Request]) -> list[Outcome]:
        """The answers that came back; the rest is gathered for the next batch, and carries the error `WAITS`.

        Raises:
            JudgeRefused: a batch was refused for a reason that asking again will not mend.
        """
        found = self._book.look_up([question.keys[0] for question in questions])
        answers = [self._answer(question, found.get(question.keys[0])) for question in questions]
        await self._written()
        return answers

    async def only_read(self, questions: Sequence[Request]) -> list[Outcome | None]:
        """As `ask`, but gathers nothing: None for questions that are in no batch, or that a batch brought no answer for."""
        found = self._book.look_up([question.keys[0] for question in questions])
        answers: list[Outcome | None] = []
        for question in questions:
            there = found.get(question.keys[0])
            answer = Outcome([], WAITS) if isinstance(there, Waiting) else None
            if isinstance(there, Replied) and there.status == 200:
                with suppress(Unreadable):
                    answer = Outcome(self._read(question, there))
            answers.append(answer)
        await self._written()
        return answers

    async def _written(self) -> None:
        while not self._dispatcher.store.flush():  # noqa: ASYNC110  # another process writes: it tells nobody when it is done
            await asyncio.sleep(0.01)

    def _answer(self, question: Request, found: Waiting | Replied | None) -> Outcome:
        if isinstance(found, Waiting):
            self._hold(question)
            return Outcome([], WAITS)
        if found is None:
            return self._gather(question, 0)
        if found.status == 200:
            return self._read_reply(question, found)
        if found.status == 0:
            return self._ask_again(question, found, server_words(found.body))
        fault = classify(found.status, {}, found.body)
        if fault.action in (RetryAction.STOP, RetryAction.RENEW_KEY):
            raise JudgeRefused(fault.reason)
        if fault.action in (RetryAction.RETRY, RetryAction.SLOW_DOWN) or (
            fault.action is RetryAction.NEGOTIATE and question.negotiate(fault.reason)
        ):
            return self._ask_again(question, found, fault.reason)
        return self._give_up_on(question, fault.reason)

    def _read_reply(self, question: Request, found: Replied) -> Outcome:
        try:
            return Outcome(self._read(question, found))
        except Unreadable as exc:
            return self._ask_again(question, found, str(exc)) if exc.again else self._give_up_on(question, str(exc))

    def _read(self, question: Request, found: Replied) -> list[CacheEntry]:
        try:
            reply = orjson.loads(found.body)
            readings = question.read(reply)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
            raise Unreadable("the answer is not of the protocol's shape") from exc
        tokens_in, tokens_out, cached = usage_of(reply, question.tokens()[0])
        spent = self._price.cost(tokens_in, tokens_out, cached) if self._price is not None else None
        known = []
        for key, reading in zip(question.keys, readings, strict=False):
            known.append(CacheEntry(key, *reading, tokens_in, tokens_out, spent))
            # The first of several readings carries the bill of them all.
            tokens_in, tokens_out, spent = 0, 0, 0.0 if spent is not None else None
        for one in known:
            self._dispatcher.store.put(one)
        return known

    def _ask_again(self, question: Request, found: Replied, reason: str) -> Outcome:
        if found.tries >= _MOST_TRIES:
            return self._give_up_on(question, f"{reason} (in {found.tries} batches)")
        return self._gather(question, found.tries)

    def _give_up_on(self, question: Request, reason: str) -> Outcome:
        self._failed.append(question.keys[0])
        return Outcome([], reason)

    def _gather(self, question: Request, tries: int) -> Outcome:
        if self._dispatcher.stop_reason is not None:
            return Outcome([], self._dispatcher.stop_reason)
        if not self._hold(question):
            self._dispatcher.stop_reason = self._dispatcher.budget.words()
            return Outcome([], self._dispatcher.stop_reason)
        if self._gathered.full(question):
            self._close_part()
        self._gathered.add(question, tries, self._api.url(question.path))
        return Outcome([], WAITS)

    def _hold(self, question: Request) -> bool:
        """Sets aside what a question may cost, until its batch is billed."""
        _, most_in, most_out = question.tokens()
        dollars = self._price.cost(most_in, most_out) if self._price is not None else 0.0
        if not self._dispatcher.budget.reserve(dollars):
            return False
        self._held += dollars
        return True

    def _close_part(self) -> None:
        gathered, self._gathered = self._gathered, Gathered(self._files)
        while gathered.items:
            name, file = gathered.close()
            taken = self._book.add(name, gathered.path, file, list(gathered.items.items()))
            if not taken:
                return
            gathered.leave_out(taken)

    # Between two passes.

    async def settle(self, say: Callable[[str], None]) -> bool:
        """Submits what was gathered and waits for all batches. True: another pass has something to read.

        Args:
            say: told, in words, how the batches stand.

        Raises:
            JudgeRefused, ScoringError: the Batch API cannot be used; what was submitted goes on there.
        """
        self._say = say
        self._close_part()
        self._book.clean()
        running = await self._submit_all()
        if not running:
            return False
        look, later = _FIRST_LOOK, _FIRST_LATER
        while running:
            states = [(part, await self._state(part)) for part in running]
            self._tell(states)
            running = []
            for part, state in states:
                if state is None:
                    self._book.drop(part.name)
                elif not state.ended:
                    running.append(part)
                elif state.status == "failed" and state.later:
                    # Too much is enqueued: when another batch of ours has ended, or after a while, there is room.
                    self._say(f"batch {state.id}: {state.problem}; submitting it again in {later:.0f} s")
                    await asyncio.sleep(later)
                    later = min(_LONGEST_LATER, 2 * later)
                    running += await self._submit_again(part)
                elif state.status == "failed" and not state.output_file:
                    self._book.drop(part.name)
                    raise ScoringError(f"batch {state.id} was refused: {state.problem or 'the server gives no reason'}")
                else:
                    await self._take(part, state)
                    look = _FIRST_LOOK
            if running:
                await asyncio.sleep(look)
                look = min(_LONGEST_LOOK, 1.5 * look)
        # All that was set aside is billed now, or was not used.
        self._dispatcher.budget.settle(self._held, 0.0)
        self._held = 0.0
        if self._dispatcher.budget.left() > _WORTH_A_PASS:
            # What was set aside for the worst case is free again: the next pass goes on with it.
            self._dispatcher.stop_reason = None
        return True

    async def collect(self, say: Callable[[str], None]) -> None:
        """Takes the answers of the batches that have ended; waits for none, submits none."""
        self._say = say
        for part in self._book.parts():
            state = await self._state(part)
            if state is not None and state.ended and (state.status != "failed" or state.output_file):
                await self._take(part, state)

    async def _submit_all(self) -> list[Part]:
        """All parts with their batches: those that were submitted before keep theirs."""
        async with self._alone():
            parts = self._book.parts()
            orphans = await self._orphans() if any(part.batch_id is None for part in parts) else {}
            return [part if part.batch_id else await self._submit(part, orphans) for part in parts]

    async def _orphans(self) -> dict[str, BatchState] | None:
        """The account's batches that may be ours, by the part's name and by the file that they read; None: it lists none."""
        found: dict[str, BatchState] = {}
        try:
            states = await self._api.list()
        except (Gone, JudgeRefused):
            return None
        for state in states:
            if state.status not in ("failed", "cancelled", "cancelling"):
                found |= {name: state for name in (state.part, state.input_file) if name}
        return found

    async def _submit_again(self, failed: Part) -> list[Part]:
        """The part with another batch, unless another process has submitted it again, or taken its answers, already."""
        async with self._alone():
            for part in self._book.parts():
                if part.name == failed.name:
                    if part.batch_id != failed.batch_id:
                        return [part]
                    self._book.created(part.name, None)
                    return [await self._submit(part._replace(batch_id=None), {})]
            return []

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """No other process submits a part of this store meanwhile; the lock ends with the process, however that ends."""
        with (self._files / "lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.1)
            yield

    async def _submit(self, part: Part, orphans: dict[str, BatchState] | None) -> Part:
        """Uploads the part and starts its batch, unless one is found that was started before a kill."""
        file = self._files / part.file
        if orphans is None and part.creating and file.exists():
            raise ScoringError(
                f"a run was killed while it created a batch for the file {part.file_id}, and this endpoint lists no batches: "
                f"look there whether one reads that file. If none does, delete {file} and run the same command again"
            )
        found = (orphans or {}).get(part.name) or (orphans or {}).get(part.file_id or "")
        if found is not None:
            self._book.created(part.name, found.id)
            return part._replace(batch_id=found.id)
        if not file.exists():
            # Its questions are gathered again in the next pass.
            self._book.drop(part.name)
            return part
        file_id = part.file_id
        try:
            if file_id is None:
                file_id = await self._api.upload(file)
                self._book.uploaded(part.name, file_id)
            self._book.creating(part.name)
            try:
                state = await self._api.create(file_id, part.path, part.name)
            except Unsure as exc:
                state = await self._find(part, file_id, exc)
        except Gone as exc:
            self._book.drop(part.name)
            raise JudgeRefused("this endpoint has no Batch API: leave out --batch") from exc
        except JudgeRefused:
            self._book.drop(part.name)
            raise
        self._book.created(part.name, state.id)
        return part._replace(file_id=file_id, batch_id=state.id)

    async def _find(self, part: Part, file_id: str, cause: Exception) -> BatchState:
        """The batch of a part whose creation broke off; created now if it is not there."""
        for wait in (0.5, 2.0, 8.0):
            await asyncio.sleep(wait)
            orphans = await self._orphans()
            if orphans is None:
                raise ScoringError(
                    f"the connection broke while a batch was created ({cause}), and this endpoint lists no batches: look there "
                    f"whether one reads the file {file_id}. If none does, delete {self._files / part.file} and run the "
                    "same command again"
                )
            found = orphans.get(part.name) or orphans.get(file_id)
            if found is not None:
                return found
        return await self._api.create(file_id, part.path, part.name)

    async def _state(self, part: Part) -> BatchState | None:
        """How the part's batch stands; None: there is none. "Not found" may pass: it is gone where the list lacks it too."""
        for wait in _LOST_FOR if part.batch_id else ():
            await asyncio.sleep(wait)
            with suppress(Gone):
                return await self._api.state(part.batch_id or "")
            with suppress(Gone, JudgeRefused):
                for state in await self._api.list():
                    if state.id == part.batch_id:
                        return state
        return None

    def _tell(self, states: Sequence[tuple[Part, BatchState | None]]) -> None:
        done = sum(state.done for _, state in states if state)
        batches = "1 batch" if len(states) == 1 else f"{len(states)} batches"
        words = f"{batches} under way: {done:,} of {sum(part.requests for part, _ in states):,} requests are answered"
        if words != self._told:
            self._told = words
            self._say(words)

    async def _take(self, part: Part, state: BatchState) -> None:
        """Keeps what a batch brought, and bills it."""
        for file in (state.output_file, state.error_file):
            if file is None:
                continue
            rows: list[tuple[bytes, int, bytes]] = []
            try:
                async for line in self._api.lines(file, self._files / f"{part.name}-{os.getpid()}.{file}.part"):
                    row = read_line(line)
                    if row is None:
                        continue
                    rows.append(row)
                    if len(rows) >= _CHUNK:
                        self._bill(rows)
                        rows = []
            except Gone:
                self._say(f"batch {state.id}: its file {file} is no longer on the server; what it held is asked again")
            self._bill(rows)
        reason = f"the batch {state.status} before this was answered"
        self._book.close_part(part.name, orjson.dumps({"error": reason}))
        (self._files / part.file).unlink(missing_ok=True)

    def _bill(self, rows: list[tuple[bytes, int, bytes]]) -> None:
        self._book.reply(rows)
        for _, status, body in rows:
            if status != 200:
                self._dispatcher.usage.failed += 1
                continue
            tokens_in, tokens_out, cached = usage_of(orjson.loads(body), 0)
            self._dispatcher.usage.requests += 1
            self._dispatcher.usage.input_tokens += tokens_in
            self._dispatcher.usage.output_tokens += tokens_out
            spent = self._price.cost(tokens_in, tokens_out, cached) if self._price is not None else 0.0
            self._dispatcher.usage.cost += spent
            self._dispatcher.budget.settle(0.0, spent)

    def close(self) -> None:
        """Lets go of what was gathered for nothing, and of answers that gave no judgement."""
        self._gathered.discard()
        with suppress(ScoringError):
            self._book.forget(self._failed)
        self._book.close()


def _silent(_: str) -> None:
    return
