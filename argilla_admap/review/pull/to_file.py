"""Corrected labels into a file: the original with its corrected rows changed, or the records in a format of choice."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.records import PREFERENCE_SCHEMA
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.dataset.as_input import DatasetRecords
from argilla_admap.review.pull.pull import PullResult, mark_outcomes, pull
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.queues.overview import count_queues, never_pushed, refresh_overview
from argilla_admap.tables import RecordStream, atomic_path

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.formats.registry import CheckedRecords

__all__ = ["Pulled", "pull_to_file"]

#: The format to write where none is named.
_PLAIN = "plain"
_ABSENT = "the original does not hold the record"
_OTHER_TEXTS = "its texts were changed in the original since it was pushed"
_OTHER_LABEL = "its label was changed in the original since it was pushed"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came back, and where it was written.

    Attributes:
        result: the reviewers' answers.
        output: the file; None after a dry run.
        changes: the file of the changes, where one was asked for.
        unmatched: ids of corrections that the original does not hold.
        conflicts: ids of records that were changed in the original since they were pushed, against the answers.
        ties_kept: ids of records that the reviewers find equal, in a format that cannot express it; their rows stay.
        ties_dropped: ids of records that the reviewers find equally good or bad and whose rows are left out, as asked.
        already: ids of corrections that the original holds already, of an earlier pull.
        not_written: record id -> why its correction is not in the output.
        written: records in the output that changed.
        notes: what the user should know.
    """

    result: PullResult
    output: str | None = None
    changes: str | None = None
    unmatched: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    ties_kept: tuple[str, ...] = ()
    ties_dropped: tuple[str, ...] = ()
    already: tuple[str, ...] = ()
    not_written: Mapping[str, str] = field(default_factory=dict)
    written: int = 0
    notes: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """As JSON values; a conflict with the original is one, and neither a correction nor a confirmation."""
        outcomes = [self.result.outcomes[name] for name in self.conflicts]
        return {
            **self.result.json(),
            "corrected": self.result.corrected - outcomes.count("corrected"),
            "confirmed": self.result.confirmed - outcomes.count("confirmed"),
            "conflicts": self.result.conflicts + len(outcomes),
            "output": self.output,
            "changes": self.changes,
            "written": self.written,
            "unmatched": len(self.unmatched),
            "ties_kept": len(self.ties_kept),
            "ties_dropped": len(self.ties_dropped),
            "not_written": len(self.not_written),
            "notes": list(self.notes),
        }


def pull_to_file(dataset: str, client: rg.Argilla, options: PullOptions) -> Pulled:
    """Takes the reviewers' answers in and writes the corrected data.

    Args:
        dataset: ``[WORKSPACE/]NAME``.
        client: of the server.
        options: how to take them in, and what to write.

    Raises:
        InputError: a file or an option that cannot be used; nothing was written.
        ArgillaError: the server refused.
    """
    if options.output is None and not options.dry_run:
        raise InputError("there is no file to write", hint="name one with `output`")
    api = Api(client)
    result = pull(dataset, client, options)
    if options.original is not None and options.format is None:
        written = _write_original(result, options)
    else:
        written = _write_records(result, api, options)
    if options.dry_run:
        return written
    if options.changes is not None:
        with atomic_path(options.changes) as temporary, temporary.open("wb") as file:
            file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in _lines(written))
    notes = (*written.notes, *_note_on_argilla(result, api))
    return replace(written, output=options.output, changes=options.changes, notes=notes)


def _lines(pulled: Pulled) -> Iterator[dict[str, Any]]:
    """The lines of CHANGES.jsonl: what was written, and, marked with the reason, what could not be."""
    reasons = {**dict.fromkeys(pulled.ties_dropped, "its row was left out, as asked"), **pulled.not_written}
    for change in pulled.result.changes:
        if change["id"] in pulled.already:
            continue
        reason = reasons.get(str(change["id"]))
        yield {**change, "written": reason is None, **({"not_written": reason} if reason is not None else {})}


def _write_original(result: PullResult, options: PullOptions) -> Pulled:
    """The original again, with only its corrected rows changed."""
    from argilla_admap.formats.writeback.corrected import SeenRecord, write_corrected

    report = write_corrected(
        str(options.original),
        os.devnull if options.output is None else options.output,
        result.corrections,
        format=options.original_format,
        fields=options.fields,
        split=options.split,
        seen={name: SeenRecord(found.label, found.prompt, found.completions) for name, found in result.found.items()},
        known=result.facts.keys(),
        only_reviewed=options.reviewed_only,
        on_error=options.on_error,
        ties=options.ties,
        dry_run=options.dry_run,
    )
    # Records whose reviewers contradict each other, or said nothing about the label, have no answer to be against.
    answered = {name for name, outcome in result.outcomes.items() if outcome in ("corrected", "confirmed")}
    conflicts = tuple(name for name in report.conflicts if name in answered)
    notes = list(result.notes)
    if report.unmatched:
        notes.append(f"{len(report.unmatched):,} corrected records are not in {options.original}: {_some(report.unmatched)}")
    if conflicts:
        notes.append(
            f"{len(conflicts):,} records were changed in {options.original} since they were pushed, against their reviewers' "
            f"answers: conflicts, which stay as they are ({_some(conflicts)})"
        )
    if ties := report.ties_kept or report.ties_dropped:
        bad = sum(result.verdicts.get(name) == "both_bad" for name in ties)
        left = f"were left out ({_some(ties)})"
        kept = f"keep their better side ({_some(ties)}); `ties` drop leaves them out, `format` {_PLAIN} can express them"
        notes.append(
            f"{len(ties) - bad:,} records are ties now and {bad:,} are both bad, which the format {report.format} cannot "
            f"express: their rows {kept if report.ties_kept else left}"
        )
    if report.skipped:
        notes.append(f"{report.skipped:,} rows of {options.original} cannot be read; they stay as they were")
    return Pulled(
        result,
        unmatched=tuple(report.unmatched),
        conflicts=conflicts,
        ties_kept=tuple(report.ties_kept),
        ties_dropped=tuple(report.ties_dropped),
        already=tuple(report.already),
        not_written={name: why for name, why in report.not_written.items() if name in result.corrections},
        written=report.corrected,
        notes=tuple(notes),
    )


def _write_records(result: PullResult, api: Api, options: PullOptions) -> Pulled:
    """The records in a format of choice: the original's, else Argilla's own."""
    from argilla_admap.formats import registry, writing

    notes = list(result.notes)
    only = result.outcomes.keys() if options.reviewed_only else None
    dropped = tuple(result.verdicts) if options.ties == "drop" else ()
    if dropped:
        notes.append(f"{len(dropped):,} records that reviewers find equally good or bad were left out ({_some(dropped)})")
    original: _CorrectedOriginal | None = None
    stream: RecordStream
    if options.original is not None:
        read = registry.read(
            options.original,
            format=options.original_format,
            fields=options.fields,
            split=options.split,
            on_error=options.on_error,
        )
        original = _CorrectedOriginal(read, result, only, dropped)
        stream = original.stream()
    else:
        # Records that lack a text are in the notes already; what the others say is not held back for them.
        corrections = result.corrections
        stream = DatasetRecords(
            api, result.target, result.adapter, on_error="skip", corrections=corrections, only=only, dropped=dropped
        )
    not_written: dict[str, str] = {}
    if not options.dry_run and options.output is not None:
        report = writing.write(stream, options.output, options.format or _PLAIN)
        if report.left_out:
            notes.append(f"{report.left_out:,} records have no better and worse completion and were left out")
            equal = (record_id for record_id, after in result.corrections.items() if len(set(after)) == 1)
            not_written |= dict.fromkeys(equal, "a format of pairs holds no record without a better completion")
        if original is not None:
            not_written |= original.not_written()
            if lost := [*original.fields_left_out(), *report.no_place]:
                name = options.format or _PLAIN
                notes.append(f"written as {name}, which has no place for these of the original: {', '.join(lost)}")
    unmatched = tuple(name for name, why in not_written.items() if why == _ABSENT)
    conflicts = tuple(name for name, why in not_written.items() if why in (_OTHER_TEXTS, _OTHER_LABEL))
    if unmatched:
        notes.append(f"{len(unmatched):,} corrected records are not in {options.original}: {_some(unmatched)}")
    if conflicts:
        notes.append(
            f"{len(conflicts):,} records were changed in {options.original} since they were pushed: {_some(conflicts)}"
        )
    written = len(result.corrections.keys() - set(dropped) - not_written.keys())
    return Pulled(
        result,
        unmatched=unmatched,
        conflicts=conflicts,
        ties_dropped=dropped,
        not_written=not_written,
        written=written,
        notes=tuple(notes),
    )


class _CorrectedOriginal:
    """The original's records with the corrected ratings, each rating with the text that the reviewers saw."""

    def __init__(self, source: CheckedRecords, result: PullResult, only: Set[str] | None, dropped: Collection[str]) -> None:
        self._source, self._result, self._only, self._dropped = source, result, only, frozenset(dropped)
        self._names = [name for name in PREFERENCE_SCHEMA.names if name in source.schema.names]
        self._met: set[str] = set()
        self._refused: dict[str, str] = {}

    def stream(self) -> RecordStream:
        """A pass over the original each time that it is gone through."""
        schema = pa.schema([self._source.schema.field(name) for name in self._names])
        return RecordStream(lambda: self._batches(schema), schema, self._source.info)

    def fields_left_out(self) -> list[str]:
        """After a pass: the original's fields that are not read."""
        return list(self._source.report.left_out)

    def not_written(self) -> dict[str, str]:
        """After a pass: the corrections that are not in it, and why."""
        absent = self._result.corrections.keys() - self._met - self._dropped
        return {**self._refused, **dict.fromkeys(absent, _ABSENT)}

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        place = self._names.index("ratings")
        for batch in self._source.batches():
            rows = batch.select(self._names)
            if self._only is not None:
                rows = rows.filter(pc.is_in(rows.column("id"), value_set=pa.array(list(self._only), pa.string())))
            if self._dropped:
                left_out = pc.is_in(rows.column("id"), value_set=pa.array(list(self._dropped), pa.string()))
                rows = rows.filter(pc.invert(left_out))
            ids = rows.column("id").to_pylist()
            if not self._result.corrections.keys().isdisjoint(ids):
                ratings = rows.column("ratings").to_pylist()
                texts: list[Any] = rows.column("completions").to_pylist()
                after = [self._after(str(i), t, r) for i, t, r in zip(ids, texts, ratings, strict=True)]
                rows = rows.set_column(place, schema.field(place), pa.array(after, schema.field(place).type))
            if rows.num_rows:
                yield rows

    def _after(self, record_id: str, texts: list[str], ratings: list[float | None] | None) -> Sequence[float | None] | None:
        correction = self._result.corrections.get(record_id)
        if correction is None:
            return ratings
        self._met.add(record_id)
        record = self._result.found[record_id]
        own, texts = [text.strip() for text in record.completions], [text.strip() for text in texts]
        if sorted(own) != sorted(texts):
            self._refused[record_id] = _OTHER_TEXTS
            return ratings
        # Of equal texts each takes the next rating.
        places: list[int] = []
        for text in texts:
            places.append(next(i for i, mine in enumerate(own) if mine == text and i not in places))
        after = [correction[place] for place in places]
        if list(ratings or ()) not in ([record.label[place] for place in places], after):
            self._refused[record_id] = _OTHER_LABEL
            return ratings
        return after


def _note_on_argilla(result: PullResult, api: Api) -> list[str]:
    """Each record's outcome for the queues, and the guidelines, which show how far the review is.

    The answers are safe in the file by now: where the server refuses, that is a remark and no failure.
    """
    try:
        mark_outcomes(result, api)
        # Once more, because outcomes may have added a property.
        target = api.refresh(result.target)
        summary = {**target.info.get("summary", {}), "records": result.records, "reviewed": result.reviewed}
        if not never_pushed(target):
            refresh_overview(api, target, count_queues(api, target), map_info=target.info.get("map"), summary=summary)
    except ArgillaError as error:
        return [f"the outcomes could not be noted on Argilla: {error}"]
    return []


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(record_id) for record_id in ids[:5])
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5:,} more"
