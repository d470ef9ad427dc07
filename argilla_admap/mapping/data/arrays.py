"""Flat arrays with offsets, groups of records of one size, and the way from and to Arrow columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.records import letter

__all__ = [
    "Bools",
    "Floats",
    "Folds",
    "Ints",
    "SizeGroup",
    "UInts",
    "choose_text",
    "coded_column",
    "codes_of",
    "double_column",
    "flat_numbers",
    "flat_strings",
    "groups_by_size",
    "items_of",
    "join_text",
    "letters",
    "list_sizes",
    "masks_of_names",
    "names_column",
    "offsets_of",
    "owners_of",
    "parts_of",
    "text_where",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
UInts = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Folds = npt.NDArray[np.int8]

#: Larger numbers count as absent: their squares are beyond floating point.
LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class SizeGroup:
    """The records of one size.

    Attributes:
        k: how many items each record has.
        rows: shape (n,), the records' positions, ascending.
        items: shape (n, k), the positions of their items in the flat arrays.
    """

    k: int
    rows: Ints
    items: Ints


def offsets_of(sizes: Ints) -> Ints:
    """Where each record's items begin in a flat array, and, last, where they all end; shape (n + 1,)."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def owners_of(offsets: Ints) -> Ints:
    """The record of each item; flat."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def items_of(offsets: Ints, rows: Ints) -> Ints:
    """The positions of the items of some records in the flat arrays, record by record."""
    sizes = offsets[rows + 1] - offsets[rows]
    return np.asarray(np.repeat(offsets[rows] - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum())))


def parts_of(codes: Ints, n: int) -> list[Ints]:
    """The positions of each of the codes 0..n - 1, ascending."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.searchsorted(codes[order], np.arange(1, n)))


def groups_by_size(offsets: Ints, keep: Bools | None = None) -> Iterator[SizeGroup]:
    """The records grouped by their number of items (of the items kept), smallest first.

    Args:
        offsets: shape (n + 1,), as `offsets_of` gives.
        keep: shape (offsets[-1],); items that are False are left out. Records without any item are in no group.
    """
    whole = np.diff(offsets)
    if len(whole) and whole[0] and (whole == whole[0]).all() and (keep is None or keep.all()):
        yield SizeGroup(int(whole[0]), np.arange(len(whole)), np.arange(offsets[-1]).reshape(len(whole), -1))
        return
    kept = np.arange(offsets[-1]) if keep is None else np.flatnonzero(keep)
    starts = np.searchsorted(kept, offsets)
    sizes = np.diff(starts)
    for k in np.unique(sizes[sizes > 0]):
        rows = np.flatnonzero(sizes == k)
        yield SizeGroup(int(k), rows, kept[starts[rows][:, None] + np.arange(k)])


def list_sizes(lists: Any) -> Ints:
    """The length of each list of an Arrow column, 0 for null; shape (n,)."""
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int64)


def flat_numbers(lists: Any, sizes: Ints) -> Floats:
    """The numbers of a list column, one for each completion; NaN for null, for null rows and for numbers beyond `LARGEST`.

    Args:
        sizes: shape (n,), completions of each record; of a list of another length, the items that both have.
    """
    own = list_sizes(lists)
    values = np.asarray(pc.cast(lists.flatten(), pa.float64()).to_numpy(zero_copy_only=False))
    if not np.array_equal(own, sizes):
        shared = np.minimum(own, sizes)
        rows = np.repeat(np.arange(len(sizes)), shared)
        within = np.arange(len(rows)) - np.repeat(offsets_of(shared)[:-1], shared)
        aligned = np.full(int(sizes.sum()), np.nan)
        aligned[offsets_of(sizes)[rows] + within] = values[offsets_of(own)[rows] + within]
        values = aligned
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) < LARGEST, values, np.nan)


def flat_strings(lists: Any, sizes: Ints) -> Any:
    """The strings of a list column, one for each completion; all null where the lists have other lengths."""
    fits = lists.null_count == 0 and np.array_equal(list_sizes(lists), sizes)
    return lists.flatten() if fits else pa.nulls(int(sizes.sum()), pa.string())


def codes_of(pieces: Sequence[Any]) -> tuple[Ints, tuple[str, ...]]:
    """Arrow columns of strings (or dictionaries of them) as codes into their sorted names, -1 for null.

    The order of the rows does not count.
    """
    chunks = [chunk for piece in pieces for chunk in getattr(piece, "chunks", [piece])]
    coded: list[Any] = [pc.dictionary_encode(chunk) for chunk in chunks]
    kind: Any = pa.dictionary(pa.int32(), pa.string())
    joined: Any = pa.chunked_array(coded, kind)
    encoded: Any = joined.unify_dictionaries().combine_chunks()
    if not len(encoded):
        return np.zeros(0, np.int64), ()
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.full(len(names) + 1, -1, np.int64)
    rank[order] = np.arange(len(names))
    codes = np.asarray(pc.fill_null(encoded.indices, len(names)), dtype=np.int64)
    return rank[codes], tuple(names[i] for i in order)


def double_column(values: Floats) -> pa.Array[Any]:
    """Numbers, with null where NaN."""
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def coded_column(codes: Ints, names: Sequence[str]) -> pa.Array[Any]:
    """Strings from codes into `names`, with null where a code is negative."""
    indices: Any = pa.array(np.where(codes >= 0, codes, 0).astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string())).cast(pa.string())


def names_column(masks: Mapping[str, Bools], n: int) -> pa.Array[Any]:
    """For each of n records the list of names whose mask holds it, in the order of the mapping."""
    held = np.stack(list(masks.values()), axis=1) if masks else np.zeros((n, 0), bool)
    ends: Any = pa.array(offsets_of(held.sum(axis=1)).astype(np.int32))
    return pa.ListArray.from_arrays(ends, coded_column(np.nonzero(held)[1].astype(np.int64), list(masks)))


def masks_of_names(lists: Any) -> dict[str, Bools]:
    """The reverse of `names_column`: the records that hold each name, by name, sorted."""
    codes, names = codes_of([lists.flatten()])
    owner = np.repeat(np.arange(len(lists)), list_sizes(lists))
    return {name: np.bincount(owner[codes == code], minlength=len(lists)) > 0 for code, name in enumerate(names)}


def letters(places: Ints) -> Any:
    """The letter of the completion at each place, as an Arrow array; negative places read as the first."""
    names: Any = pa.array([letter(place) for place in range(int(places.max(initial=0)) + 1)])
    at: Any = pa.array(np.maximum(places, 0))
    return names.take(at)


def join_text(*parts: Any) -> Any:
    """Arrow arrays of strings and plain strings, joined row by row; null where a part is null."""
    columns: list[Any] = [pa.scalar(p) if isinstance(p, str) else p for p in parts]
    return pc.binary_join_element_wise(*columns, "", null_handling="emit_null")


def text_where(mask: Bools, text: Any) -> Any:
    """The text (one, or an array) where the mask holds, else null."""
    return pc.if_else(pa.array(mask), text, pa.scalar(None, pa.string()))


def choose_text(mask: Bools, yes: Any, no: Any) -> Any:
    """The one text where the mask holds, else the other."""
    return pc.if_else(pa.array(mask), yes, no)
