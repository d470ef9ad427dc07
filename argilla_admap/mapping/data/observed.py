"""Pass one over a stream: the numbers of all records, in pieces that wait on disk where they are many.

Whatever needs all records at once is an array of a number a record; the rest is fitted on a sample and then done piece by
piece, so that memory stays flat. Small data are one piece, and the sample is all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from scipy import sparse

from argilla_admap.mapping.data.arrays import Floats, Folds, Ints, UInts, offsets_of
from argilla_admap.mapping.data.near_duplicates import Prompts, answer_keys, join_near_duplicates, repeats
from argilla_admap.mapping.data.observations import NumbersReader, Observations, read_texts
from argilla_admap.mapping.data.text_features import fingerprints, hashed_words, join_facts
from argilla_admap.tables import RecordStream, Spool, release_memory

__all__ = ["FOLDS", "InOrder", "Observed", "folds_of", "in_order", "observe", "observe_pieces"]

#: Records of a piece, and completions.
PIECE_ROWS, PIECE_ITEMS = 1 << 14, 1 << 17
#: Records by which everything is fitted, and their completions, at most: those whose ids have the smallest hashes, whatever
#: their order.
SAMPLE, SAMPLE_ITEMS = 50_000, 1 << 19
#: Completions of records of repeated prompts that are looked at together, about; of very many more, by this many parts.
PART_ITEMS, MOST_PARTS = 1 << 18, 32
#: A prompt with more than one in this many of a part's records is dealt to all parts.
CROWDED = 4
#: Hashed words are used up to this many records, without scores and with; beyond, they add too little for the time.
WORDS_RECORDS = {False: 12_000, True: 4_000}
#: Threads that work on pieces.
WORKERS = 2
#: Parts into which records are dealt for fitting: no label predicts itself.
FOLDS = 5

#: Makes something of each of many, wherever that is done, and gives it in their order.
InOrder = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(work: Callable[[Given], Made], given: Iterable[Given]) -> Iterator[Made]:
    """What `work` makes of each, in the order given; two at a time, since most of the work is outside of Python's lock."""
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        try:
            for one in given:
                waiting.append(pool.submit(work, one))
                while len(waiting) > WORKERS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@dataclass(frozen=True, slots=True)
class _Outline:
    """What is kept in memory of each piece, as in `Observations`."""

    sizes: Ints
    sources: Ints
    source_names: tuple[str, ...]
    model_names: tuple[str, ...]


class Observed:
    """All records as numbers.

    Attributes:
        offsets: shape (n + 1,), of all completions.
        prompt_keys, folds, sources: shape (n,), as in `Observations`.
        source_names: of the codes in `sources`.
        sample: the records by which everything is fitted.
        rows: shape (sample,), their positions, ascending.
    """

    def __init__(
        self,
        spool: Spool[Observations],
        outlines: list[_Outline],
        stream: RecordStream,
        prompts: Prompts,
        keys: UInts,
        judged: bool,
    ) -> None:
        """
        Args:
            spool: the pieces as they were read, each with codes and names of its own.
            outlines: of each piece.
            stream: read once more where near duplicates are compared.
            prompts: of all records.
            keys: of all records, as in `Observations`.
            judged: whether any completion has a score.
        """
        self._spool, n = spool, len(keys)
        self._only: Observations | None = None
        self._starts = offsets_of(np.array([len(one.sizes) for one in outlines])).tolist()
        self.offsets = offsets_of(np.concatenate([one.sizes for one in outlines]))
        self.model_names = tuple(sorted({name for one in outlines for name in one.model_names}))
        self.source_names = tuple(sorted({name for one in outlines for name in one.source_names}))
        source_codes = {name: code for code, name in enumerate(self.source_names)}
        self.sources = np.concatenate([_codes(one.sources, one.source_names, source_codes) for one in outlines])
        self._model_codes = {name: code for code, name in enumerate(self.model_names)}
        self._words = _all_words(stream) if 0 < n <= WORDS_RECORDS[judged] else None
        self._changed: tuple[Ints, UInts] = np.zeros(0, np.int64), np.zeros(0, np.uint64)
        self.prompt_keys, self.folds = prompts.keys, np.zeros(n, np.int8)
        joined = join_near_duplicates(stream, prompts, self.offsets, self._repeated, self._read)
        self.prompt_keys, self._changed = joined[0], joined[1:]
        self.folds = _folds(self.prompt_keys, keys)
        self._only = next(self._read())[1] if len(spool) == 1 else None
        self.rows = _sample(keys, self.offsets)
        self.sample = self._only if self._only is not None and n == len(self.rows) else self.take(self.rows)

    @classmethod
    def of(cls, seen: Observations) -> Observed:
        """Observations that are in memory, as one piece and as the sample."""
        book = cls.__new__(cls)
        book.offsets, book.prompt_keys, book.folds = seen.offsets, seen.prompt_keys, seen.folds
        book.sources, book.source_names, book.model_names = seen.sources, seen.source_names, seen.model_names
        book._starts, book._only, book.sample, book.rows = [0, seen.n], seen, seen, np.arange(seen.n)
        return book

    @property
    def n(self) -> int:
        """How many records."""
        return len(self.offsets) - 1

    def pieces(self) -> Iterator[tuple[slice, Observations]]:
        """All records in their order: the positions of some, and those."""
        return self._read() if self._only is None else iter([(slice(0, self.n), self._only)])

    def ratings(self) -> Floats:
        """Of all records, flat; NaN where absent."""
        return np.concatenate([piece.ratings for _, piece in self.pieces()])

    def take(self, rows: Ints) -> Observations:
        """The records at some positions, ascending."""
        parts: list[Observations] = []
        for place, piece in self.pieces():
            inside = rows[slice(*np.searchsorted(rows, [place.start, place.stop]))]
            if len(inside) or not len(parts):
                parts.append(piece.take(inside - place.start))
        return Observations.joined(parts)

    def repeated(self) -> Iterator[tuple[Ints, Observations]]:
        """The records of prompts that occur more than once, whole prompts at a time: positions, and those records.

        The records of a prompt that would fill a large share of a part are dealt to all parts by their ids.
        """
        return self._repeated(self.prompt_keys)

    def _read(self) -> Iterator[tuple[slice, Observations]]:
        changed, new = self._changed
        for number, piece in enumerate(self._spool):
            rows = slice(self._starts[number], self._starts[number + 1])
            first, last = int(self.offsets[rows.start]), int(self.offsets[rows.stop])
            some = slice(*np.searchsorted(changed, [first, last]))
            piece.completion_keys[changed[some] - first] = new[some]
            yield (
                rows,
                replace(
                    piece,
                    models=_codes(piece.models, piece.model_names, self._model_codes),
                    model_names=self.model_names,
                    sources=self.sources[rows],
                    source_names=self.source_names,
                    prompt_keys=self.prompt_keys[rows],
                    folds=self.folds[rows],
                    words=None if self._words is None else self._words[first:last],
                ),
            )

    def _repeated(self, keys: UInts) -> Iterator[tuple[Ints, Observations]]:
        rows = np.flatnonzero((keys != 0) & repeats(keys))
        if not len(rows):
            return
        items = int((self.offsets[rows + 1] - self.offsets[rows]).sum())
        count = min(-(-items // PART_ITEMS), MOST_PARTS)
        if count == 1:
            yield rows, self.take(rows)
            return
        # By hash into parts that each fit memory: one pass, however many parts.
        ordered, most = np.sort(keys[rows]), max(1, len(rows) // (CROWDED * count))
        crowded = np.unique(ordered[most:][ordered[most:] == ordered[:-most]])
        del ordered
        parts: list[Spool[tuple[Ints, Observations]]] = [Spool(1 << 20) for _ in range(count)]
        for place, piece in self.pieces():
            inside = rows[slice(*np.searchsorted(rows, [place.start, place.stop]))]
            own = np.isin(keys[inside], crowded)
            part_of = np.where(own, piece.keys[inside - place.start], keys[inside]) % np.uint64(count)
            for number, spool in enumerate(parts):
                own = inside[part_of == number]
                if len(own):
                    spool.add((own, piece.take(own - place.start)))
        for spool in parts:
            held = list(spool)
            if held:
                yield np.concatenate([one[0] for one in held]), Observations.joined([one[1] for one in held])


def observe(stream: RecordStream, stratum: str | None = None) -> Observations:
    """Goes through a scored stream once and keeps its numbers, all of them in memory.

    Args:
        stratum: the column that becomes `sources`; ``source`` when None.
    """
    return Observations.joined([piece for _, piece in observe_pieces(stream, stratum).pieces()])


def observe_pieces(
    stream: RecordStream,
    stratum: str | None = None,
    note: Callable[[Observations], None] = lambda _: None,
    each: InOrder = in_order,
) -> Observed:
    """Goes through a scored stream once and keeps its numbers.

    Args:
        stratum: as for `observe`.
        note: called with each piece as it is read, in order.
        each: what looks at the texts of the batches, in their order.
    """
    spool: Spool[Observations] = Spool()
    found: list[tuple[UInts, ...]] = []
    outlines: list[_Outline] = []
    open_reader = partial(NumbersReader, stream.schema, ("score_variances", "score_counts"), stratum or "source")
    judged, held = False, _Held(open_reader())

    def keep() -> None:
        nonlocal held, judged
        piece, prompts = held.piece(stream.schema)
        judged = judged or held.reader.judged
        note(piece)
        outlines.append(_Outline(piece.sizes, piece.sources, piece.source_names, piece.model_names))
        spool.add(piece)
        found.append(prompts)
        held = _Held(open_reader())

    # Not `itertools.tee`, which keeps up to 57 batches that both have passed.
    looked_at: deque[pa.RecordBatch] = deque()

    def given() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches():
            if batch.num_rows:
                looked_at.append(batch)
                yield batch

    for texts in each(read_texts, given()):
        held.add(looked_at.popleft(), texts)
        if held.rows >= PIECE_ROWS or held.items >= PIECE_ITEMS:
            keep()
    if held.rows or not found:
        keep()
    # Each column's parts go as it is joined: all of them together are large.
    columns = list(zip(*found, strict=True))
    found.clear()
    keys, *prompts = (np.concatenate(columns.pop(0)) for _ in range(len(columns)))
    release_memory()
    return Observed(spool, outlines, stream, Prompts(*prompts), keys, judged)


class _Held:
    """Batches that become a piece."""

    def __init__(self, reader: NumbersReader) -> None:
        self.reader, self.rows, self.items = reader, 0, 0
        self._ids: list[Any] = []
        self._texts: list[dict[str, Any]] = []

    def add(self, batch: pa.RecordBatch, texts: dict[str, Any]) -> None:
        self.reader.add(batch)
        self.rows += batch.num_rows
        self.items += len(texts["completion_keys"])
        self._ids.append(batch.column("id"))
        self._texts.append(texts)

    def piece(self, schema: pa.Schema) -> tuple[Observations, tuple[Any, ...]]:
        """The piece; the keys of its records and the fields of `Prompts`."""
        texts = self._texts or [read_texts(pa.RecordBatch.from_pylist([], schema=schema))]
        numbers = self.reader.numbers()
        counts = np.nan_to_num(self.reader.column("score_counts"), nan=0.0).astype(np.int64)
        ids: Any = pa.chunked_array(self._ids, pa.string())
        facts = join_facts([text["facts"] for text in texts])
        joined: dict[str, Any] = {name: np.concatenate([text[name] for text in texts]) for name in texts[0] if name != "facts"}
        words, lengths = joined.pop("prompt_words"), joined.pop("prompt_lengths")
        piece = Observations(
            **numbers,
            **joined,
            sample_variances=self.reader.column("score_variances"),
            sample_counts=np.where(np.isfinite(numbers["scores"]), counts, 0),
            keys=fingerprints(ids.combine_chunks()),
            texts=facts,
            folds=np.zeros(self.rows, np.int8),
            words=None,
        )
        ends = offsets_of(facts.length)[piece.offsets]
        answers = answer_keys(piece.offsets, piece.completion_keys)
        return piece, (piece.keys, piece.prompt_keys, words, lengths, answers, np.diff(ends))


def _codes(codes: Ints, own: tuple[str, ...], place: Mapping[str, int]) -> Ints:
    """Codes into `own` as those of `place`; -1 stays."""
    return np.asarray(np.array([*(place[name] for name in own), -1], np.int64)[codes])


def _sample(keys: UInts, offsets: Ints) -> Ints:
    """The positions of the records by which everything is fitted, ascending."""
    rows = np.arange(len(keys)) if len(keys) <= SAMPLE else np.flatnonzero(keys <= np.partition(keys, SAMPLE - 1)[SAMPLE - 1])
    sizes = offsets[rows + 1] - offsets[rows]
    if sizes.sum() <= SAMPLE_ITEMS:
        return rows
    order = np.argsort(keys[rows], kind="stable")
    return np.sort(rows[order[np.cumsum(sizes[order]) <= SAMPLE_ITEMS]])


def _all_words(stream: RecordStream) -> Any:
    """The hashed words of every completion; read in a pass of their own, since only small data have them."""
    columns: list[Any] = [batch.column("completions") for batch in stream.batches()]
    return sparse.vstack([hashed_words(column.flatten()) for column in columns], format="csr")


def _folds(prompt_keys: UInts, keys: UInts) -> Folds:
    """Records of one prompt share a fold, unless the "prompt" is one instruction for all records."""
    apart = prompt_keys == 0
    rows = np.flatnonzero(repeats(prompt_keys) & ~apart)
    _, group, count = np.unique(prompt_keys[rows], return_inverse=True, return_counts=True)
    apart[rows[count[group] > max(8, 0.05 * len(keys))]] = True
    return folds_of(np.where(apart, keys, prompt_keys))


def folds_of(keys: UInts) -> Folds:
    """A fold for each key, evenly and the same on every run; shape (n,), 0..FOLDS - 1."""
    # splitmix64's finaliser: neighbouring keys land apart.
    folds = np.empty(len(keys), np.int8)
    for start in range(0, len(keys), SAMPLE):
        mixed = keys[start : start + SAMPLE].astype(np.uint64)
        with np.errstate(over="ignore"):
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
        folds[start : start + SAMPLE] = mixed % np.uint64(FOLDS)
    return folds
