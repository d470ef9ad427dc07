"""Half the price by the Batch API: questions are gathered into files, submitted, waited for, and their answers read and billed.

A run with `batch` goes through the data more than once. In each pass `BatchDispatcher.ask` answers what is known, reads what
batches brought back, and gathers the rest; `submit_and_wait` then submits what was gathered. The pass that gathers nothing is
the last. The ledger holds what is under way, so that a stopped run goes on where it was. README.md here draws the states.
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

from argilla_admap.errors import AdmapError, JudgeRefused, ScoringError
from argilla_admap.scoring.batch.batch_api import BatchApi, BatchState, Gone, OutcomeUnknown
from argilla_admap.scoring.batch.batch_files import RequestFile, read_line, sweep
from argilla_admap.scoring.batch.ledger import BatchLedger, Replied, Submission, Waiting
from argilla_admap.scoring.cache.store import CacheEntry
from argilla_admap.scoring.client.budget import Price
from argilla_admap.scoring.client.dispatcher import Dispatcher
from argilla_admap.scoring.client.failures import RetryAction, Unreadable, classify, server_words
from argilla_admap.scoring.client.protocol import decode, error_in, usage_of
from argilla_admap.scoring.client.request import Outcome, Request
from argilla_admap.tables import output_errors, write_error

__all__ = ["WAITS", "BatchDispatcher", "DispatcherBesideBatches"]

#: The error of a completion whose question is in a batch: the last word only where this run does not wait for that batch.
WAITS = (
    "waits for its batch: run the command that submitted it again, with the same `base_url` and `batch` "
    "(or ask it now, and pay twice, with `ask_waiting`)"
)
_MOST_TRIES = 3
_FIRST_POLL, _LONGEST_POLL = 0.5, 30.0
_FIRST_LATER, _LONGEST_LATER = 2.0, 600.0
#: Seconds before each look for a batch that the server does not find.
_LOST_FOR = (0.0, 2.0, 8.0)
#: The share of `max_cost` that must be free for another pass.
_WORTH_A_PASS = 0.1
_CHUNK = 1000
#: Answers to the first questions, asked one by one, that hold nothing: then no batch is submitted.
_WORTHLESS_AT_FIRST = 6
_ANOTHER_STORE = "name another `store`"


class _WithBatches(Dispatcher):
    """A dispatcher whose store may have batches under way.

    Args:
        arguments: those of `Dispatcher`; the price is the full one.
        client: the user's own, for files and batches.
    """

    def __init__(self, *arguments: Any, client: Any) -> None:
        super().__init__(*arguments)
        price = self.price
        if price is not None:
            price = price._replace(
                input=price.input / 2, output=price.output / 2, cached=price.cached / 2, source=f"half of {price.source}"
            )
        self._batches = _Batches(self, client, price)

    async def close(self, patience: float = 5.0) -> None:
        """As `Dispatcher.close`; batches go on without us."""
        self._batches.close()
        await super().close(patience)


class BatchDispatcher(_WithBatches):
    """Sends its questions to the Batch API."""

    asks_later = True

    def __init__(self, *arguments: Any, client: Any) -> None:
        super().__init__(*arguments, client=client)
        self.price = self._batches.price

    async def ask(self, questions: Sequence[Request]) -> list[Outcome]:
        """The answers that are there; the rest is gathered for the next batch, and carries the error `WAITS`.

        Raises:
            JudgeRefused: a batch was refused for a reason that asking again will not mend.
        """
        return await self._batches.ask(questions)

    async def ask_now(self, questions: Sequence[Request]) -> list[Outcome]:
        """As `Dispatcher.ask`: what cannot wait for a batch, such as what the endpoint can do.

        Raises:
            JudgeRefused: no answer to these first questions can be used; a batch, once submitted, cannot be stopped.
        """
        outcomes = await super().ask(questions)
        if not self._breaker.answered_once and self._worthless >= _WORTHLESS_AT_FIRST:
            raise self._no_answers(understood=True)
        return outcomes

    async def submit_and_wait(self, say: Callable[[str], None]) -> bool:
        """Submits what was gathered and waits for all batches. True: another pass has something to read.

        Args:
            say: told, in words, how the batches stand.

        Raises:
            JudgeRefused, ScoringError: the Batch API cannot be used; what was submitted goes on there.
        """
        return await self._batches.submit_and_wait(say)


class DispatcherBesideBatches(_WithBatches):
    """Sends its questions one by one, on a store that has batches under way: what is in those is not paid again."""

    async def ask(self, questions: Sequence[Request]) -> list[Outcome]:
        """As `Dispatcher.ask`, but for what a batch brought, and for what waits in one, which carries the error `WAITS`."""
        found = await self._batches.read_only(questions)
        rest = iter(await super().ask([question for question, answer in zip(questions, found, strict=True) if answer is None]))
        return [answer if answer is not None else next(rest) for answer in found]

    async def collect(self, say: Callable[[str], None]) -> None:
        """Takes in what ended batches brought, where the endpoint tells."""
        try:
            await self._batches.collect_ended(say)
        except AdmapError as exc:
            say(f"the batches under way could not be looked at ({exc}); what waits in them is not asked again")


class _Batches:
    """The batches of one endpoint and model.

    Args:
        dispatcher: whose store, budget and usage count.
        client: the user's own, for files and batches.
        price: of a request in a batch; None where unknown.
    """

    def __init__(self, dispatcher: Dispatcher, client: Any, price: Price | None) -> None:
        self._dispatcher = dispatcher
        self.price = price
        self._api = BatchApi(client)
        self._ledger = BatchLedger(dispatcher.store.path, dispatcher.name)
        self._files = Path(f"{dispatcher.store.path}-batches")
        try:
            self._files.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise write_error(self._files, exc, _ANOTHER_STORE) from exc
        sweep(self._files, self._ledger.files())
        self._gathered = RequestFile(self._files)
        #: US dollars set aside for what was gathered in this pass.
        self._reserved = 0.0
        #: Refusals, in words, and whether something was learned from each.
        self._learned: dict[str, bool] = {}
        #: Questions whose batches brought no judgement, for good in this run.
        self._failed: list[bytes] = []
        #: Answers read in this run that hold a judgement, and those that do not.
        self._usable = self._unusable = 0
        self._say: Callable[[str], None] = _silent
        self._told = ""

    async def ask(self, questions: Sequence[Request]) -> list[Outcome]:
        """See `BatchDispatcher.ask`."""
        found = self._ledger.look_up([question.keys[0] for question in questions])
        answers = [self._answer(question, found.get(question.keys[0])) for question in questions]
        await self._written()
        return answers

    async def read_only(self, questions: Sequence[Request]) -> list[Outcome | None]:
        """As `ask`, but gathers nothing: None for questions that are in no batch, or that a batch brought no answer for."""
        found = self._ledger.look_up([question.keys[0] for question in questions])
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
            self._reserve(question)
            return Outcome([], WAITS)
        if found is None:
            return self._gather(question, 0)
        if found.status == 200:
            return self._read_reply(question, found)
        if found.status == 0:
            return self._retry(question, found, server_words(found.body))
        failure = classify(found.status, {}, found.body)
        if failure.action in (RetryAction.STOP, RetryAction.RENEW_KEY):
            raise JudgeRefused(failure.reason)
        if failure.action in (RetryAction.RETRY, RetryAction.SLOW_DOWN) or (
            failure.action is RetryAction.NEGOTIATE and self._learns(question, failure.reason)
        ):
            return self._retry(question, found, failure.reason)
        return self._give_up(question, failure.reason)

    def _learns(self, question: Request, refusal: str) -> bool:
        """Whether the next try is put differently. All requests of a batch were put in one way: one refusal speaks for them."""
        if refusal not in self._learned:
            self._learned[refusal] = question.negotiate(refusal)
        return self._learned[refusal]

    def _read_reply(self, question: Request, found: Replied) -> Outcome:
        try:
            entries = self._read(question, found)
            self._usable += 1
            return Outcome(entries)
        except Unreadable as exc:
            self._unusable += 1
            if not self._usable and self._unusable >= self._dispatcher.retries.worthless:
                # They stay in the ledger: a later run reads them again, and pays for none of them.
                raise JudgeRefused(
                    f"{self._dispatcher.name}: of the first {self._unusable} answers in its batches none can be used. "
                    f"The last: {exc}",
                    hint="try another judge with `model`, another way to ask with `method`, or more room for its thoughts with "
                    "`max_answer_tokens`",
                ) from exc
            return self._retry(question, found, str(exc)) if exc.again else self._give_up(question, str(exc))

    def _read(self, question: Request, found: Replied) -> list[CacheEntry]:
        try:
            reply = decode(found.body)
            error = error_in(reply)
            if error is not None:
                raise Unreadable(f"the server answered with an error: {server_words(orjson.dumps({'error': error}))}")
            answers = question.read(reply)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
            raise Unreadable("the answer is not of the protocol's shape") from exc
        about = question.tokens()[0]
        tokens_in, tokens_out, cached = usage_of(reply, about)
        if answers:
            # A later estimate knows by this what the endpoint counts, thoughts included.
            usage = self._dispatcher.usage
            usage.estimated_tokens += about
            usage.counted_tokens += tokens_in
            usage.add_output(getattr(question, "form", ""), len(answers), tokens_out)
        spent = self.price.cost(tokens_in, tokens_out, cached) if self.price is not None else None
        entries = []
        for key, answer in zip(question.keys, answers, strict=False):
            entries.append(CacheEntry(key, *answer, tokens_in, tokens_out, spent))
            # The first of several answers carries the bill of them all.
            tokens_in, tokens_out, spent = 0, 0, 0.0 if spent is not None else None
        for entry in entries:
            self._dispatcher.store.put(entry)
        return entries

    def _retry(self, question: Request, found: Replied, reason: str) -> Outcome:
        if found.tries >= _MOST_TRIES:
            return self._give_up(question, f"{reason} (in {found.tries} batches)")
        return self._gather(question, found.tries)

    def _give_up(self, question: Request, reason: str) -> Outcome:
        self._failed.append(question.keys[0])
        return Outcome([], reason)

    def _gather(self, question: Request, tries: int) -> Outcome:
        if self._dispatcher.stop_reason is not None:
            return Outcome([], self._dispatcher.stop_reason)
        if not self._reserve(question):
            self._dispatcher.stop_reason = self._dispatcher.budget.words()
            return Outcome([], self._dispatcher.stop_reason)
        with output_errors(self._files, _ANOTHER_STORE):
            if self._gathered.full(question):
                self._close_file()
            self._gathered.add(question, tries, self._api.url(question.path))
        return Outcome([], WAITS)

    def _reserve(self, question: Request) -> bool:
        """Sets aside what a question may cost, until its batch is billed."""
        _, most_in, most_out = question.tokens()
        dollars = self.price.cost(most_in, most_out) if self.price is not None else 0.0
        if not self._dispatcher.budget.reserve(dollars):
            return False
        self._reserved += dollars
        return True

    def _close_file(self) -> None:
        gathered, self._gathered = self._gathered, RequestFile(self._files)
        while gathered.items:
            name, file = gathered.close()
            taken = self._ledger.add(name, gathered.path, file, list(gathered.items.items()))
            if not taken:
                return
            gathered.leave_out(taken)

    # Between two passes.

    async def submit_and_wait(self, say: Callable[[str], None]) -> bool:
        """See `BatchDispatcher.submit_and_wait`."""
        self._say = say
        with output_errors(self._files, _ANOTHER_STORE):
            self._close_file()
        self._ledger.clean()
        running = await self._submit_all()
        if not running:
            return False
        poll, later = _FIRST_POLL, _FIRST_LATER
        while running:
            states = [(submission, await self._state(submission)) for submission in running]
            self._tell(states)
            running = []
            for submission, state in states:
                if state is None:
                    self._ledger.drop(submission.name)
                elif not state.ended:
                    running.append(submission)
                elif state.status == "failed" and state.later:
                    # Too much is enqueued: when another batch of ours has ended, or after a while, there is room.
                    self._say(f"batch {state.id}: {state.problem}; submitting it again in {later:.0f} s")
                    await asyncio.sleep(later)
                    later = min(_LONGEST_LATER, 2 * later)
                    running += await self._submit_again(submission)
                elif state.status == "failed" and not state.output_file:
                    self._ledger.drop(submission.name)
                    raise ScoringError(f"batch {state.id} was refused: {state.problem or 'the server gives no reason'}")
                else:
                    await self._collect(submission, state)
                    poll = _FIRST_POLL
            if running:
                await asyncio.sleep(poll)
                poll = min(_LONGEST_POLL, 1.5 * poll)
        # All that was set aside is billed now, or was not used.
        self._dispatcher.budget.settle(self._reserved, 0.0)
        self._reserved = 0.0
        if self._dispatcher.budget.left() > _WORTH_A_PASS:
            # What was set aside for the worst case is free again: the next pass goes on with it.
            self._dispatcher.stop_reason = None
        return True

    async def collect_ended(self, say: Callable[[str], None]) -> None:
        """Takes the answers of the batches that have ended; waits for none, submits none."""
        self._say = say
        for submission in self._ledger.submissions():
            state = await self._state(submission)
            if state is not None and state.ended and (state.status != "failed" or state.output_file):
                await self._collect(submission, state)

    async def _submit_all(self) -> list[Submission]:
        """All submissions with their batches: those that were submitted before keep theirs."""
        async with self._exclusive():
            submissions = self._ledger.submissions()
            orphans = await self._orphans() if any(submission.batch_id is None for submission in submissions) else {}
            return [
                submission if submission.batch_id else await self._submit(submission, orphans) for submission in submissions
            ]

    async def _orphans(self) -> dict[str, BatchState] | None:
        """The account's batches that may be ours, by the submission's name and by the file they read; None: it lists none."""
        found: dict[str, BatchState] = {}
        try:
            states = await self._api.list()
        except (Gone, JudgeRefused):
            return None
        for state in states:
            if state.status not in ("failed", "cancelled", "cancelling"):
                found |= {name: state for name in (state.submission, state.input_file) if name}
        return found

    async def _submit_again(self, failed: Submission) -> list[Submission]:
        """The submission with another batch, unless another process has submitted it again, or taken its answers, already."""
        async with self._exclusive():
            for submission in self._ledger.submissions():
                if submission.name == failed.name:
                    if submission.batch_id != failed.batch_id:
                        return [submission]
                    self._ledger.created(submission.name, None)
                    return [await self._submit(submission._replace(batch_id=None), {})]
            return []

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        """One process of a store submits at a time; the lock is released when the process ends, however it ends."""
        with (self._files / "lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.1)
            yield

    async def _submit(self, submission: Submission, orphans: dict[str, BatchState] | None) -> Submission:
        """Uploads the submission and starts its batch, unless one is found that was started before a kill."""
        file = self._files / submission.file
        if orphans is None and submission.creating and file.exists():
            raise ScoringError(
                f"a run was killed while it created a batch for the file {submission.file_id}; this endpoint lists no batches",
                hint=f"look there whether one reads that file; if none does, delete {file} and run the same command again",
            )
        found = (orphans or {}).get(submission.name) or (orphans or {}).get(submission.file_id or "")
        if found is not None:
            self._ledger.created(submission.name, found.id)
            return submission._replace(batch_id=found.id)
        if not file.exists():
            # Its questions are gathered again in the next pass.
            self._ledger.drop(submission.name)
            return submission
        file_id = submission.file_id
        try:
            if file_id is None:
                file_id = await self._api.upload(file)
                self._ledger.uploaded(submission.name, file_id)
            self._ledger.creating(submission.name)
            try:
                state = await self._api.create(file_id, submission.path, submission.name)
            except OutcomeUnknown as exc:
                state = await self._find(submission, file_id, exc)
        except Gone as exc:
            self._ledger.drop(submission.name)
            raise JudgeRefused("this endpoint has no Batch API", option="batch", hint="leave it out") from exc
        except JudgeRefused:
            self._ledger.drop(submission.name)
            raise
        self._ledger.created(submission.name, state.id)
        return submission._replace(file_id=file_id, batch_id=state.id)

    async def _find(self, submission: Submission, file_id: str, cause: Exception) -> BatchState:
        """The batch of a submission whose creation broke off; created now if it is not there."""
        for wait in (0.5, 2.0, 8.0):
            await asyncio.sleep(wait)
            orphans = await self._orphans()
            if orphans is None:
                raise ScoringError(
                    f"the connection broke while a batch was created ({cause}), and this endpoint lists no batches",
                    hint=f"look there whether one reads the file {file_id}; if none does, delete "
                    f"{self._files / submission.file} and run the same command again",
                )
            found = orphans.get(submission.name) or orphans.get(file_id)
            if found is not None:
                return found
        return await self._api.create(file_id, submission.path, submission.name)

    async def _state(self, submission: Submission) -> BatchState | None:
        """How its batch stands; None: there is none. "Not found" may pass: it is gone where the list lacks it too."""
        for wait in _LOST_FOR if submission.batch_id else ():
            await asyncio.sleep(wait)
            with suppress(Gone):
                return await self._api.state(submission.batch_id or "")
            with suppress(Gone, JudgeRefused):
                for state in await self._api.list():
                    if state.id == submission.batch_id:
                        return state
        return None

    def _tell(self, states: Sequence[tuple[Submission, BatchState | None]]) -> None:
        done = sum(state.done for _, state in states if state)
        batches = "1 batch" if len(states) == 1 else f"{len(states)} batches"
        words = (
            f"{batches} under way: {done:,} of {sum(submission.requests for submission, _ in states):,} requests are answered"
        )
        if words != self._told:
            self._told = words
            self._say(words)

    async def _collect(self, submission: Submission, state: BatchState) -> None:
        """Keeps what a batch brought, and bills it."""
        for file in (state.output_file, state.error_file):
            if file is None:
                continue
            rows: list[tuple[bytes, int, bytes]] = []
            unreadable = 0
            try:
                with output_errors(self._files, _ANOTHER_STORE):
                    async for line in self._api.lines(file, self._files / f"{submission.name}-{os.getpid()}.{file}.part"):
                        row = read_line(line)
                        if row is None:
                            unreadable += 1
                            continue
                        rows.append(row)
                        if len(rows) >= _CHUNK:
                            self._bill(rows)
                            rows = []
            except Gone:
                self._say(f"batch {state.id}: its file {file} is no longer on the server; what it held is asked again")
            self._bill(rows)
            if unreadable:
                self._say(f"batch {state.id}: lines of answers that cannot be read and are asked again: {unreadable:,}")
        reason = f"the batch {state.status} before this was answered"
        self._ledger.complete(submission.name, orjson.dumps({"error": reason}))
        (self._files / submission.file).unlink(missing_ok=True)

    def _bill(self, rows: list[tuple[bytes, int, bytes]]) -> None:
        self._ledger.reply(rows)
        for _, status, body in rows:
            if status != 200:
                self._dispatcher.usage.failed += 1
                continue
            tokens_in, tokens_out, cached = usage_of(orjson.loads(body), 0)
            self._dispatcher.usage.requests += 1
            self._dispatcher.usage.input_tokens += tokens_in
            self._dispatcher.usage.output_tokens += tokens_out
            spent = self.price.cost(tokens_in, tokens_out, cached) if self.price is not None else 0.0
            self._dispatcher.usage.cost += spent
            self._dispatcher.budget.settle(0.0, spent)

    def close(self) -> None:
        """Lets go of what was gathered for nothing, and of answers that gave no judgement."""
        self._gathered.discard()
        with suppress(ScoringError):
            self._ledger.forget(self._failed)
        self._ledger.close()


def _silent(_: str) -> None:
    return
