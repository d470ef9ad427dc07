"""A language model as the judge: K completions -> questions -> scores.

The first questions of a run tell what the endpoint gives (full, truncated or no token probabilities), unless the store
remembers it; they are questions that have to be asked anyway, so finding out costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from argilla_admap.scoring.cache.keys import KeySpace, key_hash
from argilla_admap.scoring.cache.store import CacheEntry
from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.judging.capabilities import Capabilities, filled
from argilla_admap.scoring.judging.grades import BELIEVABLE_MASS, read_choices
from argilla_admap.scoring.judging.items import Sheet
from argilla_admap.scoring.judging.models import ending_models
from argilla_admap.scoring.judging.prompt import PROMPT_VERSION, Instructions, question_text
from argilla_admap.scoring.judging.rubric import SCALE, read_rubric
from argilla_admap.scoring.judging.tokens import TokenCounter, estimate_tokens, most_tokens, quick_tokens
from argilla_admap.scoring.scorer import ScoredCompletion, Work

if TYPE_CHECKING:
    import pyarrow as pa

    from argilla_admap.scoring.client.dispatcher import Dispatcher
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["SCORER", "JudgeScorer"]

PATH = "/chat/completions"
#: Samples a completion where the endpoint gives no distribution, unless the user says how many.
SAMPLES_WITHOUT_LOGPROBS = 3
#: Tokens that a chat adds around its messages.
_FRAME = 12
_MOST_PROBES = 3
_NO_GRADE = "the judge gave no grade"
_HOSTED = ("api.openai.com", ".openai.azure.com", ".cognitiveservices.azure.com")


class JudgeScorer:
    """Asks a chat model to grade each completion by the rubric on a scale of 1 to 5, one completion a question."""

    def __init__(self, options: ScoreOptions, session: Session) -> None:
        self.name = options.model
        self.cached = 0
        #: Answers that had tokens enough, and those that had not, since all were given more.
        self.answers = self._empty = 0
        self._options = options
        self._dispatcher: Dispatcher = session.dispatcher(options.model)
        self._rubric = read_rubric(options.rubric)
        hosted = any(host in self._dispatcher.name for host in _HOSTED)
        self.capabilities = Capabilities.recall(self._dispatcher.store.endpoint(self._dispatcher.name), hosted=hosted)
        form = "reason" if options.reasons else "json" if options.method == "json" else "digit"
        self._asking = {
            True: _Asking(self, form, logprobs=True),
            False: _Asking(self, form, logprobs=False),
        }
        self._probing = asyncio.Lock()
        self._counter: TokenCounter | None = None
        self._estimated: set[bytes] = set()

    @property
    def wants_logprobs(self) -> bool:
        """Whether questions ask for token probabilities."""
        method = self._options.method
        return method == "logprobs" or (method == "auto" and self.capabilities.logprobs in ("", "full"))

    async def start(self) -> list[str]:
        return await ending_models(self._dispatcher.transport, self.name)

    async def score(self, batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
        sheet = Sheet(batch)
        results: list[ScoredCompletion | None] = [None] * len(sheet)
        if self.wants_logprobs:
            await self._by_logprobs(sheet, self._samples(batch, 1), results)
        if any(result is None for result in results):
            usual = 1 if self._options.method == "json" else SAMPLES_WITHOUT_LOGPROBS
            samples = [0 if done else n for n, done in zip(self._samples(batch, usual), results, strict=True)]
            await self._by_samples(sheet, samples, results)
        done = iter([result or ScoredCompletion(None, _NO_GRADE) for result in results])
        return [list(islice(done, k)) for k in sheet.shape]

    def _samples(self, batch: pa.RecordBatch, usual: int) -> list[int]:
        """How many samples of each completion, by place."""
        base = self._options.samples or usual
        plan = self._options.plan
        lengths: list[Any] = pc.list_value_length(batch.column("completions")).to_pylist()
        if not plan:
            return [base] * sum(lengths)
        ids: list[Any] = batch.column("id").to_pylist()
        return [max(base, n) for id_, k in zip(ids, lengths, strict=True) for n in plan.get(id_, (base,) * k)]

    async def _by_logprobs(self, sheet: Sheet, samples: Sequence[int], results: list[ScoredCompletion | None]) -> None:
        """Fills in the results that token probabilities give; the others stay None."""
        asking = self._asking[True]
        keys = sheet.keys(asking.prefix, samples)
        if not self.capabilities.logprobs and self._options.method == "auto":
            answered = await self._probe(asking, sheet, keys)
            if not self.wants_logprobs:
                # The probe's answers are kept; what it found out sends all completions another way.
                return
            # They are found in the store below, and were not there before this run.
            self.cached -= answered
        known, errors = await self._answers(asking, sheet, keys)
        for place, some in enumerate(known):
            results[place] = _expected(some) if some else ScoredCompletion(None, errors.get(place, _NO_GRADE))

    async def _by_samples(self, sheet: Sheet, samples: Sequence[int], results: list[ScoredCompletion | None]) -> None:
        asking = self._asking[False]
        known, errors = await self._answers(asking, sheet, sheet.keys(asking.prefix, samples))
        for place, some in enumerate(known):
            if samples[place]:
                results[place] = _sampled(some) if some else ScoredCompletion(None, errors.get(place, _NO_GRADE))

    async def _answers(
        self, asking: _Asking, sheet: Sheet, keys: Sequence[tuple[bytes, ...]]
    ) -> tuple[list[Sequence[CacheEntry]], dict[int, str]]:
        """What is known at each place, from the store or by asking; and the errors by place."""
        stored = self._dispatcher.cached([key for some in keys for key in some])
        self.cached += len(stored)
        known: list[Sequence[CacheEntry]] = []
        waiting: list[tuple[int, _Question]] = []
        for place, some in enumerate(keys):
            # First what a resume finds a million times: one sample, and it is there.
            if len(some) == 1 and (one := stored.get(some[0])) is not None:
                known.append((one,))
                continue
            found = [stored[key] for key in some if key in stored]
            known.append(found)
            if len(found) < len(some):
                missing = tuple(key for key in some if key not in stored)
                # Choices of one request share its token probabilities: samples of those are requests of their own.
                groups = [(key,) for key in missing] if asking.logprobs else [missing]
                waiting += [(place, _Question(asking, sheet, place, group)) for group in groups]
        errors: dict[int, str] = {}
        while waiting:
            answers = await self._dispatcher.ask([question for _, question in waiting])
            again = []
            for (place, question), answer in zip(waiting, answers, strict=True):
                known[place] = [*known[place], *answer.entries]
                if answer.error is not None:
                    errors[place] = answer.error
                elif len(answer.entries) < len(question.keys):
                    # The endpoint gave fewer choices than asked for.
                    again.append((place, question.rest(answer.entries)))
            waiting = again
        return known, errors

    async def _probe(self, asking: _Asking, sheet: Sheet, keys: Sequence[tuple[bytes, ...]]) -> int:
        """Asks the first questions until the endpoint has shown what it gives; all other batches wait for that.

        Returns how many were answered.
        """
        answered = 0
        async with self._probing:
            if self.capabilities.logprobs:
                return 0
            stored = self._dispatcher.cached([some[0] for some in keys])
            if any(_believed(one) for one in stored.values()):
                self.capabilities.logprobs = "full"
                return 0
            places = [place for place, some in enumerate(keys) if some[0] not in stored]
            for place in places[:_MOST_PROBES]:
                question = _Question(asking, sheet, place, keys[place][:1])
                answer = (await self._dispatcher.ask_now([question]))[0]
                answered += bool(answer.entries)
                if answer.entries and not self.capabilities.logprobs:
                    self.capabilities.logprobs = "full" if _believed(answer.entries[0]) else question.seen
                if self.capabilities.logprobs:
                    break
            self.remember()
        return answered

    def lacked_tokens(self) -> None:
        """An answer ended before it began: all are given more tokens, unless hardly any other ended so."""
        self._empty += 1
        if self._empty > 0.1 * self.answers and self.capabilities.longer():
            self.capabilities.revision += 1
            self._empty = self.answers = 0

    def remember(self) -> None:
        """Keeps what was learned of this endpoint and model."""
        self._dispatcher.store.remember_endpoint(self._dispatcher.name, self.capabilities.facts())

    def keys(self, batch: pa.RecordBatch) -> list[bytes]:
        """The store's keys of the batch's judgements, one sample each."""
        sheet = Sheet(batch)
        return [some[0] for some in sheet.keys(self._asking[self.wants_logprobs].prefix, [1] * len(sheet))]

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        asking = self._asking[self.wants_logprobs]
        sheet = Sheet(batch)
        usual = 1 if asking.logprobs or self._options.method == "json" else SAMPLES_WITHOUT_LOGPROBS
        keys = sheet.keys(asking.prefix, self._samples(batch, usual))
        stored = self._dispatcher.cached([key for some in keys for key in some])
        counter = self._counter = self._counter or TokenCounter(self.name)
        fixed = counter.count(asking.instructions.text) + _FRAME
        learned = None if counter.exact else self._dispatcher.token_history.ratio
        requests = tokens_in = tokens_out = 0
        for place, some in enumerate(keys):
            missing = [key for key in some if key not in stored]
            if not missing or some[0] in self._estimated:
                continue
            self._estimated.add(some[0])
            calls = len(missing) if asking.logprobs or not self.capabilities.several else 1
            requests += calls
            if learned is not None:
                tokens_in += calls * round(learned * asking.about(sheet, place))
            else:
                tokens_in += calls * (fixed + counter.count(asking.text(sheet, place)))
            tokens_out += len(missing) * asking.usual_output
        price = self._dispatcher.price
        cost = price.cost(tokens_in, tokens_out) if price is not None else None
        return Work(requests, len(stored), tokens_in, tokens_out, cost)

    def facts(self) -> dict[str, Any]:
        return {
            "scorer": "judge",
            "range": [float(SCALE[0]), float(SCALE[-1])],
            "model": self.name,
            "endpoint": self._dispatcher.name.rpartition(" ")[0],
            "method": "logprobs" if self.wants_logprobs else "json" if self._options.method == "json" else "sample",
            "prompt_version": PROMPT_VERSION,
            "rubric": self._rubric.hash,
            "rubric_text": self._rubric.words(),
            "reasons": self._options.reasons,
            "samples": self._options.samples,
            "tokens_counted": self._counter.exact if self._counter is not None else None,
        }

    @property
    def key_space(self) -> KeySpace:
        """What goes into the keys of its judgements."""
        return self._dispatcher.key_space

    @property
    def service_tier(self) -> str | None:
        """As the user asked."""
        return self._options.service_tier

    @property
    def rubric_instructions(self) -> Any:
        """The rubric of this run."""
        return self._rubric


class _Asking:
    """One way to ask: a form of answer, with or without token probabilities."""

    def __init__(self, judge: JudgeScorer, form: str, *, logprobs: bool) -> None:
        self.judge = judge
        self.form = form
        self.logprobs = logprobs
        self.instructions = Instructions(judge.rubric_instructions, form)
        self.usual_output = 1 if form == "digit" else 8 if form == "json" else 45
        self.prefix = key_hash(PROMPT_VERSION, judge.name, form, logprobs, self.instructions.text, *judge.key_space.parts)
        self.fixed_tokens = estimate_tokens(self.instructions.text) + _FRAME
        self.fixed_most = most_tokens(self.instructions.text) + 4 * _FRAME
        self._frames: dict[tuple[int, int, bool], tuple[bytes, bytes]] = {}

    def frame(self, want: int) -> tuple[bytes, bytes]:
        """The request around the text, for so many choices; made anew after each lesson."""
        capabilities = self.judge.capabilities
        logprobs = self.logprobs and capabilities.logprobs != "none"
        key = want, capabilities.revision, logprobs
        if key not in self._frames:
            self._frames[key] = capabilities.frame(
                self.judge.name,
                self.instructions.text,
                self.form,
                want=want,
                logprobs=logprobs,
                tier=self.judge.service_tier,
            )
        return self._frames[key]

    def about(self, sheet: Sheet, place: int) -> int:
        """About how many input tokens a question has, at a glance."""
        return self.fixed_tokens + 60 + quick_tokens(sheet.prompt(place)) + quick_tokens(sheet.completion(place))

    def text(self, sheet: Sheet, place: int) -> str:
        """The part of the question that holds the data."""
        return question_text(sheet.prompt(place), sheet.turns(place), sheet.completion(place), self.instructions.reminder)


class _Question:
    """One request for the samples that are missing of one item."""

    __slots__ = ("_asking", "_place", "_revision", "_sheet", "keys", "seen")
    path = PATH

    def __init__(self, asking: _Asking, sheet: Sheet, place: int, keys: tuple[bytes, ...]) -> None:
        self._asking = asking
        self._sheet = sheet
        self._place = place
        self._revision = 0
        self.keys = keys
        self.seen = ""

    def rest(self, known: Sequence[CacheEntry]) -> _Question:
        """The question for those keys that were not answered."""
        had = {one.key for one in known}
        return _Question(self._asking, self._sheet, self._place, tuple(key for key in self.keys if key not in had))

    def _want(self) -> int:
        return len(self.keys) if self._asking.judge.capabilities.several else 1

    def body(self) -> bytes:
        asking = self._asking
        self._revision = asking.judge.capabilities.revision
        return filled(asking.frame(self._want()), asking.text(self._sheet, self._place))

    def tokens(self) -> tuple[int, int, int]:
        asking, place = self._asking, self._place
        prompt, turns, completion = self._sheet.prompt(place), self._sheet.turns(place), self._sheet.completion(place)
        about = asking.about(self._sheet, place)
        # The data may grow a little where marks of chat templates are broken up.
        texts = most_tokens(prompt) + most_tokens(completion)
        most = asking.fixed_most + 400 + texts * 4 // 3 + 40 * len(turns or ())
        return about, most, self._want() * asking.judge.capabilities.most_output(asking.form)

    def read(self, reply: Any) -> list[ParsedAnswer]:
        capabilities = self._asking.judge.capabilities
        choices = reply["choices"]
        first = choices[0]
        content = (first.get("message") or {}).get("content") or ""
        if isinstance(content, str) and not content.strip() and first.get("finish_reason") == "length":
            # What was sent before the last lesson says nothing about it.
            if self._revision == capabilities.revision:
                self._asking.judge.lacked_tokens()
            raise Unreadable("the judge's answer is empty: it had no token left after its reasoning")
        if len(choices) < self._want():
            capabilities.several = False
        self._asking.judge.answers += 1
        items = (first.get("logprobs") or {}).get("content") or []
        self.seen = "truncated" if items else "none"
        return read_choices(reply, json=self._asking.form != "digit")

    def negotiate(self, words: str) -> bool:
        capabilities = self._asking.judge.capabilities
        if capabilities.revision > self._revision:
            return True
        if capabilities.learn(words):
            self._asking.judge.remember()
            return True
        return False


def _believed(known: CacheEntry) -> bool:
    return known.variance is not None and (known.mass or 0.0) >= BELIEVABLE_MASS


def _expected(known: Sequence[CacheEntry]) -> ScoredCompletion | None:
    """From distributions: the mean of their means. None where one of them is not to be believed."""
    if len(known) == 1:
        _, mean, spread, mass, reason, _, _, _ = known[0]
        if spread is None or mass is None or mass < BELIEVABLE_MASS:
            return None
        # The variance is of the grade's distribution; the mean itself is not drawn from it.
        return ScoredCompletion(mean, None, spread, 1, (mean,), reason)  # type: ignore[arg-type]  # a judge's text
    if not all(_believed(one) for one in known):
        return None
    means = [one.score for one in known if one.score is not None]
    words = next((one.text for one in known if isinstance(one.text, str)), None)
    return ScoredCompletion(fmean(means), None, variance(means), len(means), tuple(means), words)


def _sampled(known: Sequence[CacheEntry]) -> ScoredCompletion:
    """From single grades."""
    grades = [one.score for one in known if one.score is not None]
    reason = next((one.text for one in known if isinstance(one.text, str)), None)
    return ScoredCompletion(
        fmean(grades), None, variance(grades) if len(grades) > 1 else None, len(grades), tuple(grades), reason
    )


SCORER = JudgeScorer
