"""The numbers of records that the map needs, in compact arrays. No text is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from argilla_admap.mapping.data.arrays import (
    LARGEST,
    Bools,
    Floats,
    Folds,
    Ints,
    UInts,
    codes_of,
    double_column,
    flat_numbers,
    flat_strings,
    items_of,
    list_sizes,
    offsets_of,
    owners_of,
)
from argilla_admap.mapping.data.near_duplicates import word_keys
from argilla_admap.mapping.data.text_features import TextFacts, facts_of, fingerprints, join_facts, prompt_facts

__all__ = ["OTHER_JUDGE", "Numbers", "NumbersReader", "Observations", "read_texts", "scores_of_samples"]

#: With several judges the columns of judge NAME stand beside the first judge's as `scores.NAME`.
OTHER_JUDGE = "scores."


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of n records with m completions in all.

    Attributes:
        offsets: shape (n + 1,): the completions of record i are offsets[i]..offsets[i + 1] in every flat array.
        ratings, scores: flat; NaN where absent.
        other_scores: by judge's name, flat.
        models: flat codes into `model_names`; -1 where unknown.
        sources: shape (n,), codes into `source_names`; -1 where unknown.
    """

    offsets: Ints
    ratings: Floats
    scores: Floats
    other_scores: dict[str, Floats]
    models: Ints
    model_names: tuple[str, ...]
    sources: Ints
    source_names: tuple[str, ...]

    @property
    def n(self) -> int:
        """How many records."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Ints:
        """K of each record, shape (n,)."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> Ints:
        """The record of each completion; flat."""
        return owners_of(self.offsets)


class NumbersReader:
    """Collects the numbers of a stream, batch by batch.

    Args:
        schema: of the stream; columns that it lacks read as null.
        columns: list columns of numbers to read beside `ratings` and the scores of each judge.
        source: the column that becomes `sources`.
    """

    def __init__(self, schema: pa.Schema, columns: tuple[str, ...] = (), source: str = "source") -> None:
        self._names = frozenset(schema.names)
        self._others = sorted(name for name in schema.names if name.startswith(OTHER_JUDGE))
        self._flat: dict[str, list[Floats]] = {name: [] for name in ("ratings", "scores", *columns, *self._others)}
        self._sizes: list[Ints] = []
        self._models: list[Any] = []
        self._sources: list[Any] = []
        self._source = source
        #: Whether a score was read.
        self.judged = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Reads the next batch."""
        sizes = list_sizes(batch.column("completions"))
        self._sizes.append(sizes)
        for name, pieces in self._flat.items():
            missing = name not in self._names
            pieces.append(np.full(int(sizes.sum()), np.nan) if missing else flat_numbers(batch.column(name), sizes))
        self.judged = self.judged or bool(np.isfinite(self._flat["scores"][-1]).any())
        if "models" in self._names:
            self._models.append(pc.dictionary_encode(flat_strings(batch.column("models"), sizes)))
        else:
            self._models.append(pc.dictionary_encode(pa.nulls(int(sizes.sum()), pa.string())))
        has_source = self._source in self._names
        sources: Any = batch.column(self._source).cast(pa.string()) if has_source else pa.nulls(len(sizes), pa.string())
        self._sources.append(pc.dictionary_encode(sources))

    def column(self, name: str) -> Floats:
        """A column that was read; flat. It is given once: held twice, it would be large."""
        values: Floats = _joined(self._flat.pop(name), np.float64)
        return values

    def numbers(self) -> dict[str, Any]:
        """The fields of `Numbers`."""
        models, model_names = codes_of(self._models)
        sources, source_names = codes_of(self._sources)
        return {
            "offsets": offsets_of(_joined(self._sizes, np.int64)),
            "ratings": self.column("ratings"),
            "scores": self.column("scores"),
            "other_scores": {name[len(OTHER_JUDGE) :]: self.column(name) for name in self._others},
            "models": models,
            "model_names": model_names,
            "sources": sources,
            "source_names": source_names,
        }


@dataclass(frozen=True, slots=True)
class Observations(Numbers):
    """What is known of each record and each completion, as arrays.

    Attributes:
        sample_variances: flat, the judge's variance of one sample; NaN where unknown.
        sample_counts: flat, samples behind a score; 0 where unscored or unknown.
        keys: shape (n,), a number of each id: an order that does not depend on the rows'.
        prompt_keys: shape (n,), equal for prompts of the same words, and for near duplicates with the same completions; 0 where
            the prompt is empty or not shown in full.
        prompt_scripts: shape (n,), codes into `SCRIPTS`; -1 where unknown.
        prompt_foreign: shape (n,), prompts in another Latin-written language than English; tested where a completion is in one.
        translations: shape (n,), whether the prompt mentions a translation or a language.
        completion_keys: flat, equal for equal texts, and for near duplicates in different records of a prompt.
        texts: facts of each completion, flat.
        folds: shape (n,), 0..FOLDS - 1: records of one prompt share one.
        words: hashed words of each completion, sparse; None where they are not used.
    """

    sample_variances: Floats
    sample_counts: Ints
    keys: UInts
    prompt_keys: UInts
    prompt_scripts: Ints
    prompt_foreign: Bools
    translations: Bools
    completion_keys: UInts
    texts: TextFacts
    folds: Folds
    words: Any

    def error_variances(self) -> Floats:
        """The variance of a score's own error: that of one sample over the number of samples; flat, NaN where unknown.

        One sample shows none: the variance beside an expected score is the spread of the judge's grades, of which the score is
        the mean and not a draw.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.sample_counts > 1, self.sample_variances / self.sample_counts, np.nan)

    def take(self, rows: Ints) -> Observations:
        """The records at these positions."""
        flat = items_of(self.offsets, rows)
        made: dict[str, Any] = {name: getattr(self, name)[rows] for name in _OF_RECORDS}
        made |= {name: getattr(self, name)[flat] for name in _OF_COMPLETIONS}
        return replace(
            self,
            **made,
            offsets=offsets_of(self.sizes[rows]),
            other_scores={name: values[flat] for name, values in self.other_scores.items()},
            texts=TextFacts(*(getattr(self.texts, one.name)[flat] for one in fields(TextFacts))),
            words=None if self.words is None else self.words[flat],
        )

    @classmethod
    def joined(cls, parts: Sequence[Observations]) -> Observations:
        """The records of one or more parts of the same columns and names, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        names = (*_OF_RECORDS, *_OF_COMPLETIONS)
        made: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        others = {name: np.concatenate([part.other_scores[name] for part in parts]) for name in parts[0].other_scores}
        return replace(
            parts[0],
            **made,
            offsets=offsets_of(np.concatenate([part.sizes for part in parts])),
            other_scores=others,
            texts=join_facts([part.texts for part in parts]),
            words=None if parts[0].words is None else sparse.vstack([part.words for part in parts], format="csr"),
        )


#: The arrays of `Observations` with an entry for each record; and for each completion.
_OF_RECORDS = ("sources", "keys", "prompt_keys", "prompt_scripts", "prompt_foreign", "translations", "folds")
_OF_COMPLETIONS = ("ratings", "scores", "models", "sample_variances", "sample_counts", "completion_keys")


def read_texts(batch: pa.RecordBatch) -> dict[str, Any]:
    """What the texts of one batch say: arrays by name, and under "facts" the facts of the completions."""
    texts: Any = batch.column("completions")
    flat = texts.flatten()
    prompts: Any = batch.column("prompt")
    facts = facts_of(flat)
    # Only beside a completion in a foreign language does it matter whether the prompt is in one.
    foreign = np.zeros(len(prompts), bool)
    foreign[np.repeat(np.arange(len(prompts)), list_sizes(texts))[facts.foreign]] = True
    asked = prompt_facts(prompts, foreign)
    # A prompt with a picture that is not shown is like no other, and so is such a completion.
    unknown = asked.empty | asked.partial
    words_of_prompt = np.where(unknown, np.uint64(0), word_keys(prompts))
    completion_keys = fingerprints(flat)
    if facts.partial.any():
        offsets = offsets_of(list_sizes(texts))
        row = owners_of(offsets)[facts.partial]
        place = np.flatnonzero(facts.partial) - offsets[row]
        completion_keys[facts.partial] = fingerprints(batch.column("id"))[row] ^ place.astype(np.uint64)
    return {
        "facts": facts,
        "completion_keys": completion_keys,
        "prompt_keys": np.where(unknown, np.uint64(0), fingerprints(prompts)),
        # A request for a translation is another one than its text alone, however little it adds.
        "prompt_words": np.where(asked.translation & (words_of_prompt != 0), ~words_of_prompt, words_of_prompt),
        "prompt_lengths": np.asarray(pc.fill_null(pc.binary_length(prompts), 0)).astype(np.int64),
        "prompt_scripts": asked.script,
        "prompt_foreign": asked.foreign,
        "translations": asked.translation,
    }


def _joined(pieces: list[Any], kind: Any) -> Any:
    return np.concatenate(pieces) if pieces else np.zeros(0, kind)


def scores_of_samples(batch: pa.RecordBatch) -> dict[str, pa.Array[Any]]:
    """Scores from the judge's samples that the data carry: mean, variance of one sample (ddof=1) and count of each.

    Returns:
        The columns `scores`, `score_variances` and `score_counts` of SCORED_SCHEMA; empty where the samples do not fit.
    """
    samples: Any = batch.column("samples")
    completions: Any = batch.column("completions")
    sizes = list_sizes(completions)
    if samples.null_count or not np.array_equal(list_sizes(samples), sizes):
        return {}
    total = int(sizes.sum())
    lists = samples.flatten()
    values = lists.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(total), list_sizes(lists))
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
