"""Corrected labels into a file: the original with its corrected rows changed, or the records in a format of choice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.dataset.as_input import DatasetRecords
from argilla_admap.review.pull.audit import ALREADY, audit_trail
from argilla_admap.review.pull.pull import PullResult, mark_outcomes, pull, renew_overview
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.soft import soft_columns
from argilla_admap.tables import Spool, atomic_path, keep_origin

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.formats.data_card import CardFacts
    from argilla_admap.formats.writeback.corrected import CorrectedReport
    from argilla_admap.formats.writeback.patches import Patch

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
        conflicts: ids of records that were changed in the original since they were pushed, against the answers.
        ties_kept: ids of records that the reviewers find equal, in a format that cannot express it; their rows stay.
        ties_dropped: ids of records that the reviewers find equally good or bad and whose rows are left out, as asked.
        already: ids of corrections that the original holds already, of an earlier pull.
        not_written: record id -> why its correction is not in the output.
        written: records in the output that changed.
        patches: record id -> the rows of the output that were corrected, and how to take that back.
        left_out: the name of the file, beside the changes, of the rows that were left out.
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
    patches: Mapping[str, Sequence[Patch]] = field(default_factory=dict)
    left_out: str | None = None
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
    if options.soft and options.original is not None and options.format is None:
        raise InputError(
            "the original is written again as it was, with no column more", option="soft", hint="name a format with `format`"
        )
    api = Api(client)
    # The records themselves are written where there is no original.
    pages: Spool[bytes] | None = None if options.original is not None or options.dry_run else Spool()
    result = pull(dataset, client, options, pages=pages)
    if options.original is not None and options.format is None:
        if str(options.output).startswith("hf:"):
            raise InputError(
                f"{options.output}: an original is written again as a file of its own kind",
                option="output",
                hint="name the format of the data set on the Hub with `format`, such as trl",
            )
        written = _write_original(result, options)
    else:
        if options.output is not None:
            keep_origin(result.target.info, options.output)
        written = _write_records(result, api, options, pages)
    if options.dry_run:
        return written
    if options.changes is not None:
        with atomic_path(options.changes) as temporary, temporary.open("wb") as file:
            lines = _lines(written, reviewed_only=options.reviewed_only)
            file.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    notes = (*written.notes, *_note_on_argilla(result, api))
    return replace(written, output=options.output, changes=options.changes, notes=notes)


def _lines(pulled: Pulled, *, reviewed_only: bool) -> Iterator[dict[str, Any]]:
    """The lines of CHANGES.jsonl."""
    reasons = {
        **dict.fromkeys(pulled.ties_dropped, "its row was left out, as asked"),
        **dict.fromkeys(pulled.already, ALREADY),
        **pulled.not_written,
    }
    return audit_trail(
        pulled.result,
        not_written=reasons,
        conflicts=pulled.conflicts,
        patches=pulled.patches,
        ties_dropped=pulled.ties_dropped,
        reviewed_only=reviewed_only,
        left_out_rows=pulled.left_out,
    )


def _write_original(result: PullResult, options: PullOptions) -> Pulled:
    """The original again, with only its corrected rows changed."""
    from argilla_admap.formats.writeback.corrected import write_corrected
    from argilla_admap.formats.writeback.left_out import LeftOut, left_out_path

    with ExitStack() as stack:
        left_out = None
        if options.changes is not None and not options.dry_run:
            left_out = stack.enter_context(LeftOut(left_out_path(options.changes)))
        report = write_corrected(
            str(options.original),
            os.devnull if options.output is None else options.output,
            result.corrections,
            **_reading(result, options),
            equal=result.verdicts.keys(),
            ties=options.ties,
            left_out=left_out,
            dry_run=options.dry_run,
        )
    pulled = _told(result, options, report)
    if left_out is not None and left_out.rows:
        pulled = replace(pulled, left_out=left_out.path.name)
    if not report.ties_kept:
        return pulled
    bad = sum(result.verdicts.get(name) == "both_bad" for name in report.ties_kept)
    note = (
        f"{len(report.ties_kept) - bad:,} records are ties now and {bad:,} are both bad, which the format {report.format} "
        f"cannot express: their rows keep their better side ({_some(report.ties_kept)}); `ties` drop leaves them out, "
        f"`format` {_PLAIN} can express them"
    )
    return replace(pulled, notes=(*pulled.notes, note))


def _reading(result: PullResult, options: PullOptions) -> dict[str, Any]:
    """How the original is read, and what was seen of it."""
    from argilla_admap.formats.writeback.corrected import SeenRecord

    return {
        "format": options.original_format,
        "fields": options.fields,
        "split": options.split,
        "seen": {name: SeenRecord(found.label, found.prompt, found.completions) for name, found in result.found.items()},
        "known": result.facts.keys(),
        "only_reviewed": options.reviewed_only,
        "on_error": options.on_error,
    }


def _told(result: PullResult, options: PullOptions, report: CorrectedReport) -> Pulled:
    """What became of the corrections of an original."""
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
    if report.ties_dropped:
        notes.append(_dropped(report.ties_dropped, result))
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
        patches=report.patches,
        notes=tuple(notes),
    )


def _dropped(names: Sequence[str], result: PullResult) -> str:
    bad = sum(result.verdicts.get(name) == "both_bad" for name in names)
    return f"{len(names) - bad:,} ties and {bad:,} records that are both bad were left out, as asked ({_some(names)})"


def _write_records(result: PullResult, api: Api, options: PullOptions, pages: Spool[bytes] | None) -> Pulled:
    """The records in a format of choice: the original's, else Argilla's own."""
    from argilla_admap.formats import writing
    from argilla_admap.formats.data_card import data_card
    from argilla_admap.formats.writeback.corrected_records import CorrectedRecords

    dropped = tuple(result.verdicts) if options.ties == "drop" else ()
    name = options.format or _PLAIN
    stream: DatasetRecords | CorrectedRecords
    if options.original is not None:
        stream = CorrectedRecords(options.original, result.corrections, **_reading(result, options), dropped=dropped)
        pulled = _told(result, options, stream.corrected)
    else:
        only = result.outcomes.keys() if options.reviewed_only else None
        # Records that lack a text are in the notes already; what the others say is not held back for them.
        stream = DatasetRecords(
            api,
            result.target,
            result.adapter,
            on_error="skip",
            corrections=result.corrections,
            only=only,
            dropped=dropped,
            pages=pages,
        )
        said = (*result.notes, _dropped(dropped, result)) if dropped else result.notes
        pulled = Pulled(result, ties_dropped=dropped, written=len(result.corrections.keys() - set(dropped)), notes=said)
    if options.dry_run or options.output is None:
        return pulled
    report = writing.write(
        stream,
        options.output,
        name,
        extra=soft_columns(result) if options.soft else None,
        card=lambda rows, shape: data_card(_card_facts(pulled, whole=not options.reviewed_only), rows, shape),
    )
    notes = [*pulled.notes, *report.notes]
    not_written = dict(pulled.not_written)
    if report.left_out:
        notes.append(f"{report.left_out:,} records are ties or have no label, which {report.format} cannot hold: left out")
        lost_ids = {i for i, after in result.corrections.items() if not writing.can_hold(report.format, after)}
        lost_ids -= {*dropped, *pulled.already, *not_written}
        not_written |= dict.fromkeys(lost_ids, f"{report.format} cannot hold a tie")
    if options.original is not None and (lost := [*stream.report.left_out, *report.no_place]):
        notes.append(f"written as {name}, which has no place for these of the original: {', '.join(lost)}")
    written = pulled.written - len(not_written.keys() - pulled.not_written.keys())
    return replace(pulled, not_written=not_written, written=written, notes=tuple(notes))


def _card_facts(pulled: Pulled, *, whole: bool) -> CardFacts:
    """What a data card says of the review; what is wrong among the unread records is said where the data holds these."""
    from argilla_admap.formats.data_card import CardFacts
    from argilla_admap.review.pull.label_errors import checked_labels, label_errors
    from argilla_admap.review.pull.reviews import reviews_of
    from argilla_admap.review.push.not_pushed import NotPushed

    result = pulled.result
    reviews = reviews_of(result)
    left = label_errors(reviews, left_out=NotPushed()).estimate.left if whole else None
    checked = checked_labels(reviews)
    return CardFacts(
        title=result.dataset,
        records=result.records,
        **{**checked, "conflicts": checked["conflicts"] + len(pulled.conflicts)},
        changed=pulled.written,
        errors_left=None if left is None else (left.value, left.low, left.high),
        sentences=("The labels were reviewed on Argilla with an Alignment Data Map.",),
    )


def _note_on_argilla(result: PullResult, api: Api) -> list[str]:
    """Each record's outcome for the queues, and the guidelines, which show how far the review is.

    The answers are safe in the file by now: where the server refuses, that is a remark and no failure.
    """
    try:
        mark_outcomes(result, api)
        renew_overview(result, api)
    except ArgillaError as error:
        return [f"the outcomes could not be noted on Argilla: {error}"]
    return []


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(record_id) for record_id in ids[:5])
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5:,} more"
