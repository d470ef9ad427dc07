"""A language model as the judge: K completions -> questions -> scores.

The first questions of a run tell what the endpoint gives (full, truncated or no token probabilities), unless the store
remembers it; they are questions that have to be asked anyway, so finding out costs nothing.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from itertools import islice
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from argilla_admap.scoring.cache.keys import KeySpace, key_hash
from argilla_admap.scoring.cache.store import CacheEntry
from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.judging.capabilities import MOST_ANSWER_TOKENS, Capabilities, filled
from argilla_admap.scoring.judging.choices import BELIEVABLE_MASS, read_choices
from argilla_admap.scoring.judging.grades import TooShort, may_go_on
from argilla_admap.scoring.judging.items import BatchItems
from argilla_admap.scoring.judging.models import announced_ending, look_for_model
from argilla_admap.scoring.judging.prompt import PROMPT_VERSION, Instructions, question_text
from argilla_admap.scoring.judging.rubric import SCALE, read_rubric
from argilla_admap.scoring.judging.thoughts import content_of
from argilla_admap.scoring.judging.tokens import TokenCounter, estimate_tokens, most_tokens, quick_tokens
from argilla_admap.scoring.options import DEFAULT_MODEL
from argilla_admap.scoring.scorer import ScoredCompletion, Work
from argilla_admap.scoring.scorers.guides import GUIDES, GuideWriter

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
#: Cut answers of one request, after which a first token with some probability on grades is taken for what it is.
_MOST_CUTS = 3
#: Up to so many tokens an answer may have been cut though the server does not say so.
_SHORT = 64
_NO_GRADE = "the judge gave no grade"
_NO_ANSWER_YET = (
    "output is that of a judge that does not think before it answers: one that does may take a hundred times as much; "
    "after a first run, such as with `limit` 20, the estimate knows"
)
#: Models that think before they answer, by their names; and tokens of an answer of theirs, until one was counted.
_THINKS = re.compile(
    r"(?:\A|/)o[1345](?:-|\Z)|gpt-5(?:-mini|-nano)?(?:-20\d\d|\Z)|deepseek-r|reasoner|qwq|thinking|magistral|gpt-oss",
    re.IGNORECASE,
)
_THOUGHTS = 500
_OWN_REFERENCE = "the data's own reference is used for the records that have one; it is not written anew"
_HOSTED = ("api.openai.com", ".openai.azure.com", ".cognitiveservices.azure.com")


class JudgeScorer:
    """Asks a chat model to grade each completion by the rubric on a scale of 1 to 5, one completion a request."""

    def __init__(self, options: ScoreOptions, session: Session) -> None:
        self.name = options.model
        self.cached = 0
        #: Answers that had tokens enough, and those that had not, since all were given more.
        self.answers = self._cut = 0
        #: An answer may have so many tokens, thoughts included.
        self.most_answer_tokens = options.max_answer_tokens or MOST_ANSWER_TOKENS
        self._options = options
        self._dispatcher: Dispatcher = session.dispatcher(options.model)
        self._rubric = read_rubric(options.rubric)
        hosted = any(host in self._dispatcher.name for host in _HOSTED)
        self.capabilities = Capabilities.recall(self._dispatcher.store.endpoint(self._dispatcher.name), hosted=hosted)
        self.capabilities.answer_tokens = min(self.capabilities.answer_tokens, self.most_answer_tokens)
        form = self._form = "reason" if options.reasons else "json" if options.method == "json" else "digit"
        names = GUIDES[options.guide]
        instructions = Instructions(self._rubric, form, names)
        self._writer = GuideWriter(
            self._dispatcher, self.name, self.capabilities, names, self.most_answer_tokens, options.service_tier
        )
        space = self._dispatcher.key_space
        self._templates = {
            logprobs: _RequestTemplate(self, instructions, form, options.service_tier, space, logprobs=logprobs)
            for logprobs in (True, False)
        }
        self._probing = asyncio.Lock()
        #: Whether an answer could be used.
        self._proven = not self._dispatcher.asks_later
        self._counter: TokenCounter | None = None
        self._estimated: set[bytes] = set()

    @property
    def wants_logprobs(self) -> bool:
        """Whether questions ask for token probabilities."""
        method = self._options.method
        return method == "logprobs" or (method == "auto" and self.capabilities.logprobs in ("", "full"))

    async def start(self) -> list[str]:
        named = self._options.model_named or self.name != DEFAULT_MODEL
        return await look_for_model(self._dispatcher.transport, self._dispatcher.name, self.name, named=named)

    async def score(self, batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
        items = BatchItems(batch)
        results: list[ScoredCompletion | None] = [None] * len(items)
        if self._writer.names:
            await self._guide(items, results)
        if self.wants_logprobs:
            samples = [0 if done else n for n, done in zip(self._samples(batch, 1), results, strict=True)]
            await self._by_logprobs(items, samples, results)
        if any(result is None for result in results):
            usual = 1 if self._options.method == "json" else SAMPLES_WITHOUT_LOGPROBS
            samples = [0 if done else n for n, done in zip(self._samples(batch, usual), results, strict=True)]
            await self._by_samples(items, samples, results)
        done = iter([result or ScoredCompletion(None, _NO_GRADE) for result in results])
        return [list(islice(done, k)) for k in items.shape]

    async def _guide(self, items: BatchItems, results: list[ScoredCompletion | None]) -> None:
        """Puts guides beside the records; completions of those that have none are left with the reason."""
        given, cached = self._writer.given, self._writer.cached
        guides = await self._writer.guides(items)
        self.cached += self._writer.cached - cached
        if self._writer.given and not given:
            self._dispatcher.say(_OWN_REFERENCE)
        items.guides = [guide.parts for guide in guides]
        for index in range(len(items)):
            if (error := guides[items.owner(index)].error) is not None:
                results[index] = ScoredCompletion(None, error)

    def _samples(self, batch: pa.RecordBatch, usual: int) -> list[int]:
        """How many samples of each completion, by index."""
        base = self._options.samples or usual
        plan = self._options.plan
        lengths: list[Any] = pc.list_value_length(batch.column("completions")).to_pylist()
        if not plan:
            return [base] * sum(lengths)
        ids: list[Any] = batch.column("id").to_pylist()
        return [max(base, n) for id_, k in zip(ids, lengths, strict=True) for n in plan.get(id_, (base,) * k)]

    async def _by_logprobs(self, items: BatchItems, samples: Sequence[int], results: list[ScoredCompletion | None]) -> None:
        """Fills in the results that token probabilities give; the others stay None."""
        template = self._templates[True]
        keys = items.keys(template.prefix, samples)
        if not self.capabilities.logprobs and self._options.method == "auto":
            answered = await self._probe(template, items, keys)
            if not self.wants_logprobs:
                # The probe's answers are kept; what it found out sends all completions another way.
                return
            # They are found in the store below, and were not there before this run.
            self.cached -= answered
        known, errors = await self._answers(template, items, keys)
        for index, group in enumerate(known):
            if samples[index]:
                results[index] = _expected(group) if group else ScoredCompletion(None, errors.get(index, _NO_GRADE))

    async def _by_samples(self, items: BatchItems, samples: Sequence[int], results: list[ScoredCompletion | None]) -> None:
        template = self._templates[False]
        known, errors = await self._answers(template, items, items.keys(template.prefix, samples))
        for index, group in enumerate(known):
            if samples[index]:
                results[index] = _sampled(group) if group else ScoredCompletion(None, errors.get(index, _NO_GRADE))

    async def _answers(
        self, template: _RequestTemplate, items: BatchItems, keys: Sequence[tuple[bytes, ...]]
    ) -> tuple[list[Sequence[CacheEntry]], dict[int, str]]:
        """What is known at each index, from the store or by asking; and the errors by index."""
        if not self._proven:
            self.cached -= await self._prove(template, items, keys)
        stored = self._dispatcher.cached([key for group in keys for key in group])
        self.cached += len(stored)
        known: list[Sequence[CacheEntry]] = []
        open_requests: list[tuple[int, _GradeRequest]] = []
        for index, group in enumerate(keys):
            # First what a resume finds a million times: one sample, and it is there.
            if len(group) == 1 and (one := stored.get(group[0])) is not None:
                known.append((one,))
                continue
            found = [stored[key] for key in group if key in stored]
            known.append(found)
            if len(found) < len(group):
                missing = tuple(key for key in group if key not in stored)
                # Choices of one request share its token probabilities: samples of those are requests of their own.
                groups = [(key,) for key in missing] if template.logprobs else [missing]
                open_requests += [(index, _GradeRequest(template, items, index, group)) for group in groups]
        errors: dict[int, str] = {}
        while open_requests:
            answers = await self._dispatcher.ask([request for _, request in open_requests])
            again = []
            for (index, request), answer in zip(open_requests, answers, strict=True):
                known[index] = [*known[index], *answer.entries]
                if answer.error is not None:
                    errors[index] = answer.error
                elif len(answer.entries) < len(request.keys):
                    # The endpoint gave fewer choices than asked for.
                    again.append((index, request.rest(answer.entries)))
            open_requests = again
        return known, errors

    async def _prove(self, template: _RequestTemplate, items: BatchItems, keys: Sequence[tuple[bytes, ...]]) -> int:
        """Asks first questions one by one, before all others go into a batch that nobody can stop; how many were answered.

        Raises:
            JudgeRefused: no answer to them can be used.
        """
        async with self._probing:
            self._proven = self._proven or bool(self._dispatcher.cached([key for group in keys for key in group]))
            first = [(index, group[:1]) for index, group in enumerate(keys) if group][:_MOST_PROBES]
            for index, group in [] if self._proven else first:
                answer = (await self._dispatcher.ask_now([_GradeRequest(template, items, index, group)]))[0]
                self._proven = bool(answer.entries)
                if self._proven:
                    return 1
            self._proven = self._proven or any(keys)
        return 0

    async def _probe(self, template: _RequestTemplate, items: BatchItems, keys: Sequence[tuple[bytes, ...]]) -> int:
        """Asks the first questions until the endpoint has shown what it gives; all other batches wait for that.

        Returns how many were answered.
        """
        answered = 0
        async with self._probing:
            if self.capabilities.logprobs:
                return 0
            stored = self._dispatcher.cached([group[0] for group in keys if group])
            if any(_believed(one) for one in stored.values()):
                self.capabilities.logprobs = "full"
                return 0
            indexes = [index for index, group in enumerate(keys) if group and group[0] not in stored]
            for index in indexes[:_MOST_PROBES]:
                request = _GradeRequest(template, items, index, keys[index][:1])
                answer = (await self._dispatcher.ask_now([request]))[0]
                answered += bool(answer.entries)
                if answer.entries and not self.capabilities.logprobs:
                    self.capabilities.logprobs = "full" if _believed(answer.entries[0]) else request.logprobs_seen
                if self.capabilities.logprobs:
                    break
            self.remember()
        return answered

    def answer_was_cut(self, limit: int) -> None:
        """An answer ended before its grade: all get more tokens, where none ended otherwise or surely over a tenth did.

        Args:
            limit: that it was asked with; what was asked with less or more than all have now says nothing of that.
        """
        if limit != self.capabilities.answer_tokens:
            return
        self._cut += 1
        # Two standard deviations of a Poisson count: the first few answers may hold one or two such by chance.
        many = not self.answers or self._cut - 2 * math.sqrt(self._cut) > 0.1 * self.answers
        if many and self.capabilities.longer(self.most_answer_tokens, self._form):
            self.capabilities.revision += 1
            self._cut = self.answers = 0
            self.remember()

    def remember(self) -> None:
        """Keeps what was learned of this endpoint and model."""
        self._dispatcher.store.remember_endpoint(self._dispatcher.name, self.capabilities.facts())

    def keys(self, batch: pa.RecordBatch) -> list[bytes]:
        """The store's keys of the batch's judgements, one sample each."""
        items = BatchItems(batch)
        return [group[0] for group in items.keys(self._templates[self.wants_logprobs].prefix, [1] * len(items))]

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        template = self._templates[self.wants_logprobs]
        items = BatchItems(batch)
        usual = 1 if template.logprobs or self._options.method == "json" else SAMPLES_WITHOUT_LOGPROBS
        cached = -self._writer.cached
        guides, writing = self._writer.known_guides(items)
        items.guides = [guide.parts for guide in guides]
        keys = items.keys(template.prefix, self._samples(batch, usual))
        stored = self._dispatcher.cached([key for group in keys for key in group])
        counter = self._counter = self._counter or TokenCounter(self.name)
        fixed = counter.count(template.instructions.text) + _FRAME
        learned = None if counter.exact else self._dispatcher.token_history.ratio
        requests, tokens_in, tokens_out = len(writing), sum(a for a, _ in writing), sum(b for _, b in writing)
        cached, repeated = cached + self._writer.cached, 0
        known_output = self._dispatcher.token_history.output(template.form)
        thinks = _THINKS.search(self.name) is not None
        usual_output = known_output or template.usual_output + (_THOUGHTS if thinks else 0)
        for index, group in enumerate(keys):
            if group[0] in self._estimated:
                repeated += 1
                continue
            self._estimated.add(group[0])
            missing = [key for key in group if key not in stored]
            cached += len(group) - len(missing)
            if not missing:
                continue
            calls = len(missing) if template.logprobs or not self.capabilities.several else 1
            requests += calls
            if learned is not None:
                tokens_in += calls * round(learned * template.about(items, index))
            else:
                tokens_in += calls * (fixed + counter.count(template.text(items, index)))
            tokens_out += round(len(missing) * usual_output)
        price = self._dispatcher.price
        cost = price.cost(tokens_in, tokens_out) if price is not None else None
        notes = [_NO_ANSWER_YET] if requests and known_output is None and not thinks else []
        if requests and known_output is None and thinks:
            notes.append(
                f"{self.name} thinks before it answers: {_THOUGHTS} tokens an answer are assumed, it may be more; after a "
                "first run, such as with `limit` 20, the estimate knows"
            )
        if self._writer.given:
            notes.append(_OWN_REFERENCE)
        if self._writer.names:
            notes.append(f"{' and '.join(self._writer.names)}: written once a prompt, and counted in")
        if known_output is not None and known_output > 3 * template.usual_output:
            notes.append(
                f"an answer of {self.name} takes about {known_output:.0f} tokens, thoughts included, as earlier runs saw"
            )
        if (ends := announced_ending(self._dispatcher.name, self.name, named=self._options.model_named)) is not None:
            notes.append(ends)
        return Work(requests, cached, tokens_in, tokens_out, cost, repeated, tuple(notes))

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
            "guide": self._options.guide,
            "references_of_the_data": self._writer.given,
            "samples": self._options.samples,
            "tokens_counted": self._counter.exact if self._counter is not None else None,
        }


class _RequestTemplate:
    """One way to ask: a form of answer, with or without token probabilities."""

    def __init__(
        self, judge: JudgeScorer, instructions: Instructions, form: str, tier: str | None, space: KeySpace, *, logprobs: bool
    ) -> None:
        self.judge = judge
        self.instructions = instructions
        self.form = form
        self.logprobs = logprobs
        self._tier = tier
        self.usual_output = 1 if form == "digit" else 8 if form == "json" else 45
        self.prefix = key_hash(PROMPT_VERSION, judge.name, form, logprobs, instructions.text, *space.parts)
        self.fixed_tokens = estimate_tokens(instructions.text) + _FRAME
        self.fixed_most = most_tokens(instructions.text) + 4 * _FRAME
        self._frames: dict[tuple[int, int, int, bool], tuple[bytes, bytes]] = {}

    def limit(self, answer_tokens: int) -> int:
        """Most tokens of an answer in this form."""
        capabilities = self.judge.capabilities
        most = min(self.judge.most_answer_tokens, capabilities.most_answer_tokens or self.judge.most_answer_tokens)
        return min(capabilities.most_output(self.form, answer_tokens), most)

    def frame(self, want: int, limit: int) -> tuple[bytes, bytes]:
        """The request around the text, for so many choices of at most so many tokens."""
        capabilities = self.judge.capabilities
        logprobs = self.logprobs and capabilities.logprobs != "none"
        key = want, limit, capabilities.revision, logprobs
        if key not in self._frames:
            self._frames[key] = capabilities.frame(
                self.judge.name,
                self.instructions.text,
                self.form,
                want=want,
                logprobs=logprobs,
                tier=self._tier,
                limit=limit,
            )
        return self._frames[key]

    def about(self, items: BatchItems, index: int) -> int:
        """About how many input tokens a request has, at a glance."""
        guide = sum(quick_tokens(text) + 16 for _, text in items.guide(index))
        return self.fixed_tokens + 60 + quick_tokens(items.prompt(index)) + quick_tokens(items.completion(index)) + guide

    def text(self, items: BatchItems, index: int) -> str:
        """The part of the request that holds the data."""
        return question_text(
            items.prompt(index),
            items.turns(index),
            items.completion(index),
            self.instructions.reminder,
            items.guide(index),
        )


class _GradeRequest:
    """One request for the samples that are missing of one item."""

    __slots__ = ("_answer_tokens", "_cuts", "_index", "_items", "_revision", "_template", "keys", "logprobs_seen")
    path = PATH

    def __init__(self, template: _RequestTemplate, items: BatchItems, index: int, keys: tuple[bytes, ...]) -> None:
        self._template = template
        self._items = items
        self._index = index
        self._revision = 0
        #: What it is asked with, where that is more than all others have; and how often its answer was cut.
        self._answer_tokens = self._cuts = 0
        self.keys = keys
        self.logprobs_seen = ""

    def rest(self, known: Sequence[CacheEntry]) -> _GradeRequest:
        """The request for those keys that were not answered."""
        had = {one.key for one in known}
        return _GradeRequest(self._template, self._items, self._index, tuple(key for key in self.keys if key not in had))

    @property
    def form(self) -> str:
        """The form of answer: answers of one form are about as long."""
        return self._template.form

    @property
    def outdated(self) -> bool:
        """Whether the endpoint's capabilities have changed since it was sent: the next try is put differently."""
        return self._template.judge.capabilities.revision > self._revision

    def _want(self) -> int:
        return len(self.keys) if self._template.judge.capabilities.several else 1

    def _limit(self) -> int:
        return self._template.limit(max(self._answer_tokens, self._template.judge.capabilities.answer_tokens))

    def body(self) -> bytes:
        template, capabilities = self._template, self._template.judge.capabilities
        self._revision = capabilities.revision
        self._answer_tokens = max(self._answer_tokens, capabilities.answer_tokens)
        return filled(template.frame(self._want(), self._limit()), template.text(self._items, self._index))

    def tokens(self) -> tuple[int, int, int]:
        template, index = self._template, self._index
        prompt, turns, completion = self._items.prompt(index), self._items.turns(index), self._items.completion(index)
        about = template.about(self._items, index)
        # The data may grow a little where marks of chat templates are broken up.
        texts = most_tokens(prompt) + most_tokens(completion)
        texts += sum(most_tokens(words) + 60 for _, words in self._items.guide(index))
        most = template.fixed_most + 400 + texts * 4 // 3 + 40 * len(turns or ())
        return about, most, self._want() * self._limit()

    def read(self, reply: Any) -> list[ParsedAnswer]:
        judge = self._template.judge
        choices = reply["choices"]
        try:
            answers = read_choices(reply, json=self._template.form != "digit")
        except Unreadable as exc:
            if isinstance(exc, TooShort) or (exc.again and self._used_up(reply)):
                return self._ask_for_more(exc)
            judge.answers += 1
            raise
        if len(choices) < self._want():
            judge.capabilities.several = False
        judge.answers += 1
        items = (choices[0].get("logprobs") or {}).get("content") or []
        self.logprobs_seen = "truncated" if items else "none"
        return answers

    def _used_up(self, reply: Any) -> bool:
        """Whether an answer without a grade used all its tokens, though the server says that it ended, and more may help."""
        sent = self._template.limit(self._answer_tokens)
        used = (reply.get("usage") or {}).get("completion_tokens")
        text = content_of(reply["choices"][0].get("message") or {}).text
        words = estimate_tokens(text) if sent <= _SHORT else 0
        most = max(words, used / len(reply["choices"]) if isinstance(used, (int, float)) else 0)
        return most >= sent and may_go_on(text)

    def _ask_for_more(self, cut: Unreadable) -> list[ParsedAnswer]:
        """The answer was cut before its grade: the next try may be longer, be it that all are, or this one.

        Raises:
            Unreadable: always, but for an answer whose first token may be flagged and is not asked for again.
        """
        judge, sent = self._template.judge, self._answer_tokens
        judge.answer_was_cut(sent)
        self._cuts += 1
        if judge.capabilities.answer_tokens > sent:
            raise Unreadable(str(cut)) from cut
        more = judge.capabilities.more_tokens(sent, judge.most_answer_tokens, self.form)
        if self._cuts >= _MOST_CUTS and isinstance(cut, TooShort) and cut.mass > 0:
            return [ParsedAnswer(None, None, cut.mass)]
        if more <= sent:
            # Longer is not allowed, and the same again would be paid for again.
            raise Unreadable(
                f"{cut}; it may have {self._template.limit(sent):,} tokens, thoughts included: allow more with "
                "`max_answer_tokens`",
                again=False,
            ) from cut
        self._answer_tokens = more
        raise Unreadable(str(cut)) from cut

    def negotiate(self, words: str) -> bool:
        capabilities = self._template.judge.capabilities
        if self.outdated:
            return True
        if capabilities.negotiate(words):
            self._template.judge.remember()
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
        # Older versions kept means that leave the scale by the last digit of a float.
        mean = min(max(mean or 0.0, float(SCALE[0])), float(SCALE[-1]))
        # The variance is of the grade's distribution; the mean itself is not drawn from it.
        return ScoredCompletion(mean, None, spread, 1, (mean,), reason)  # type: ignore[arg-type]  # a judge's text
    if not all(_believed(one) for one in known):
        return None
    means = [min(max(one.score, float(SCALE[0])), float(SCALE[-1])) for one in known if one.score is not None]
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
