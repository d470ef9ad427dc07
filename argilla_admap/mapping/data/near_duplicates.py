"""Near duplicates: prompts and completions that differ in a few words, so that their records' labels can contradict each other.

Candidates are records with the same completions under slightly different prompts, and records of one prompt with slightly
different completions. They are few; their texts are read once more and compared word by word (`same_text`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from argilla_admap.mapping.data.arrays import Bools, Ints, UInts, items_of, owners_of
from argilla_admap.mapping.data.same_text import CompareBudget, Words, same_answer, same_question
from argilla_admap.mapping.data.text_features import TextFacts, fingerprints
from argilla_admap.tables import RecordStream

__all__ = ["Prompts", "answer_keys", "join_near_duplicates", "mixed", "repeats", "sketches", "word_keys"]

#: MinHash: rows (hashes of pairs of words) a band, and bands. Prompts that share nine pairs of words in ten share a band with
#: probability .97, four in five .80, half .12, three in ten .01.
ROWS, BANDS = 5, 4
#: Bytes at either end of a prompt that the sketch covers.
END = 512
#: Completions shorter than this together, in bytes ("Yes", "No"), are often equal by chance: the prompts must then agree in all
#: words.
LEAST_TEXT = 60
#: Completions of this many bytes may differ in a few words; shorter ones must agree in all.
LONG_TEXT = 200
#: How far apart the counts (`DENSE_FEATURES`) of two completions may be to be compared: long ones, and short ones.
CLOSE = np.array([0.1, 0.12, 0.7, 0.7, 1.0, 0.03, 0.1, 0.7, 0.7])
CLOSE_SHORT = np.array([0.4, 0.35, 1.0, 3.0, 1.0, 0.2, 0.4, 1.0, 1.0])
#: In groups of up to this size all pairs are compared; in larger ones each with this many neighbours by each feature.
EACH, LIKEST = 12, 3
#: Pairs that are compared word by word, at most.
MOST_PAIRS = 200_000
#: Bytes that are read again, at most: of prompts and of completions each, and of each text.
MOST_BYTES, MOST_READ = 30_000_000, 20_000

#: Bytes of texts that are read at a time, about: what is made of them stays in the processor's cache.
BYTES_AT_ONCE = 1 << 16
#: Keys that are looked up at a time.
KEYS_AT_ONCE = 1 << 20

_DIGITS = range(48, 58)
#: Signs that change a question, as digits do.
_COUNTED = frozenset((*_DIGITS, *b"+*/=<>^%"))
#: Signs that are words of their own; and the first bytes of letters of scripts that put no blanks between words (Chinese,
#: Japanese, Korean).
_ALONE = frozenset((*range(0xE3, 0xEE), *b"+-*/=<>^%#$&@|~\\{}[]()"))
#: Letters, digits and the above; each byte of a letter beyond ASCII counts as one.
_LETTERS = _ALONE | frozenset((*_DIGITS, *range(65, 91), *range(97, 123), *range(128, 256)))
_BLANK = 32
#: Each byte in lower case, those outside words as a blank; and its kind: 0 outside words, 1 letter, 2 counted; plus 4 if alone.
_PLAIN = bytes(byte + 32 * (65 <= byte <= 90) if byte in _LETTERS else _BLANK for byte in range(256))
_KIND = bytes((byte in _LETTERS) + (byte in _COUNTED) + 4 * (byte in _ALONE) for byte in range(256))
_rng = np.random.default_rng(20240519)
#: A number for each two neighbouring bytes; their sum over a word is its hash. A blank starts no pair.
_NEIGHBOURS = _rng.integers(1, 2**63, (256, 256), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_NEIGHBOURS[_BLANK] = 0
_TABLE = _NEIGHBOURS.reshape(-1)
_HASHES = _rng.integers(1, 2**63, ROWS * BANDS + 1, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True, slots=True)
class Prompts:
    """Keys of n prompts, each of shape (n,).

    Attributes:
        keys: equal for equal prompts; 0 where one is empty.
        words: as `word_keys` gives; 0 where there is none.
        lengths: in bytes.
        answers: a number of each record's completions, whatever their order.
        answer_lengths: of a record's completions together, in bytes.
    """

    keys: UInts
    words: UInts
    lengths: Ints
    answers: UInts
    answer_lengths: Ints


class ComparedTexts(Protocol):
    """What is looked at of the completions of some records; `offsets` of shape (n + 1,), the others flat."""

    @property
    def offsets(self) -> Ints: ...
    @property
    def completion_keys(self) -> UInts: ...
    @property
    def texts(self) -> TextFacts: ...


def answer_keys(offsets: Ints, completion_keys: UInts) -> UInts:
    """A number of each record's completions, whatever their order; shape (n,)."""
    with np.errstate(over="ignore"):
        sums = np.concatenate([[np.uint64(0)], np.cumsum(mixed(completion_keys))])
        return np.asarray(sums[offsets[1:]] - sums[offsets[:-1]])


def word_keys(texts: Any) -> UInts:
    """A hash of each text, shape (n,), equal where all words and numbers are the same and in the same order.

    Case, blanks and punctuation do not count.

    Args:
        texts: an Arrow array of strings, of n items.
    """
    return np.asarray(_read(texts, 0)[:, 0])


def sketches(prompts: Any) -> UInts:
    """MinHash bands: two prompts that share most of their words in order almost surely share one.

    Their digits must be equal: another number asks another question. Case, blanks and punctuation do not count. The last column
    is equal where all words are the same, in the same order.

    Args:
        prompts: an Arrow array of strings, of n items.
    Returns:
        shape (n, BANDS + 1).
    Source: Broder, "On the resemblance and containment of documents" (1997), with the bands of Leskovec, Rajaraman & Ullman,
        Mining of Massive Datasets, § 3.4.
    """
    return _read(prompts, BANDS)


def _read(prompts: Any, bands: int) -> UInts:
    """The bands, and last the hash of all words; shape (n, bands + 1)."""
    whole = pc.fill_null(prompts, "").cast(pa.large_binary())
    long = np.flatnonzero(np.asarray(pc.binary_length(whole)) > 2 * END)
    found = np.empty((len(whole), bands + 1), np.uint64)
    if len(long):
        ends = [pc.binary_slice(whole.take(pa.array(long)), *span) for span in ((0, END), (-END, None))]
        ends.append(pa.scalar(b" ", pa.large_binary()))
        short = pc.binary_join_element_wise(*ends)
        mask = np.zeros(len(whole), bool)
        mask[long] = True
        whole = pc.replace_with_mask(whole, pa.array(mask), short)
    starts = np.frombuffer(whole.buffers()[1], np.int64)[whole.offset : whole.offset + len(whole) + 1] if len(whole) else None
    step = max(1, len(whole) * BYTES_AT_ONCE // max(int(starts[-1] - starts[0]), 1)) if starts is not None else 1
    for first in range(0, len(whole), step):
        stop = min(first + step, len(whole))
        edges = starts[first : stop + 1] if starts is not None else np.zeros(1, np.int64)
        size = int(edges[-1] - edges[0])
        data = whole.buffers()[2][int(edges[0]) : int(edges[-1])].to_pybytes() if size else b""
        found[first:stop] = _sketch(data, edges - edges[0], bands)
    # The sketch skips the middle of a long prompt: only the whole text shows that all of it is the same.
    found[long, -1] = fingerprints(prompts.take(pa.array(long)))
    return found


def _sketch(data: bytes, edges: Ints, bands: int) -> UInts:
    """Sketches of consecutive texts; `edges` holds where each begins, and the end."""
    sketch = np.zeros((len(edges) - 1, bands + 1), np.uint64)
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
    # A word ends with a blank, whether or not one is written before a sign.
    neighbours[:-1] |= np.where(begins[1:], np.uint8(_BLANK), plain[1:])
    neighbours[edges[1:][edges[1:] > 0] - 1] = (plain[edges[1:][edges[1:] > 0] - 1].astype(np.uint16) << 8) | _BLANK
    ends = np.searchsorted(words, edges)
    texts = np.flatnonzero(np.diff(ends))
    firsts = ends[texts]
    rank = (np.arange(len(words)) - np.repeat(firsts, np.diff(ends)[texts])).astype(np.uint64)
    with np.errstate(over="ignore"):
        hashed = mixed(np.add.reduceat(_TABLE.take(neighbours, mode="clip"), words))
        # The hash of all words depends on where numbers and signs stand among the words; the bands do not.
        sketch[texts, bands] = np.add.reduceat(mixed(hashed + rank * _HASHES[-1]), firsts)
        if not bands:
            return sketch
        follows = np.ones(len(words), bool)
        follows[ends[texts + 1] - 1] = False
        pairs = mixed(hashed * np.uint64(3) + np.append(hashed[1:], np.uint64(0)) * follows)
        counted = np.maximum.reduceat(kind & 3, words) == 2
        before = np.cumsum(counted).astype(np.uint64)
        before -= np.repeat(before[firsts] - counted[firsts], np.diff(ends)[texts])
        numbers = np.add.reduceat(mixed(hashed + before) * counted, firsts)
        for band in range(bands):
            total = numbers.copy()
            for factor in _HASHES[band * ROWS : (band + 1) * ROWS]:
                total = mixed(total + np.minimum.reduceat(pairs * factor, firsts))
            sketch[texts, band] = total
    return sketch


def mixed(values: UInts) -> UInts:
    """The first half of splitmix64's finaliser."""
    return np.asarray((values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) ^ (values >> np.uint64(27)))


def join_near_duplicates(
    stream: RecordStream,
    prompts: Prompts,
    offsets: Ints,
    repeated: Callable[[UInts], Iterable[tuple[Ints, ComparedTexts]]],
    pieces: Callable[[], Iterable[tuple[slice, ComparedTexts]]],
) -> tuple[UInts, Ints, UInts]:
    """The keys of prompts and of completions, made equal for near duplicates.

    Prompts of the same words get one key; so do those of nearly the same words where their records hold the same completions.
    Completions of nearly the same words get one key among the records of a prompt, unless a record holds both.

    Args:
        stream: read once more where there is something to compare.
        offsets: shape (n + 1,), of all completions.
        repeated: gives the records whose key (shape (n,)) others have too, as `Observed.repeated` does, and their positions.
        pieces: gives all records in their order, and their positions.
    Returns:
        prompt_keys; the flat positions of completions whose keys change, and their new keys. Near duplicates share the smallest
        of their keys.
    """
    prompt_keys = prompts.keys
    none = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    # A prompt of punctuation alone has no words to compare.
    filled = np.flatnonzero((prompt_keys != 0) & (prompts.words != 0) & repeats(prompts.words))
    order = filled[np.lexsort((prompt_keys[filled], prompts.words[filled]))]
    same = prompts.words[order[1:]] == prompts.words[order[:-1]]
    prompt_keys = _joined(prompt_keys, prompt_keys[order[1:][same]], prompt_keys[order[:-1][same]])
    rows, held, little = _same_completions(prompt_keys, prompts)
    pairs, lengths = np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64)
    for at, part in repeated(prompt_keys):
        found = _close_completions(prompt_keys[at], items_of(offsets, at), part)
        pairs, lengths = (np.concatenate(both)[:MOST_PAIRS] for both in zip((pairs, lengths), found, strict=True))
        if len(pairs) == MOST_PAIRS:
            break
    pairs, lengths = (some[np.cumsum(lengths.sum(axis=1)) <= MOST_BYTES] for some in (pairs, lengths))
    items = np.unique(pairs)
    if not len(rows) and not len(items):
        return prompt_keys, *none
    prompt_texts, completion_texts = _read_again(stream, rows, items)
    budget = CompareBudget()
    prompt_words = cache(lambda place: Words.of(prompt_texts[place]))
    features = _orders(prompt_texts, prompt_words) if (np.bincount(held) > EACH).any() else []
    places = _pairs(held, features)[:MOST_PAIRS]
    same_prompt = [
        same_question(prompt_words(int(a)), prompt_words(int(b)), strictly=bool(little[a]), budget=budget) for a, b in places
    ]
    alike = rows[places[np.array(same_prompt, bool)]]
    prompt_keys = _joined(prompt_keys, prompt_keys[alike[:, 0]], prompt_keys[alike[:, 1]])
    completion_words = cache(lambda place: Words.of(completion_texts[place], fillers=True))
    short = lengths.min(axis=1) < LONG_TEXT
    same_completion = [
        same_answer(completion_words(int(a)), completion_words(int(b)), strictly=bool(x), budget=budget)
        for (a, b), x in zip(np.searchsorted(items, pairs), short, strict=True)
    ]
    pairs = pairs[np.array(same_completion, bool)]
    if not len(pairs):
        return prompt_keys, *none
    flat, completion_keys, owner = _completions_like(np.unique(pairs), prompt_keys, pieces)
    new = _joined_completions(completion_keys, np.searchsorted(flat, pairs), prompt_keys[owner], owner)
    changed = new != completion_keys
    return prompt_keys, flat[changed], new[changed]


def _completions_like(
    items: Ints, prompt_keys: UInts, pieces: Callable[[], Iterable[tuple[slice, ComparedTexts]]]
) -> tuple[Ints, UInts, Ints]:
    """The completions that are equal to one of `items` (flat positions, ascending), those included, among records of the same
    prompts: flat positions, ascending, their keys, and the position of each one's record."""
    keys, prompts, first = [], [], 0
    for rows, piece in pieces():
        own = items[slice(*np.searchsorted(items, [first, first + len(piece.completion_keys)]))] - first
        keys.append(piece.completion_keys[own])
        prompts.append(prompt_keys[rows][owners_of(piece.offsets)[own]])
        first += len(piece.completion_keys)
    names, asked = np.unique(np.concatenate(keys)), np.unique(np.concatenate(prompts))
    found, first = [], 0
    for rows, piece in pieces():
        owner = rows.start + owners_of(piece.offsets)
        at = np.flatnonzero(np.isin(piece.completion_keys, names) & np.isin(prompt_keys[owner], asked))
        found.append((first + at, piece.completion_keys[at], owner[at]))
        first += len(piece.completion_keys)
    flat, completion_keys, owners = (np.concatenate(column) for column in zip(*found, strict=True))
    return flat, completion_keys, owners


def _joined(keys: UInts, left: UInts, right: UInts) -> UInts:
    """The keys, with those joined by pairs (left, right) replaced by the smallest of their component."""
    if not len(left):
        return keys
    names, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    component = _components(place[: len(left)], place[len(left) :], len(names))
    # The names are sorted: the first of a component is its smallest.
    least = names[np.unique(component, return_index=True)[1]][component]
    joined: UInts = keys.copy()
    for rows, place, found in _places(names, keys):
        joined[rows][found] = least[place[found]]
    return joined


def _places(names: UInts, keys: UInts) -> Iterator[tuple[slice, Ints, Bools]]:
    """For some keys at a time: which, their places in the sorted `names`, and whether they are there."""
    for start in range(0, len(keys), KEYS_AT_ONCE):
        rows = slice(start, start + KEYS_AT_ONCE)
        at = np.minimum(np.searchsorted(names, keys[rows]), len(names) - 1)
        yield rows, at, names[at] == keys[rows]


def _components(left: Ints, right: Ints, n: int) -> Ints:
    """The component of each of n nodes that edges (left, right) make."""
    graph = sparse.coo_matrix((np.ones(len(left), bool), (left, right)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _same_completions(prompt_keys: UInts, prompts: Prompts) -> tuple[Ints, Ints, Bools]:
    """One row of each prompt that shares all completions with another prompt; its group; and whether the completions are so
    short that they may be equal by chance."""
    held = prompts.answers
    rows = np.flatnonzero((prompt_keys != 0) & repeats(held))
    rows = rows[repeats(held[rows])]
    # Which wording of a prompt is read depends on the text, not on the order of the rows.
    rows = rows[np.lexsort((rows, prompts.keys[rows], prompt_keys[rows], held[rows]))]
    rows = rows[_changes(held[rows], prompt_keys[rows])]
    _, group, count = np.unique(held[rows], return_inverse=True, return_counts=True)
    several = count[group] >= 2
    rows, group = rows[several], group[several]
    read = np.cumsum(prompts.lengths[rows]) <= MOST_BYTES
    rows, group = rows[read], group[read]
    return rows, group, prompts.answer_lengths[rows] < LEAST_TEXT


def repeats(keys: UInts) -> Bools:
    """The keys that occur more than once; shape (n,)."""
    ordered = np.sort(keys)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    repeated = np.zeros(len(keys), bool)
    for rows, _, found in _places(twice, keys) if len(twice) else ():
        repeated[rows] = found
    return repeated


def _close_completions(prompt_keys: UInts, flat: Ints, part: ComparedTexts) -> tuple[Ints, Ints]:
    """Pairs of completions of one prompt, in different records, with similar counts: flat positions, and lengths in bytes;
    shape (p, 2) each.

    Args:
        prompt_keys: of the records of `part`.
        flat: the positions of its completions.
    """
    owner, completion_keys, texts = owners_of(part.offsets), part.completion_keys, part.texts
    group = np.unique(prompt_keys, return_inverse=True)[1]
    items = np.flatnonzero(~texts.empty & ~texts.partial)
    items = items[np.lexsort((items, completion_keys[items], group[owner[items]]))]
    items = items[_changes(group[owner[items]], completion_keys[items])]

    def near(i: Ints, j: Ints) -> Bools:
        a, b = items[i], items[j]
        fits: Bools = np.not_equal(owner[a], owner[b])
        a, b = a[fits], b[fits]
        short = np.minimum(texts.length[a], texts.length[b]) < LONG_TEXT
        apart = np.abs(texts.dense[a] - texts.dense[b])
        fits[fits] = (apart <= np.where(short[:, None], CLOSE_SHORT, CLOSE)).all(axis=1)
        return fits

    found: Ints = items[_pairs(group[owner[items]], [(texts.length[items], False)], near)][:MOST_PAIRS]
    return flat[found], texts.length[found]


def _changes(first: Any, second: Any) -> Bools:
    """Where a sorted pair of columns takes a new value."""
    new = np.ones(len(first), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return new


def _pairs(
    group: Ints, features: list[tuple[Any, bool]], fits: Callable[[Ints, Ints], Bools] = lambda a, _: np.ones(len(a), bool)
) -> Ints:
    """Pairs of places within the groups, shape (p, 2): all of a small group; in a large one the neighbours by each feature.

    Args:
        group: shape (m,), sorted.
        features: each of shape (m,), and whether its values must be equal.
        fits: which pairs to keep.
    """
    small = np.bincount(group)[group] <= EACH if len(group) else np.zeros(0, bool)
    found = [np.zeros((0, 2), np.int64)]

    def keep(a: Ints, b: Ints) -> None:
        kept = fits(a, b)
        found.append(np.sort(np.stack([a[kept], b[kept]], axis=1), axis=1))

    for step in range(1, min(EACH, len(group))):
        a = np.flatnonzero(small[: len(group) - step] & (group[: len(group) - step] == group[step:]))
        keep(a, a + step)
    for feature, equal in features if not small.all() else ():
        order = np.lexsort((feature, group))
        for step in range(1, LIKEST + 1):
            a, b = order[:-step], order[step:]
            next_to = (group[a] == group[b]) & ~small[a]
            if equal:
                next_to &= feature[a] == feature[b]
            keep(a[next_to], b[next_to])
    return np.unique(np.concatenate(found), axis=0)


def _orders(prompts: list[str], read: Callable[[int], Words]) -> list[tuple[Any, bool]]:
    """Features by which near duplicates are neighbours, and whether only equal values count: beginning, end, shared words."""
    words = [read(place).content for place in range(len(prompts))]
    alphabetic = [
        np.unique(np.array([" ".join(w[::step])[:END] for w in words], object), return_inverse=True)[1] for step in (1, -1)
    ]
    bands = sketches(pa.array(prompts, pa.large_string())).T[:BANDS]
    return [*((order, False) for order in alphabetic), *((band, True) for band in bands)]


def _read_again(stream: RecordStream, rows: Ints, items: Ints) -> tuple[list[str], list[str]]:
    """The prompts of `rows` and the completions at the flat positions `items` (ascending), in their order."""
    prompts: dict[int, str] = {}
    completions: list[str] = []
    wanted = np.sort(rows)
    first_row = first_item = 0
    for batch in stream.batches():
        lists: Any = batch.column("completions")
        flat = lists.flatten()
        for place in wanted[slice(*np.searchsorted(wanted, [first_row, first_row + batch.num_rows]))].tolist():
            prompts[place] = (batch.column("prompt")[place - first_row].as_py() or "")[:MOST_READ]
        for place in items[slice(*np.searchsorted(items, [first_item, first_item + len(flat)]))].tolist():
            completions.append((flat[place - first_item].as_py() or "")[:MOST_READ])
        first_row, first_item = first_row + batch.num_rows, first_item + len(flat)
    return [prompts[row] for row in rows.tolist()], completions


def _joined_completions(keys: UInts, pairs: Ints, prompt_keys: UInts, owner: Ints) -> UInts:
    """The completions' keys, those of the pairs joined within their prompt; unless a record holds two that would be joined.

    Args:
        pairs: positions in `keys`.
        prompt_keys, owner: of each completion: its prompt and its record.
    """
    order = np.lexsort((keys, prompt_keys))
    node = np.empty(len(keys), np.int64)
    node[order] = np.cumsum(_changes(prompt_keys[order], keys[order])) - 1
    component = _components(node[pairs[:, 0]], node[pairs[:, 1]], int(node.max()) + 1)
    of_item = component[node]
    both = np.unique(np.stack([owner, of_item, node], axis=1), axis=0)
    _, place, held = np.unique(both[:, :2], axis=0, return_index=True, return_counts=True)
    spoilt = np.zeros(int(component.max()) + 1, bool)
    spoilt[both[place[held > 1], 1]] = True
    least = np.full(len(spoilt), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, of_item, keys)
    return np.where(spoilt[of_item], keys, least[of_item])
