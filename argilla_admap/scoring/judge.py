"""A language model as the judge: K completions -> questions -> scores.

The first questions of a run tell what the endpoint gives (full, truncated or no token probabilities), unless the store
remembers it; they are questions that have to be asked anyway, so finding out costs nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

import orjson

from argilla_admap.scoring.dialect import Dialect
from argilla_admap.scoring.faults import Unreadable
from argilla_admap.scoring.models import ending_models
from argilla_admap.scoring.prompt import PROMPT_VERSION, Instructions, question_text
from argilla_admap.scoring.question import Reading
from argilla_admap.scoring.reading import BELIEVABLE_MASS, read_choices
from argilla_admap.scoring.rubric import read_rubric
from argilla_admap.scoring.scorer import ScoredCompletion, Work
from argilla_admap.scoring.store import Known
from argilla_admap.scoring.tokens import TokenCounter, estimate_tokens, most_tokens

if TYPE_CHECKING:
    import pyarrow as pa

    from argilla_admap.scoring.calls import Calls
    from argilla_admap.scoring.desk import Desk
    from argilla_admap.scoring.options import ScoreOptions

__all__ = ["SCORER", "JudgeScorer"]

PATH = "/chat/completions"
#: Samples a completion where the endpoint gives no distribution, unless the user says how many.
SAMPLES_WITHOUT_LOGPROBS = 3
#: Tokens that a chat adds around its messages.
_FRAME = 12
_MOST_PROBES = 3
_HOSTED = ("api.openai.com", ".openai.azure.com", ".cognitiveservices.azure.com")


class JudgeScorer:
    """Asks a chat model to grade each completion by the rubric on a scale of 1 to 5, one completion a question."""

    def __init__(self, options: ScoreOptions, desk: Desk) -> None:
        self.name = options.model
        self.cached = 0
        self._options = options
        self._calls: Calls = desk.calls(options.model)
        self._rubric = read_rubric(options.rubric)
        hosted = any(host in self._calls.name for host in _HOSTED)
        self.dialect = Dialect.recall(self._calls.store.endpoint(self._calls.name), hosted=hosted)
        form = "reason" if options.reasons else "json" if options.method == "json" else "digit"
        self._asking = {
            True: _Asking(self, form, logprobs=True),
            False: _Asking(self, form, logprobs=False),
        }
        self._probing = asyncio.Lock()
        self._counter: TokenCounter | None = None

    @property
    def wants_logprobs(self) -> bool:
        """Whether questions ask for token probabilities."""
        method = self._options.method
        return method == "logprobs" or (method == "auto" and self.dialect.logprobs in ("", "full"))

    async def start(self) -> list[str]:
        return await ending_models(self._calls.transport, self.name)

    async def score(self, batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
        items, shape = self._items(batch)
        results: list[ScoredCompletion | None] = [None] * len(items)
        if self.wants_logprobs:
            await self._by_logprobs(items, results)
        open_places = [place for place, result in enumerate(results) if result is None]
        if open_places:
            await self._by_samples(items, open_places, results)
        done = iter(results)
        return [[_said(next(done)) for _ in range(k)] for k in shape]

    async def _by_logprobs(self, items: Sequence[_Item], results: list[ScoredCompletion | None]) -> None:
        """Fills in the results that the token probabilities give; the others stay None."""
        asking = self._asking[True]
        n = self._options.samples or 1
        errors = await self._answers(asking, items, range(len(items)), n, probe=True)
        for place, item in enumerate(items):
            if place in errors:
                results[place] = ScoredCompletion(None, errors[place])
            elif all(_believed(known) for known in item.known) and item.known:
                results[place] = _expected(item.known)

    async def _by_samples(self, items: Sequence[_Item], places: Sequence[int], results: list[ScoredCompletion | None]) -> None:
        n = self._options.samples or (1 if self._options.method == "json" else SAMPLES_WITHOUT_LOGPROBS)
        errors = await self._answers(self._asking[False], items, places, n, probe=False)
        for place in places:
            known = items[place].known
            if known:
                results[place] = _sampled(known)
            else:
                results[place] = ScoredCompletion(None, errors.get(place, "the judge gave no grade"))

    async def _answers(
        self, asking: _Asking, items: Sequence[_Item], places: Sequence[int], n: int, *, probe: bool
    ) -> dict[int, str]:
        """Fills in `known` of the items at these places, from the store or by asking; returns the errors by place."""
        keys = {place: asking.keys(items[place], n) for place in places}
        if probe and not self.dialect.logprobs and self._options.method == "auto":
            answered = await self._probe(asking, items, keys)
            # They are found in the store below, and were not there before this run.
            self.cached -= answered
            if not self.wants_logprobs:
                self.cached += answered
                # The probe's answers are kept; what it found out sends all completions another way.
                return {}
        stored = self._calls.known([key for some in keys.values() for key in some])
        errors: dict[int, str] = {}
        questions: list[_Question] = []
        asked: list[int] = []
        for place in places:
            item = items[place]
            item.known = [stored[key] for key in keys[place] if key in stored]
            missing = tuple(key for key in keys[place] if key not in stored)
            self.cached += len(item.known)
            # Choices of one request share its token probabilities: samples of those are requests of their own.
            for some in [(key,) for key in missing] if asking.logprobs else [missing] if missing else []:
                questions.append(_Question(asking, item, some))
                asked.append(place)
        waiting = list(zip(asked, questions, strict=True))
        while waiting:
            answers = await self._calls.ask([question for _, question in waiting])
            again = []
            for (place, question), answer in zip(waiting, answers, strict=True):
                items[place].known += answer.known
                if answer.error is not None:
                    errors[place] = answer.error
                elif len(answer.known) < len(question.keys):
                    # The endpoint gave fewer choices than asked for.
                    again.append((place, question.rest(answer.known)))
            waiting = again
        return errors

    async def _probe(self, asking: _Asking, items: Sequence[_Item], keys: dict[int, list[bytes]]) -> int:
        """Asks the first questions until the endpoint has shown what it gives; all other batches wait for that.

        Returns how many were answered.
        """
        answered = 0
        async with self._probing:
            if self.dialect.logprobs:
                return 0
            stored = self._calls.known([key for some in keys.values() for key in some])
            open_places = [place for place, some in keys.items() if some[0] not in stored]
            for place in open_places[:_MOST_PROBES]:
                question = _Question(asking, items[place], tuple(keys[place][:1]))
                answer = (await self._calls.ask_now([question]))[0]
                answered += bool(answer.known)
                if answer.known and not self.dialect.logprobs:
                    self.dialect.logprobs = "full" if _believed(answer.known[0]) else question.seen
                if self.dialect.logprobs:
                    break
            self.remember()
        return answered

    def remember(self) -> None:
        """Keeps what was learned of this endpoint and model."""
        self._calls.store.remember_endpoint(self._calls.name, self.dialect.facts())

    def _items(self, batch: pa.RecordBatch) -> tuple[list[_Item], list[int]]:
        prompts: list[Any] = batch.column("prompt").to_pylist()
        turns: list[Any] = batch.column("turns").to_pylist()
        completions: list[Any] = batch.column("completions").to_pylist()
        items = []
        for prompt, some, texts in zip(prompts, turns, completions, strict=True):
            state = hashlib.blake2b(prompt.encode(), digest_size=16)
            if some:
                state.update(b"\0turns" + orjson.dumps(some))
            digest = state.digest()
            items += [_Item(prompt, some, text, digest) for text in texts]
        return items, [len(texts) for texts in completions]

    def keys(self, batch: pa.RecordBatch) -> list[bytes]:
        """The store's keys of the batch's judgements, one sample each."""
        asking = self._asking[self.wants_logprobs]
        return [asking.keys(item, 1)[0] for item in self._items(batch)[0]]

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        asking = self._asking[self.wants_logprobs]
        by_sampling = not self.wants_logprobs
        n = self._options.samples or (SAMPLES_WITHOUT_LOGPROBS if by_sampling and self._options.method != "json" else 1)
        items, _ = self._items(batch)
        keys = [asking.keys(item, n) for item in items]
        stored = self._calls.known([key for some in keys for key in some])
        counter = self._counter = self._counter or TokenCounter(self.name)
        fixed = counter.count(asking.instructions.text) + _FRAME
        requests = cached = tokens_in = tokens_out = 0
        seen: set[bytes] = set()
        for item, some in zip(items, keys, strict=True):
            missing = [key for key in some if key not in stored]
            cached += len(some) - len(missing)
            if not missing or some[0] in seen:
                continue
            seen.add(some[0])
            calls = 1 if by_sampling and self.dialect.several else len(missing)
            requests += calls
            tokens_in += calls * (fixed + counter.count(asking.text(item)))
            tokens_out += len(missing) * asking.usual_output
        price = self._calls.price
        cost = price.cost(tokens_in, tokens_out) if price is not None else None
        return Work(requests, cached, tokens_in, tokens_out, cost)

    def facts(self) -> dict[str, Any]:
        return {
            "scorer": "judge",
            "model": self.name,
            "endpoint": self._calls.name.rpartition(" ")[0],
            "method": "logprobs" if self.wants_logprobs else "json" if self._options.method == "json" else "sample",
            "prompt_version": PROMPT_VERSION,
            "rubric": self._rubric.hash,
            "rubric_text": self._rubric.words(),
            "reasons": self._options.reasons,
            "samples": self._options.samples,
            "tokens_counted": self._counter.exact if self._counter is not None else None,
        }

    @property
    def service_tier(self) -> str | None:
        """As the user asked."""
        return self._options.service_tier

    @property
    def rubric_instructions(self) -> Any:
        """The rubric of this run."""
        return self._rubric


class _Item:
    """One completion to be graded."""

    __slots__ = ("completion", "digest", "known", "prompt", "turns")

    def __init__(self, prompt: str, turns: list[dict[str, Any]] | None, completion: str, digest: bytes) -> None:
        self.prompt = prompt
        self.turns = turns
        self.completion = completion
        self.digest = digest
        self.known: list[Known] = []


class _Asking:
    """One way to ask: a form of answer, with or without token probabilities."""

    def __init__(self, judge: JudgeScorer, form: str, *, logprobs: bool) -> None:
        self.judge = judge
        self.form = form
        self.logprobs = logprobs
        self.instructions = Instructions(judge.rubric_instructions, form)
        self.usual_output = 1 if form == "digit" else 8 if form == "json" else 45
        named = [PROMPT_VERSION, judge.name, form, logprobs, self.instructions.text]
        self._prefix = hashlib.blake2b(orjson.dumps(named), digest_size=16)
        self.fixed_tokens = estimate_tokens(self.instructions.text) + _FRAME
        self.fixed_most = most_tokens(self.instructions.text) + 4 * _FRAME

    def keys(self, item: _Item, n: int) -> list[bytes]:
        """The keys of n samples of an item: of the question's words, the prompt and the completion, and nothing else."""
        state = self._prefix.copy()
        state.update(item.digest)
        state.update(item.completion.encode())
        first = state.digest()
        if n == 1:
            return [first]
        keys = [first]
        for number in range(1, n):
            one = state.copy()
            one.update(b"\0%d" % number)
            keys.append(one.digest())
        return keys

    def text(self, item: _Item) -> str:
        """The part of the question that holds the data."""
        return question_text(item.prompt, item.turns, item.completion, self.instructions.reminder)


class _Question:
    """One request for the samples that are missing of one item."""

    __slots__ = ("_asking", "_item", "_lessons", "keys", "seen")
    path = PATH

    def __init__(self, asking: _Asking, item: _Item, keys: tuple[bytes, ...]) -> None:
        self._asking = asking
        self._item = item
        self._lessons = 0
        self.keys = keys
        self.seen = ""

    def rest(self, known: Sequence[Known]) -> _Question:
        """The question for those keys that were not answered."""
        had = {one.key for one in known}
        return _Question(self._asking, self._item, tuple(key for key in self.keys if key not in had))

    def _want(self) -> int:
        return len(self.keys) if self._asking.judge.dialect.several else 1

    def body(self) -> bytes:
        asking = self._asking
        dialect = asking.judge.dialect
        self._lessons = dialect.lessons
        return dialect.compose(
            asking.judge.name,
            asking.instructions.text,
            asking.text(self._item),
            asking.form,
            want=self._want(),
            logprobs=asking.logprobs and dialect.logprobs != "none",
            tier=asking.judge.service_tier,
        )

    def tokens(self) -> tuple[int, int, int]:
        asking, item = self._asking, self._item
        about = asking.fixed_tokens + 60 + estimate_tokens(item.prompt) + estimate_tokens(item.completion)
        # The data may grow a little where marks of chat templates are broken up.
        texts = most_tokens(item.prompt) + most_tokens(item.completion)
        most = asking.fixed_most + 400 + texts * 4 // 3 + 40 * len(item.turns or ())
        return about, most, self._want() * asking.judge.dialect.most_output(asking.form)

    def read(self, reply: Any) -> list[Reading]:
        dialect = self._asking.judge.dialect
        choices = reply["choices"]
        first = choices[0]
        if not ((first.get("message") or {}).get("content") or "").strip() and first.get("finish_reason") == "length":
            if dialect.longer():
                dialect.lessons += 1
            raise Unreadable("the judge's answer is empty: it had no token left after its reasoning")
        if len(choices) < self._want():
            dialect.several = False
        items = (first.get("logprobs") or {}).get("content") or []
        self.seen = "truncated" if items else "none"
        return read_choices(reply, json=self._asking.form != "digit")

    def rephrase(self, words: str) -> bool:
        dialect = self._asking.judge.dialect
        if dialect.lessons > self._lessons:
            return True
        if dialect.learn(words):
            self._asking.judge.remember()
            return True
        return False


def _believed(known: Known) -> bool:
    return known.variance is not None and (known.mass or 0.0) >= BELIEVABLE_MASS


def _expected(known: Sequence[Known]) -> ScoredCompletion:
    """From distributions: the mean of their means."""
    means = [one.score for one in known if one.score is not None]
    reason = next((one.text for one in known if isinstance(one.text, str)), None)
    if len(means) == 1:
        # The variance is of the grade's distribution; the mean itself is not drawn from it.
        return ScoredCompletion(means[0], None, known[0].variance, 1, (means[0],), reason)
    return ScoredCompletion(fmean(means), None, variance(means), len(means), tuple(means), reason)


def _sampled(known: Sequence[Known]) -> ScoredCompletion:
    """From single grades."""
    grades = [one.score for one in known if one.score is not None]
    reason = next((one.text for one in known if isinstance(one.text, str)), None)
    return ScoredCompletion(
        fmean(grades), None, variance(grades) if len(grades) > 1 else None, len(grades), tuple(grades), reason
    )


def _said(result: ScoredCompletion | None) -> ScoredCompletion:
    return result if result is not None else ScoredCompletion(None, "the judge gave no grade")


SCORER = JudgeScorer
