"""Any source of preference data to a stream of records: the format is recognised, each row is checked, ids are unique."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import pyarrow as pa

from argilla_admap.errors import InputError
from argilla_admap.formats import layouts
from argilla_admap.formats.containers.in_memory import in_memory
from argilla_admap.formats.containers.inputs import open_source
from argilla_admap.formats.containers.shard import NumberedRow, Shard, TextShard
from argilla_admap.formats.format import Chosen, Draft, FieldNames, Format, Row, RowError, RowFormat
from argilla_admap.formats.ids import Identities, canonical, without_label
from argilla_admap.formats.rows.fields_read import FieldsRead, left_out_line
from argilla_admap.formats.values import kind, shorten
from argilla_admap.records import PREFERENCE_SCHEMA, Record, printable, records_to_batch
from argilla_admap.tables import BATCH_ROWS, RecordStream

__all__ = [
    "FORMATS",
    "CheckedRecords",
    "FieldNames",
    "Preferences",
    "ReadReport",
    "RecordRows",
    "read",
    "recognise",
    "record_rows",
]

#: Where a row fits several formats, the one that asks for more is taken: it stands first. A format that is not listed here is
#: tried after these and before `fields`.
_ORDER = (
    "plain",
    "columns",
    "argilla-export",
    "label-studio",
    "ultrafeedback",
    "nectar",
    "completions",
    "arena",
    "helpsteer3",
    "argilla_binarized",
    "sharegpt",
    "ultrafeedback_binarized",
    "openai-dpo",
    "trl-messages",
    "ms-swift",
    "pair-lists",
    "orca",
    "distilabel",
    "trl",
    "alpaca",
    "hh-rlhf",
    "trl-implicit",
    "helpsteer2",
    "versus",
    "named-pair",
    "stack-exchange-paired",
    "kto",
    "scored-rows",
)
_BY_HAND = "fields"
_SAY_WHICH = (
    "say which they are with `prompt_field`, `chosen_field` and `rejected_field`, or with `prompt_field`, "
    "`completion_field` (repeated) and `rating_field`; or choose a format with `format`"
)


def _found_formats() -> tuple[Format, ...]:
    """One of each format that a module of `layouts` defines, in the order in which they are tried."""
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(layouts.__path__, f"{layouts.__name__}.")]
    classes = [v for m in modules for v in vars(m).values() if inspect.isclass(v) and v.__module__ == m.__name__]
    found = [v() for v in classes if issubclass(v, Format) and not inspect.isabstract(v)]
    ranks = {name: rank for rank, name in enumerate((*_ORDER, "", _BY_HAND))}
    return tuple(sorted(found, key=lambda one: ranks.get(one.name, ranks[""])))


FORMATS: tuple[Format, ...] = _found_formats()
_SAMPLE = 32
_SHOWN = 20
#: A batch ends before its texts take more.
_BATCH_CHARACTERS = 16_000_000


@dataclass(slots=True)
class ReadReport:
    """What one pass over a source found.

    Attributes:
        rows: rows seen, bad ones too.
        records: records that were yielded.
        skipped: rows that could not be used.
        skipped_examples: the first 20 of them: place, value, what was expected.
        duplicates: records whose rows are those of an earlier one, as a whole; yielded once.
        contradictions: records with the texts of an earlier one and another label; both are yielded.
        shared_ids: records with the id of an earlier one, or without an id and with its texts, that differ from it elsewhere;
            yielded with a suffix to the id.
        labelled: records with a rating of two completions or more.
        left_out: fields that were not read, with how many rows have a value in each; 0 where it stands within another field.
        first: the first record, as it was read.
        remarks: what was decided for single records, with how many there are.
        notes: what else the user should know.
        unlabelled: what to do where no record has a label.
    """

    rows: int = 0
    records: int = 0
    skipped: int = 0
    skipped_examples: list[str] = field(default_factory=list)
    duplicates: int = 0
    contradictions: int = 0
    shared_ids: int = 0
    labelled: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    first: Record | None = None
    remarks: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unlabelled: str = "name its field with `rating_field` or `verdict_field`, if the data have one"

    def note(self, record: Record) -> None:
        """Counts a record that is yielded."""
        self.records += 1
        self.labelled += sum(rating is not None for rating in record.ratings) > 1
        self.first = self.first or record

    def overview(self) -> list[str]:
        """How many records there are and carry a label, and the first one as it was read."""
        if self.first is None:
            return []
        lines = [f"{_count(self.records, 'record')}, {self.labelled:,} with a label"]
        if not self.labelled:
            lines[0] += f": {self.unlabelled}"
        lines.append(f"The first as it is read: the prompt {shorten(self.first.prompt)}")
        for text, rating in list(zip(self.first.completions, self.first.ratings, strict=True))[:6]:
            lines.append(f"  {'no label' if rating is None else f'{rating:g}'}: {shorten(text)}")
        return lines

    def lines(self) -> list[str]:
        """The report for a person; nothing where all was plain."""
        lines = list(self.notes)
        if self.skipped:
            lines.append(f"skipped {self.skipped:,} of {self.rows:,} rows that cannot be used:")
            lines += [f"  {example}" for example in self.skipped_examples]
            if self.skipped > len(self.skipped_examples):
                lines.append(f"  and {self.skipped - len(self.skipped_examples):,} more")
        lines += [f"{_count(count, 'record')}: {remark}" for remark, count in self.remarks.items()]
        if self.left_out:
            lines.append(left_out_line(self.left_out))
        if self.duplicates:
            lines.append(f"{_count(self.duplicates, 'exact duplicate')} taken once")
        if self.contradictions:
            lines.append(
                f"{_count(self.contradictions, 'record')} with the texts of an earlier record and another label; both are kept"
            )
        if self.shared_ids:
            lines.append(
                f"{_count(self.shared_ids, 'record')} with the id or the texts of an earlier one, and a difference elsewhere; "
                "the id got a suffix"
            )
        return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


class RecordRows(NamedTuple):
    """One record of a pass, with the rows that hold it."""

    shard: Shard
    rows: tuple[NumberedRow, ...]
    draft: Draft
    id: str
    duplicate: bool

    @property
    def values(self) -> list[Row]:
        """The rows' values."""
        return [row.value or {} for row in self.rows]


class CheckedRecords(RecordStream, ABC):
    """Records of somebody else's making, as batches of `PREFERENCE_SCHEMA`; each pass reads the source again.

    Attributes:
        format: says in words what was taken for what.
        report: what the last pass found; complete when the pass is.
    """

    format: object
    report: ReadReport

    def __init__(self, info: Mapping[str, Any]) -> None:
        super().__init__(self._pass, PREFERENCE_SCHEMA, info)
        self.report = ReadReport()

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """A new pass, one record at a time, which fills a new report. Raises InputError at the first bad row."""

    def check(self) -> ReadReport:
        """Goes through the whole source once and says what it found, so that a bad row is known before anything is spent.

        Raises:
            InputError: at the first bad row (with ``on_error="stop"``), or where there is no record at all.
        """
        self.completions = sum(len(record.completions) for record in self.records())
        return self.report

    def _pass(self) -> Iterator[pa.RecordBatch]:
        held: list[Record] = []
        characters = 0
        for record in self.records():
            held.append(record)
            characters += len(record.prompt) + sum(map(len, record.completions))
            if len(held) == BATCH_ROWS or characters > _BATCH_CHARACTERS:
                yield records_to_batch(held)
                held, characters = [], 0
        if held:
            yield records_to_batch(held)


class Preferences(CheckedRecords):
    """The records of a file, a folder or the hub. The `description` of its `format` says in words what was taken for what."""

    format: Chosen

    def __init__(self, shards: Sequence[Shard], chosen: Chosen, *, name: str, on_error: str, limit: int | None) -> None:
        super().__init__({"input": printable(name), "format": chosen.name})
        self.format = chosen
        self._shards = shards
        self._name = name
        self._on_error = on_error
        self._limit = limit

    def records(self) -> Iterator[Record]:
        """A new pass, one record at a time. Raises InputError at the first bad row, or where there is no record at all."""
        report = self.report = ReadReport()
        for entry in record_rows(self._shards, self.format, on_error=self._on_error, report=report):
            if entry.duplicate or (record := self.made(entry)) is None:
                continue
            for remark in entry.draft.remarks:
                report.remarks[remark] = report.remarks.get(remark, 0) + 1
            report.note(record)
            yield record
            if report.records == self._limit:
                return
        if not report.records:
            raise InputError(_nothing(self._name, report))

    def made(self, entry: RecordRows) -> Record | None:
        """The record of an entry; None: it is passed over."""
        draft = entry.draft
        nothing = (None,) * len(draft.completions)
        return Record(
            id=entry.id,
            prompt=draft.prompt,
            completions=draft.completions,
            models=draft.models or nothing,
            ratings=draft.ratings or nothing,
            samples=draft.samples or ((),) * len(draft.completions),
            reasons=draft.reasons or nothing,
            turns=draft.turns,
            source=draft.source,
            annotator=draft.annotator,
            judge=draft.judge,
            reference=draft.reference,
        )


def _nothing(name: str, report: ReadReport) -> str:
    if report.skipped:
        return f"{name}: none of the {report.rows:,} rows can be used; the first: {report.skipped_examples[0]}"
    return f"{name}: there are no rows"


def read(
    source: Any,
    *,
    format: str | None = None,
    fields: FieldNames | None = None,
    on_error: str = "stop",
    limit: int | None = None,
    split: str | None = None,
) -> Preferences:
    """The preference records of a source. The format is recognised from the first rows; the rows are read when asked for.

    Args:
        source: a file (.jsonl .json .parquet .csv, packed or not), a folder of such files or of a saved data set,
            ``hf:ORG/NAME[:SPLIT]``, or ``-`` for JSON Lines on standard input; or rows in memory, see `in_memory`.
        format: the format's name, where it should not be recognised.
        fields: names of fields, where they should not be guessed.
        on_error: what to do with a bad row: ``stop`` raises InputError, ``skip`` counts it in the report and goes on.
        limit: at most so many records.
        split: of a data set with several, one of them or ``all``.

    Raises:
        InputError: the source is absent, empty, cut or damaged, or of no known format. Bad rows raise it on the way.
    """
    if on_error not in ("stop", "skip"):
        raise InputError(f"{on_error!r} is neither 'stop' nor 'skip'", option="on_error")
    if limit is not None and limit < 1:
        raise InputError(f"{limit} is not 1 or more", option="limit")
    if isinstance(source, (str, os.PathLike)):
        shards: Sequence[Shard] = open_source(source, split=split, whole=limit is None)
        name = os.fspath(source)
    else:
        shards = in_memory(source, split)
        name = shards[0].name
    chosen = recognise(shards, format, fields or FieldNames(), on_error)
    return Preferences(shards, chosen, name=name, on_error=on_error, limit=limit)


def recognise(shards: Sequence[Shard], name: str | None, fields: FieldNames, on_error: str) -> Chosen:
    """The format of the shards' first rows, or the one that is named.

    Raises:
        InputError: the name is of no format, or the rows fit none; the message lists the fields that were seen.
    """
    sample: list[Row] = []
    bad: list[str] = []
    for shard in shards:
        for number, value, problem in shard.rows():
            if value is None:
                bad.append(f"{shard.where(number)}: {problem}")
                if on_error == "stop":
                    raise _bad(bad[0])
            else:
                sample.append(value)
            if len(sample) == _SAMPLE or len(bad) > 1000:
                break
        if len(sample) == _SAMPLE or len(bad) > 1000:
            break
    where = shards[0].name
    if not sample:
        raise InputError(f"{where}: no row can be read; the first: {bad[0]}" if bad else f"{where}: there are no rows")
    if fields.says_the_texts:
        if name is not None and _plain(name) != _BY_HAND:
            raise InputError(
                f"the format {name} knows its fields", hint="leave it out, or the names of the texts' fields", option="format"
            )
        name = _BY_HAND
    if name is not None:
        by_name = {_plain(f.name): f for f in FORMATS}
        if _plain(name) not in by_name:
            raise InputError(
                f"there is no format {name!r}", hint=f"choose one of {', '.join(f.name for f in FORMATS)}", option="format"
            )
        chosen = by_name[_plain(name)]
    else:
        fits = [[f.fits(row) for row in sample] for f in FORMATS]
        # A stray row among the first ones does not choose: it is found bad later. Of equals, the first row's format is taken,
        # and of its formats the one that asks for more.
        best = max(fits, key=lambda fitting: (sum(fitting), fitting))
        if not any(best):
            raise _unknown(shards[0], sample)
        chosen = FORMATS[fits.index(best)]
    fitting = [row for row in sample if chosen.fits(row)] or sample
    try:
        settled = chosen.settle(fitting, fields)
    except RowError as exc:
        raise InputError(
            f"{where}: the fields of the first rows are not those of the format {chosen.name} ({exc})", hint=_SAY_WHICH
        ) from exc
    _check_use(chosen, fields, settled, fitting)
    return Chosen(chosen, settled)


def _check_use(chosen: Format, given: FieldNames, settled: FieldNames, sample: Sequence[Row]) -> None:
    """Refuses what was given by hand and the format does not look at: else a label would silently be another."""
    unused = None
    if (
        (given.verdict or given.verdict_values)
        and not settled.scales
        and settled.rating != (given.verdict,)
        and chosen.name != "argilla-export"
    ):
        unused = "verdict_field" if given.verdict else "verdict_values"
    elif settled.order == "lower":
        try:
            if not chosen.parse(sample if chosen.group_key(sample[0]) is not None else sample[:1], settled).ranked:
                unused = "rating_order" if given.order else "rating_field"
        except RowError:
            # The row's own trouble is told when it is read.
            return
    elif given.order and not settled.rating:
        unused = "rating_order"
    elif given.rating and settled.scales:
        unused = "rating_field"
    if unused:
        raise InputError(
            f"the format {chosen.name} does not take it as it was given",
            option=unused,
            hint="leave it out, or name the texts' fields too, with `completion_field`",
        )


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _unknown(shard: Shard, sample: Sequence[Row]) -> InputError:
    """The error for rows that fit no format: with what they hold, and where it can be told, a command that makes rows of it."""
    first = sample[0]
    kinds = {str(name): kind(value) for row in reversed(sample) for name, value in row.items()}
    seen = ", ".join(f"{shorten(name)[1:-1]}: {what}" for name, what in list(kinds.items())[:30]) or "none"
    if len(sample) == 1 and isinstance(shard, TextShard):
        what, program = _rows_within(first)
        if program:
            command = shard.through(f"jq -c '{program}'", extension=".jsonl")
            return InputError(f"{shard.name}: is one object with {what} ({seen})", hint=f"take them out with `{command}`")
    return InputError(
        f"{shard.name}: the format is not recognised from its fields ({seen})",
        hint=_SAY_WHICH,
    )


def _rows_within(table: Row) -> tuple[str, str]:
    """How rows stand in one JSON object, and the program for `jq` that takes them out; two empty texts where none are seen."""
    lists = {name: v for name, v in table.items() if isinstance(v, list) and v and all(isinstance(item, dict) for item in v)}
    if "rows" in lists and all(isinstance(item.get("row"), dict) for item in lists["rows"]):
        return "the rows of a data set's viewer in `rows`", ".rows[].row"
    if len(lists) == 1:
        (name,) = lists
        return f"its rows in {name!r}", f".[{json.dumps(name)}][]"
    if lists and len(lists) == len(table):
        return f"lists of rows, one for each of {', '.join(lists)}", ".[][]"
    if {"columns", "data"} <= set(table):
        return "the columns and rows of pandas", ".columns as $c | .data[] | [$c, .] | transpose | map({(.[0]): .[1]}) | add"
    inner = [set(value) for value in table.values() if isinstance(value, dict)]
    if not inner or len(inner) != len(table) or not inner[0] or any(keys != inner[0] for keys in inner):
        return "", ""
    if all(key.isdigit() for key in inner[0]):
        return (
            "a column of pandas in each field",
            ". as $t | (.[keys_unsorted[0]] | keys_unsorted[]) as $k | $t | map_values(.[$k])",
        )
    return "a row in each field", "to_entries[] | {id: .key} + .value"


def _bad(message: str) -> InputError:
    return InputError(message, hint="correct the row, or pass over bad rows with `on_error` skip")


def record_rows(shards: Sequence[Shard], chosen: Chosen, *, on_error: str, report: ReadReport) -> Iterator[RecordRows]:
    """One pass over all rows, as records with their ids, duplicates too. Both reading and writing back go through here.

    Raises:
        InputError: at a bad row, with ``on_error="stop"``.
    """
    identities = Identities()
    fields = FieldsRead(chosen)
    report.notes += [shard.note for shard in shards if shard.note]
    try:
        for shard in shards:
            for rows in _groups(shard, chosen.format):
                report.rows += len(rows)
                problem = rows[0].problem
                values = [row.value or {} for row in rows]
                if problem is None:
                    try:
                        draft = fields.parse(values)
                    except RowError as exc:
                        problem = str(exc)
                if problem is not None:
                    message = f"{shard.where(rows[0].number)}: {problem}"
                    if on_error == "stop":
                        raise _bad(message)
                    report.skipped += len(rows)
                    if len(report.skipped_examples) < _SHOWN:
                        report.skipped_examples.append(message)
                    continue
                named = identities.name(draft, canonical(values), partial(without_label, values, draft, chosen))
                report.duplicates += named.duplicate
                report.contradictions += named.contradicts
                report.shared_ids += named.shared
                yield RecordRows(shard, rows, draft, named.id, named.duplicate)
    finally:
        report.left_out = fields.left_out()


def _groups(shard: Shard, format: Format) -> Iterator[tuple[NumberedRow, ...]]:
    """Rows of one key that follow each other, together; all others alone."""
    if isinstance(format, RowFormat):
        for row in shard.rows():
            yield (row,)
        return

    def key(row: NumberedRow) -> object:
        found = None if row.value is None else format.group_key(row.value)
        return object() if found is None else found

    for _, group in groupby(shard.rows(), key):
        yield tuple(group)
