"""Rows that are in memory already: data frames, Arrow tables, data sets of `datasets`, lists of dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.shard import NumberedRow, Shard
from argilla_admap.formats.containers.table_files import TableShard
from argilla_admap.formats.values import seen

__all__ = ["in_memory"]

_ROWS = 256
_TAKEN = (
    "a path, hf:ORG/NAME, argilla:DATASET, an argilla Dataset, a data frame, an Arrow table, a data set of `datasets`, "
    "or a list of dicts"
)


class _Rows(Shard):
    """A list of dicts."""

    def __init__(self, rows: Sequence[Any]) -> None:
        super().__init__("the list of rows")
        self._rows = rows

    def rows(self) -> Iterator[NumberedRow]:
        for number, row in enumerate(self._rows, 1):
            if isinstance(row, Mapping):
                yield NumberedRow(number, {name: _plain(value) for name, value in row.items()})
            else:
                yield NumberedRow(number, None, f"{seen(row)}, expected a dict with a record's fields")


def _plain(value: Any) -> Any:
    """Arrays and numbers of NumPy, pandas' NA and the like as Python's own values, at any depth."""
    if value is None or isinstance(value, (str, bytes, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if callable(made := getattr(value, "tolist", None)):
        return _plain(made())
    return None if type(value).__name__ == "NAType" else value


class _Table(TableShard):
    """An Arrow table."""

    def __init__(self, table: pa.Table, name: str) -> None:
        super().__init__(name)
        self._table = table

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._table.to_batches(max_chunksize=_ROWS)


class _Dataset(TableShard):
    """A data set, or one split, of the `datasets` library; also one that is streamed."""

    def __init__(self, dataset: Any, name: str) -> None:
        super().__init__(name)
        self._dataset = dataset

    def batches(self) -> Iterator[pa.RecordBatch]:
        for table in self._dataset.with_format("arrow").iter(batch_size=_ROWS):
            yield from table.to_batches()


def in_memory(source: Any, split: str | None) -> list[Shard]:
    """The rows of an object.

    Args:
        source: a data frame of pandas or polars, anything else that hands out an Arrow stream, a data set or a dictionary of
            splits of `datasets`, or a list of dicts.
        split: of a dictionary of splits, one of them or ``all``.

    Raises:
        InputError: it is nothing of the kind, or holds columns that are no data.
    """
    kind = type(source).__name__
    home = type(source).__module__.partition(".")[0]
    if home == "datasets" and isinstance(source, Mapping):
        return _splits(source, split)
    if split is not None:
        raise InputError(f"{split!r}: a {kind} has no splits", option="split", hint="leave it out")
    if home == "datasets":
        return [_Dataset(source, f"the {kind}")]
    if isinstance(source, (list, tuple)):
        return [_Rows(source)]
    if home == "pandas":
        if not hasattr(source, "columns"):
            raise InputError(f"a {kind} has no columns to read", hint=f"give {_TAKEN}")
        return [_frame(source)]
    if hasattr(source, "__arrow_c_stream__"):
        try:
            return [_Table(pa.RecordBatchReader.from_stream(source).read_all(), f"the {kind}")]
        except pa.ArrowInvalid as exc:
            raise InputError(f"a {kind} has no columns to read ({exc})", hint=f"give {_TAKEN}") from exc
    raise InputError(f"a {kind} cannot be read", hint=f"give {_TAKEN}")


def _splits(source: Mapping[str, Any], split: str | None) -> list[Shard]:
    names = list(map(str, source))
    if split is None and len(names) > 1:
        raise InputError(
            f"the data set has the splits {', '.join(names)}", option="split", hint="name one of them in `split`, or `all`"
        )
    if split not in (None, "all", *names):
        raise InputError(f"{split!r}: the data set's splits are {', '.join(names)}", option="split", hint="name one, or `all`")
    return [_Dataset(source[name], f"the split {name}") for name in names if split in (None, "all", name)]


def _frame(frame: Any) -> Shard:
    """A pandas data frame; its index is no field."""
    try:
        return _Table(pa.Table.from_pandas(frame, preserve_index=False), "the DataFrame")
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Columns of mixed values, which Arrow has no type for.
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return _Rows([{str(name): value for name, value in row.items()} for row in rows])
