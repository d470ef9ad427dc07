"""Records as new files, in the formats that training code reads."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import container_of, packed, packing_of
from argilla_admap.formats.containers.csv_text import GUARDED, guarded
from argilla_admap.records import Record, batch_to_records
from argilla_admap.tables import RecordStream, atomic_path, write_parquet

__all__ = ["WRITABLE", "ExtraColumns", "WriteReport", "write"]

_TEXT, _NUMBER = pa.string(), pa.float64()
_TEXTS, _NUMBERS = pa.list_(_TEXT), pa.list_(_NUMBER)
_MESSAGES = pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))
_Row = dict[str, Any]
_Make = Callable[[Record], _Row | None]


@dataclass(slots=True)
class WriteReport:
    """What was written.

    Attributes:
        records: records of the stream.
        rows: rows written.
        left_out: records without a better and a worse completion, which a format of pairs cannot hold.
        guarded: texts of a CSV file that got a ``'`` in front, so that no spreadsheet runs them as a formula; our own reader
            takes it away again.
        no_place: what some records have and the format cannot hold: of `models`, `ratings`, `samples`, `reasons`, `source`,
            `judge`, `reference`.
        output: the file.
    """

    records: int = 0
    rows: int = 0
    left_out: int = 0
    guarded: int = 0
    no_place: list[str] = field(default_factory=list)
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


def _plain(record: Record) -> _Row:
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


def _plain_column(record: Record) -> _Row:
    """A column has one type: the prompt is text, and its turns stand beside it."""
    return {**_plain(record), "prompt": record.prompt, "turns": _messages(record) if record.turns else None}


def _trl(record: Record, chosen: int, rejected: int) -> _Row:
    texts = record.completions
    return {"id": record.id, "prompt": record.prompt, "chosen": texts[chosen], "rejected": texts[rejected]}


def _trl_messages(record: Record, *pair: int) -> _Row:
    sides = ([{"role": "assistant", "content": record.completions[side]}] for side in pair)
    return {"id": record.id, "prompt": _messages(record), **dict(zip(("chosen", "rejected"), sides, strict=True))}


def _alpaca(record: Record, chosen: int, rejected: int) -> _Row:
    texts = record.completions
    return {
        "id": record.id,
        "instruction": record.prompt,
        "input": "",
        "chosen": texts[chosen],
        "rejected": texts[rejected],
    }


def _binarized(record: Record, *pair: int) -> _Row:
    prompt = _messages(record)
    chosen, rejected = ([*prompt, {"role": "assistant", "content": record.completions[side]}] for side in pair)
    return {
        "prompt": record.prompt,
        "prompt_id": record.id,
        "chosen": chosen,
        "rejected": rejected,
        "messages": chosen,
        "score_chosen": record.ratings[pair[0]],
        "score_rejected": record.ratings[pair[1]],
    }


def _ultrafeedback(record: Record) -> _Row:
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


def _distilabel(record: Record) -> _Row:
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

    row: _Make
    schema: pa.Schema
    column_row: _Make | None = None


@dataclass(frozen=True, slots=True)
class ExtraColumns:
    """Columns beside those of a format.

    Attributes:
        schema: their names and types.
        values: of a record, given with the places of its best and its worst completion, where it has them.
    """

    schema: pa.Schema
    values: Callable[[Record, tuple[int, int] | None], _Row]

    def beside(self, make: _Make) -> _Make:
        """The rows of a format with these columns."""

        def row(record: Record) -> _Row | None:
            made = make(record)
            return None if made is None else {**made, **self.values(record, _pair(record))}

        return row


def _writer(make: Callable[[Record], _Row], column_row: _Make | None = None, **types: pa.DataType) -> _Writer:
    return _Writer(make, pa.schema(list(types.items())), column_row)


def _pair_writer(make: Callable[[Record, int, int], _Row], **types: pa.DataType) -> _Writer:
    """Of a format that holds the best and the worst completion, whose positions `make` gets."""

    def row(record: Record) -> _Row | None:
        pair = _pair(record)
        return None if pair is None else make(record, *pair)

    return _Writer(row, pa.schema(list(types.items())))


_COMPLETION = pa.struct([("text", _TEXT), ("model", _TEXT), ("rating", _NUMBER), ("scores", _NUMBERS), ("reason", _TEXT)])
_RATED = pa.struct([("model", _TEXT), ("response", _TEXT), ("overall_score", _NUMBER), ("critique", _TEXT)])

#: The formats that can be written, by name.
WRITABLE: Mapping[str, _Writer] = {
    "plain": _writer(
        _plain,
        _plain_column,
        id=_TEXT,
        prompt=_TEXT,
        turns=_MESSAGES,
        completions=pa.list_(_COMPLETION),
        source=_TEXT,
        judge=_TEXT,
        reference=_TEXT,
    ),
    "trl": _pair_writer(_trl, id=_TEXT, prompt=_TEXT, chosen=_TEXT, rejected=_TEXT),
    "trl-messages": _pair_writer(_trl_messages, id=_TEXT, prompt=_MESSAGES, chosen=_MESSAGES, rejected=_MESSAGES),
    "alpaca": _pair_writer(_alpaca, id=_TEXT, instruction=_TEXT, input=_TEXT, chosen=_TEXT, rejected=_TEXT),
    "ultrafeedback": _writer(
        _ultrafeedback, id=_TEXT, source=_TEXT, instruction=_TEXT, models=_TEXTS, completions=pa.list_(_RATED)
    ),
    "ultrafeedback_binarized": _pair_writer(
        _binarized,
        prompt=_TEXT,
        prompt_id=_TEXT,
        chosen=_MESSAGES,
        rejected=_MESSAGES,
        messages=_MESSAGES,
        score_chosen=_NUMBER,
        score_rejected=_NUMBER,
    ),
    "distilabel": _writer(
        _distilabel,
        id=_TEXT,
        source=_TEXT,
        instruction=_TEXT,
        generations=_TEXTS,
        generation_models=_TEXTS,
        ratings=_NUMBERS,
        rationales=_TEXTS,
    ),
}


#: What a record may have and the format has no place for.
_LACKS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        ("trl", "trl-messages", "alpaca"), ("models", "ratings", "samples", "reasons", "source", "judge", "reference")
    ),
    "ultrafeedback_binarized": ("models", "samples", "reasons", "source", "judge", "reference"),
    "ultrafeedback": ("samples", "judge", "reference"),
    "distilabel": ("samples", "judge", "reference"),
}


def write(
    stream: RecordStream, output: str | os.PathLike[str], format: str = "plain", *, extra: ExtraColumns | None = None
) -> WriteReport:
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
    if extra is not None:
        schema = pa.schema([*writer.schema, *extra.schema])
        writer = _Writer(extra.beside(writer.row), schema, extra.beside(writer.column_row or writer.row))
    container = container_of(path)
    report = WriteReport(output=os.fspath(output))
    if container == "parquet":
        write_parquet(path, _batches(stream, writer, report, _LACKS.get(name, ())), writer.schema, stream.info or None)
        return report
    if container not in ("jsonl", "json", "csv"):
        raise InputError(
            f"{path}: cannot be written", hint="name a file that ends in .jsonl, .json, .csv or .parquet", option="output"
        )
    with atomic_path(path) as temporary, packed(temporary, packing_of(path)) as out:
        rows = _rows(stream, writer.row, report, _LACKS.get(name, ()))
        if container == "csv":
            _write_csv(out, writer.schema.names, rows, report, "\t" if ".tsv" in path.name.lower() else ",")
        elif container == "json":
            _write_array(out, rows)
        else:
            for row in rows:
                out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return report


def _rows(stream: RecordStream, make: _Make, report: WriteReport, lacks: Sequence[str]) -> Iterator[_Row]:
    for batch in stream.batches():
        for record in batch_to_records(batch):
            report.records += 1
            for part in lacks:
                if part not in report.no_place and _says_more(record, part):
                    report.no_place.append(part)
            row = make(record)
            if row is None:
                report.left_out += 1
            else:
                report.rows += 1
                yield row


def _says_more(record: Record, part: str) -> bool:
    value = getattr(record, part)
    if part == "ratings":
        # The order of a pair is in its sides.
        return bool({rating for rating in value if rating is not None} - {0.0, 1.0})
    return any(value) if isinstance(value, tuple) else value is not None


def _batches(stream: RecordStream, writer: _Writer, report: WriteReport, lacks: Sequence[str]) -> Iterator[pa.RecordBatch]:
    held: list[_Row] = []
    for row in _rows(stream, writer.column_row or writer.row, report, lacks):
        held.append(row)
        if len(held) == 1024:
            yield pa.RecordBatch.from_pylist(held, writer.schema)
            held = []
    if held:
        yield pa.RecordBatch.from_pylist(held, writer.schema)


def _write_array(out: IO[bytes], rows: Iterator[_Row]) -> None:
    before = b"[\n"
    for row in rows:
        out.write(before + orjson.dumps(row))
        before = b",\n"
    out.write(b"\n]\n" if before == b",\n" else b"[]\n")


def _write_csv(out: IO[bytes], columns: list[str], rows: Iterator[_Row], report: WriteReport, delimiter: str) -> None:
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
