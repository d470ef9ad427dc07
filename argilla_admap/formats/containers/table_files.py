"""Rows of tables: Parquet files, Arrow files as `datasets.save_to_disk` leaves them, data sets of the Hugging Face Hub."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import MOST_UNPACKED, no_such_file
from argilla_admap.formats.containers.parquet_pages import UNPACKED_AT_LEAST, read_footer, what_it_lies
from argilla_admap.formats.containers.shard import NumberedRow, Shard
from argilla_admap.tables import READ_BYTES

__all__ = ["ArrowShard", "HubShard", "ParquetShard", "TableShard", "hub_splits"]

_ROWS = 256
#: Bytes of a batch that its dictionaries may blow up to.
_MOST_BATCH = 2**25


class TableShard(Shard):
    """A table, in Arrow batches."""

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """A new pass over the table, a few hundred rows at a time."""

    def rows(self) -> Iterator[NumberedRow]:
        number = 0
        for batch in self.batches():
            try:
                values = batch.to_pylist()
            except (ValueError, OverflowError):
                # One by one, so that the row that holds what is no text, or no date, is known.
                for position in range(batch.num_rows):
                    number += 1
                    yield _row(number, batch, position)
                continue
            for row in values:
                number += 1
                yield NumberedRow(number, row)


def _row(number: int, batch: pa.RecordBatch, position: int) -> NumberedRow:
    row: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[position].as_py()
        except UnicodeDecodeError as exc:
            return NumberedRow(
                number, None, f"{name!r} is not UTF-8 at byte {exc.start + 1}; write the file again from its source"
            )
        except (ValueError, OverflowError):
            # A time that Python has no value for is nothing that a record needs.
            row[name] = None
    return NumberedRow(number, row)


def _check_sound(batch: pa.RecordBatch) -> None:
    """Raises ArrowInvalid where lengths and offsets of a batch do not fit together: its values would be other memory's.

    Text that is no UTF-8 passes: its row is found bad later.
    """
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as exc:
        if "UTF8" not in str(exc):
            raise
        for column in batch.columns:
            column.view(_as_bytes(column.type)).validate(full=True)


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """The type with bytes in the place of texts."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_bytes(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_as_bytes(kind.value_type)))
    return kind


class ParquetShard(TableShard):
    """A Parquet file."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        super().__init__(name or str(path))
        self.path = path
        self._dictionaries = 0

    def open(self) -> pq.ParquetFile:
        """The open file. Raises InputError where it is absent, cut, or of another kind."""
        try:
            # Without pre_buffer: it would keep what it has read of the file until the end.
            file = pq.ParquetFile(self.path, pre_buffer=False, buffer_size=READ_BYTES)
            # Names are decoded when they are asked for: a damaged one must be found here.
            for column in range(file.metadata.num_columns):
                _ = file.schema.column(column).path
            self._check_claims()
            return file
        except FileNotFoundError as exc:
            raise no_such_file(self.path) from exc
        except (pa.ArrowException, UnicodeDecodeError, OSError) as exc:
            raise InputError(
                f"{self.name}: cannot be read as Parquet ({_line(exc)}); it is cut, damaged or of another kind",
                hint="get it again",
            ) from exc

    def _check_claims(self) -> None:
        """Raises InputError where the file says that it holds what no honest file of its size does."""
        size = self.path.stat().st_size
        try:
            with self.path.open("rb") as file:
                footer = read_footer(file, size)
                lie = what_it_lies(file, size, footer)
        except ValueError as exc:
            raise self._damaged(exc) from exc
        self._dictionaries = footer.dictionaries
        if lie:
            raise self._lies(lie)

    def _lies(self, what: str) -> InputError:
        return InputError(
            f"{self.name}: says that it holds {what}",
            hint="it is damaged, or made to fill the memory: get it again, or as JSON Lines",
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        with self.open() as file:
            # Each row may repeat the longest text of a dictionary.
            most = UNPACKED_AT_LEAST + MOST_UNPACKED["zstd"] * self.path.stat().st_size
            held = rows = 0
            try:
                for batch in file.iter_batches(batch_size=min(_ROWS, max(1, _MOST_BATCH // max(self._dictionaries, 1)))):
                    held += batch.nbytes
                    rows += batch.num_rows
                    if held > most:
                        raise self._lies(f"more than {held:,} bytes in {self.path.stat().st_size:,}")
                    _check_sound(batch)
                    yield batch
                if rows != file.metadata.num_rows:
                    raise self._lies(f"{file.metadata.num_rows:,} rows, and holds {rows:,}")
            except (pa.ArrowException, OSError) as exc:
                raise self._damaged(exc) from exc

    def _damaged(self, exc: Exception) -> InputError:
        return InputError(f"{self.name}: damaged ({_line(exc)})", hint="get it again")


class ArrowShard(TableShard):
    """An Arrow stream file of a data set that was saved to disk."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        super().__init__(name or str(path))
        self.path = path

    @contextmanager
    def stream(self) -> Iterator[pa.ipc.RecordBatchStreamReader]:
        """The open file. Raises InputError where it is absent, cut, or of another kind."""
        try:
            with pa.memory_map(str(self.path)) as source, pa.ipc.open_stream(source) as reader:
                # Names are decoded when they are asked for: a damaged one must be found here.
                _ = reader.schema.names
                yield reader
        except FileNotFoundError as exc:
            raise no_such_file(self.path) from exc
        except (pa.ArrowException, UnicodeDecodeError, OSError) as exc:
            raise InputError(f"{self.name}: cannot be read as Arrow ({_line(exc)})", hint="save the data set again") from exc

    def batches(self) -> Iterator[pa.RecordBatch]:
        with self.stream() as reader:
            for batch in reader:
                _check_sound(batch)
                for start in range(0, batch.num_rows, _ROWS):
                    yield batch.slice(start, _ROWS)


class HubShard(TableShard):
    """A split of a data set that the `datasets` library loads by name, or from a folder."""

    def __init__(self, name: str, split: str, *, whole: bool, note: str = "") -> None:
        super().__init__(f"hf:{name}:{split}")
        self._dataset = name
        self._split = split
        self._whole = whole
        self.note = note

    def batches(self) -> Iterator[pa.RecordBatch]:
        for table in self._load().with_format("arrow").iter(batch_size=_ROWS):
            yield from table.to_batches()

    def _load(self) -> Any:
        # A part is streamed; the whole is fetched once into the library's cache, since it is gone through more than once.
        return _hub(self.name, "load_dataset", self._dataset, split=self._split, streaming=not self._whole)


def hub_splits(name: str) -> list[str]:
    """The names of the splits of a data set that the `datasets` library finds by name, or in a folder."""
    return list(map(str, _hub(f"hf:{name}", "get_dataset_split_names", name)))


def _hub(shown: str, function: str, *args: Any, **options: Any) -> Any:
    try:
        import datasets
    except ImportError as exc:
        raise InputError(f"{shown}: needs the `datasets` library", hint="install it with `pip install datasets`") from exc
    try:
        return getattr(datasets, function)(*args, **options)
    except Exception as exc:
        # The library raises errors of a dozen kinds and of other libraries.
        raise InputError(
            f"{shown}: cannot be loaded ({_line(exc)})",
            hint="check the name, write the split behind it (hf:ORG/NAME:SPLIT), log in with `huggingface-cli login` if it "
            "is private, or download it and name the file",
        ) from exc


def _line(error: BaseException) -> str:
    """An error's first line, short, with nothing in it that a terminal would obey."""
    lines = str(error).strip().splitlines()
    line = lines[0][:200] if lines else type(error).__name__
    return line if line.isprintable() else repr(line)
