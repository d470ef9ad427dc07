"""A source written again with edited rows: text by its bytes, Parquet by its row groups."""

from __future__ import annotations

import hashlib
import shutil
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import EXTENSIONS, container_of, open_bytes, packed, packing_of
from argilla_admap.formats.containers.csv_text import CsvShard
from argilla_admap.formats.containers.json_text import JsonArray
from argilla_admap.formats.containers.shard import Shard, TextShard
from argilla_admap.formats.containers.table_files import ArrowShard, ParquetShard, TableShard
from argilla_admap.formats.format import Edit, places_of
from argilla_admap.formats.writeback.edits import PlaceError, edit_cells, edit_json, edit_value
from argilla_admap.formats.writeback.left_out import Gap, LeftOut, packed_rows, unpacked_rows
from argilla_admap.formats.writeback.patches import Patch, row_patch, text_digest, text_patch, values_digest
from argilla_admap.tables import atomic_path, new_folder

__all__ = ["ShardEdits", "rewrite"]

_GROUP_ROWS = 10_000


@dataclass(slots=True)
class ShardEdits:
    """What is to change in one shard: edits of rows, and rows to leave out, by the rows' numbers.

    Attributes:
        restored: rows that get back what they were, the patches of an earlier writing.
        gaps: behind which row what is put back that an earlier writing left out; 0 is the beginning.
        patches: after writing, by each edited row's number, how to take its edits back exactly.
        left_out: takes the rows that are left out.
        file, above: in which file of the output the rows stand, and after how many others.
    """

    edits: dict[int, list[Edit]] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    restored: dict[int, Patch] = field(default_factory=dict)
    gaps: dict[int, Gap] = field(default_factory=dict)
    patches: dict[int, Patch] = field(default_factory=dict)
    left_out: LeftOut | None = None
    file: str = ""
    above: int = 0
    _in_order: list[int] = field(default_factory=list)

    def row_after(self, number: int) -> int:
        """The row's number in what is written, where rows before it are left out."""
        if len(self._in_order) != len(self.dropped):
            self._in_order = sorted(self.dropped)
        return self.above + number - bisect_left(self._in_order, number)

    def keep_patch(self, number: int, patch: Patch | None) -> None:
        """Keeps how to take the edits of a row back."""
        if patch is not None:
            self.patches[number] = replace(patch, file=self.file)

    def leave_out(self, last: int, before: str, was: bytes, now: bytes = b"", first: str | None = None, rows: int = 1) -> None:
        """Keeps a part of what stood behind the row `last`; as `LeftOut.add`."""
        if self.left_out is not None:
            at = self.row_after(last) if last else self.above
            self.left_out.add(self.file, at, before, was, now, first=first, rows=rows)


def rewrite(original: Path, shards: Sequence[Shard], output: Path, edits_of: dict[Shard, ShardEdits]) -> None:
    """Writes all shards to the output, which is whole or absent.

    Raises:
        InputError: the output is the original, is of another kind, or cannot hold a value.
    """
    if output.exists() and original.exists() and original.samefile(output):
        raise InputError(f"{output}: this is the original, which must not be lost", hint="name another file", option="output")
    files = [shard for shard in shards if isinstance(shard, (TextShard, ParquetShard))]
    if original.is_dir() and output.suffix.lower() != ".parquet" and len(files) == len(shards):
        with new_folder(output) as folder:
            for shard in files:
                target = folder / shard.path.relative_to(original)
                target.parent.mkdir(parents=True, exist_ok=True)
                edits_of[shard].file = shard.path.relative_to(original).as_posix()
                _write(shard, target, edits_of[shard])
        return
    tables = [shard for shard in shards if isinstance(shard, TableShard)]
    saved = [shard for shard in tables if isinstance(shard, ArrowShard)]
    if (
        any((original / name).is_file() for name in ("state.json", "dataset_dict.json"))
        and output.suffix.lower() not in EXTENSIONS
    ):
        _write_saved(original, saved, output, edits_of)
        return
    if len(shards) == 1 and files:
        _check_kind(files[0].path, output)
        with atomic_path(output) as temporary:
            _write(files[0], temporary, edits_of[files[0]], named=output)
        return
    if len(tables) != len(shards):
        raise InputError(
            f"{output}: a folder of text files is written as a folder", hint="name one without an extension", option="output"
        )
    if container_of(output) != "parquet":
        raise InputError(
            f"{output}: this source is written as one Parquet file{' or a saved data set' if saved else ''}",
            hint=f"name one that ends in .parquet{', or a folder' if saved else ''}",
            option="output",
        )
    with atomic_path(output) as temporary:
        _write_tables(tables, temporary, edits_of)


def _check_kind(original: Path, output: Path) -> None:
    ours, theirs = container_of(original), container_of(output)
    if ours != theirs:
        raise InputError(
            f"{output}: the original is {ours}, and is written again as {ours}",
            hint="give the output its extension, or write another format with `format` and without `original`",
            option="output",
        )


def _write(shard: Shard, target: Path, edits: ShardEdits, *, named: Path | None = None) -> None:
    if isinstance(shard, TextShard):
        with packed(target, packing_of(named or target)) as stream:
            _write_text(shard, stream, edits)
    elif isinstance(shard, ParquetShard):
        _write_parquet(shard, target, edits)


def _write_text(shard: TextShard, out: IO[bytes], edits: ShardEdits) -> None:
    separated = isinstance(shard, JsonArray)
    # Of an array's first row, what stands before it is the array's beginning: it stays though the row be dropped.
    beginning: bytes | None = None
    # The row before that was written, its bytes, and what it ends with; whether rows behind it were left out.
    last, row, end, gap = 0, b"", b"\n", False
    with open_bytes(shard.path, empty=True) as stream:
        for number, lead, raw, tail in shard.pieces(stream):
            if number and number in edits.dropped:
                if not separated:
                    out.write(lead)
                elif not last and beginning is None:
                    beginning = lead
                digest = text_digest(row) if last else ""
                kept = b"" if separated else lead
                edits.leave_out(last, digest, lead + raw + tail, kept, None if gap else text_digest(raw))
                gap = True
                continue
            if number and number in edits.restored:
                raw = edits.restored[number].text_before(raw)
            elif number and number in edits.edits:
                before, raw = raw, _edited(shard, number, raw, edits.edits[number])
                edits.keep_patch(number, text_patch(before, raw, edits.row_after(number)))
            own = lead
            if number and beginning is not None:
                lead, beginning = beginning, None
            elif not number and beginning is not None:
                lead, beginning = beginning + lead, None
            if gap and (own or lead):
                edits.leave_out(last, text_digest(row) if last else "", own, lead, rows=0)
            if (put := edits.gaps.pop(last, None)) is not None:
                lead = _put_back(put, out, end, lines=not separated, more=bool(number))
            out.write(lead + raw + tail)
            last, row, end, gap = number or last, raw if number else row, tail, False
        if beginning:
            out.write(beginning)
            edits.leave_out(last, "", b"", beginning, rows=0)
        if (put := edits.gaps.pop(last, None)) is not None:
            _put_back(put, out, end, lines=not separated, more=False)


def _put_back(gap: Gap, out: IO[bytes], end: bytes, *, lines: bool, more: bool) -> bytes:
    """Writes what stood in a gap. Returns what must stand before the next row, where there is one more.

    Args:
        end: of the row before.
        lines: each row is a line: somebody may have taken the last line's end away since, or put a line behind it.
    """
    if lines and not end.endswith(b"\n"):
        out.write(b"\n")
    part = b""
    for part in gap.parts():
        out.write(part)
    return b"\n" if lines and more and part.rpartition(b"\n")[2].strip() else b""


def _edited(shard: TextShard, number: int, raw: bytes, edits: Sequence[Edit]) -> bytes:
    text = raw.decode("utf-8")
    try:
        if isinstance(shard, CsvShard):
            return edit_cells(text, shard.header, shard.delimiter, edits).encode()
        return edit_json(text, edits).encode()
    except PlaceError as exc:
        raise _no_place(shard, number, exc) from exc


def _no_place(shard: Shard, number: int, problem: Exception) -> InputError:
    return InputError(
        f"{shard.where(number)}: the file cannot hold the correction ({problem})",
        hint="name the rating's field with `rating_field`, or write another format with `format` and without `original`",
    )


def _write_parquet(shard: ParquetShard, target: Path, edits: ShardEdits) -> None:
    with shard.open() as file:
        described = file.metadata
        compression: dict[str, Any] = {}
        dictionaries: Any = []
        for position in range(described.num_columns if described.num_row_groups else 0):
            column = described.row_group(0).column(position)
            name = file.schema.column(position).path
            compression[name] = "NONE" if column.compression == "UNCOMPRESSED" else column.compression
            if any("DICTIONARY" in encoding for encoding in column.encodings):
                dictionaries.append(name)
        version: Any = described.format_version if described.format_version in ("1.0", "2.4", "2.6") else "2.6"
        with pq.ParquetWriter(
            target,
            file.schema_arrow,
            compression=compression or "snappy",
            use_dictionary=dictionaries,
            version=version,
            store_schema=b"ARROW:schema" in (described.metadata or {}),
        ) as writer:
            groups = map(file.read_row_group, range(described.num_row_groups))
            for table in _edited_tables(shard, groups, file.schema_arrow, edits):
                writer.write_table(table, row_group_size=max(table.num_rows, 1))


def _write_saved(original: Path, shards: Sequence[ArrowShard], output: Path, edits_of: Mapping[Shard, ShardEdits]) -> None:
    """A saved data set, or several splits of one, again; what is not among the shards is copied."""
    ours = {shard.path for shard in shards}

    def not_copied(folder: str, names: list[str]) -> list[str]:
        # The library's caches are of the data as they were.
        return [name for name in names if name.startswith("cache-") or Path(folder, name) in ours]

    failed: list[OSError] = []

    def copy(source: str, target: str) -> None:
        try:
            shutil.copy2(source, target)
        except OSError as exc:
            failed.append(exc)
            raise

    with new_folder(output) as folder:
        try:
            shutil.copytree(original, folder, dirs_exist_ok=True, ignore=not_copied, copy_function=copy)
        except shutil.Error:
            # It keeps the words of each error alone.
            if failed:
                raise failed[0] from None
            raise
        for shard in shards:
            target = folder / shard.path.relative_to(original)
            edits = edits_of[shard]
            edits.file = shard.path.relative_to(original).as_posix()
            moved = bool(edits.dropped or edits.gaps)
            with shard.stream() as source:
                schema = source.schema
            with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_stream(sink, schema) as out:
                for table in _edited_tables(shard, _tables(shard), schema, edits):
                    out.write_table(table, max_chunksize=1000)
            if moved or edits.edits or edits.restored:
                _note_change(target.parent, rows_moved=moved)


def _note_change(folder: Path, *, rows_moved: bool) -> None:
    """Another fingerprint, so that nobody's cache takes the data for what they were; no counts that are not true any more."""
    state = orjson.loads((folder / "state.json").read_bytes())
    state["_fingerprint"] = hashlib.blake2b(str(state.get("_fingerprint")).encode(), digest_size=8).hexdigest()
    (folder / "state.json").write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
    about = folder / "dataset_info.json"
    if rows_moved and about.is_file():
        info = {key: value for key, value in orjson.loads(about.read_bytes()).items() if key not in _COUNTS}
        about.write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))


_COUNTS = ("splits", "dataset_size", "download_size", "size_in_bytes")


def _write_tables(shards: Sequence[TableShard], target: Path, edits_of: dict[Shard, ShardEdits]) -> None:
    writer: pq.ParquetWriter | None = None
    schema = pa.schema([])
    above = 0
    with ExitStack() as stack:
        for shard in shards:
            edits_of[shard].above = above
            for table in _edited_tables(shard, _tables(shard), schema, edits_of[shard]):
                if writer is None:
                    schema = table.schema
                    writer = stack.enter_context(pq.ParquetWriter(target, table.schema, compression="zstd"))
                writer.write_table(table.cast(schema))
                above += table.num_rows


def _tables(shard: TableShard) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in shard.batches():
        held.append(batch)
        if sum(b.num_rows for b in held) >= _GROUP_ROWS:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _edited_tables(shard: Shard, tables: Iterable[pa.Table], schema: pa.Schema, edits: ShardEdits) -> Iterator[pa.Table]:
    """The tables of a shard with their rows edited, left out and put back.

    Args:
        schema: of what is written, where no table says it.
    """
    start = 1
    dropped = np.array(sorted(edits.dropped), dtype=np.int64)
    # The last row that was written so far.
    last, row = 0, None
    for table in tables:
        rows, schema = table.num_rows, table.schema
        edited = edit_table(shard, table, start, edits)
        keep = ~np.isin(np.arange(start, start + rows), dropped)
        gone = np.flatnonzero(~keep)
        for run in np.split(gone, np.flatnonzero(np.diff(gone) > 1) + 1) if edits.left_out is not None else ():
            if run.size:
                if run[0]:
                    last, row = start + int(run[0]) - 1, edited.slice(run[0] - 1, 1)
                part = table.slice(run[0], run.size)
                edits.leave_out(last, _digest(row), packed_rows(part), first=_digest(part.slice(0, 1)), rows=run.size)
        if keep.any():
            place = int(np.flatnonzero(keep)[-1])
            last, row = start + place, edited.slice(place, 1)
        yield from _with_gaps(edited if keep.all() else edited.filter(pa.array(keep)), start, schema, edits)
        start += rows
    if edits.gaps:
        # There was no table at all.
        yield from _with_gaps(schema.empty_table(), start, schema, edits)


def _with_gaps(table: pa.Table, start: int, schema: pa.Schema, edits: ShardEdits) -> Iterator[pa.Table]:
    """The table, whose first row has the number `start`, with what is put back behind its rows."""
    parts: list[pa.Table] = []
    done = 0
    for at in sorted(number for number in edits.gaps if number < start + table.num_rows):
        parts.append(table.slice(done, at + 1 - start - done))
        done = at + 1 - start
        for part in edits.gaps.pop(at).parts():
            parts.append(unpacked_rows(part, schema))
            if sum(one.num_rows for one in parts) >= _GROUP_ROWS:
                yield pa.concat_tables(parts)
                parts = []
    yield pa.concat_tables([*parts, table.slice(done)]) if parts or done else table


def _digest(row: pa.Table | None) -> str:
    """Of a table of one row; empty where there is none, or Python has no value for what it holds."""
    if row is None:
        return ""
    try:
        return values_digest(row.to_pylist()[0])
    except (ValueError, OverflowError):
        return ""


def edit_table(shard: Shard, table: pa.Table, start: int, edits: ShardEdits) -> pa.Table:
    """The table with its rows edited; its first row has the number `start`.

    Values of other rows are carried over in Arrow and not made anew. Raises InputError where a column cannot hold a value.
    """
    numbers = [n for n in range(start, start + table.num_rows) if n in edits.edits] if edits.edits else []
    touched: dict[str, list[int]] = {}
    for number in range(start, start + table.num_rows) if edits.restored else ():
        for name in edits.restored[number].values if number in edits.restored else ():
            if name not in table.schema.names:
                raise _no_place(shard, number, PlaceError(f"no column {name!r}"))
            touched.setdefault(name, []).append(number)
    numbers += sorted({number for mine in touched.values() for number in mine})
    for number in numbers:
        if number in edits.restored:
            continue
        for edit in edits.edits[number]:
            for path in places_of(edit):
                name = str(path[0])
                if name not in table.schema.names:
                    raise _no_place(shard, number, PlaceError(f"no column {name!r}"))
                if number not in touched.setdefault(name, []):
                    touched[name].append(number)
    return _with_edits(shard, table, start, edits, touched, numbers) if touched else table


def _with_edits(
    shard: Shard, table: pa.Table, start: int, edits: ShardEdits, touched: dict[str, list[int]], numbers: Sequence[int]
) -> pa.Table:
    places = pa.array([n - start for n in numbers], pa.int64())
    try:
        old_rows: list[dict[str, Any]] = table.take(places).to_pylist()
        whole = True
    except (ValueError, OverflowError):
        # Another column holds what Python has no value for, such as a time of the year 12,000.
        old_rows, whole = table.select(list(touched)).take(places).to_pylist(), False
    new_rows: dict[int, dict[str, Any]] = {}
    for number, row in zip(numbers, old_rows, strict=True):
        if number in edits.restored:
            new_rows[number] = {**row, **edits.restored[number].values}
            continue
        try:
            new_rows[number] = edit_value(row, edits.edits[number])
        except PlaceError as exc:
            raise _no_place(shard, number, exc) from exc
        if whole:
            edits.keep_patch(number, row_patch(row, new_rows[number], edits.row_after(number)))
    for name, mine in touched.items():
        position = table.schema.get_field_index(name)
        kept = table.schema.field(position)
        values = [new_rows[number][name] for number in mine]
        try:
            made = pa.array(values, kept.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as exc:
            raise _no_place(shard, mine[0], exc) from exc
        if made.to_pylist() != values:
            # Arrow drops what a structure has no member for.
            raise _no_place(shard, mine[0], PlaceError(f"the column {name!r} is {kept.type}"))
        order = np.arange(table.num_rows)
        order[[number - start for number in mine]] = table.num_rows + np.arange(len(mine))
        column = pa.chunked_array([*table.column(position).chunks, made], kept.type).take(pa.array(order, pa.int64()))
        table = table.set_column(position, kept, column)
    return table
