"""A language model as the judge: K completions -> questions -> scores.

The first questions of a run tell what the endpoint gives (full, truncated or no token probabilities), unless the store
remembers it; they are questions that have to be asked anyway, so finding out costs nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from argilla_admap.scoring.batch.batches import WAITS
from argilla_admap.scoring.cache.store import CacheEntry
from argilla_admap.scoring.judging.capabilities import MOST_ANSWER_TOKENS, Capabilities
from argilla_admap.scoring.judging.choices import BELIEVABLE_MASS
from argilla_admap.scoring.judging.items import BatchItems
from argilla_admap.scoring.judging.models import announced_ending, look_for_model
from argilla_admap.scoring.judging.prompt import PROMPT_VERSION, TOGETHER_VERSION, Instructions
from argilla_admap.scoring.judging.rubric import SCALE, read_rubric
from argilla_admap.scoring.judging.tokens import OUTPUT_PRICE, TokenCounter
from argilla_admap.scoring.options import DEFAULT_MODEL
from argilla_admap.scoring.questions.grade_question import FRAME_TOKENS, Asked, GradeQuestion, QuestionTemplate
from argilla_admap.scoring.questions.guides import GUIDES, GuideWriter
from argilla_admap.scoring.questions.together import MOST_TOGETHER, TogetherQuestion, distinct_texts, too_many
from argilla_admap.scoring.scorer import ScoredCompletion, Work

if TYPE_CHECKING:
    import pyarrow as pa

    from argilla_admap.scoring.client.dispatcher import Dispatcher
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["SCORER", "JudgeScorer"]

#: Samples a completion where the endpoint gives no distribution, unless the user says how many.
SAMPLES_WITHOUT_LOGPROBS = 3
#: The same where all completions of a record are graded together: both orders.
_BOTH_ORDERS = 2
_MOST_PROBES = 3
#: First questions for a record's grades together, after which a judge that answered none of them is asked for each alone.
_MOST_TOGETHER_PROBES = 5
_NO_GRADE = "the judge gave no grade"
_TOO_MANY = f"a record has more than {MOST_TOGETHER} completions"
_NEVER_TOGETHER = "this judge was found not to: none of its first answers held a grade for each"
_NO_ANSWER_YET = (
    "output is that of a judge that does not think before it answers: one that does may take a hundred times as much; "
    "after a first run, such as with `limit` 20, the estimate knows"
)
#: Models that think before they answer, by their names; and tokens of an answer of theirs, until one was counted.
_HOSTED_THINKERS = r"(?:\A|/)o[1345](?:-|\Z)|gpt-5(?:-mini|-nano)?(?:-20\d\d|\Z)|reasoner"
_THINKS = re.compile(
    rf"{_HOSTED_THINKERS}|deepseek-r|qwq|qwen3-[\d.]+b(?:-a\d+b)?(?:\Z|:|-fp8|-awq|-gguf)|thinking|magistral|gpt-oss",
    re.IGNORECASE,
)
#: Of these, those that give no token probabilities.
_NO_PROBABILITIES = re.compile(_HOSTED_THINKERS, re.IGNORECASE)
_THOUGHTS = 500
_OWN_REFERENCE = "the data's own reference is used for the records that have one; it is not written anew"
_HOSTED = ("api.openai.com", ".openai.azure.com", ".cognitiveservices.azure.com")


class JudgeScorer:
    """Asks a chat model to grade each completion by the rubric on a scale of 1 to 5, one completion a request."""

    def __init__(self, options: ScoreOptions, session: Session) -> None:
        self.name = options.model
        self.cached = 0
        self._options = options
        self._dispatcher: Dispatcher = session.dispatcher(options.model)
        self._rubric = read_rubric(options.rubric)
        hosted = any(host in self._dispatcher.name for host in _HOSTED)
        self.capabilities = Capabilities.recall(self._dispatcher.store.endpoint(self._dispatcher.name), hosted=hosted)
        most = options.max_answer_tokens or MOST_ANSWER_TOKENS
        self.capabilities.answer_tokens = min(self.capabilities.answer_tokens, most)
        asked = self._asked = Asked(self._dispatcher, self.name, self.capabilities, most, options.service_tier)
        form = "reason" if options.reasons else "json" if options.method == "json" else "digit"
        names = GUIDES[options.guide]
        self._writer = GuideWriter(self._dispatcher, self.name, self.capabilities, names, most, options.service_tier)
        instructions, several = Instructions(self._rubric, form, names), Instructions(self._rubric, "together", names)
        ways = (True, False)
        self._templates = {way: QuestionTemplate(asked, instructions, form, logprobs=way) for way in ways}
        self._together = {
            way: QuestionTemplate(asked, several, "together", logprobs=way, version=TOGETHER_VERSION) for way in ways
        }
        #: Records that were to be graded together and were not: their completions are asked for alone.
        self._apart: set[int] = set()
        self._together_proven = False
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
        if self._options.together:
            await self._by_together(batch, items, results)
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

    async def _by_together(self, batch: pa.RecordBatch, items: BatchItems, results: list[ScoredCompletion | None]) -> None:
        """Fills in the results of records whose completions one answer grades; the others stay None, to be asked for alone."""
        starts = [0, *accumulate(items.shape)]
        records = [n for n in range(len(items.shape)) if distinct_texts(items, n) and results[starts[n]] is None]
        self._say_apart(items, [n for n in range(len(items.shape)) if too_many(items, n)], _TOO_MANY)
        await self._prove_together(items, records)
        for logprobs in (True, False) if self.wants_logprobs else (False,):
            samples = self._together_samples(batch, items, logprobs=logprobs)
            asked = {n: self._together_questions(items, n, samples[n], logprobs=logprobs) for n in records}
            known, errors = await self._answers_together([question for own in asked.values() for question in own])
            left = []
            for record, own in asked.items():
                graded = [question for question in own if _holds_grades(question, known)]
                mine = slice(starts[record], starts[record + 1])
                if graded:
                    groups = [[known[question.key(text)] for question in graded] for text in items.record_completions(record)]
                    scored = [_expected(group) if logprobs else _sampled(group) for group in groups]
                    if None not in scored:
                        results[mine] = scored
                    else:
                        left.append(record)
                    continue
                why = next((errors[question.keys[0]] for question in own if question.keys[0] in errors), None)
                if why in (WAITS, self._dispatcher.stop_reason) and why is not None:
                    results[mine] = [ScoredCompletion(None, why)] * items.shape[record]
                    continue
                kept = known.get(own[0].keys[0])
                self._say_apart(items, [record], why or (_NEVER_TOGETHER if kept is None else str(kept.text)))
            records = left

    def _say_apart(self, items: BatchItems, records: Sequence[int], why: str) -> None:
        if records and not self._apart:
            words = "where one answer does not grade all completions of a record, each is asked for alone"
            self._dispatcher.say(f"`together`: {words} ({why})")
        self._apart.update(hash((items.record_prompt(n)[0], *items.record_completions(n))) for n in records)

    def _together_samples(self, batch: pa.RecordBatch, items: BatchItems, *, logprobs: bool) -> list[int]:
        """How many samples of each record."""
        samples = iter(self._samples(batch, 1 if logprobs else _BOTH_ORDERS))
        return [max(islice(samples, k), default=0) for k in items.shape]

    def _together_questions(self, items: BatchItems, record: int, samples: int, *, logprobs: bool) -> list[TogetherQuestion]:
        return [TogetherQuestion(self._together[logprobs], items, record, n) for n in range(samples)]

    async def _answers_together(
        self, questions: Sequence[TogetherQuestion]
    ) -> tuple[dict[bytes, CacheEntry], dict[bytes, str]]:
        """What is known by key, from the store or by asking; and the errors by a question's first key."""
        known = dict(self._dispatcher.cached([key for question in questions for key in question.keys]))
        self.cached += len(known)
        missing = [question for question in questions if not all(key in known for key in question.keys)]
        if not self.capabilities.together:
            missing = []
        errors = {}
        for question, outcome in zip(missing, await self._dispatcher.ask(missing), strict=True):
            known |= {entry.key: entry for entry in outcome.entries}
            if outcome.error is not None:
                errors[question.keys[0]] = outcome.error
        return known, errors

    async def _prove_together(self, items: BatchItems, records: Sequence[int]) -> None:
        """Asks the first questions one by one, while all others wait: whether the judge grades a record in one answer."""
        async with self._probing:
            if self._together_proven or not records or not self.capabilities.together:
                return
            template = self._together[self.wants_logprobs]
            first = [TogetherQuestion(template, items, n, 0) for n in records[:_MOST_TOGETHER_PROBES]]
            known = self._dispatcher.cached([key for question in first for key in question.keys])
            failed = answered = 0
            for question in first:
                entries = [known[key] for key in question.keys if key in known]
                if not entries:
                    entries = (await self._dispatcher.ask_now([question]))[0].entries
                    answered += len(entries)
                if entries and entries[0].score is not None:
                    self._together_proven = self._proven = True
                    if self._options.method == "auto" and not self.capabilities.logprobs:
                        believed = any(map(_believed, entries))
                        self.capabilities.logprobs = "full" if believed else question.logprobs_seen
                    break
                failed += bool(entries)
            if template.logprobs == self.wants_logprobs:
                # They are found in the store below, and were not there before this run.
                self.cached -= answered
            self.capabilities.together = failed < _MOST_TOGETHER_PROBES
            self._asked.remember()

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
        self, template: QuestionTemplate, items: BatchItems, keys: Sequence[tuple[bytes, ...]]
    ) -> tuple[list[Sequence[CacheEntry]], dict[int, str]]:
        """What is known at each index, from the store or by asking; and the errors by index."""
        if not self._proven:
            self.cached -= await self._prove(template, items, keys)
        stored = self._dispatcher.cached([key for group in keys for key in group])
        self.cached += len(stored)
        known: list[Sequence[CacheEntry]] = []
        open_requests: list[tuple[int, GradeQuestion]] = []
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
                apart = template.logprobs or not self.capabilities.several
                groups = [(key,) for key in missing] if apart else [missing]
                open_requests += [(index, GradeQuestion(template, items, index, group)) for group in groups]
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

    async def _prove(self, template: QuestionTemplate, items: BatchItems, keys: Sequence[tuple[bytes, ...]]) -> int:
        """Asks first questions one by one, before all others go into a batch that nobody can stop; how many were answered.

        Raises:
            JudgeRefused: no answer to them can be used.
        """
        async with self._probing:
            self._proven = self._proven or bool(self._dispatcher.cached([key for group in keys for key in group]))
            first = [(index, group) for index, group in enumerate(keys) if group][:_MOST_PROBES]
            for index, group in [] if self._proven else first:
                # As many choices as the batch will ask for: whether the endpoint gives them must not be found out there.
                want = group[:1] if template.logprobs else group
                answer = (await self._dispatcher.ask_now([GradeQuestion(template, items, index, want)]))[0]
                self._proven = bool(answer.entries)
                if self._proven:
                    return len(answer.entries)
            self._proven = self._proven or any(keys)
        return 0

    async def _probe(self, template: QuestionTemplate, items: BatchItems, keys: Sequence[tuple[bytes, ...]]) -> int:
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
                request = GradeQuestion(template, items, index, keys[index][:1])
                answer = (await self._dispatcher.ask_now([request]))[0]
                answered += bool(answer.entries)
                if answer.entries and not self.capabilities.logprobs:
                    self.capabilities.logprobs = "full" if _believed(answer.entries[0]) else request.logprobs_seen
                if self.capabilities.logprobs:
                    break
            self._asked.remember()
        return answered

    def keys(self, batch: pa.RecordBatch) -> list[bytes]:
        """The store's keys of the batch's judgements, one sample each."""
        items = BatchItems(batch)
        return [group[0] for group in items.keys(self._templates[self.wants_logprobs].prefix, [1] * len(items))]

    @property
    def _expects_logprobs(self) -> bool:
        """As `wants_logprobs`, for an estimate: where nothing is known yet, hosted models that think are taken to give none."""
        unknown = self._options.method == "auto" and not self.capabilities.logprobs
        return self.wants_logprobs and not (unknown and _NO_PROBABILITIES.search(self.name))

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        template = self._templates[self._expects_logprobs]
        items = BatchItems(batch)
        usual = 1 if template.logprobs or self._options.method == "json" else SAMPLES_WITHOUT_LOGPROBS
        cached = -self._writer.cached
        guides, writing = self._writer.known_guides(items)
        items.guides = [guide.parts for guide in guides]
        keys = items.keys(template.prefix, self._samples(batch, usual))
        stored = self._dispatcher.cached([key for group in keys for key in group])
        counter = self._counter = self._counter or TokenCounter(self.name)
        fixed = counter.count(template.instructions.text) + FRAME_TOKENS
        learned = None if counter.exact else self._dispatcher.token_history.ratio
        together, alone = self._estimate_together(batch, items, counter)
        requests, tokens_in, tokens_out = (
            len(writing) + together.requests,
            sum(a for a, _ in writing) + together.input_tokens,
            sum(b for _, b in writing) + together.output_tokens,
        )
        cached, repeated = cached + self._writer.cached + together.cached, together.repeated
        known_output = self._dispatcher.token_history.output(template.form)
        thinks = _THINKS.search(self.name) is not None
        usual_output = known_output or template.usual_output + (_THOUGHTS if thinks else 0)
        for index, group in enumerate(keys):
            if items.owner(index) not in alone:
                continue
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
                f"the judge {self.name} thinks before it answers: {_THOUGHTS} tokens an answer are assumed, it may be more; "
                "after a first run, such as with `limit` 20, the estimate knows"
            )
            if not template.logprobs and self._options.samples is None and self._options.method == "auto":
                notes.append(
                    f"models such as {self.name} give no token probabilities: {usual} samples of each grade are counted; "
                    "`samples` 1 takes a third"
                )
        if together.requests:
            notes.append(
                "where one answer does not grade all completions of a record, each is asked for alone, not counted in here"
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
        return Work(requests, cached, tokens_in, tokens_out, cost, repeated, tuple(notes), together.share)

    def _estimate_together(self, batch: pa.RecordBatch, items: BatchItems, counter: TokenCounter) -> tuple[Work, set[int]]:
        """What the questions for whole records take; and the records whose completions are asked for alone."""
        records = [n for n in range(len(items.shape)) if distinct_texts(items, n)] if self._options.together else []
        logprobs, history = self._expects_logprobs, self._dispatcher.token_history
        template, samples = self._together[logprobs], self._together_samples(batch, items, logprobs=logprobs)
        asked = {n: self._together_questions(items, n, samples[n], logprobs=logprobs) for n in records}
        stored = self._dispatcher.cached([key for own in asked.values() for question in own for key in question.keys])
        fixed = counter.count(template.instructions.text) + FRAME_TOKENS
        ratio, known = None if counter.exact else history.ratio, history.output(template.form)
        thoughts = _THOUGHTS if _THINKS.search(self.name) else 0
        requests = cached = tokens_in = tokens_out = repeated = 0
        at_a_glance = one_by_one = 0.0
        alone = set(range(len(items.shape))) - set(records)
        for record, own in asked.items():
            if own[0].keys[0] in self._estimated:
                repeated += items.shape[record]
                continue
            missing = [question for question in own if question.keys[0] not in stored and self.capabilities.together]
            if not missing and not any(_holds_grades(question, stored) for question in own):
                alone.add(record)
                continue
            self._estimated.add(own[0].keys[0])
            repeated += items.shape[record] - len(own[0].keys)
            cached += sum(key in stored for question in own for key in question.keys)
            requests += len(missing)
            for question in missing:
                about = fixed + question.count(counter) if ratio is None else round(ratio * question.tokens()[0])
                tokens_in += about
                said = len(question.keys) * (known or template.usual_output) + (thoughts if not known else 0)
                tokens_out += round(said)
                at_a_glance += question.tokens()[0] + OUTPUT_PRICE * said
                one_by_one += question.one_by_one(self._templates[logprobs]) + OUTPUT_PRICE * len(question.keys) * (
                    1 + thoughts
                )
        return Work(requests, cached, tokens_in, tokens_out, repeated=repeated, share=(at_a_glance, one_by_one)), alone

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
            "together": self._options.together,
            "graded_apart": len(self._apart),
            "references_of_the_data": self._writer.given,
            "samples": self._options.samples,
            "tokens_counted": self._counter.exact if self._counter is not None else None,
        }


def _holds_grades(question: TogetherQuestion, known: Mapping[bytes, CacheEntry]) -> bool:
    return all(key in known and known[key].score is not None for key in question.keys)


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
