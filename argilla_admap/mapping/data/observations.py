"""Pass one over a stream: the numbers that the map needs, in compact arrays. No text is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, UInts, offsets_of
from argilla_admap.mapping.data.arrow_columns import double_column
from argilla_admap.mapping.data.near_duplicates import Prompts, join_alike, word_keys
from argilla_admap.mapping.data.text_features import TextFacts, facts_of, fingerprints, hashed_words, join_facts, prompt_facts
from argilla_admap.tables import RecordStream

__all__ = ["Observations", "observe", "scores_of_samples"]

#: With several judges the columns of judge NAME stand beside the first judge's as `scores.NAME`.
OTHER_JUDGE = "scores."
#: Up to so many records the words of the texts are looked at too, without scores and with; beyond, what they add to the rest
#: does not pay for the time.
WORDS_RECORDS = {False: 12_000, True: 4_000}
#: Threads that read texts.
WORKERS = 2
#: Larger numbers count as absent: their squares are beyond floating point.
LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class Observations:
    """What is known of each record and each completion, as arrays.

    Attributes:
        ids: of the records.
        offsets: shape (n + 1,): the completions of record i are offsets[i]..offsets[i + 1] in every flat array.
        ratings, scores: flat; NaN where absent.
        sample_variances: flat, the judge's variance of one sample; NaN where unknown.
        sample_counts: flat, samples behind a score; 0 where unscored or unknown.
        other_scores: by judge's name, flat.
        models: flat codes into `model_names`; -1 where unknown.
        sources: shape (n,), codes into `source_names`; -1 where unknown.
        keys: shape (n,), a number of each id: an order that does not depend on the rows'.
        prompt_keys: shape (n,), equal for prompts of the same words, and for those nearly alike where the completions are the
            same; 0 where the prompt is empty.
        prompt_scripts: shape (n,), codes into `SCRIPTS`; -1 where unknown.
        prompt_foreign: shape (n,), prompts in another Latin-written language than English; told where a completion is in one.
        translations: shape (n,), whether the prompt speaks of a translation or of a language.
        completion_keys: flat, equal for equal texts, and for those nearly alike in different records of a prompt.
        texts: facts of each completion, flat.
        words: hashed words of each completion, sparse; None beyond `WORDS_RECORDS`.
    """

    ids: pa.ChunkedArray[Any]
    offsets: Ints
    ratings: Floats
    scores: Floats
    sample_variances: Floats
    sample_counts: Ints
    other_scores: Mapping[str, Floats]
    models: Ints
    model_names: tuple[str, ...]
    sources: Ints
    source_names: tuple[str, ...]
    keys: UInts
    prompt_keys: UInts
    prompt_scripts: Ints
    prompt_foreign: Bools
    translations: Bools
    completion_keys: UInts
    texts: TextFacts
    words: Any

    @property
    def n(self) -> int:
        """How many records."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Ints:
        """K of each record, shape (n,)."""
        return np.diff(self.offsets)

    def error_variances(self) -> Floats:
        """The variance of a score's own error: that of one sample over the samples; flat, NaN where unknown.

        One sample tells none: the variance that stands beside an expected score is the spread of the judge's grades, of which
        the score is the mean and not a draw.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.sample_counts > 1, self.sample_variances / self.sample_counts, np.nan)


@dataclass(frozen=True, slots=True)
class _Texts:
    """What the texts of one batch say."""

    keys: UInts
    facts: TextFacts
    words: Any
    prompt_keys: UInts
    prompt_words: UInts
    prompt_lengths: Ints
    prompt_scripts: Ints
    prompt_foreign: Bools
    translations: Bools


def _read_texts(batch: pa.RecordBatch, words: bool) -> _Texts:
    texts: Any = batch.column("completions")
    flat = texts.flatten()
    prompts: Any = batch.column("prompt")
    facts = facts_of(flat)
    # Only beside a completion in a foreign language does it count whether the prompt is in one.
    foreign = np.zeros(len(prompts), bool)
    foreign[np.repeat(np.arange(len(prompts)), _sizes(texts))[facts.foreign]] = True
    said = prompt_facts(prompts, foreign)
    words_of_prompt = word_keys(prompts)
    return _Texts(
        keys=fingerprints(flat),
        facts=facts,
        words=hashed_words(flat) if words else None,
        prompt_keys=np.where(said.empty, np.uint64(0), fingerprints(prompts)),
        # A request for a translation is another one than its text alone, however little it adds.
        prompt_words=np.where(said.translation & (words_of_prompt != 0), ~words_of_prompt, words_of_prompt),
        prompt_lengths=np.asarray(pc.fill_null(pc.binary_length(prompts), 0)).astype(np.int64),
        prompt_scripts=said.script,
        prompt_foreign=said.foreign,
        translations=said.translation,
    )


@dataclass(slots=True)
class _Columns:
    """Collects the pieces of every batch."""

    ids: list[pa.Array[Any]] = field(default_factory=list)
    sizes: list[Ints] = field(default_factory=list)
    flat: dict[str, list[Floats]] = field(default_factory=dict)
    models: list[pa.Array[Any]] = field(default_factory=list)
    sources: list[pa.Array[Any]] = field(default_factory=list)
    texts: list[_Texts] = field(default_factory=list)

    def add(self, name: str, values: Floats) -> None:
        self.flat.setdefault(name, []).append(values)

    def joined(self, name: str, length: int) -> Floats:
        pieces = self.flat.get(name)
        return np.concatenate(pieces) if pieces else np.full(length, np.nan)


def observe(stream: RecordStream, stratum: str | None = None) -> Observations:
    """Goes through a scored stream once and keeps its numbers.

    Args:
        stratum: the column that becomes `sources`; ``source`` when None.
    """
    columns = _Columns()
    others = sorted(n for n in stream.schema.names if n.startswith(OTHER_JUDGE))
    source = stratum or "source"
    rows, judged = 0, False
    waiting: deque[Future[_Texts]] = deque()
    # The texts are most of the work, and most of that happens outside Python's lock.
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        for batch in stream.batches():
            if not batch.num_rows:
                continue
            rows += batch.num_rows
            sizes = _sizes(batch.column("completions"))
            total = int(sizes.sum())
            columns.ids.append(batch.column("id"))
            columns.sizes.append(sizes)
            for name in ("ratings", "scores", "score_variances", "score_counts", *others):
                columns.add(name, _flat(batch.column(name), sizes, total))
            judged = judged or bool(np.isfinite(columns.flat["scores"][-1]).any())
            columns.models.append(_flat_strings(batch.column("models"), sizes, total))
            columns.sources.append(batch.column(source).cast(pa.string()))
            waiting.append(pool.submit(_read_texts, batch, rows <= WORDS_RECORDS[judged]))
            while len(waiting) > 2 * WORKERS:
                columns.texts.append(waiting.popleft().result())
        columns.texts.extend(future.result() for future in waiting)
    sizes = np.concatenate(columns.sizes) if columns.sizes else np.zeros(0, np.int64)
    offsets = offsets_of(sizes)
    length = int(offsets[-1])
    models, model_names = _codes(columns.models)
    sources, source_names = _codes(columns.sources)
    scores = columns.joined("scores", length)
    counts = np.nan_to_num(columns.joined("score_counts", length), nan=0.0).astype(np.int64)
    ids: Any = pa.chunked_array(columns.ids, pa.string())
    facts = join_facts([t.facts for t in columns.texts])
    completion_keys = _joined([t.keys for t in columns.texts], np.uint64)
    prompts = Prompts(
        keys=_joined([t.prompt_keys for t in columns.texts], np.uint64),
        words=_joined([t.prompt_words for t in columns.texts], np.uint64),
        lengths=_joined([t.prompt_lengths for t in columns.texts], np.int64),
    )
    prompt_keys, completion_keys = join_alike(stream, prompts, offsets, completion_keys, facts)
    return Observations(
        ids=ids,
        offsets=offsets,
        ratings=columns.joined("ratings", length),
        scores=scores,
        sample_variances=columns.joined("score_variances", length),
        sample_counts=np.where(np.isfinite(scores), counts, 0),
        other_scores={name[len(OTHER_JUDGE) :]: columns.joined(name, length) for name in others},
        models=models,
        model_names=model_names,
        sources=sources,
        source_names=source_names,
        keys=fingerprints(ids.combine_chunks()),
        prompt_keys=prompt_keys,
        prompt_scripts=_joined([t.prompt_scripts for t in columns.texts], np.int64),
        prompt_foreign=_joined([t.prompt_foreign for t in columns.texts], np.bool_),
        translations=_joined([t.translations for t in columns.texts], np.bool_),
        completion_keys=completion_keys,
        texts=facts,
        words=_all_words(columns.texts, rows <= WORDS_RECORDS[judged]),
    )


def _joined(pieces: list[Any], kind: Any) -> Any:
    return np.concatenate(pieces) if pieces else np.zeros(0, kind)


def _sizes(column: Any) -> Ints:
    sizes: Ints = np.asarray(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    return sizes


def _aligned(column: Any, sizes: Ints) -> bool:
    """Whether a list column has, row by row, the lengths of the completions (and no null rows)."""
    return column.null_count == 0 and bool(np.array_equal(_sizes(column), sizes))


def _flat(column: Any, sizes: Ints, total: int) -> Floats:
    """The numbers of a list column, one for each completion; NaN for nulls, null rows and values that are not finite."""
    if _aligned(column, sizes):
        values = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    else:
        # Rows that are null or of another length: item by item, and what is missing stays missing.
        values = np.full(total, np.nan)
        starts = offsets_of(sizes)
        own = _sizes(column)
        shared = np.minimum(own, sizes)
        source = offsets_of(own)
        rows = np.repeat(np.arange(len(sizes)), shared)
        within = np.arange(len(rows)) - np.repeat(offsets_of(shared)[:-1], shared)
        flat = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
        values[starts[rows] + within] = flat[source[rows] + within]
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) < LARGEST, values, np.nan)


def _flat_strings(column: Any, sizes: Ints, total: int) -> pa.Array[Any]:
    flat: pa.Array[Any] = column.flatten() if _aligned(column, sizes) else pa.nulls(total, pa.string())
    return flat


def _all_words(texts: list[_Texts], wanted: bool) -> Any:
    return sparse.vstack([t.words for t in texts], format="csr") if texts and wanted else None


def scores_of_samples(batch: pa.RecordBatch) -> dict[str, pa.Array[Any]]:
    """What the judge's samples that the data carry make of scores: mean, variance of one sample (ddof=1) and count of each.

    Returns:
        The columns `scores`, `score_variances` and `score_counts` of SCORED_SCHEMA; empty where the samples do not fit.
    """
    samples: Any = batch.column("samples")
    completions: Any = batch.column("completions")
    sizes = _sizes(completions)
    if not _aligned(samples, sizes):
        return {}
    total = int(sizes.sum())
    lists = samples.flatten()
    values = lists.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(total), _sizes(lists))
    with np.errstate(divide="ignore", invalid="ignore"):
        good = np.abs(values) < LARGEST
        owner, values = owner[good], values[good]
        count = np.bincount(owner, minlength=total)
        mean = np.bincount(owner, values, minlength=total) / count
        variance = np.bincount(owner, np.square(values - mean[owner]), minlength=total) / (count - 1)
    ends: Any = pa.array(offsets_of(sizes).astype(np.int32))
    return {
        "scores": pa.ListArray.from_arrays(ends, double_column(np.where(count > 0, mean, np.nan))),
        "score_variances": pa.ListArray.from_arrays(ends, double_column(np.where(count > 1, variance, np.nan))),
        "score_counts": pa.ListArray.from_arrays(ends, pa.array(count.astype(np.int32))),
    }


def _codes(pieces: list[pa.Array[Any]]) -> tuple[Ints, tuple[str, ...]]:
    """Strings as codes into their sorted names (sorted, so that the order of the rows does not count); -1 for null."""
    joined = pa.chunked_array(pieces, pa.string()).combine_chunks()
    if not len(joined):
        return np.zeros(0, np.int64), ()
    encoded: Any = pc.dictionary_encode(joined)
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names) + 1, np.int64)
    rank[order] = np.arange(len(names))
    rank[-1] = -1
    codes = np.asarray(pc.fill_null(encoded.indices, len(names))).astype(np.int64)
    return rank[codes], tuple(names[i] for i in order)
