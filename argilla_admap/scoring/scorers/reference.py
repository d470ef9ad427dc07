"""Similarity to a reference answer: cosine of sentence embeddings of a completion and of one good answer to its prompt.

The reference comes with the data (their column `reference`), or the judge's model writes one for each prompt, which is kept in
the judgement store, so that records with the same prompt share it.

A score is in -1..1, in practice 0..1; it says how alike the texts are in meaning, not how good either is. With
`samples` = N the model writes N references for a prompt: the score is the mean similarity, and its variance says how much it
depends on the reference (which moves regions more than one would think). One reference tells no variance.

Source: Lee et al., arXiv 2505.23114, section on reference-based alignment scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.scoring.cache.keys import key_hash
from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.options import DEFAULT_EMBEDDER
from argilla_admap.scoring.scorer import ScoredCompletion, ScorerOption, Work
from argilla_admap.scoring.scorers.embedders import Embedded, choose_embedder, cosine

if TYPE_CHECKING:
    import pyarrow as pa

    from argilla_admap.scoring.client.dispatcher import Dispatcher
    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["OPTIONS", "SCORER", "ReferenceScorer"]

OPTIONS = (
    ScorerOption(
        "embedding_model",
        "Embeds for the scorer reference: a model of the endpoint, or local:NAME (needs the extra `embeddings`).",
        default=DEFAULT_EMBEDDER,
    ),
    ScorerOption("embedding_base_url", "Where `embedding_model` is served. [default: where the judge is]"),
    ScorerOption(
        "reference_from",
        "Where reference answers come from: the data's column `reference`, the judge's model, or the first that has one.",
        default="auto",
        choices=("auto", "data", "judge"),
    ),
)

#: Part of the key of a written reference: raise it when the wording below changes.
PROMPT_VERSION = "reference-1"
_SYSTEM = "Answer the user's last message as well as you can: correct, complete, and no longer than it needs to be."
_MOST_TOKENS = 2048


class ReferenceScorer:
    """See the module."""

    name = "reference"

    def __init__(self, options: ScoreOptions, session: Session) -> None:
        self._options = options
        self._session = session
        self._source = options.extra.get("reference_from", "auto")
        self._writes = max(1, options.samples or 1)
        self._embedder = choose_embedder(options, session)
        self._dispatcher: Dispatcher | None = None
        self._cannot_write: str | None = None
        self._counts: Counter[str] = Counter()
        #: Judgements that the store held.
        self.cached = 0

    async def start(self) -> list[str]:
        return await self._embedder.start()

    async def score(self, batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
        rows = _rows(batch)
        references = await self._references(rows)
        texts = {text for row in rows for text in row.completions}
        texts |= {text for found in references for text in found.texts}
        embedded = await self._embedder.embed(sorted(texts))
        self.cached += sum(one.known for one in embedded.values())
        return [
            [_scored(embedded[text], found, embedded) for text in row.completions]
            for row, found in zip(rows, references, strict=True)
        ]

    async def _references(self, rows: list[_Row]) -> list[_References]:
        """For each record its reference answers, or why there is none."""
        found = [self._given(row) for row in rows]
        open_places = [place for place, one in enumerate(found) if one is None]
        dispatcher = self._writer() if open_places else None
        questions: dict[bytes, _ReferenceRequest] = {}
        if dispatcher is not None:
            for place in open_places:
                for question in self._questions(rows[place]):
                    questions.setdefault(question.keys[0], question)
            known = dispatcher.cached(list(questions))
            self.cached += len(known)
            asked = [question for key, question in questions.items() if key not in known]
            answers = dict(zip((question.keys[0] for question in asked), await dispatcher.ask(asked), strict=True))
            errors = {key: answer.error for key, answer in answers.items() if answer.error}
            known |= {key: answer.entries[0] for key, answer in answers.items() if answer.entries}
        for place in open_places:
            if dispatcher is None:
                reason = "the data have no reference answer"
                found[place] = _References((), f"{reason}, and none can be written: {self._cannot_write}")
                continue
            keys = [question.keys[0] for question in self._questions(rows[place])]
            texts = tuple(str(known[key].text) for key in keys if key in known)
            error = None if texts else next((e for key in keys if (e := errors.get(key))), "nothing came back")
            found[place] = _References(texts, error and f"no reference answer was written: {error}", written=True)
        self._counts.update(_kind(one) for one in found if one is not None)
        return [one for one in found if one is not None]

    def _given(self, row: _Row) -> _References | None:
        """The reference that the data carry; None where one is to be written."""
        if row.reference and row.reference.strip() and self._source != "judge":
            return _References((row.reference,), None)
        if self._source == "data":
            return _References((), "the data have no reference answer for this prompt (`reference_from` is data)")
        return None

    def _writer(self) -> Dispatcher | None:
        """The way to the model that writes; None where there is no key for it."""
        if self._dispatcher is None and self._cannot_write is None:
            try:
                self._dispatcher = self._session.dispatcher(self._options.model)
            except InputError as exc:
                self._cannot_write = str(exc)
        return self._dispatcher

    def _questions(self, row: _Row) -> list[_ReferenceRequest]:
        model = self._options.model
        writer = self._writer()
        parts = writer.key_space.parts if writer is not None else ()
        return [_ReferenceRequest(model, row.messages, sample, parts) for sample in range(self._writes)]

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        rows = _rows(batch)
        texts = {text for row in rows for text in row.completions}
        questions: dict[bytes, tuple[_ReferenceRequest, int]] = {}
        for row in rows:
            given = self._given(row)
            if given is not None:
                texts.update(given.texts)
                continue
            # A reference is about as long as the completions that it is compared with.
            length = sum(len(text.encode()) for text in row.completions) // (4 * max(1, len(row.completions)))
            for question in self._questions(row):
                questions.setdefault(question.keys[0], (question, min(length, _MOST_TOKENS)))
        dispatcher = self._writer() if questions else None
        if dispatcher is None:
            return self._embedder.estimate(sorted(texts))
        known = dispatcher.cached(list(questions))
        missing = [one for key, one in questions.items() if key not in known]
        tokens_in, tokens_out = sum(q.tokens()[0] for q, _ in missing), sum(out for _, out in missing)
        texts = {str(one.text) for one in known.values()} | texts
        work = self._embedder.estimate(sorted(texts))
        # What will be written is embedded too, in requests of its own at worst.
        cost = dispatcher.price.cost(tokens_in, tokens_out) if dispatcher.price is not None else None
        return Work(
            requests=len(missing) + work.requests + (1 if missing and work.requests else 0),
            cached=len(known) + work.cached,
            input_tokens=tokens_in + work.input_tokens + (tokens_out if work.requests else 0),
            output_tokens=tokens_out,
            cost_usd=None if cost is None or work.cost_usd is None else cost + work.cost_usd,
        )

    def facts(self) -> dict[str, Any]:
        facts = {"scorer": "reference", "range": [-1.0, 1.0], **self._embedder.facts(), "references": dict(self._counts)}
        if self._dispatcher is not None:
            facts |= {"model": self._options.model, "prompt_version": PROMPT_VERSION, "references_a_prompt": self._writes}
        return facts


@dataclass(frozen=True, slots=True)
class _Row:
    """What this scorer reads of a record."""

    messages: tuple[tuple[str, str], ...]
    completions: tuple[str, ...]
    reference: str | None


def _rows(batch: pa.RecordBatch) -> list[_Row]:
    names = [n for n in ("prompt", "turns", "completions", "reference") if n in batch.schema.names]
    rows = []
    for row in batch.select(names).to_pylist():
        turns: list[Mapping[str, str]] = row.get("turns") or [{"role": "user", "content": row["prompt"]}]
        messages = tuple((turn["role"] or "user", turn["content"] or "") for turn in turns)
        rows.append(_Row(messages, tuple(text or "" for text in row["completions"]), row.get("reference")))
    return rows


@dataclass(frozen=True, slots=True)
class _References:
    """A prompt's reference answers; or why there is none."""

    texts: tuple[str, ...]
    error: str | None
    written: bool = False


def _kind(found: _References) -> str:
    if found.error:
        return "absent"
    return "written" if found.written else "data"


def _scored(completion: Embedded, found: _References, embedded: Mapping[str, Embedded]) -> ScoredCompletion:
    if found.error is not None:
        return ScoredCompletion(None, found.error)
    if completion.vector is None:
        return ScoredCompletion(None, completion.error)
    others = [embedded[text] for text in found.texts]
    samples = tuple(cosine(completion.vector, other.vector) for other in others if other.vector is not None)
    if not samples:
        return ScoredCompletion(None, f"the reference answer has {others[0].error}")
    reason = None
    if found.written:
        shown = " ".join(found.texts[0].split())
        reason = f"Compared with the judge's own answer: {shown[:297] + '...' if len(shown) > 300 else shown}"
    spread = variance(samples) if len(samples) > 1 else None
    return ScoredCompletion(fmean(samples), None, spread, len(samples), samples, reason)


class _ReferenceRequest:
    """The request for one reference answer."""

    path = "/chat/completions"

    def __init__(self, model: str, messages: tuple[tuple[str, str], ...], sample: int, key_parts: tuple[str, ...]) -> None:
        self._model = model
        self._messages = messages
        self._limit = "max_completion_tokens"
        self.keys: tuple[bytes, ...] = (key_hash(PROMPT_VERSION, model, messages, sample, *key_parts).digest(),)

    def body(self) -> bytes:
        messages = [{"role": "system", "content": _SYSTEM}]
        messages += [{"role": role, "content": text} for role, text in self._messages]
        return orjson.dumps({"model": self._model, "messages": messages, self._limit: _MOST_TOKENS})

    def tokens(self) -> tuple[int, int, int]:
        length = sum(len(text.encode()) for _, text in self._messages) + len(_SYSTEM)
        return length // 4 + 10, length + 30, _MOST_TOKENS

    def read(self, reply: Any) -> list[ParsedAnswer]:
        text = reply["choices"][0]["message"].get("content")
        if not text or not text.strip():
            refused = reply["choices"][0]["message"].get("refusal")
            raise Unreadable(f"the model refused to answer: {refused}" if refused else "the answer is empty", again=not refused)
        return [ParsedAnswer(None, text=text)]

    def negotiate(self, words: str) -> bool:
        if self._limit == "max_completion_tokens" and self._limit in words:
            self._limit = "max_tokens"
            return True
        return False


SCORER = ReferenceScorer
