"""A few numbers of each text: what it says of a label, and of itself, without any model call. Bytes in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.mapping.arrays import Bools, Floats, Ints

__all__ = ["DENSE_FEATURES", "SCRIPTS", "TextFacts", "facts_of", "fingerprints", "hashed_words", "join_facts", "scripts_of"]

#: Columns of `TextFacts.dense`: logarithms of counts, and shares of the bytes.
DENSE_FEATURES = ("length", "words", "lines", "word length", "capitals", "digits", "punctuation", "lists", "code")
#: Codes of `TextFacts.script`; -1 where there are too few letters to tell.
SCRIPTS = ("Latin", "Cyrillic", "Greek", "Hebrew or Arabic", "Indic", "Chinese or Japanese", "Korean")
#: Shorter texts show no language and no truncation.
MIN_BYTES = 200
#: Hashed words of this much of a text.
HASHED_CHARACTERS = 2000
HASHED_FEATURES = 2**13
#: Texts whose bytes are counted at a time: what they need stays in the processor's cache.
TEXTS_AT_ONCE = 256
#: Bytes of a long text in which English shows its " the ".
GLANCE = 600

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TextFacts:
    """Facts about texts, an entry each.

    Attributes:
        dense: shape (n, 9), float32; columns `DENSE_FEATURES`.
        length: in bytes of UTF-8.
        script: code into `SCRIPTS`, -1 unknown.
        foreign: a text of `MIN_BYTES` or more with the commonest words of a European language and hardly any of English.
        empty: nothing but white space.
        truncated: long, and it ends inside a sentence or inside a block of code.
    """

    dense: npt.NDArray[np.float32]
    length: Ints
    script: Ints
    foreign: Bools
    empty: Bools
    truncated: Bools


#: Which bytes a count is of. The first byte of a letter in UTF-8 tells its script nearly always.
_CLASSES: dict[str, list[tuple[int, int]]] = {
    "space": [(9, 13), (32, 32)],
    "line": [(10, 10)],
    "capital": [(65, 90)],
    "digit": [(48, 57)],
    "punctuation": [(33, 47), (58, 64), (91, 96), (123, 126)],
    "Latin": [(65, 90), (97, 122)],
    "Cyrillic": [(0xD0, 0xD3)],
    "Greek": [(0xCE, 0xCF)],
    "Hebrew or Arabic": [(0xD6, 0xDB)],
    "Indic": [(0xE0, 0xE0)],
    "Chinese or Japanese": [(0xE3, 0xE9)],
    "Korean": [(0xEA, 0xED)],
}
#: The bytes fall into runs of which each is inside or outside of every class.
_RUNS = np.array(sorted({0, *(edge for ranges in _CLASSES.values() for a, b in ranges for edge in (a, b + 1))}))
_MEMBERS = np.array([[any(a <= run <= b for a, b in ranges) for ranges in _CLASSES.values()] for run in _RUNS], np.float64)
_BACKTICK = 96
_FOREIGN_WORDS = (
    r"(?i)\b(?:der|die|das|und|nicht|ist|les|des|est|une|dans|que|los|las|una|por|para|della|che|sono|não|uma|het|een|och)\b"
)
_ENGLISH_WORDS = r"(?i)\b(?:the|and|of|to|is|that|in|you|for|with)\b"


@dataclass(frozen=True, slots=True)
class _Counts:
    """What bytes the texts are made of.

    Attributes:
        texts: as large strings, without nulls.
        data: their bytes, one after the other.
        starts: shape (n + 1,), where each begins in `data`.
        by_class: shape (n,) for each of `_CLASSES`.
        backticks: shape (n,).
    """

    texts: Any
    data: Bytes
    starts: Ints
    by_class: dict[str, Floats]
    backticks: Ints

    @property
    def length(self) -> Ints:
        """In bytes, shape (n,)."""
        return np.diff(self.starts)

    def empty(self) -> Bools:
        """Texts of white space only; shape (n,)."""
        return np.asarray(self.by_class["space"] == self.length)

    def script(self) -> Ints:
        """Codes into `SCRIPTS`, shape (n,): of three in five letters or more; -1 where there is none, or too few letters."""
        letters = np.stack([self.by_class[name] for name in SCRIPTS], axis=1)
        total, top = letters.sum(axis=1), letters.argmax(axis=1)
        return np.where((total >= 20) & (letters[np.arange(len(top)), top] >= 0.6 * total), top, -1)


def _count(texts: Any) -> _Counts:
    texts = pc.fill_null(texts, "").cast(pa.large_string())
    n = len(texts)
    starts = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + n + 1] if n else np.zeros(1, np.int64)
    first, last = int(starts[0]), int(starts[-1])
    data = np.frombuffer(texts.buffers()[2], np.uint8)[first:last] if last > first else np.zeros(0, np.uint8)
    # One histogram of bytes for each text, and every count is a sum over it.
    histogram = np.empty((n, 256), np.int64)
    for start in range(0, n, TEXTS_AT_ONCE):
        stop = min(start + TEXTS_AT_ONCE, n)
        keys = np.repeat(np.arange(0, 256 * (stop - start), 256), np.diff(starts[start : stop + 1]))
        keys += data[starts[start] - first : starts[stop] - first]
        histogram[start:stop] = np.bincount(keys, minlength=256 * (stop - start)).reshape(-1, 256)
    counts = np.add.reduceat(histogram, _RUNS, axis=1) @ _MEMBERS
    return _Counts(texts, data, starts - first, dict(zip(_CLASSES, counts.T, strict=True)), histogram[:, _BACKTICK])


def scripts_of(texts: Any) -> tuple[Ints, Bools]:
    """The script of each text, as `TextFacts.script`, and whether it is empty; both of shape (n,).

    Args:
        texts: an Arrow array of strings, of n items.
    """
    counts = _count(texts)
    return counts.script(), counts.empty()


def facts_of(texts: Any) -> TextFacts:
    """Facts about each text.

    Args:
        texts: an Arrow array of strings, of n items.
    """
    counted = _count(texts)
    texts, data, starts, counts, length = counted.texts, counted.data, counted.starts, counted.by_class, counted.length
    size = np.maximum(length, 1).astype(np.float64)
    empty = counted.empty()
    words = np.where(empty, 0.0, counts["space"] + 1)
    fences = np.zeros(len(length))
    quoted = np.flatnonzero(counted.backticks >= 3)
    if len(quoted):
        fences[quoted] = np.asarray(pc.count_substring(texts.take(pa.array(quoted)), "```"))
    dense = np.stack(
        [
            np.log1p(length),
            np.log1p(words),
            np.log1p(counts["line"]),
            np.minimum(size / np.maximum(words, 1.0), 20.0),
            counts["capital"] / size,
            counts["digit"] / size,
            counts["punctuation"] / size,
            np.log1p(_list_items(data, starts)),
            np.log1p(fences),
        ],
        axis=1,
    ).astype(np.float32)
    truncated = (length >= MIN_BYTES) & ((fences % 2 == 1) | _cut_short(texts, data, starts))
    return TextFacts(dense, length, counted.script(), _foreign(texts, length), empty, truncated)


def join_facts(pieces: list[TextFacts]) -> TextFacts:
    """The facts of several arrays of texts, one after the other."""
    if not pieces:
        return facts_of(pa.array([], pa.string()))
    return TextFacts(*(np.concatenate([getattr(piece, f.name) for piece in pieces]) for f in fields(TextFacts)))


def _list_items(data: Bytes, starts: Ints) -> Floats:
    """Lines after the first that begin with a dash, a star or a digit."""
    after = np.flatnonzero(data[:-1] == 10) + 1
    begins = data[after]
    after = after[(begins == 45) | (begins == 42) | ((begins >= 48) & (begins <= 57))]
    return np.bincount(np.searchsorted(starts, after, "right") - 1, minlength=len(starts) - 1).astype(np.float64)


def _cut_short(texts: Any, data: Bytes, starts: Ints) -> Bools:
    """Texts that end with two plain words, or a comma, after an earlier sentence had its full stop."""
    cut = np.zeros(len(starts) - 1, bool)
    filled = np.flatnonzero(np.diff(starts) > 0)
    final = data[starts[filled + 1] - 1]
    where = filled[((final >= 97) & (final <= 122)) | (final == 44)]
    if len(where):
        tail = pc.utf8_slice_codeunits(texts.take(pa.array(where)), -160, None)
        cut[where] = np.asarray(pc.match_substring_regex(tail, r"[.!?][^\n]*[a-z]+ [a-z]+,?$"))
    return cut


def _foreign(texts: Any, length: Ints) -> Bools:
    """Long Latin texts without English's commonest words and with another language's; only the few without " the " are read."""
    # Bytes, not characters: a letter cut in two is no " the ".
    heads = pc.binary_slice(texts.cast(pa.large_binary()), 0, GLANCE)
    lacking = (length >= MIN_BYTES) & ~np.asarray(pc.match_substring(heads, " the "))
    foreign = np.zeros(len(length), bool)
    where = np.flatnonzero(lacking)
    if len(where):
        few = pc.utf8_slice_codeunits(texts.take(pa.array(where)), 0, HASHED_CHARACTERS)
        other = np.asarray(pc.count_substring_regex(few, _FOREIGN_WORDS))
        english = np.asarray(pc.count_substring_regex(few, _ENGLISH_WORDS))
        foreign[where] = (other >= 5) & (other > 3 * english)
    return foreign


def fingerprints(texts: Any) -> npt.NDArray[np.uint64]:
    """A 64-bit number of each text, blind to case and to white space at the ends; the same on every run."""
    plain = pc.utf8_trim_whitespace(pc.ascii_lower(pc.fill_null(texts, "")))
    values = np.asarray(plain.to_numpy(zero_copy_only=False), dtype=object)
    return np.asarray(pd.util.hash_array(values, categorize=False), dtype=np.uint64)


def hashed_words(texts: Any) -> Any:
    """Counts of hashed words and pairs of words, each row of length one: a sparse matrix of shape (n, 8192)."""
    from sklearn.feature_extraction.text import HashingVectorizer

    cut = pc.utf8_slice_codeunits(pc.fill_null(texts, ""), 0, HASHED_CHARACTERS).to_pylist()
    return HashingVectorizer(n_features=HASHED_FEATURES, ngram_range=(1, 2), dtype=np.float32).transform(cut)
