"""Prompts that are nearly alike, found without comparing each with each: records of the same completions under prompts of
which a few words differ are taken as records of one prompt, so that their labels can contradict each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from argilla_admap.mapping.arrays import Ints, UInts
from argilla_admap.mapping.text_features import TEXTS_AT_ONCE, fingerprints

__all__ = ["joined_prompts", "sketches"]

#: A prompt's sketch: minima of so many hashes of its pairs of words in a band, and bands. Prompts that share nine pairs of
#: words in ten share a band with probability .97, four in five .80, half .12, three in ten .01.
ROWS, BANDS = 5, 4
#: Bytes at either end of a prompt that the sketch looks at.
END = 512
#: Of shorter completions, in bytes together, ("Yes", "No") many are the same by chance: the prompts' words must then be all the
#: same too.
LEAST_TEXT = 60


_DIGITS = range(48, 58)
#: Signs that ask another question where they differ, as numbers do.
_COUNTED = frozenset((*_DIGITS, *b"+*/=<>^%"))
#: Signs that are words of their own, and letters of scripts without blanks between words (Chinese, Japanese, Korean), by their
#: first byte.
_ALONE = frozenset((*range(0xE3, 0xEE), *b"+-*/=<>^%#$&@|~\\{}[]()"))
#: Letters and digits, and the above; every byte of a letter beyond ASCII counts as one.
_LETTERS = _ALONE | frozenset((*_DIGITS, *range(65, 91), *range(97, 123), *range(128, 256)))
_BLANK = 32
#: Each byte in lower case, all that is in no word a blank; and its kind: 0 in no word, 1 letter, 2 counted; 4 more if alone.
_PLAIN = bytes(byte + 32 * (65 <= byte <= 90) if byte in _LETTERS else _BLANK for byte in range(256))
_KIND = bytes((byte in _LETTERS) + (byte in _COUNTED) + 4 * (byte in _ALONE) for byte in range(256))
_rng = np.random.default_rng(20240519)
#: A number for each two neighbouring bytes; those of a word sum up to its own. What follows a blank is told by the word after.
_NEIGHBOURS = _rng.integers(1, 2**63, (256, 256), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_NEIGHBOURS[_BLANK] = 0
_TABLE = _NEIGHBOURS.reshape(-1)
_HASHES = _rng.integers(1, 2**63, ROWS * BANDS + 1, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def sketches(prompts: Any) -> UInts:
    """Numbers of which two prompts share at least one, nearly surely, where they share most of their words in order.

    The digits of both must be the same: another number asks another question. Case, blanks and the marks of a sentence do not
    count. The last number is shared where all words are the same, in their order.

    Args:
        prompts: an Arrow array of strings, of n items.
    Returns:
        shape (n, BANDS + 1).
    Source: Broder, "On the resemblance and containment of documents" (1997), with the bands of Leskovec, Rajaraman & Ullman,
        Mining of Massive Datasets, § 3.4.
    """
    whole = pc.fill_null(prompts, "").cast(pa.large_binary())
    long = np.flatnonzero(np.asarray(pc.binary_length(whole)) > 2 * END)
    found = np.empty((len(whole), BANDS + 1), np.uint64)
    if len(long):
        ends = [pc.binary_slice(whole.take(pa.array(long)), *span) for span in ((0, END), (-END, None))]
        ends.append(pa.scalar(b" ", pa.large_binary()))
        short = pc.binary_join_element_wise(*ends)
        mask = np.zeros(len(whole), bool)
        mask[long] = True
        whole = pc.replace_with_mask(whole, pa.array(mask), short)
    starts = np.frombuffer(whole.buffers()[1], np.int64)[whole.offset : whole.offset + len(whole) + 1] if len(whole) else None
    for first in range(0, len(whole), TEXTS_AT_ONCE):
        stop = min(first + TEXTS_AT_ONCE, len(whole))
        edges = starts[first : stop + 1] if starts is not None else np.zeros(1, np.int64)
        size = int(edges[-1] - edges[0])
        data = whole.buffers()[2][int(edges[0]) : int(edges[-1])].to_pybytes() if size else b""
        found[first:stop] = _sketch(data, edges - edges[0])
    # The middle of a long prompt was not seen: only the whole tells whether all of it is the same.
    found[long, -1] = fingerprints(prompts.take(pa.array(long)))
    return found


def _sketch(data: bytes, edges: Ints) -> UInts:
    """Sketches of the texts between the edges, which lie one after the other."""
    sketch = np.zeros((len(edges) - 1, BANDS + 1), np.uint64)
    plain = np.frombuffer(data.translate(_PLAIN), np.uint8)
    kind = np.frombuffer(data.translate(_KIND), np.uint8)
    begins = kind > 0
    begins[1:] &= (kind[:-1] == 0) | (kind[1:] >= 4) | ((kind[:-1] >= 4) & (plain[:-1] < 128))
    heads = edges[:-1][edges[:-1] < len(data)]
    begins[heads] = kind[heads] > 0
    words = np.flatnonzero(begins)
    if not len(words):
        return sketch
    neighbours = plain.astype(np.uint16) << 8
    neighbours[:-1] |= plain[1:]
    neighbours[edges[1:][edges[1:] > 0] - 1] = (plain[edges[1:][edges[1:] > 0] - 1].astype(np.uint16) << 8) | _BLANK
    owner = np.searchsorted(edges, words, "right") - 1
    firsts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    texts = owner[firsts]
    rank = (np.arange(len(words)) - np.repeat(firsts, np.diff(np.append(firsts, len(words))))).astype(np.uint64)
    with np.errstate(over="ignore"):
        hashed = _mixed(np.add.reduceat(_TABLE[neighbours], words))
        follows = np.append(owner[1:] == owner[:-1], False)
        pairs = _mixed(hashed * np.uint64(3) + np.append(hashed[1:], np.uint64(0)) * follows)
        counted = np.maximum.reduceat(kind & 3, words) == 2
        before = np.cumsum(counted).astype(np.uint64)
        before -= np.repeat(before[firsts] - counted[firsts], np.diff(np.append(firsts, len(words))))
        numbers = np.add.reduceat(_mixed(hashed + before) * counted, firsts)
        for band in range(BANDS):
            total = numbers.copy()
            for factor in _HASHES[band * ROWS : (band + 1) * ROWS]:
                total = _mixed(total + np.minimum.reduceat(pairs * factor, firsts))
            sketch[texts, band] = total
        sketch[texts, BANDS] = np.add.reduceat(_mixed(hashed + rank * _HASHES[-1]), firsts)
    return sketch


def _mixed(values: UInts) -> UInts:
    """Each number as one of 64 random-looking bits: the first half of splitmix64's finaliser."""
    return np.asarray((values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) ^ (values >> np.uint64(27)))


def joined_prompts(prompt_keys: UInts, sketch: UInts, offsets: Ints, completion_keys: UInts, lengths: Ints) -> UInts:
    """Prompt keys where prompts that are nearly alike have one, as far as their records hold the same completions.

    Args:
        prompt_keys: shape (n,), equal for equal prompts; 0 where the prompt is empty.
        sketch: shape (n, BANDS + 1), as `sketches` gives.
        completion_keys, lengths: flat; lengths in bytes.
    """
    n = len(prompt_keys)
    if not n or not len(completion_keys):
        return prompt_keys
    with np.errstate(over="ignore"):
        # A sum: the order of the completions does not count.
        held = np.concatenate([[np.uint64(0)], np.cumsum(_mixed(completion_keys))])
        held = held[offsets[1:]] - held[offsets[:-1]]
    sizes = np.concatenate([[0], np.cumsum(lengths)])
    long = sizes[offsets[1:]] - sizes[offsets[:-1]] >= LEAST_TEXT
    rows = np.flatnonzero(prompt_keys != 0)
    _, same, repeats = np.unique(held[rows], return_inverse=True, return_counts=True)
    rows, same = rows[repeats[same] >= 2], same[repeats[same] >= 2]
    if not len(rows):
        return prompt_keys
    names, prompt = np.unique(prompt_keys[rows], return_inverse=True)
    left, right = [], []
    for band in range(BANDS + 1):
        order = np.lexsort((prompt, sketch[rows, band], same))
        a, b = order[:-1], order[1:]
        alike = (same[a] == same[b]) & (sketch[rows[a], band] == sketch[rows[b], band])
        if band < BANDS:
            alike &= long[rows[a]]
        left.append(prompt[a[alike]])
        right.append(prompt[b[alike]])
    edges = (np.concatenate(left), np.concatenate(right))
    graph = sparse.coo_matrix((np.ones(len(edges[0]), bool), edges), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    # The least key of a component stands for it; keys elsewhere in the data follow.
    least = np.full(int(component.max(initial=-1)) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, component, names)
    place = np.minimum(np.searchsorted(names, prompt_keys), len(names) - 1)
    return np.where(names[place] == prompt_keys, least[component[place]], prompt_keys)
