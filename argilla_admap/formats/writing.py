"""Records as new files, in the formats that training code reads."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

import orjson
import pyarrow as pa

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import container_of, packed, packing_of
from argilla_admap.formats.containers.csv_text import GUARDED, guarded
from argilla_admap.formats.hub import HUB, HubPlace, publish, quiet
from argilla_admap.formats.registry import CheckedRecords
from argilla_admap.formats.written_rows import WRITABLE, ExtraColumns, Row, Writer, default_format
from argilla_admap.records import Record, batch_to_records
from argilla_admap.tables import RecordStream, Spool, atomic_path, keep_origin, new_folder, temporary_folder, write_parquet

__all__ = ["WRITABLE", "Card", "ExtraColumns", "WriteReport", "can_hold", "write"]

_Make = Callable[[Record], Iterator[Row]]
#: The text of a data card, given the number of rows and the format's name.
Card = Callable[[int, str], str]


@dataclass(slots=True)
class WriteReport:
    """What was written.

    Attributes:
        format: the name of the format that was written.
        records: records of the stream.
        rows: rows written.
        left_out: records that the format cannot hold: of pairs, those without a better and a worse completion.
        guarded: texts of a CSV file that got a ``'`` in front, so that no spreadsheet runs them as a formula; our own reader
            takes it away again.
        no_place: what some records have and the format cannot hold: of `models`, `ratings`, `samples`, `reasons`, `source`,
            `annotator`, `judge`, `reference`.
        output: the file, the folder, or the data set of the Hub.
        notes: what else the user should know.
    """

    format: str = ""
    records: int = 0
    rows: int = 0
    left_out: int = 0
    guarded: int = 0
    no_place: list[str] = field(default_factory=list)
    output: str = ""
    notes: list[str] = field(default_factory=list)


def write(
    stream: RecordStream,
    output: str | os.PathLike[str],
    format: str | None = None,
    *,
    extra: ExtraColumns | None = None,
    card: Card | None = None,
) -> WriteReport:
    """Writes the records in a format, whole or not at all.

    The output's name says the container: a file (.jsonl .json .csv .parquet, and .gz .zst), ``hf:ORG/NAME[:SPLIT]`` for a data
    set of the Hub, or a new folder, for a data set as the `datasets` library saves it. The format is what TRL reads, where none
    is named: texts, or messages where a prompt has several turns.

    Formats of pairs take the best and the worst completion by rating; a record without such two is left out and counted. In a
    CSV file, text that a spreadsheet might run as a formula gets a ``'`` in front, and a column `admap_guarded` says in which
    rows: by that column our own reader knows the file, and gives every text back as it was.

    Args:
        extra: columns beside those of the format.
        card: of a data set on the Hub or in a folder, its README.

    Raises:
        InputError: the format cannot be written, the name tells no container, or there is no place to write to.
    """
    names = {name.replace("_", "-"): name for name in WRITABLE}
    name = names.get((format or default_format(_has_turns(stream))).lower().replace("_", "-"))
    if name is None:
        raise InputError(
            f"the format {format!r} cannot be written", hint=f"choose one of {', '.join(WRITABLE)}", option="format"
        )
    writer = WRITABLE[name]
    if extra is not None:
        writer = extra.beside(writer)
    report = WriteReport(name, output=os.fspath(output))
    words = os.fspath(output)
    path = Path(words)
    if words.startswith(HUB):
        place = HubPlace.parse(words)
        with temporary_folder("admap-hub") as folder:
            table = folder / "part.parquet"
            # Where the records were on this machine is nobody else's business.
            write_parquet(table, _batches(stream, writer, report), writer.schema)
            report.notes.append(publish(table, place, card(report.rows, name) if card is not None else ""))
        return report
    if words == "-":
        raise InputError(
            "-: standard output is not written to", hint="name a file, as in out.jsonl, or a new folder", option="output"
        )
    keep_origin(stream.info, path)
    if not path.suffix:
        _write_folder(stream, path, writer, report, card)
        return report
    container = container_of(path)
    if container == "parquet":
        write_parquet(path, _batches(stream, writer, report), writer.schema, stream.info or None)
        return report
    if container not in ("jsonl", "json", "csv"):
        raise InputError(
            f"{path}: cannot be written", hint="name a file that ends in .jsonl, .json, .csv or .parquet", option="output"
        )
    with atomic_path(path) as temporary, packed(temporary, packing_of(path)) as out:
        rows = _rows(stream, writer.rows, writer.lacks, report)
        if container == "csv":
            _write_csv(out, writer.schema.names, rows, report, "\t" if ".tsv" in path.name.lower() else ",")
        elif container == "json":
            _write_array(out, rows)
        else:
            for row in rows:
                out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return report


def can_hold(format: str, ratings: Sequence[float | None]) -> bool:
    """Whether a format holds a record with these ratings."""
    nothing = (None,) * len(ratings)
    record = Record("", "", ("",) * len(ratings), nothing, tuple(ratings), ((),) * len(ratings), nothing)
    return any(True for _ in WRITABLE[format].rows(record))


def _has_turns(stream: RecordStream) -> bool:
    """Whether a prompt is a conversation."""
    return any(batch.column("turns").null_count < batch.num_rows for batch in stream.batches() if "turns" in batch.schema.names)


def _write_folder(stream: RecordStream, output: Path, writer: Writer, report: WriteReport, card: Card | None) -> None:
    """A data set as `datasets` saves it, with its card beside it."""
    try:
        import datasets
    except ImportError as exc:
        raise InputError(f"{output}: needs the `datasets` library", hint="install it with `pip install datasets`") from exc
    with new_folder(output) as folder, quiet(datasets.utils):
        work = folder / "work"
        work.mkdir()
        write_parquet(work / "part.parquet", _batches(stream, writer, report), writer.schema)
        datasets.Dataset.from_parquet(str(work / "part.parquet"), cache_dir=str(work / "cache")).save_to_disk(str(folder))
        shutil.rmtree(work)
        if card is not None:
            (folder / "README.md").write_text(card(report.rows, report.format), encoding="utf-8")


def _rows(stream: RecordStream, make: _Make, lacks: Sequence[str], report: WriteReport) -> Iterator[Row]:
    # What is read record by record need not become batches first.
    given = (
        stream.records() if isinstance(stream, CheckedRecords) else chain.from_iterable(map(batch_to_records, stream.batches()))
    )
    for record in given:
        report.records += 1
        for part in lacks:
            if part not in report.no_place and _says_more(record, part):
                report.no_place.append(part)
        before = report.rows
        for row in make(record):
            report.rows += 1
            yield row
        report.left_out += report.rows == before


def _says_more(record: Record, part: str) -> bool:
    value = getattr(record, part)
    if part == "ratings":
        # The order of a pair is in its sides.
        return bool({rating for rating in value if rating is not None} - {0.0, 1.0})
    return any(value) if isinstance(value, tuple) else value is not None


def _batches(stream: RecordStream, writer: Writer, report: WriteReport) -> Iterator[pa.RecordBatch]:
    held: list[Row] = []
    for row in _rows(stream, writer.column_rows or writer.rows, writer.lacks, report):
        held.append(row)
        if len(held) == 1024:
            yield pa.RecordBatch.from_pylist(held, writer.schema)
            held = []
    if held:
        yield pa.RecordBatch.from_pylist(held, writer.schema)


def _write_array(out: IO[bytes], rows: Iterator[Row]) -> None:
    before = b"[\n"
    for row in rows:
        out.write(before + orjson.dumps(row))
        before = b",\n"
    out.write(b"\n]\n" if before == b",\n" else b"[]\n")


def _write_csv(out: IO[bytes], columns: list[str], rows: Iterator[Row], report: WriteReport, delimiter: str) -> None:
    # Parquet's own column for turns is for tables only.
    columns = [name for name in columns if name != "turns"]
    # The header says whether there are guards, so that the rows go through once before it is written.
    spool: Spool[list[bytes]] = Spool()
    lines: list[bytes] = []
    for row in rows:
        cells, guards = [], 0
        for value in map(row.get, columns):
            cell = orjson.dumps(value).decode() if isinstance(value, (list, dict)) else value
            if isinstance(cell, str) and (safe := guarded(cell)) is not None:
                cell, guards = safe, guards + 1
            cells.append(cell)
        report.guarded += guards
        lines.append(orjson.dumps([*cells, guards]))
        if len(lines) == 256:
            spool.add(lines)
            lines = []
    spool.add(lines)
    width = len(columns) + bool(report.guarded)
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    # All texts are quoted: where a spreadsheet takes another character for the separator, none of them opens a new cell.
    table = csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    table.writerow([*columns, GUARDED][:width])
    try:
        table.writerows(orjson.loads(line)[:width] for held in spool for line in held)
    except csv.Error as exc:
        raise InputError(
            f"a text cannot be written as CSV ({exc}): it holds a NUL, which Python before 3.11 does not write",
            option="output",
            hint="write JSON Lines or Parquet",
        ) from exc
    text.flush()
    text.detach()
