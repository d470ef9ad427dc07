"""Corrected labels into a file: the original with its corrected rows changed, or the records in a format of choice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.records import PREFERENCE_SCHEMA
from argilla_admap.review.argilla.argilla_api import Api, parse_address
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.dataset.as_input import named_fields, read_dataset
from argilla_admap.review.pull.pull import PullResult, mark_outcomes, pull
from argilla_admap.review.queues.overview import count_queues, refresh_overview
from argilla_admap.tables import RecordStream, atomic_path

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.formats.format import FieldNames

__all__ = ["Pulled", "pull_to_file", "write_changes"]

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
        ties_kept: ids of records that the reviewers find equal, in a format that cannot say so; their rows stay as they were.
        ties_dropped: the same with ``ties="drop"``: their rows are left out.
        written: records in the output that changed.
        notes: what a person should know.
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


def pull_to_file(
    dataset: str,
    client: rg.Argilla,
    output: str | os.PathLike[str] | None,
    *,
    workspace: str | None = None,
    original: str | None = None,
    original_format: str | None = None,
    format: str | None = None,
    fields: FieldNames | None = None,
    on_error: str = "stop",
    rating_question: str | None = None,
    resolve: str = "majority",
    changes: str | os.PathLike[str] | None = None,
    reviewed_only: bool = False,
    ties: str = "keep",
    dry_run: bool = False,
) -> Pulled:
    """Takes the reviewers' answers in and writes the corrected data.

    Args:
        dataset: ``[WORKSPACE/]NAME``.
        client: of the server.
        output: the file to write; it is whole or absent.
        workspace: where `dataset` does not say it.
        original: the data that were pushed: written again with only the corrected rows changed. Without it the records are
            written from Argilla's own.
        original_format: its format, where it is not recognised.
        format: another format to write.
        fields: field names of the original, or else of somebody else's data set.
        on_error: of the original's bad rows, ``stop`` or ``skip``.
        rating_question: the question about the label, in somebody else's data set.
        resolve: how to settle several reviewers' answers.
        changes: a file that gets a line of JSON a change.
        reviewed_only: write only records with a submitted answer.
        ties: ``keep`` or ``drop`` the rows of records that reviewers find equal, in an original that cannot say so.
        dry_run: count, and write nothing, neither here nor on Argilla.

    Raises:
        InputError: a file or an option that cannot be used; nothing was written.
        ArgillaError: the server said no.
    """
    if output is None and not dry_run:
        raise InputError("name the file to write with -o")
    for path in (output, changes):
        if path is not None and not Path(path).resolve().parent.is_dir():
            raise InputError(f"{path}: there is no folder {Path(path).resolve().parent}; make it, or name another place")
    for other in (original, output):
        if changes is not None and other is not None and Path(changes).resolve() == Path(other).resolve():
            raise InputError(f"{changes}: --changes would write over another file of this command; give it a name of its own")
    prompt, completions = named_fields(fields) if original is None else (None, ())
    result = pull(
        dataset,
        client,
        workspace=workspace,
        resolve=resolve,
        prompt_field=prompt,
        completion_fields=completions,
        rating_question=rating_question,
    )
    options = _Options(original, original_format, format, fields, on_error, rating_question, reviewed_only, ties)
    written = _write(result, client, output, options, dry_run=dry_run)
    if dry_run:
        return written
    if changes is not None:
        write_changes(result.changes, changes)
    notes = [*written.notes, *_note_on_argilla(result, client)]
    return Pulled(
        result,
        None if output is None else os.fspath(output),
        None if changes is None else os.fspath(changes),
        written.unmatched,
        written.ties_kept,
        written.ties_dropped,
        written.written,
        tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Options:
    original: str | None
    original_format: str | None
    format: str | None
    fields: FieldNames | None
    on_error: str
    rating_question: str | None
    reviewed_only: bool
    ties: str


def _write(
    result: PullResult, client: rg.Argilla, output: str | os.PathLike[str] | None, options: _Options, *, dry_run: bool
) -> Pulled:
    from argilla_admap.formats import registry, writing
    from argilla_admap.formats.writeback.corrected import write_corrected

    notes = list(result.notes)
    reviewed = result.outcomes
    if options.original is not None and options.format is None and not options.reviewed_only:
        rewritten = write_corrected(
            options.original,
            output if output is not None else os.devnull,
            result.corrections,
            format=options.original_format,
            fields=options.fields,
            on_error=options.on_error,
            ties=options.ties,
            dry_run=dry_run,
        )
        if rewritten.unmatched:
            notes.append(
                f"{len(rewritten.unmatched):,} corrected records are not in {options.original}: {_some(rewritten.unmatched)}"
            )
        if ties := rewritten.ties_kept or rewritten.ties_dropped:
            left = f"were left out ({_some(ties)})"
            kept = f"stay as they were ({_some(ties)}); --ties drop leaves them out, --format {_PLAIN} can say them"
            notes.append(
                f"{len(ties):,} records are ties now, which the format {rewritten.format} cannot say: their rows "
                f"{kept if rewritten.ties_kept else left}"
            )
        if rewritten.skipped:
            notes.append(f"{rewritten.skipped:,} rows of {options.original} cannot be read; they stay as they were")
        return Pulled(
            result,
            unmatched=tuple(rewritten.unmatched),
            ties_kept=tuple(rewritten.ties_kept),
            ties_dropped=tuple(rewritten.ties_dropped),
            written=rewritten.corrected,
            notes=tuple(notes),
        )
    only = reviewed if options.reviewed_only else None
    stream: RecordStream
    if options.original is not None:
        read = registry.read(options.original, format=options.original_format, fields=options.fields, on_error=options.on_error)
        stream = _corrected(read, result, only)
    else:
        stream = read_dataset(
            result.dataset,
            client,
            fields=options.fields,
            rating_question=options.rating_question,
            corrections=result.corrections,
            only=only,
            # They are in the notes already: what the others say is not held back for them.
            on_error="skip",
        )
    if not dry_run and output is not None:
        report = writing.write(stream, output, options.format or _PLAIN)
        if report.left_out:
            notes.append(f"{report.left_out:,} records have no better and worse completion and were left out")
    return Pulled(result, written=result.corrected, notes=tuple(notes))


def _corrected(source: RecordStream, result: PullResult, only: Mapping[str, str] | None) -> RecordStream:
    """The stream with the corrected ratings in it; of `only`, where it is given."""
    names = [name for name in PREFERENCE_SCHEMA.names if name in source.schema.names]
    schema = pa.schema([source.schema.field(name) for name in names])
    wanted = pa.array(list(only), pa.string()) if only is not None else None

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in source.batches():
            rows = batch.select(names)
            if wanted is not None:
                rows = rows.filter(pc.is_in(rows.column("id"), value_set=wanted))
            ids = rows.column("id").to_pylist()
            if any(record_id in result.corrections for record_id in ids):
                before = rows.column("ratings").to_pylist()
                after = [
                    result.corrections.get(str(record_id), ratings) for record_id, ratings in zip(ids, before, strict=True)
                ]
                place = names.index("ratings")
                rows = rows.set_column(place, schema.field(place), pa.array(after, schema.field(place).type))
            if rows.num_rows:
                yield rows

    return RecordStream(batches, schema, source.info)


def write_changes(changes: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Writes a line of JSON a change: ``id, before, after, reviewers, resolved_by, at, p_wrong, dataset``."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.writelines(orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE) for change in changes)


def _note_on_argilla(result: PullResult, client: rg.Argilla) -> list[str]:
    """Each record's outcome for the queues, and the guidelines, which show how far the review is.

    The answers are safe in the file by now: where the server refuses, that is a remark and no failure.
    """
    try:
        mark_outcomes(result, client)
        api = Api(client)
        target = api.dataset(parse_address(result.dataset))
        stored = target.info.get("admap", {})
        summary = {**stored.get("summary", {}), "records": result.records, "reviewed": result.reviewed}
        if BY_COLUMN["flags"].name in target.properties:
            refresh_overview(api, target, count_queues(api, target), map_info=stored.get("map"), summary=summary)
    except ArgillaError as error:
        return [f"the outcomes could not be noted on Argilla: {error}"]
    return []


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(record_id) for record_id in ids[:5])
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5:,} more"
