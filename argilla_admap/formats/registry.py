"""Any source of preference data to a stream of records: the format is recognised, each row is checked, ids are unique."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.opening import Numbered, Shard
from argilla_admap.formats.containers.shards import open_source
from argilla_admap.formats.format import Chosen, Draft, FieldNames, Format, Row, RowError, RowFormat
from argilla_admap.formats.ids import Identities
from argilla_admap.formats.layouts.chats import HhRlhf, Messages, ShareGpt, UltraFeedbackBinarized
from argilla_admap.formats.layouts.generations import ByFields, Distilabel, OwnTable
from argilla_admap.formats.layouts.grouped import HelpSteer2, Kto
from argilla_admap.formats.layouts.pairs import (
    Alpaca,
    ArgillaBinarized,
    Orca,
    Trl,
    TrlImplicit,
)
from argilla_admap.formats.layouts.plain import Completions, Nectar, Plain, UltraFeedback
from argilla_admap.formats.layouts.verdicts import Arena, HelpSteer3, Versus
from argilla_admap.formats.values import shorten
from argilla_admap.formats.writing import WriteReport, write
from argilla_admap.records import PREFERENCE_SCHEMA, Record, printable, records_to_batch
from argilla_admap.tables import BATCH_ROWS, RecordStream

__all__ = [
    "FORMATS",
    "CheckedRecords",
    "Entry",
    "FieldNames",
    "Preferences",
    "ReadReport",
    "WriteReport",
    "entries",
    "read",
    "recognise",
    "write",
]

#: In the order in which they are tried: the one that asks for more comes first.
FORMATS: tuple[Format, ...] = (
    Plain(),
    OwnTable(),
    UltraFeedback(),
    Completions(),
    Nectar(),
    Arena(),
    HelpSteer3(),
    ArgillaBinarized(),
    ShareGpt(),
    UltraFeedbackBinarized(),
    Messages(),
    Orca(),
    Distilabel(),
    Trl(),
    Alpaca(),
    HhRlhf(),
    TrlImplicit(),
    HelpSteer2(),
    Versus(),
    Kto(),
    ByFields(),
)
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
        duplicates: records with the id, texts and label of an earlier one; yielded once.
        contradictions: records with the texts of an earlier one and another label; both are yielded.
        shared_ids: records whose id was taken by one of other texts; yielded with a suffix to the id.
    """

    rows: int = 0
    records: int = 0
    skipped: int = 0
    skipped_examples: list[str] = field(default_factory=list)
    duplicates: int = 0
    contradictions: int = 0
    shared_ids: int = 0

    def lines(self) -> list[str]:
        """The report for a person; nothing where all was plain."""
        lines = []
        if self.skipped:
            lines.append(f"skipped {self.skipped:,} of {self.rows:,} rows that cannot be used:")
            lines += [f"  {example}" for example in self.skipped_examples]
            if self.skipped > len(self.skipped_examples):
                lines.append(f"  and {self.skipped - len(self.skipped_examples):,} more")
        if self.duplicates:
            lines.append(f"{_count(self.duplicates, 'exact duplicate')} taken once")
        if self.contradictions:
            lines.append(
                f"{_count(self.contradictions, 'record')} with the texts of an earlier record and another label; both are kept"
            )
        if self.shared_ids:
            lines.append(
                f"{_count(self.shared_ids, 'record')} with the id of an earlier one of other texts; the id got a suffix"
            )
        return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


class Entry(NamedTuple):
    """One record of a pass, with the rows that hold it."""

    shard: Shard
    rows: tuple[Numbered, ...]
    draft: Draft
    id: str
    duplicate: bool


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
        for entry in entries(self._shards, self.format, on_error=self._on_error, report=report):
            if entry.duplicate:
                continue
            report.records += 1
            yield _record(entry.draft, entry.id)
            if report.records == self._limit:
                return
        if not report.records:
            raise InputError(_nothing(self._name, report))


def _nothing(name: str, report: ReadReport) -> str:
    if report.skipped:
        return f"{name}: none of the {report.rows:,} rows can be used; the first: {report.skipped_examples[0]}"
    return f"{name}: there are no rows"


def _record(draft: Draft, identity: str) -> Record:
    nothing = (None,) * len(draft.completions)
    return Record(
        id=identity,
        prompt=draft.prompt,
        completions=draft.completions,
        models=draft.models or nothing,
        ratings=draft.ratings or nothing,
        samples=draft.samples or ((),) * len(draft.completions),
        reasons=draft.reasons or nothing,
        turns=draft.turns,
        source=draft.source,
        judge=draft.judge,
        reference=draft.reference,
    )


def read(
    source: str | os.PathLike[str],
    *,
    format: str | None = None,
    fields: FieldNames | None = None,
    on_error: str = "stop",
    limit: int | None = None,
) -> Preferences:
    """The preference records of a source. The format is recognised from the first rows; the rows are read when asked for.

    Args:
        source: a file (.jsonl .json .parquet .csv, packed or not), a folder of such files or of a saved data set,
            ``hf:ORG/NAME[:SPLIT]``, or ``-`` for JSON Lines on standard input.
        format: the format's name, where it should not be recognised.
        fields: names of fields, where they should not be guessed.
        on_error: what a bad row does: ``stop`` raises InputError, ``skip`` counts it in the report and goes on.
        limit: at most so many records.

    Raises:
        InputError: the source is absent, empty, cut or damaged, or of no known format. Bad rows raise it on the way.
    """
    if on_error not in ("stop", "skip"):
        raise InputError(f"on_error is {on_error!r}, expected 'stop' or 'skip'")
    if limit is not None and limit < 1:
        raise InputError(f"the limit is {limit}, expected 1 or more")
    shards = open_source(source, whole=limit is None)
    chosen = recognise(shards, format, fields or FieldNames(), on_error)
    return Preferences(shards, chosen, name=os.fspath(source), on_error=on_error, limit=limit)


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
                    raise InputError(_bad(bad[0]))
            else:
                sample.append(value)
            if len(sample) == _SAMPLE or len(bad) > 1000:
                break
        if len(sample) == _SAMPLE or len(bad) > 1000:
            break
    where = shards[0].name
    if not sample:
        raise InputError(f"{where}: no row can be read; the first: {bad[0]}" if bad else f"{where}: there are no rows")
    if name is None and fields.says_the_texts:
        name = ByFields.name
    elif fields.says_the_texts and _plain(name or "") != ByFields.name:
        raise InputError(f"--format {name} knows its fields; leave it out, or the names of the texts' fields")
    if name is not None:
        by_name = {_plain(f.name): f for f in FORMATS}
        if _plain(name) not in by_name:
            raise InputError(f"there is no format {name!r}; choose one of {', '.join(f.name for f in FORMATS)}")
        chosen = by_name[_plain(name)]
    else:
        fits = [[f.fits(row) for row in sample] for f in FORMATS]
        # A stray row among the first ones does not choose: it is found bad later. Of equals, the first row's format is taken,
        # and of its formats the one that asks for more.
        best = max(fits, key=lambda fitting: (sum(fitting), fitting))
        if not any(best):
            raise InputError(_unknown(where, sample))
        chosen = FORMATS[fits.index(best)]
    fitting = [row for row in sample if chosen.fits(row)]
    return Chosen(chosen, chosen.settle(fitting or sample, fields))


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _unknown(where: str, sample: Sequence[Row]) -> str:
    names = dict.fromkeys(str(n) for row in sample for n in row)
    seen = ", ".join(shorten(n)[1:-1] for n in list(names)[:30]) or "none"
    inner = [n for n, v in sample[0].items() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(sample) == 1 and len(inner) == 1:
        return (
            f"{where}: is one object, whose fields are {seen}; its rows seem to be in {inner[0]!r}: "
            f"take them out, for example with `jq -c '.[\"{inner[0]}\"][]'`, into a .jsonl file"
        )
    return (
        f"{where}: the format is not recognised from its fields ({seen}); say which they are, for example "
        "--prompt-field NAME --chosen-field NAME --rejected-field NAME, or --completion-field NAME --rating-field NAME, "
        "or choose a format with --format"
    )


def _bad(message: str) -> str:
    return f"{message}. Correct the row, or pass over bad rows with --on-error skip"


def entries(shards: Sequence[Shard], chosen: Chosen, *, on_error: str, report: ReadReport) -> Iterator[Entry]:
    """One pass over all rows, as records with their ids, duplicates too. Both reading and writing back go through here.

    Raises:
        InputError: at a bad row, with ``on_error="stop"``.
    """
    identities = Identities()
    for shard in shards:
        for rows in _groups(shard, chosen.format):
            report.rows += len(rows)
            problem = rows[0].problem
            if problem is None:
                try:
                    draft = chosen.format.parse([row.value or {} for row in rows], chosen.fields)
                except RowError as exc:
                    problem = str(exc)
            if problem is not None:
                message = f"{shard.where(rows[0].number)}: {problem}"
                if on_error == "stop":
                    raise InputError(_bad(message))
                report.skipped += len(rows)
                if len(report.skipped_examples) < _SHOWN:
                    report.skipped_examples.append(message)
                continue
            named = identities.name(draft)
            report.duplicates += named.duplicate
            report.contradictions += named.contradicts
            report.shared_ids += named.shared
            yield Entry(shard, rows, draft, named.id, named.duplicate)


def _groups(shard: Shard, format: Format) -> Iterator[tuple[Numbered, ...]]:
    """Rows of one key that follow each other, together; all others alone."""
    if isinstance(format, RowFormat):
        for row in shard.rows():
            yield (row,)
        return
    group: list[Numbered] = []
    group_key: Any = None
    for row in shard.rows():
        key = None if row.value is None else format.group_key(row.value)
        if key is None or key != group_key:
            if group:
                yield tuple(group)
            group = []
        group_key = key
        group.append(row)
        if key is None:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)
