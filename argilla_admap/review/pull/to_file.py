"""Corrected labels into a file: the original with its corrected rows changed, or the records in a format of choice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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

__all__ = ["Pulled", "pull_to_file"]

#: The format to write where none is named.
_PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came back, and where it was written.

    Attributes:
        result: the reviewers' answers.
        output: the file; None after a dry run.
        changes: the file of the changes, where one was asked for.
        unmatched: ids of corrections that the original does not hold.
        ties_kept: ids of records that the reviewers find equal, in a format that cannot express it; their rows stay.
        ties_dropped: the same with ``ties="drop"``: their rows are left out.
        written: records in the output that changed.
        notes: what the user should know.
    """

    result: PullResult
    output: str | None = None
    changes: str | None = None
    unmatched: tuple[str, ...] = ()
    ties_kept: tuple[str, ...] = ()
    ties_dropped: tuple[str, ...] = ()
    written: int = 0
    notes: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **self.result.json(),
            "output": self.output,
            "changes": self.changes,
            "written": self.written,
            "unmatched": len(self.unmatched),
            "ties_kept": len(self.ties_kept),
            "ties_dropped": len(self.ties_dropped),
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
    if options.original is not None and options.format is None and not options.reviewed_only:
        written = _write_original(result, options)
    else:
        written = _write_records(result, api, options)
    if options.dry_run:
        return written
    if options.changes is not None:
        with atomic_path(options.changes) as temporary, temporary.open("wb") as file:
            file.writelines(orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE) for change in result.changes)
    notes = (*written.notes, *_note_on_argilla(result, api))
    return replace(written, output=options.output, changes=options.changes, notes=notes)


def _write_original(result: PullResult, options: PullOptions) -> Pulled:
    """The original again, with only its corrected rows changed."""
    from argilla_admap.formats.writeback.corrected import write_corrected

    report = write_corrected(
        str(options.original),
        os.devnull if options.output is None else options.output,
        result.corrections,
        format=options.original_format,
        fields=options.fields,
        on_error=options.on_error,
        ties=options.ties,
        dry_run=options.dry_run,
    )
    notes = list(result.notes)
    if report.unmatched:
        notes.append(f"{len(report.unmatched):,} corrected records are not in {options.original}: {_some(report.unmatched)}")
    if ties := report.ties_kept or report.ties_dropped:
        left = f"were left out ({_some(ties)})"
        kept = f"stay as they were ({_some(ties)}); `ties` drop leaves them out, `format` {_PLAIN} can express them"
        notes.append(
            f"{len(ties):,} records are ties now, which the format {report.format} cannot express: their rows "
            f"{kept if report.ties_kept else left}"
        )
    if report.skipped:
        notes.append(f"{report.skipped:,} rows of {options.original} cannot be read; they stay as they were")
    return Pulled(
        result,
        unmatched=tuple(report.unmatched),
        ties_kept=tuple(report.ties_kept),
        ties_dropped=tuple(report.ties_dropped),
        written=report.corrected,
        notes=tuple(notes),
    )


def _write_records(result: PullResult, api: Api, options: PullOptions) -> Pulled:
    """The records in a format of choice: the original's, else Argilla's own."""
    from argilla_admap.formats import registry, writing

    notes = list(result.notes)
    only = result.outcomes if options.reviewed_only else None
    stream: RecordStream
    if options.original is not None:
        read = registry.read(options.original, format=options.original_format, fields=options.fields, on_error=options.on_error)
        stream = _corrected(read, result.corrections, only)
    else:
        # Records that lack a text are in the notes already; what the others say is not held back for them.
        stream = DatasetRecords(api, result.target, result.adapter, on_error="skip", corrections=result.corrections, only=only)
    if not options.dry_run and options.output is not None:
        report = writing.write(stream, options.output, options.format or _PLAIN)
        if report.left_out:
            notes.append(f"{report.left_out:,} records have no better and worse completion and were left out")
    return Pulled(result, written=result.corrected, notes=tuple(notes))


def _corrected(
    source: RecordStream, corrections: Mapping[str, Sequence[float | None]], only: Mapping[str, str] | None
) -> RecordStream:
    """The stream with the corrected ratings in it; of `only`, where it is given."""
    names = [name for name in PREFERENCE_SCHEMA.names if name in source.schema.names]
    schema = pa.schema([source.schema.field(name) for name in names])
    wanted = pa.array(list(only), pa.string()) if only is not None else None
    place = names.index("ratings")

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            rows = batch.select(names)
            if wanted is not None:
                rows = rows.filter(pc.is_in(rows.column("id"), value_set=wanted))
            ids = rows.column("id").to_pylist()
            if not corrections.keys().isdisjoint(ids):
                before = rows.column("ratings").to_pylist()
                after = [corrections.get(str(record_id), ratings) for record_id, ratings in zip(ids, before, strict=True)]
                rows = rows.set_column(place, schema.field(place), pa.array(after, schema.field(place).type))
            if rows.num_rows:
                yield rows

    return RecordStream(batches, schema, source.info)


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
