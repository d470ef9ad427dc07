"""Corrected labels back into the file that they came from: only the corrected rows change, all others byte for byte."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.inputs import open_source
from argilla_admap.formats.containers.shard import Shard
from argilla_admap.formats.format import Chosen, FieldNames, RowError, TieCannotBeSaid
from argilla_admap.formats.registry import ReadReport, RecordRows, recognise, record_rows
from argilla_admap.formats.writeback.rewrite import ShardEdits, rewrite
from argilla_admap.records import content_id

__all__ = ["CorrectedReport", "write_corrected"]


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
        already_so: corrections that say what the file says.
        ties_kept: ids of records that a reviewer finds equal, in a format that cannot say so; their rows stay as they were, but
            for ratings beside a pair, which become equal.
        ties_dropped: the same with ``ties="drop"``: their rows are left out.
        unmatched: ids of corrections that the original does not hold.
        skipped: rows that could not be read; they stay as they were.
        output: where the corrected data are; None after a dry run.
    """

    format: str
    rows: int = 0
    records: int = 0
    corrected: int = 0
    corrected_rows: int = 0
    duplicates_corrected: int = 0
    already_so: int = 0
    ties_kept: list[str] = field(default_factory=list)
    ties_dropped: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    skipped: int = 0
    output: str | None = None


def write_corrected(
    original: str | os.PathLike[str],
    output: str | os.PathLike[str],
    corrections: Mapping[str, Sequence[float | None]],
    *,
    format: str | None = None,
    fields: FieldNames | None = None,
    on_error: str = "stop",
    ties: str = "keep",
    dry_run: bool = False,
) -> CorrectedReport:
    """Writes the original again with the corrected labels, and nothing else changed.

    Text files keep every byte of the other rows and all between the rows; Parquet files keep schema, metadata, compression and
    row groups. A folder of files is written as a folder of the same files; a saved data set or one of the hub as one
    Parquet file. What a label is depends on the format: a rating's value, which side of a pair is `chosen`, a rank, a winner.

    Args:
        original: the source that was read, as for `registry.read`.
        output: where to write; not the original itself.
        corrections: by record id, the ratings of its completions in the record's order, on the data's own scale (1 and 0 for a
            plain pair); null leaves a rating as it is.
        format: the original's format, where it is not to be recognised.
        fields: the original's field names, where they were said when it was read.
        on_error: ``stop`` at a bad row, or ``skip``: leave it as it is.
        ties: ``keep`` or ``drop`` the records that are equal, in a format that cannot say so.
        dry_run: count, and write nothing.

    Raises:
        InputError: the original cannot be read, a correction does not fit its record, or the output cannot hold it.
    """
    if ties not in ("keep", "drop"):
        raise InputError(f"{ties!r} is neither 'keep' nor 'drop'", option="ties")
    shards = open_source(original)
    chosen = recognise(shards, format, fields or FieldNames(), on_error)
    report = CorrectedReport(chosen.name)
    plans = _plan(shards, chosen, corrections, report, on_error=on_error, drop_ties=ties == "drop")
    if not dry_run:
        rewrite(Path(original), shards, Path(output), plans)
        report.output = os.fspath(output)
    return report


def _plan(
    shards: Sequence[Shard],
    chosen: Chosen,
    corrections: Mapping[str, Sequence[float | None]],
    report: CorrectedReport,
    *,
    on_error: str,
    drop_ties: bool,
) -> dict[Shard, ShardEdits]:
    """For each shard the edits of its rows, by their numbers."""
    planner = _Planner(chosen, {shard: ShardEdits() for shard in shards}, report, drop_ties=drop_ties)
    turned: list[tuple[str, RecordRows]] = []
    read = ReadReport()
    for entry in record_rows(shards, chosen, on_error=on_error, report=read):
        report.records += not entry.duplicate
        ratings = corrections.get(entry.id)
        if ratings is not None:
            planner.add(entry.id, entry, ratings)
        elif entry.draft.id is None and len(entry.draft.completions) == 2:
            other = content_id(entry.draft.prompt, entry.draft.completions[::-1])
            if other in corrections:
                turned.append((other, entry))
    found = frozenset(planner.seen)
    for other, entry in turned:
        # A pair without an id of its own whose sides were exchanged since: somebody wrote this correction, or another, before.
        if other not in found:
            planner.add(other, entry, corrections[other][::-1])
    report.rows, report.skipped = read.rows, read.skipped
    report.unmatched = [identity for identity in corrections if identity not in planner.seen]
    return planner.plans


class _Planner:
    """Gathers the edits of a pass, and counts them."""

    def __init__(self, chosen: Chosen, plans: dict[Shard, ShardEdits], report: CorrectedReport, *, drop_ties: bool) -> None:
        self.plans = plans
        self.seen: set[str] = set()
        self._chosen = chosen
        self._report = report
        self._drop_ties = drop_ties

    def add(self, identity: str, entry: RecordRows, ratings: Sequence[float | None]) -> None:
        """Adds the edits that give the entry these ratings."""
        report = self._report
        first = identity not in self.seen
        self.seen.add(identity)
        plan = self.plans[entry.shard]
        numbers = [row.number for row in entry.rows]
        try:
            edits = self._chosen.format.correct(entry.values, entry.draft, _asked(entry, ratings), self._chosen.fields)
        except TieCannotBeSaid as tie:
            if first:
                (report.ties_dropped if self._drop_ties else report.ties_kept).append(identity)
            if self._drop_ties:
                plan.dropped.update(numbers)
            elif tie.edits:
                # The pair stays a pair; the ratings beside it say that its sides are equal.
                plan.edits[numbers[0]] = tie.edits
                report.corrected_rows += 1
            return
        except RowError as exc:
            raise InputError(
                f"{entry.shard.where(numbers[0])}: the correction of {entry.id!r} cannot be written: {exc}"
            ) from exc
        changed = {number: mine for number, mine in zip(numbers, edits, strict=True) if mine}
        plan.edits.update(changed)
        report.corrected_rows += len(changed)
        report.duplicates_corrected += len(changed) if entry.duplicate else 0
        if first:
            report.corrected += bool(changed)
            report.already_so += not changed


def _asked(entry: RecordRows, ratings: Sequence[float | None]) -> Sequence[float | None]:
    """The correction, which must fit the record."""
    old = entry.draft.ratings or (None,) * len(entry.draft.completions)
    if len(ratings) != len(old):
        raise InputError(
            f"{entry.shard.where(entry.rows[0].number)}: the correction of {entry.id!r} has {len(ratings)} ratings, "
            f"the record has {len(old)} completions; is this the file that the data set was made from?"
        )
    return ratings
