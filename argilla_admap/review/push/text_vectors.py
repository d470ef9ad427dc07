"""A vector of each record's texts, for "more like this": hashed words, or an embedding by a model.

Hashed words are projected to a fixed number of dimensions: no model is asked. Nothing is learned from the data, so a record has
the same vector in every data set and push, and the vector holds nothing but what every reviewer reads: it may stand in a blind
review.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import InputError
from argilla_admap.mapping.data.arrays import Ints, list_sizes
from argilla_admap.review.argilla.properties import TEXTS_TITLE

if TYPE_CHECKING:
    from scipy import sparse

    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.text_embedding import TextEmbedding

__all__ = ["DIMENSIONS", "EmbeddedTexts", "HashedWords", "TextVectors", "text_vectors"]

#: Of the vector. On UltraFeedback, 86% of a record's nearest ten by exact similarity (above .35) are among the nearest ten;
#: with 64 dimensions it is 78%, with 256, at twice the cost, 90%.
DIMENSIONS = 128
#: Hashed words.
_WORDS = 2**18
#: Share of them that a dimension looks at.
_DENSITY = 1 / 64
#: So many characters of a prompt, and of all completions together, are read.
_PROMPT, _COMPLETIONS = 1_000, 2_000
#: How much the prompt counts: records of one kind of task are alike in it.
_SHARE = 0.6


_WORD_BYTES = np.array([ord(chr(b).lower()) if chr(b).isalnum() or chr(b) == "_" else 32 for b in range(128)], np.uint8)


class TextVectors(Protocol):
    """Gives the vectors of batches of records. `title` tells in Argilla's settings how they were made."""

    title: str

    @property
    def dimensions(self) -> int: ...

    def of(self, batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
        """Shape (n records, dimensions); zeros where a record has none."""
        ...

    def close(self) -> list[str]:
        """Ends, and returns what the user should know."""
        ...


class HashedWords:
    """See :func:`text_vectors`."""

    title = TEXTS_TITLE
    dimensions = DIMENSIONS

    def of(self, batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
        return text_vectors(batch)

    def close(self) -> list[str]:
        return []


class EmbeddedTexts:
    """By the model of an endpoint or of this machine.

    Args:
        options: see :class:`~argilla_admap.scoring.text_embedding.TextEmbedding`.
        batches: all that is to be embedded, to say first what it costs.
        dry: only say what it would cost.

    Raises:
        InputError: it would cost more than `max_cost`; nothing was asked.
    """

    def __init__(self, options: ScoreOptions, batches: Iterable[pa.RecordBatch], *, dry: bool) -> None:
        from argilla_admap.scoring.text_embedding import TextEmbedding

        self._embedding: TextEmbedding = TextEmbedding(options, dry=dry)
        self.title = f"{TEXTS_TITLE}, embedded by {self._embedding.model}"
        self._dry = dry
        try:
            work = self._embedding.estimate(map(_whole, batches))
            dollars = "at no known price" if work.cost_usd is None else f"about ${work.cost_usd:.4f}"
            self._notes = [
                f"vectors of the texts by {self._embedding.model}: {work.requests:,} requests, {work.input_tokens:,} tokens, "
                f"{dollars}; {work.cached:,} texts are in the store"
            ]
            if options.max_cost is not None and (work.cost_usd or 0.0) > options.max_cost:
                raise InputError(
                    f"{options.max_cost:g}: the vectors of the texts cost {dollars}",
                    option="max_cost",
                    hint="nothing was asked",
                )
        except BaseException:
            self._embedding.close()
            raise

    @property
    def dimensions(self) -> int:
        return self._embedding.dimensions

    def of(self, batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
        return np.round(self._embedding.vectors(_whole(batch)), 4)

    def close(self) -> list[str]:
        if not self._dry:
            self._notes.append(f"the vectors of the texts cost ${self._embedding.spent:.4f}")
        if self._embedding.failed:
            self._notes.append(f"{self._embedding.failed:,} records got no vector of their texts: {self._embedding.why}")
        self._embedding.close()
        return self._notes


def _whole(batch: pa.RecordBatch) -> list[str]:
    """Each record as one text, whose completions stand in an order of their own; cut to what every model takes."""
    whole = []
    for prompt, texts in zip(batch.column("prompt").to_pylist(), batch.column("completions").to_pylist(), strict=True):
        given = sorted(text for text in texts or () if text)
        whole.append("\n\n".join([(prompt or "")[:_PROMPT], *(text[: _COMPLETIONS // len(given)] for text in given)]))
    return whole


def text_vectors(batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """The vectors of a batch of records with columns ``prompt`` and ``completions``.

    Each part is a bag of words without the commonest English ones, a word counted 1 + log(times), of length one; the prompt's
    makes 0.6 of the sum. A sparse random projection keeps the angles between records.

    Returns:
        shape (n records, DIMENSIONS), each of length 1; zeros where the texts hold no word.
    Source: Li, Hastie and Church, Very sparse random projections, KDD 2006.
    """
    # In an order of their own: the record's, which is often that of its label, could be told by what is cut off.
    completions = batch.column("completions").to_pylist()
    joined = pa.array(["\n".join(sorted(text or "" for text in texts or ())) for texts in completions], pa.string())
    words = _SHARE * _bag(batch.column("prompt"), _PROMPT) + (1 - _SHARE) * _bag(joined, _COMPLETIONS)
    found = np.asarray((words @ _projection()).todense(), dtype=np.float64)
    size = np.linalg.norm(found, axis=1, keepdims=True)
    scaled: npt.NDArray[np.float64] = np.round(np.divide(found, size, out=np.zeros_like(found), where=size > 0), 4)
    return scaled


def _bag(texts: Any, most: int) -> sparse.csr_matrix:
    """What scikit-learn's HashingVectorizer makes of texts cut to so many characters, a word counted 1 + log(times); each
    different word is hashed once, which takes half the time."""
    from scipy import sparse
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
    from sklearn.preprocessing import normalize

    row, words = _words(pc.utf8_slice_codeunits(pc.fill_null(texts, ""), 0, most))
    coded = words.dictionary_encode()
    different = coded.dictionary.to_pylist()
    counted = np.array([len(word) > 1 and word not in ENGLISH_STOP_WORDS for word in different], bool)
    hasher = FeatureHasher(_WORDS, input_type="string", alternate_sign=False, dtype=np.float32)
    # One more, since none at all is refused.
    places = hasher.transform([[word] for word in ["", *different]]).indices[1:]
    codes = coded.indices.to_numpy()
    row, columns = row[counted[codes]], places[codes[counted[codes]]]
    found = sparse.csr_matrix((np.ones(len(row), np.float32), (row, columns)), shape=(len(texts), _WORDS))
    found.data = 1 + np.log(found.data)
    return normalize(found, copy=False)


def _words(texts: Any) -> tuple[Ints, Any]:
    """Every run of letters, digits and underscores of some texts, lowered: the text that holds it, and itself."""
    from sklearn.feature_extraction.text import HashingVectorizer

    plain = pc.string_is_ascii(texts)
    # Far faster than a regular expression, which knows other alphabets.
    parts: Any = pc.ascii_split_whitespace(_words_alone(texts.filter(plain)))
    words_of = HashingVectorizer().build_tokenizer()
    found = [words_of(text.lower()) for text in texts.filter(pc.invert(plain)).to_pylist()]
    rows, sizes = np.asarray(plain), [list_sizes(parts), np.array([len(words) for words in found], np.int64)]
    row = np.repeat(np.concatenate([np.flatnonzero(rows), np.flatnonzero(~rows)]), np.concatenate(sizes))
    return row, pa.concat_arrays([parts.flatten(), pa.array(list(chain.from_iterable(found)), pa.string())])


def _words_alone(texts: Any) -> Any:
    """ASCII texts, lowered, with a space for every character that is in no word."""
    _, ends, data = texts.buffers()
    letters: Any = np.frombuffer(data or b"", np.uint8)
    return pa.StringArray.from_buffers(len(texts), ends, pa.py_buffer(_WORD_BYTES[letters]), offset=texts.offset)


@cache
def _projection() -> Any:
    """Shape (words, DIMENSIONS): sparse, the same on every machine and run.

    It is what scikit-learn's SparseRandomProjection fits, which holds a number for each word and dimension meanwhile.
    """
    from scipy import sparse
    from sklearn.utils.random import sample_without_replacement

    rng = np.random.RandomState(0)
    rows = [
        sample_without_replacement(_WORDS, rng.binomial(_WORDS, _DENSITY), random_state=rng).astype(np.int32)
        for _ in range(DIMENSIONS)
    ]
    ends, words = np.cumsum([0, *map(len, rows)]), np.concatenate(rows)
    signs = rng.binomial(1, 0.5, size=len(words)) * 2 - 1
    found = sparse.csr_matrix((np.sqrt(1 / _DENSITY) / np.sqrt(DIMENSIONS) * signs, words, ends), shape=(DIMENSIONS, _WORDS))
    return found.T.astype(np.float32).tocsr()
