"""Files of our own, SCORED and MAP, read with every row checked: other programs write and filter them too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array

from argilla_admap.errors import InputError
from argilla_admap.records import LARGEST_NUMBER, MAP_SCHEMA
from argilla_admap.tables import RecordStream, read_stream

__all__ = ["holds_scores", "read_stored"]

_AGAIN = "make the file again with `admap score` or `admap map`"
_ALWAYS = ("id", "prompt", "completions")
#: Columns with a value for each completion.
_A_COMPLETION = frozenset({"models", "ratings", "samples", "reasons", "scores", "errors", "score_variances", "score_counts"})


def holds_scores(stream: RecordStream) -> bool:
    """Whether the columns are those of SCORED or MAP, and not a layout of somebody else's."""
    types = {field.name: field.type for field in stream.schema}
    lists = [types.get(name) for name in ("completions", "scores")]
    return {*_ALWAYS, "scores"} <= set(types) and all(kind is not None and _is_list(kind) for kind in lists)


def stored_scores(source: Any) -> RecordStream | None:
    """The stream of SCORED or MAP, where `source` is the path of such a file."""
    if not isinstance(source, (str, os.PathLike)) or Path(source).suffix != ".parquet" or not Path(source).is_file():
        return None
    opened = read_stream(source, rows=None)
    return read_stored(source, opened) if holds_scores(opened) else None


def read_stored(path: str | os.PathLike[str], stream: RecordStream | None = None) -> RecordStream:
    """The stream of a file that we wrote, perhaps changed by others since: pandas' column types are turned into ours.

    Args:
        path: a Parquet file.
        stream: of that file, where it is open already.

    Raises:
        InputError: absent, not Parquet, without the columns of every record. A row that cannot be used raises it when it is
            reached: no id or text, lists of different lengths, a number beyond all scales, an id that was there before.
    """
    source = read_stream(path) if stream is None else stream
    for name in _ALWAYS:
        if name not in source.schema.names:
            raise InputError(f"{path}: no column {name!r}", hint=_AGAIN)
    ours = {field.name: field for field in MAP_SCHEMA}
    schema = pa.schema([_target(ours, field) for field in source.schema if field.name != "__index_level_0__"])
    told_apart = False

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal told_apart
        yield from _checked(Path(path), source, schema, ids=not told_apart)
        told_apart = True

    def columns(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if not told_apart:
            yield from (batch.select(list(names)) for batch in batches())
            return
        # Every row was checked by an earlier pass.
        wanted = pa.schema([schema.field(name) for name in names])
        for batch in source.columns(names):
            found = [_cast(Path(path), batch.column(field.name), field) for field in wanted]
            yield pa.RecordBatch.from_arrays(found, schema=wanted)

    return RecordStream(batches, schema, source.info, columns)


def _target(ours: dict[str, pa.Field[Any]], field: pa.Field[Any]) -> pa.Field[Any]:
    """The field in our type; the columns that each judge of a panel has are called as ours are, with the judge's name."""
    name = _column(field.name)
    return ours[name].with_name(field.name) if name in ours else field


def _column(name: str) -> str:
    """The column of one judge: the name before the judge's; else the name itself."""
    own = name.partition(".")[0]
    return own if own in _A_COMPLETION else name


def _checked(path: Path, source: RecordStream, schema: pa.Schema, *, ids: bool) -> Iterator[pa.RecordBatch]:
    """The batches, every row checked; with `ids`, at the end also that no id is there twice."""
    row, hashes = 0, []
    for batch in source.batches():
        columns = [_cast(path, batch.column(field.name), field) for field in schema]
        found = pa.RecordBatch.from_arrays(columns, schema=schema)
        _check_rows(path, found, row)
        if ids:
            hashes.append(_hashes(found.column("id")))
        row += found.num_rows
        yield found
    if not row:
        raise InputError(f"{path}: there are no rows", hint=_AGAIN)
    if ids:
        _check_ids(path, source, np.concatenate(hashes))


def _hashes(ids: Any) -> npt.NDArray[np.uint64]:
    return np.asarray(hash_array(np.asarray(ids.to_numpy(zero_copy_only=False), object), categorize=False), np.uint64)


def _cast(path: Path, column: pa.Array[Any], field: pa.Field[Any]) -> pa.Array[Any]:
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except pa.ArrowException as exc:
        raise InputError(
            f"{path}: the column {field.name!r} holds {column.type}, expected {field.type} ({str(exc).splitlines()[0]})",
            hint=_AGAIN,
        ) from exc


def _check_rows(path: Path, batch: pa.RecordBatch, first: int) -> None:
    """Raises InputError for the first row that cannot be used; `first` is the number of rows before this batch."""

    def refuse(row: int, what: str) -> InputError:
        return InputError(
            f"{path}: row {first + row + 1} (id {batch.column('id')[row].as_py()!r}): {what}",
            hint=f"correct it, or {_AGAIN}",
        )

    for name in _ALWAYS:
        if batch.column(name).null_count:
            raise refuse(_first(batch.column(name).is_null()), f"{name!r} is null")
    texts: Any = batch.column("completions")
    sizes = np.asarray(pc.list_value_length(texts))
    if (sizes < 2).any():
        row = int(np.argmax(sizes < 2))
        raise refuse(row, f"'completions' holds {sizes[row]}, and a comparison needs two or more")
    owner = np.repeat(np.arange(len(sizes)), sizes)
    flat = texts.flatten()
    if flat.null_count:
        raise refuse(int(owner[_first(flat.is_null())]), "a completion is null")
    for field in batch.schema:
        column: Any = batch.column(field.name)
        if _column(field.name) in _A_COMPLETION:
            lengths = np.asarray(pc.fill_null(pc.list_value_length(column), -1))
            if (wrong := (lengths >= 0) & (lengths != sizes)).any():
                row = int(np.argmax(wrong))
                raise refuse(row, f"{field.name!r} holds {lengths[row]} values for {sizes[row]} completions")
            if pa.types.is_floating(field.type.value_type):
                rows = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
                _check_numbers(field.name, column.flatten(), rows, refuse)
        elif pa.types.is_floating(field.type):
            _check_numbers(field.name, column, np.arange(len(sizes)), refuse)


def _check_numbers(name: str, column: Any, rows: Any, refuse: Callable[[int, str], InputError]) -> None:
    # Not a number is what pandas makes of null, and read as null.
    values = np.nan_to_num(np.asarray(column.fill_null(0.0)), nan=0.0, posinf=np.inf, neginf=-np.inf)
    if (beyond := np.abs(values) > LARGEST_NUMBER).any():
        at = int(np.argmax(beyond))
        raise refuse(int(rows[at]), f"{name!r} holds {float(values[at])!r}, which is beyond any scale")


def _check_ids(path: Path, source: RecordStream, hashes: npt.NDArray[np.uint64]) -> None:
    """Raises InputError where an id is there twice. The ids themselves are read again only where two hashes are equal."""
    ordered = np.sort(hashes)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(twice):
        return
    found: dict[str, int] = {}
    for batch in source.batches():
        ids: Any = batch.column("id").cast(pa.string())
        for record_id in ids.filter(pa.array(np.isin(_hashes(ids), twice))).to_pylist():
            found[record_id] = found.get(record_id, 0) + 1
    for record_id, count in found.items():
        if count > 1:
            raise InputError(
                f"{path}: the id {record_id!r} is given to {count:,} rows: ids tell records apart",
                hint=_AGAIN,
            )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _first(mask: Any) -> int:
    return int(np.argmax(np.asarray(mask)))
