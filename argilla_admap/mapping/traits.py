"""What kind of text a completion is, as numbers: its length, its model's family, its prompt's language. No text is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.mapping.arrays import Floats, Ints
from argilla_admap.tables import RecordStream

__all__ = ["FAMILIES", "LANGUAGES", "Traits", "families_of", "family_of", "read_traits"]

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
        log_length: shape (m,), natural logarithm of the completion's characters (of 1 where it is empty).
        language: shape (n,), codes into `LANGUAGES`.
        judge: the judge's name; None where it is not said.
    """

    log_length: Floats
    language: Ints
    judge: str | None


def read_traits(stream: RecordStream) -> Traits:
    """Goes through the stream once."""
    lengths: list[Floats] = []
    languages: list[Ints] = []
    judge = stream.info.get("judge")
    for batch in stream.batches():
        texts: Any = batch.column("completions")
        characters = np.asarray(pc.fill_null(pc.utf8_length(texts.flatten()), 0), dtype=np.float64)
        lengths.append(np.log(np.maximum(characters, 1.0)))
        languages.append(_languages(batch.column("prompt")))
        if not judge and "judges" in batch.schema.names:
            judge = next((name for name in pc.unique(batch.column("judges")).to_pylist() if name), None)
    return Traits(
        log_length=np.concatenate(lengths) if lengths else np.zeros(0),
        language=np.concatenate(languages) if languages else np.zeros(0, np.int64),
        judge=str(judge) if judge else None,
    )


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
