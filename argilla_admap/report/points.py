"""The map's columns as flat arrays, gathered in one pass over the batches: what the page and the plots draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import InputError
from argilla_admap.mapping.data.arrays import Floats, flat_numbers, list_sizes
from argilla_admap.mapping.regions.coordinates import REGIONS as MAP_REGIONS
from argilla_admap.records import MAP_FIELDS
from argilla_admap.tables import RecordStream

__all__ = ["REGIONS", "MapLike", "Points", "gather_points"]

#: Code 0 is "no region".
REGIONS = ("", *MAP_REGIONS)
NO_SOURCE = "(no source)"
_NUMBERS = ("mean", "variance", "p_wrong", "contested", "agreement", "region_confidence")
_MOST_FLAGS = 31


class MapLike(Protocol):
    """What is needed of a map: its batches, again and again, and the facts of its making."""

    info: dict[str, Any]

    def batches(self) -> Any:
        """A new pass over the record batches."""


@dataclass(frozen=True, slots=True)
class Points:
    """A map's numbers, in the order of its file. Every array but `scores` and `ratings` has shape (n,).

    Attributes:
        ids: the records' ids.
        numbers: `mean`, `variance`, `p_wrong`, `contested`, `agreement`, `region_confidence`; NaN where there is none.
        region: index into `REGIONS`.
        flags: bit i is set where the record has `flag_names[i]`.
        source: index into `source_names`, the most frequent first.
        k: completions of the record.
        scores: shape (sum of k,); the records' scores one after the other, NaN where unscored.
        ratings: the same of the data set's labels.
        info: the facts of the map's making.
    """

    ids: pa.ChunkedArray[Any]
    numbers: Mapping[str, Floats]
    region: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint32]
    flag_names: tuple[str, ...]
    source: npt.NDArray[np.int64]
    source_names: tuple[str, ...]
    k: npt.NDArray[np.int64]
    scores: Floats
    ratings: Floats
    info: dict[str, Any]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mapped(self) -> npt.NDArray[np.bool_]:
        """The records that have a place: both coordinates are numbers."""
        return np.isfinite(self.numbers["mean"]) & np.isfinite(self.numbers["variance"])


def gather_points(data_map: MapLike | RecordStream, name: str = "the map") -> Points:
    """The numbers of a map in one pass; texts are left where they are.

    Args:
        data_map: the map, or the stream of its file.
        name: what an error calls it.
    Raises:
        InputError: the columns of a map are absent.
    """
    parts: dict[str, list[Any]] = {key: [] for key in (*_NUMBERS, "ids", "region", "k", "scores", "ratings", "source")}
    flag_bits: dict[str, int] = {}
    flags: list[npt.NDArray[np.uint32]] = []
    for batch in data_map.batches():
        names = set(batch.schema.names)
        missing = [f.name for f in MAP_FIELDS if f.name not in names]
        if missing:
            raise InputError(f"{name}: not a map, it has no column {missing[0]!r}", hint="make one with `admap map`")
        for key in _NUMBERS:
            parts[key].append(_numbers(batch.column(key)))
        k = list_sizes(batch.column("completions"))
        parts["k"].append(k)
        parts["ids"].append(batch.column("id"))
        parts["region"].append(_region_codes(batch.column("region")))
        parts["source"].append(batch.column("source") if "source" in names else pa.nulls(batch.num_rows, pa.string()))
        for key in ("scores", "ratings"):
            parts[key].append(flat_numbers(batch.column(key), k) if key in names else np.full(int(k.sum()), np.nan))
        flags.append(_flag_bits(batch.column("flags"), flag_bits))
    if not parts["ids"]:
        raise InputError(f"{name}: holds no record", hint="make the map again with `admap map`, and see what it says")
    source, source_names = _sources(pa.chunked_array(parts["source"], pa.string()))
    return Points(
        ids=pa.chunked_array(parts["ids"]),
        numbers={key: np.concatenate(parts[key]) for key in _NUMBERS},
        region=np.concatenate(parts["region"]),
        flags=np.concatenate(flags),
        flag_names=tuple(flag_bits),
        source=source,
        source_names=source_names,
        k=np.concatenate(parts["k"]),
        scores=np.concatenate(parts["scores"]),
        ratings=np.concatenate(parts["ratings"]),
        info=dict(data_map.info),
    )


def _numbers(column: Any) -> Floats:
    values = np.asarray(pc.fill_null(pc.cast(column, pa.float64()), np.nan), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _region_codes(column: Any) -> npt.NDArray[np.uint8]:
    codes = pc.fill_null(pc.index_in(column, pa.array(REGIONS[1:], pa.string())), -1)
    return (np.asarray(codes, dtype=np.int64) + 1).astype(np.uint8)


def _flag_bits(column: Any, bits: dict[str, int]) -> npt.NDArray[np.uint32]:
    """Bit sets of the flags' names; `bits` learns new names as they come."""
    out = np.zeros(len(column), np.uint32)
    lengths = list_sizes(column)
    if not lengths.sum():
        return out
    encoded = column.flatten().dictionary_encode()
    values = []
    for flag in encoded.dictionary.to_pylist():
        if flag not in bits and len(bits) < _MOST_FLAGS:
            bits[flag] = len(bits)
        values.append(1 << bits[flag] if flag in bits else 0)
    codes = np.asarray(pc.fill_null(encoded.indices, 0), dtype=np.int64)
    np.bitwise_or.at(out, np.repeat(np.arange(len(column)), lengths), np.array(values, np.uint32)[codes])
    return out


def _sources(column: Any) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Codes and names of the sources, the most frequent first."""
    encoded = pc.dictionary_encode(pc.fill_null(column, NO_SOURCE)).combine_chunks()
    names = encoded.dictionary.to_pylist()
    codes = np.asarray(encoded.indices, dtype=np.int64)
    order = np.argsort(-np.bincount(codes, minlength=len(names)), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[codes], tuple(names[i] for i in order)
