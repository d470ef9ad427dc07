"""Records as new files, in the formats that training code reads."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import container_of, packed, packing_of
from argilla_admap.formats.containers.csv_text import GUARDED, guarded
from argilla_admap.records import Record, batch_to_records
from argilla_admap.tables import RecordStream, atomic_path, write_parquet

__all__ = ["WRITABLE", "WriteReport", "write"]

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_STRINGS = pa.list_(pa.string())
_DOUBLES = pa.list_(pa.float64())
_Rows = dict[str, Any]


@dataclass(slots=True)
class WriteReport:
    """What was written.

    Attributes:
        records: records of the stream.
        rows: rows written.
        left_out: records without a better and a worse completion, which a format of pairs cannot hold.
        guarded: texts of a CSV file that got a ``'`` in front, so that no spreadsheet runs them as a formula; our own reader
            takes it away again.
        output: the file.
    """

    records: int = 0
    rows: int = 0
    left_out: int = 0
    guarded: int = 0
    output: str = ""


def _messages(record: Record) -> list[dict[str, str]]:
    if record.turns:
        return [{"role": turn.role, "content": turn.content} for turn in record.turns]
    return [{"role": "user", "content": record.prompt}]


def _pair(record: Record) -> tuple[int, int] | None:
    """Positions of the best and the worst completion; None where no rating is above another."""
    rated = [(rating, -position) for position, rating in enumerate(record.ratings) if rating is not None]
    if not rated or max(rated)[0] == min(rated)[0]:
        return None
    # Of equals, the first.
    return -max(rated)[1], -max((-rating, position) for rating, position in rated)[1]


def _plain(record: Record) -> _Rows:
    completions = []
    for text, model, rating, scores, reason in zip(
        record.completions, record.models, record.ratings, record.samples, record.reasons, strict=True
    ):
        completion = {"text": text, "model": model, "rating": rating, "scores": list(scores) or None, "reason": reason}
        completions.append({key: value for key, value in completion.items() if value is not None})
    row = {
        "id": record.id,
        "prompt": _messages(record) if record.turns else record.prompt,
        "completions": completions,
        "source": record.source,
        "judge": record.judge,
        "reference": record.reference,
    }
    return {key: value for key, value in row.items() if value is not None}


def _plain_column(record: Record) -> _Rows:
    """A column has one type: the prompt is text, and its turns stand beside it."""
    return {**_plain(record), "prompt": record.prompt, "turns": _messages(record) if record.turns else None}


def _trl(record: Record) -> _Rows | None:
    pair = _pair(record)
    if pair is None:
        return None
    chosen, rejected = (record.completions[position] for position in pair)
    return {"id": record.id, "prompt": record.prompt, "chosen": chosen, "rejected": rejected}


def _trl_messages(record: Record) -> _Rows | None:
    row = _trl(record)
    if row is None:
        return None
    sides = {name: [{"role": "assistant", "content": row[name]}] for name in ("chosen", "rejected")}
    return {"id": record.id, "prompt": _messages(record), **sides}


def _alpaca(record: Record) -> _Rows | None:
    row = _trl(record)
    if row is None:
        return None
    return {"id": record.id, "instruction": record.prompt, "input": "", "chosen": row["chosen"], "rejected": row["rejected"]}


def _binarized(record: Record) -> _Rows | None:
    pair = _pair(record)
    if pair is None:
        return None
    prompt = _messages(record)
    chosen, rejected = ([*prompt, {"role": "assistant", "content": record.completions[position]}] for position in pair)
    return {
        "prompt": record.prompt,
        "prompt_id": record.id,
        "chosen": chosen,
        "rejected": rejected,
        "messages": chosen,
        "score_chosen": record.ratings[pair[0]],
        "score_rejected": record.ratings[pair[1]],
    }


def _ultrafeedback(record: Record) -> _Rows:
    return {
        "id": record.id,
        "source": record.source,
        "instruction": record.prompt,
        "models": list(record.models),
        "completions": [
            {"model": model, "response": text, "overall_score": rating, "critique": reason}
            for text, model, rating, reason in zip(
                record.completions, record.models, record.ratings, record.reasons, strict=True
            )
        ],
    }


def _distilabel(record: Record) -> _Rows:
    return {
        "id": record.id,
        "source": record.source,
        "instruction": record.prompt,
        "generations": list(record.completions),
        "generation_models": list(record.models),
        "ratings": list(record.ratings),
        "rationales": list(record.reasons),
    }


@dataclass(frozen=True, slots=True)
class _Writer:
    """How a record becomes a row (None: it cannot), and the columns of a table of such rows."""

    row: Callable[[Record], _Rows | None]
    schema: pa.Schema
    column_row: Callable[[Record], _Rows | None] | None = None


def _texts(*names: str) -> list[pa.Field[Any]]:
    return [pa.field(name, pa.string()) for name in names]


_COMPLETION = pa.struct(
    [("text", pa.string()), ("model", pa.string()), ("rating", pa.float64()), ("scores", _DOUBLES), ("reason", pa.string())]
)
_RATED = pa.struct(
    [("model", pa.string()), ("response", pa.string()), ("overall_score", pa.float64()), ("critique", pa.string())]
)

#: The formats that can be written, by name.
WRITABLE: Mapping[str, _Writer] = {
    "plain": _Writer(
        _plain,
        pa.schema(
            [
                *_texts("id", "prompt"),
                pa.field("turns", _MESSAGES),
                pa.field("completions", pa.list_(_COMPLETION)),
                *_texts("source", "judge", "reference"),
            ]
        ),
        _plain_column,
    ),
    "trl": _Writer(_trl, pa.schema(_texts("id", "prompt", "chosen", "rejected"))),
    "trl-messages": _Writer(
        _trl_messages,
        pa.schema([*_texts("id"), *(pa.field(name, _MESSAGES) for name in ("prompt", "chosen", "rejected"))]),
    ),
    "alpaca": _Writer(_alpaca, pa.schema(_texts("id", "instruction", "input", "chosen", "rejected"))),
    "ultrafeedback": _Writer(
        _ultrafeedback,
        pa.schema(
            [*_texts("id", "source", "instruction"), pa.field("models", _STRINGS), pa.field("completions", pa.list_(_RATED))]
        ),
    ),
    "ultrafeedback_binarized": _Writer(
        _binarized,
        pa.schema(
            [
                *_texts("prompt", "prompt_id"),
                *(pa.field(name, _MESSAGES) for name in ("chosen", "rejected", "messages")),
                pa.field("score_chosen", pa.float64()),
                pa.field("score_rejected", pa.float64()),
            ]
        ),
    ),
    "distilabel": _Writer(
        _distilabel,
        pa.schema(
            [
                *_texts("id", "source", "instruction"),
                *(pa.field(name, _STRINGS) for name in ("generations", "generation_models")),
                pa.field("ratings", _DOUBLES),
                pa.field("rationales", _STRINGS),
            ]
        ),
    ),
}


def write(stream: RecordStream, output: str | os.PathLike[str], format: str = "plain") -> WriteReport:
    """Writes the records in a format; the file's extension says the container (.jsonl .json .csv .parquet, and .gz .zst).

    Formats of pairs take the best and the worst completion by rating; a record without such two is left out and counted. In a
    CSV file, text that a spreadsheet might run as a formula gets a ``'`` in front, and a column `admap_guarded` says in which
    rows: by that column our own reader knows the file, and gives every text back as it was.

    Raises:
        InputError: the format cannot be written, the extension tells no container, or there is no place to write to.
    """
    path = Path(output)
    names = {name.replace("_", "-"): name for name in WRITABLE}
    name = names.get(format.lower().replace("_", "-"))
    if name is None:
        raise InputError(
            f"the format {format!r} cannot be written", hint=f"choose one of {', '.join(WRITABLE)}", option="format"
        )
    writer = WRITABLE[name]
    container = container_of(path)
    report = WriteReport(output=os.fspath(output))
    if container == "parquet":
        write_parquet(path, _batches(stream, writer, report), writer.schema, stream.info or None)
        return report
    if container not in ("jsonl", "json", "csv"):
        raise InputError(
            f"{path}: cannot be written", hint="name a file that ends in .jsonl, .json, .csv or .parquet", option="output"
        )
    with atomic_path(path) as temporary, packed(temporary, packing_of(path)) as out:
        rows = _rows(stream, writer.row, report)
        if container == "csv":
            _write_csv(out, writer.schema.names, rows, report, "\t" if ".tsv" in path.name.lower() else ",")
        elif container == "json":
            _write_array(out, rows)
        else:
            for row in rows:
                out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return report


def _rows(stream: RecordStream, make: Callable[[Record], _Rows | None], report: WriteReport) -> Iterator[_Rows]:
    for batch in stream.batches():
        for record in batch_to_records(batch):
            report.records += 1
            row = make(record)
            if row is None:
                report.left_out += 1
            else:
                report.rows += 1
                yield row


def _batches(stream: RecordStream, writer: _Writer, report: WriteReport) -> Iterator[pa.RecordBatch]:
    held: list[_Rows] = []
    for row in _rows(stream, writer.column_row or writer.row, report):
        held.append(row)
        if len(held) == 1024:
            yield pa.RecordBatch.from_pylist(held, writer.schema)
            held = []
    if held:
        yield pa.RecordBatch.from_pylist(held, writer.schema)


def _write_array(out: IO[bytes], rows: Iterator[_Rows]) -> None:
    before = b"[\n"
    for row in rows:
        out.write(before + orjson.dumps(row))
        before = b",\n"
    out.write(b"\n]\n" if before == b",\n" else b"[]\n")


def _write_csv(out: IO[bytes], columns: list[str], rows: Iterator[_Rows], report: WriteReport, delimiter: str) -> None:
    # Parquet's own column for turns is for tables only.
    columns = [name for name in columns if name != "turns"]
    with tempfile.TemporaryFile() as spool:
        # The header says whether there are guards, so that the rows go through once before it is written.
        for row in rows:
            cells, guards = [], 0
            for value in map(row.get, columns):
                cell = orjson.dumps(value).decode() if isinstance(value, (list, dict)) else value
                if isinstance(cell, str) and (safe := guarded(cell)) is not None:
                    cell, guards = safe, guards + 1
                cells.append(cell)
            report.guarded += guards
            spool.write(orjson.dumps([*cells, guards], option=orjson.OPT_APPEND_NEWLINE))
        spool.seek(0)
        width = len(columns) + bool(report.guarded)
        text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
        # All texts are quoted: where a spreadsheet takes another character for the separator, none of them opens a new cell.
        table = csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        table.writerow([*columns, GUARDED][:width])
        table.writerows(orjson.loads(line)[:width] for line in spool)
        text.flush()
        text.detach()
