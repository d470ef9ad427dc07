"""What kind of text a completion is, as numbers beside its score: its length, its model's family, its prompt's language.

One light pass; no text is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.mapping.data.arrays import Floats, Ints, offsets_of
from argilla_admap.mapping.data.observations import OTHER_JUDGE
from argilla_admap.tables import RecordStream

__all__ = ["FAMILIES", "LANGUAGES", "Traits", "families_of", "family_of", "flat_numbers", "list_sizes", "read_traits"]

#: Languages by script. A script tells some languages apart and not others, so several share a name here.
LANGUAGES = (
    "Latin script",
    "Chinese",
    "Japanese",
    "Korean",
    "Cyrillic script",
    "Arabic script",
    "Hebrew",
    "Devanagari script",
    "Greek",
    "Thai",
    "other",
)
_SCRIPTS = (
    r"\p{Latin}",
    r"\p{Han}",
    r"[\p{Hiragana}\p{Katakana}]",
    r"\p{Hangul}",
    r"\p{Cyrillic}",
    r"\p{Arabic}",
    r"\p{Hebrew}",
    r"\p{Devanagari}",
    r"\p{Greek}",
    r"\p{Thai}",
)
#: Letters of the prompt that are looked at: a language shows in its first words.
_LETTERS = 300
#: One ideogram says about as much as this many letters of an alphabet.
_IDEOGRAM = 3.0

#: A maker's models, by what their names hold; the first that fits counts.
FAMILIES = {
    "openai": r"gpt-?[345]|gpt4|gpt3|chatgpt|text-davinci|davinci|openai|(?:^|[^a-z0-9])o[134](?:-|$)|turbo-(?:03|06|11|2024)",
    "anthropic": r"claude|anthropic",
    "google": r"gemini|gemma|palm|bard|flan|google",
    "alibaba": r"qwen|qwq",
    "deepseek": r"deepseek",
    "mistral": r"mistral|mixtral|ministral|zephyr",
    "microsoft": r"(?:^|[^a-z])phi-?\d|wizardlm|orca|microsoft",
    "cohere": r"command-?[ar]?|cohere|aya",
    "01.ai": r"(?:^|[^a-z])yi-|01-ai",
    "tii": r"falcon",
    "bigscience": r"bloom",
    "meta": r"llama|alpaca|vicuna|koala|tulu|opt-\d|meta",
}
_FAMILIES = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in FAMILIES.items())


@dataclass(frozen=True, slots=True)
class Traits:
    """Of a stream of n records with m completions in all.

    Attributes:
        offsets: shape (n + 1,): the completions of record i are offsets[i]..offsets[i + 1] in every flat array.
        scores, ratings: shape (m,), NaN where absent.
        other_scores: the same of the other judges, by name.
        log_length: shape (m,), natural logarithm of the completion's characters (of 1 where it is empty).
        models: shape (m,), codes into `model_names`; -1 where unknown.
        sources: shape (n,), codes into `source_names`; -1 where unknown.
        language: shape (n,), codes into `LANGUAGES`.
        judge: the judge's name; None where it is not said.
    """

    offsets: Ints
    scores: Floats
    ratings: Floats
    other_scores: Mapping[str, Floats]
    log_length: Floats
    models: Ints
    model_names: tuple[str, ...]
    sources: Ints
    source_names: tuple[str, ...]
    language: Ints
    judge: str | None

    @property
    def n(self) -> int:
        """How many records."""
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Ints:
        """K of each record, shape (n,)."""
        return np.diff(self.offsets)


def read_traits(stream: RecordStream) -> Traits:
    """Goes through the stream once."""
    names = set(stream.schema.names)
    others = sorted(name for name in names if name.startswith(OTHER_JUDGE))
    numbers: dict[str, list[Floats]] = {name: [] for name in ("scores", "ratings", *others)}
    sizes, lengths, languages = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0, np.int64)]
    models: list[Any] = []
    sources: list[Any] = []
    judge = stream.info.get("judge")
    for batch in stream.batches():
        texts: Any = batch.column("completions")
        k = list_sizes(texts)
        flat = texts.flatten()
        sizes.append(k)
        lengths.append(np.log(np.maximum(np.asarray(pc.fill_null(pc.utf8_length(flat), 0), dtype=np.float64), 1.0)))
        languages.append(_languages(batch.column("prompt")))
        for name, parts in numbers.items():
            parts.append(flat_numbers(batch.column(name), k) if name in names else np.full(len(flat), np.nan))
        named: Any = batch.column("models") if "models" in names else None
        fits = named is not None and named.null_count == 0 and np.array_equal(list_sizes(named), k)
        models.append(named.flatten() if fits else pa.nulls(len(flat), pa.string()))
        sources.append(batch.column("source") if "source" in names else pa.nulls(batch.num_rows, pa.string()))
        if not judge and "judges" in names:
            judge = next((name for name in pc.unique(batch.column("judges")).to_pylist() if name), None)
    joined = {name: np.concatenate([np.zeros(0), *parts]) for name, parts in numbers.items()}
    model_codes, model_names = _codes(models)
    source_codes, source_names = _codes(sources)
    return Traits(
        offsets=offsets_of(np.concatenate(sizes)),
        scores=joined["scores"],
        ratings=joined["ratings"],
        other_scores={name[len(OTHER_JUDGE) :]: joined[name] for name in others},
        log_length=np.concatenate(lengths),
        models=model_codes,
        model_names=model_names,
        sources=source_codes,
        source_names=source_names,
        language=np.concatenate(languages),
        judge=str(judge) if judge else None,
    )


def list_sizes(lists: Any) -> Ints:
    """The length of each list of a column, 0 for null; shape (n,)."""
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int64)


def flat_numbers(lists: Any, sizes: Ints) -> Floats:
    """The lists' numbers one after the other, shape (sum of sizes,); NaN for null, for what is not finite and for a list of
    another length than `sizes` says."""
    own = list_sizes(lists)
    values = np.asarray(pc.fill_null(pc.cast(lists.flatten(), pa.float64()), np.nan), dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    if np.array_equal(own, sizes):
        return values
    fits = own == sizes
    out = np.full(int(sizes.sum()), np.nan)
    out[np.repeat(fits, sizes)] = values[np.repeat(fits, own)]
    return out


def _codes(pieces: list[Any]) -> tuple[Ints, tuple[str, ...]]:
    """Codes into the names, -1 for null; the names sorted, so that the order of the rows does not count."""
    encoded: Any = pc.dictionary_encode(pa.chunked_array(pieces, pa.string())).combine_chunks()
    if not len(encoded):
        return np.zeros(0, np.int64), ()
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.full(len(names) + 1, -1, np.int64)
    rank[order] = np.arange(len(names))
    codes = np.asarray(pc.fill_null(encoded.indices, len(names)), dtype=np.int64)
    return rank[codes], tuple(names[i] for i in order)


def _languages(prompts: Any) -> Ints:
    """The script that most of a prompt's first letters are of; kana make Han Japanese."""
    out = np.zeros(len(prompts), np.int64)
    foreign = np.flatnonzero(~np.asarray(pc.fill_null(pc.string_is_ascii(prompts), True), dtype=bool))
    if not len(foreign):
        return out
    starts = pc.utf8_slice_codeunits(prompts.take(pa.array(foreign)), 0, _LETTERS)
    counts = np.stack(
        [np.asarray(pc.fill_null(pc.count_substring_regex(starts, script), 0), dtype=np.float64) for script in _SCRIPTS], axis=1
    )
    counts[:, 1:4] *= _IDEOGRAM
    japanese = counts[:, 2] > 0.1 * counts[:, 1]
    counts[:, 2] += np.where(japanese, counts[:, 1], 0.0)
    counts[:, 1] = np.where(japanese, 0.0, counts[:, 1])
    out[foreign] = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), len(LANGUAGES) - 1)
    return out


def family_of(model: str | None) -> str | None:
    """Who makes the model, by its name; None where the name does not tell."""
    if model:
        for name, pattern in _FAMILIES:
            if pattern.search(model):
                return name
    return None


def families_of(models: Ints, names: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
    """The families of coded models: codes into the names given back, -1 where unknown. Same shape as `models`."""
    families = [family_of(name) for name in names]
    known = tuple(sorted({family for family in families if family}))
    codes = np.array([known.index(family) if family else -1 for family in families] + [-1], np.int64)
    return codes[models], known
