"""Corrected labels back into the file that they came from: only the corrected rows change, all others byte for byte."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.inputs import open_source
from argilla_admap.formats.containers.shard import Shard
from argilla_admap.formats.format import Chosen, FieldNames, RowError, TieCannotBeSaid
from argilla_admap.formats.registry import ReadReport, RecordRows, recognise, record_rows
from argilla_admap.formats.writeback.left_out import LeftOut
from argilla_admap.formats.writeback.matching import Label, RowMatcher, SeenRecord, label_of, moved, same_label
from argilla_admap.formats.writeback.patches import Patch
from argilla_admap.formats.writeback.rewrite import ShardEdits, rewrite

__all__ = ["CorrectedReport", "SeenRecord", "decided", "plan", "write_corrected"]


@dataclass(slots=True)
class CorrectedReport:
    """What was written back.

    Attributes:
        format: the format of the original, by name.
        rows: rows of the original.
        records: records of the original, each id once.
        corrected: records whose label changed in the file.
        corrected_rows: rows that changed; more than `corrected` where rows are duplicates, or one record has several.
        duplicates_corrected: rows that were corrected because they repeat a corrected record.
        already: ids of corrections that say what the file says.
        ties_kept: ids of records that a reviewer finds equal, in a format that cannot say so; their rows stay as they were, but
            for ratings beside a pair, which become equal.
        ties_dropped: ids of records that a reviewer finds equal and whose rows are left out, with ``ties="drop"``.
        unmatched: ids of corrections that the original does not hold.
        conflicts: ids of records whose label or texts somebody changed in the original since they were pushed, so that they
            say neither what the reviewers saw nor what they answered; their rows stay as they are.
        not_written: record id -> why its correction is not in the file, or why a confirmed label is not what the file says.
        skipped: rows that could not be read; they stay as they were.
        patches: record id -> how to take its corrections back exactly, after writing.
        output: where the corrected data are; None after a dry run.
    """

    format: str
    rows: int = 0
    records: int = 0
    corrected: int = 0
    corrected_rows: int = 0
    duplicates_corrected: int = 0
    ties_kept: list[str] = field(default_factory=list)
    ties_dropped: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    not_written: dict[str, str] = field(default_factory=dict)
    skipped: int = 0
    patches: dict[str, list[Patch]] = field(default_factory=dict)
    output: str | None = None


def write_corrected(
    original: str | os.PathLike[str],
    output: str | os.PathLike[str],
    corrections: Mapping[str, Sequence[float | None]],
    *,
    format: str | None = None,
    fields: FieldNames | None = None,
    split: str | None = None,
    seen: Mapping[str, SeenRecord] | None = None,
    known: Collection[str] | None = None,
    equal: Collection[str] = (),
    only_reviewed: bool = False,
    on_error: str = "stop",
    ties: str = "keep",
    left_out: LeftOut | None = None,
    dry_run: bool = False,
) -> CorrectedReport:
    """Writes the original again with the corrected labels, and nothing else changed.

    Text files keep every byte of the other rows and all between the rows; Parquet files keep schema, metadata, compression and
    row groups. A folder of files is written as a folder of the same files, a saved data set as a saved data set (or as one
    Parquet file, where the output is named so), one of the Hub as one Parquet file. What a label is depends on the format: a
    rating's value, which side of a pair is `chosen`, a rank, a winner.

    Args:
        original: the source that was read, as for `registry.read`.
        output: where to write; not the original itself.
        corrections: by record id, the ratings of its completions in the record's order, on the data's own scale (1 and 0 for a
            plain pair); null leaves a rating as it is.
        format: the original's format, where it is not to be recognised.
        fields: the original's field names, where they were said when it was read.
        split: of an original with several, the one that was read, or ``all``; the others stay as they are.
        seen: the reviewed records as their reviewers saw them, those whose label was confirmed too: so a correction is written
            once though the file holds it already, and a change that somebody made since is found.
        known: the ids of all records that were pushed: with them, records of one id are told apart in an edited file.
        equal: the ids of records that reviewers find equally good or equally bad.
        only_reviewed: leave out the rows of all records that are not in `corrections` or `seen`.
        on_error: ``stop`` at a bad row, or ``skip``: leave it as it is.
        ties: ``keep``, or ``drop`` the rows of records that are `equal`, or are corrected to a tie that the format cannot say.
        left_out: takes the rows that are left out.
        dry_run: count, and write nothing.

    Raises:
        InputError: the original cannot be read, a correction does not fit its record, or the output cannot hold it.
    """
    if ties not in ("keep", "drop"):
        raise InputError(f"{ties!r} is neither 'keep' nor 'drop'", option="ties")
    shards = open_source(original, split=split)
    chosen = recognise(shards, format, fields or FieldNames(), on_error)
    report = CorrectedReport(chosen.name)
    seen = seen or {}
    answers = {**{identity: record.label for identity, record in seen.items()}, **corrections}
    matcher = RowMatcher(chosen, answers, seen, known)
    edits_of = {shard: ShardEdits(left_out=left_out) for shard in shards}
    read = ReadReport()
    for record in record_rows(shards, chosen, on_error=on_error, report=read):
        report.records += not record.duplicate
        matcher.add(record)
        if only_reviewed:
            edits_of[record.shard].dropped.update(row.number for row in record.rows)
    report.rows, report.skipped = read.rows, read.skipped
    owners = plan(matcher, chosen, corrections, seen, report, edits_of, drop_ties=ties == "drop", equal=equal)
    if not dry_run:
        rewrite(Path(original), shards, Path(output), edits_of)
        report.output = os.fspath(output)
        for shard, number, identity in owners:
            if patch := edits_of[shard].patches.get(number):
                report.patches.setdefault(identity, []).append(patch)
    return report


def plan(
    matcher: RowMatcher,
    chosen: Chosen,
    corrections: Mapping[str, Sequence[float | None]],
    seen: Mapping[str, SeenRecord],
    report: CorrectedReport,
    edits_of: dict[Shard, ShardEdits],
    *,
    drop_ties: bool,
    equal: Collection[str] = (),
) -> list[tuple[Shard, int, str]]:
    """Fills in the edits of each shard's rows, and the report. Returns the edited rows with their records' ids."""
    owners: list[tuple[Shard, int, str]] = []
    for identity, records, wanted in decided(matcher, corrections, seen, report):
        changed = 0
        tie = drop_ties and identity in equal and wanted is not None
        for record in records:
            edits = edits_of[record.shard]
            numbers = [row.number for row in record.rows]
            edits.dropped.difference_update(numbers)
            try:
                made = chosen.format.correct(record.values, record.draft, wanted, chosen.fields) if wanted and not tie else []
            except TieCannotBeSaid as exc:
                tie = True
                # The pair stays a pair; the ratings beside it say that its sides are equal.
                made = [exc.edits]
            except RowError as exc:
                where = record.shard.where(numbers[0])
                raise InputError(f"{where}: the correction of {identity!r} cannot be written: {exc}") from exc
            if tie and drop_ties:
                edits.dropped.update(numbers)
                continue
            edited = {number: mine for number, mine in zip(numbers, made, strict=False) if mine}
            edits.edits |= edited
            owners += [(record.shard, number, identity) for number in edited]
            changed += sum(map(bool, made))
            report.duplicates_corrected += sum(map(bool, made)) if record.duplicate else 0
        report.corrected_rows += changed
        report.corrected += bool(changed) and not tie
        if tie:
            (report.ties_dropped if drop_ties else report.ties_kept).append(identity)
            if not drop_ties:
                report.not_written[identity] = f"the format {chosen.name} cannot say a tie"
        elif wanted and not changed and identity in corrections:
            report.already.append(identity)
    return owners


def decided(
    matcher: RowMatcher,
    corrections: Mapping[str, Sequence[float | None]],
    seen: Mapping[str, SeenRecord],
    report: CorrectedReport,
) -> Iterator[tuple[str, list[RecordRows], Label | None]]:
    """Each reviewed record with its rows in the file, and its label from now on; None: its rows stay as they are.

    What is not among them is in the report: absent records, those that cannot be told from others, conflicts.
    """
    matches = matcher.matches()
    for identities, why in (
        (matches.absent, "the original has no such record"),
        (matches.unclear, "several records of the original may be this one"),
    ):
        missing = [identity for identity in identities if identity in corrections]
        report.unmatched += missing
        report.not_written |= dict.fromkeys(missing, why)
    report.already += [identity for identity in matches.already if identity in corrections]
    for identity, records in matches.rows.items():
        # Several records are rows that repeat each other: what holds for one holds for all.
        first = records[0]
        wanted = _wanted(identity, first, matcher.places(first, identity), corrections.get(identity), seen.get(identity))
        if isinstance(wanted, str):
            report.conflicts.append(identity)
            report.not_written[identity] = wanted
        yield identity, records, None if isinstance(wanted, str) else wanted


def _wanted(
    identity: str,
    record: RecordRows,
    places: tuple[int, ...] | None,
    correction: Sequence[float | None] | None,
    seen: SeenRecord | None,
) -> Label | str | None:
    """The label that the file's record gets, or why it gets none; None where nothing is to be written to other texts.

    A label is written where the file says what the reviewers saw. Where it says something third, somebody changed it since.
    """
    now = label_of(record)
    if places is None:
        return None if correction is None else "its texts were changed in the original since it was pushed"
    before = moved(seen.label, places) if seen is not None else now
    if correction is None:
        if same_label(now, before) or (len(now) == 2 and _same_order(now, before)):
            return now
        return "its label was changed in the original since it was pushed, against the answer"
    if len(correction) != len(now):
        raise InputError(
            f"{record.shard.where(record.rows[0].number)}: the correction of {identity!r} has {len(correction)} ratings, "
            f"the record has {len(now)} completions; is this the file that the data set was made from?"
        )
    # Null leaves a rating as it is.
    after = tuple(old if new is None else new for old, new in zip(now, moved(correction, places), strict=True))
    if same_label(now, after):
        return now
    untouched = all(same_label([n], [b]) or same_label([n], [a]) for n, b, a in zip(now, before, after, strict=True))
    if untouched or (set(before) <= {0.0, 1.0} and _same_order(now, before)):
        return after
    return "its label was changed in the original since it was pushed, to another one than the answer"


def _same_order(first: Label, second: Label) -> bool:
    """Whether both labels put the completions in the same order; one without a label says nothing."""
    if None in first or None in second or len(first) != len(second):
        return False
    a, b = np.array(first, float), np.array(second, float)
    return bool((np.sign(a[:, None] - a) == np.sign(b[:, None] - b)).all())
