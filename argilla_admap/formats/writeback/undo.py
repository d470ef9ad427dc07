"""A set of corrections taken back: rows as they were written become, byte for byte, what they were."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argilla_admap.formats.containers.inputs import open_source
from argilla_admap.formats.containers.shard import Shard
from argilla_admap.formats.format import FieldNames
from argilla_admap.formats.registry import ReadReport, recognise, record_rows
from argilla_admap.formats.writeback.corrected import CorrectedReport, plan
from argilla_admap.formats.writeback.left_out import Gap
from argilla_admap.formats.writeback.matching import Label, RowMatcher, SeenRecord
from argilla_admap.formats.writeback.patches import Patch, row_digests
from argilla_admap.formats.writeback.rewrite import ShardEdits, rewrite

__all__ = ["Undone", "WrittenChange", "undo_corrections"]

_OTHER = "its row was changed since, and does not say any more what was written"
_NO_LABEL = "it had no rating before, and its row was changed since it was written"


@dataclass(frozen=True, slots=True)
class WrittenChange:
    """One correction of an earlier writing.

    Attributes:
        id: of the record.
        before, after: its label in the record's own order; equal where only ratings beside a pair were written.
        prints: of its completions, in the record's own order; empty where they are not known.
        patches: of its rows; none where they are not known, then the label alone is taken back.
    """

    id: str
    before: Label
    after: Label
    prints: tuple[str, ...] = ()
    patches: tuple[Patch, ...] = ()


@dataclass(slots=True)
class Undone:
    """What was taken back.

    Attributes:
        undone: ids of changes that were taken back, `exact` of them byte for byte or value for value.
        already: ids whose rows say what they said before.
        conflicts: record id -> why its change was not taken back.
        unmatched: ids that the file does not hold.
        put_back: rows that were left out and are in the file again, or were already.
        not_put_back: rows that were left out and whose place is not in the file any more.
        output: where the file is; None after a dry run.
    """

    undone: list[str] = field(default_factory=list)
    exact: int = 0
    already: list[str] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    put_back: int = 0
    not_put_back: int = 0
    output: str | None = None

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "undone": len(self.undone),
            "exact": self.exact,
            "already": len(self.already),
            "conflicts": len(self.conflicts),
            "unmatched": len(self.unmatched),
            "put_back": self.put_back,
            "not_put_back": self.not_put_back,
            "output": self.output,
        }


def undo_corrections(
    corrected: str | os.PathLike[str],
    output: str | os.PathLike[str],
    changes: Sequence[WrittenChange],
    *,
    gaps: Sequence[Gap] = (),
    format: str | None = None,
    fields: FieldNames | None = None,
    split: str | None = None,
    on_error: str = "stop",
    dry_run: bool = False,
) -> Undone:
    """Writes a corrected file again without a set of its corrections; all else stays as it is there.

    A row that still is as it was written gets back exactly what it was. Of one that was changed elsewhere since, the label is
    taken back where it still is the one that was written; else that is a conflict, and the row stays.

    Args:
        corrected: the file, as `write_corrected` wrote it or as it was edited since.
        output: where to write; not the file itself.
        changes: what to take back.
        gaps: where rows were left out, which are put back where they stood: byte for byte in text, value for value in tables.
        format, fields, split, on_error: as for `write_corrected`.
        dry_run: count, and write nothing.

    Raises:
        InputError: the file cannot be read, or the output cannot hold it.
    """
    shards = open_source(corrected, split=split, empty=bool(gaps))
    edits_of = {shard: ShardEdits() for shard in shards}
    result = Undone()
    left = []
    exact = _exact(Path(corrected), shards, changes)
    for shard, number, gap in _places(Path(corrected), shards, gaps):
        if number is None:
            result.not_put_back += gap.rows
            continue
        result.put_back += gap.rows
        if number >= 0:
            edits_of[shard].gaps[number] = gap
    for change in changes:
        if (rows := exact.get(change.id)) is not None:
            for shard, number, patch in rows:
                edits_of[shard].restored[number] = patch
            result.undone.append(change.id)
        elif change.before == change.after:
            result.conflicts[change.id] = _OTHER
        else:
            left.append(change)
    result.exact = len(result.undone)
    if left:
        chosen = recognise(shards, format, fields or FieldNames(), on_error)
        seen = {change.id: SeenRecord(change.after, prints=change.prints) for change in left}
        wanted = {change.id: change.before for change in left}
        matcher = RowMatcher(chosen, wanted, seen, None)
        for record in record_rows(shards, chosen, on_error=on_error, report=ReadReport()):
            matcher.add(record)
        report = CorrectedReport(chosen.name)
        plan(matcher, chosen, wanted, seen, report, edits_of, drop_ties=False)
        _tell(report, left, result)
    if not dry_run:
        rewrite(Path(corrected), shards, Path(output), edits_of)
        result.output = os.fspath(output)
    return result


def _tell(report: CorrectedReport, changes: Iterable[WrittenChange], result: Undone) -> None:
    missing, already = set(report.unmatched), set(report.already)
    for change in changes:
        if change.id in missing:
            result.unmatched.append(change.id)
        elif change.id in already:
            result.already.append(change.id)
        elif change.id in report.not_written:
            result.conflicts[change.id] = _OTHER
        elif None in change.before and change.before != change.after:
            result.conflicts[change.id] = _NO_LABEL
        else:
            result.undone.append(change.id)


def _exact(
    source: Path, shards: Sequence[Shard], changes: Iterable[WrittenChange]
) -> Mapping[str, list[tuple[Shard, int, Patch]]]:
    """The changes all of whose rows are in the file as they were written, with these rows.

    A row is looked for at its place; where it is not there, by its digest, if as many rows have it as are looked for.
    """
    wanted: dict[str, list[tuple[str, Patch]]] = defaultdict(list)
    for change in changes:
        for patch in change.patches:
            wanted[patch.digest].append((change.id, patch))
    there: dict[str, list[tuple[Shard, str, int]]] = defaultdict(list)
    for shard in shards if wanted else ():
        file = _file_of(shard, source)
        for number, digest, _ in row_digests(shard):
            if digest in wanted:
                there[digest].append((shard, file, number))
    found: dict[str, list[tuple[Shard, int, Patch]]] = defaultdict(list)
    for digest, asked in wanted.items():
        at_place = {(file, number): shard for shard, file, number in there[digest]}
        if all((patch.file, patch.row) in at_place for _, patch in asked):
            for identity, patch in asked:
                found[identity].append((at_place[patch.file, patch.row], patch.row, patch))
        elif len(there[digest]) == len(asked) and len({(p.at, p.length, p.was, repr(p.values)) for _, p in asked}) == 1:
            for (identity, patch), (shard, _, number) in zip(asked, there[digest], strict=True):
                found[identity].append((shard, number, patch))
    return {
        change.id: found[change.id] for change in changes if change.patches and len(found[change.id]) == len(change.patches)
    }


def _file_of(shard: Shard, source: Path) -> str:
    """The shard's file as a `Patch` names it."""
    path = getattr(shard, "path", None)
    return path.relative_to(source).as_posix() if path is not None and source.is_dir() else ""


def _places(source: Path, shards: Sequence[Shard], gaps: Sequence[Gap]) -> Iterator[tuple[Shard, int | None, Gap]]:
    """Each gap with the row behind which it is put back; -1: its rows are there already; None: its place is not there any more.

    A gap's place is behind the row that it stood behind: at that row's number, else where the only row of its digest is.
    """
    files = {_file_of(shard, source): shard for shard in shards}
    named = {(files[gap.file], gap.at) for gap in gaps if gap.file in files}
    before, first = {gap.before for gap in gaps}, {gap.first for gap in gaps}
    rows: dict[str, list[tuple[Shard, int]]] = defaultdict(list)
    # What stands behind a row: the digest of the next one, if a gap begins so, and the bytes between the two.
    behind: dict[tuple[Shard, int], tuple[str, bytes]] = {}
    for shard in shards if gaps else ():
        last, asked = 0, True
        for number, digest, lead in row_digests(shard):
            if asked or (shard, last) in named:
                behind[shard, last] = (digest if digest in first else "", lead)
            last, asked = number, digest in before
            if asked and number:
                rows[digest].append((shard, number))
    taken = set()
    for gap in gaps:
        place = (files[gap.file], gap.at) if gap.file in files else None
        if place is None or (gap.before and place not in rows[gap.before]):
            place = rows[gap.before][0] if len(rows[gap.before]) == 1 else None
        found, lead = behind.get(place, ("", b"")) if place is not None else ("", b"")
        if place is not None and found == gap.first:
            yield place[0], -1, gap
        elif place is None or place in taken or lead != gap.now:
            yield shards[0], None, gap
        else:
            taken.add(place)
            yield *place, gap
