"""The original's records with their corrected labels, to be written in another format."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from argilla_admap.formats.containers.inputs import open_source
from argilla_admap.formats.containers.shard import Shard
from argilla_admap.formats.format import FieldNames
from argilla_admap.formats.registry import Preferences, ReadReport, RecordRows, recognise, record_rows
from argilla_admap.formats.writeback.corrected import CorrectedReport, decided
from argilla_admap.formats.writeback.matching import Label, RowMatcher, SeenRecord
from argilla_admap.records import Record

__all__ = ["CorrectedRecords"]


class CorrectedRecords(Preferences):
    """The records of a file with the corrections made; the file is gone through once when this is made.

    Args:
        original: the source that was read, as for `registry.read`.
        corrections, format, fields, split, seen, known, only_reviewed, on_error: as for `write_corrected`.
        dropped: the ids of reviewed records to leave out.
    Attributes:
        corrected: what was found of the corrections.
    Raises:
        InputError: the original cannot be read, or a correction does not fit its record.
    """

    def __init__(
        self,
        original: str | os.PathLike[str],
        corrections: Mapping[str, Sequence[float | None]],
        *,
        format: str | None = None,
        fields: FieldNames | None = None,
        split: str | None = None,
        seen: Mapping[str, SeenRecord],
        known: Collection[str] | None = None,
        only_reviewed: bool = False,
        on_error: str = "stop",
        dropped: Collection[str] = (),
    ) -> None:
        shards = open_source(original, split=split)
        chosen = recognise(shards, format, fields or FieldNames(), on_error)
        super().__init__(shards, chosen, name=os.fspath(original), on_error=on_error, limit=None)
        self.corrected = CorrectedReport(chosen.name)
        self._only_reviewed = only_reviewed
        #: Place of a reviewed record -> its label from now on; None: it is left out.
        self._labels: dict[tuple[Shard, int], Label | None] = {}
        answers = {**{identity: record.label for identity, record in seen.items()}, **corrections}
        matcher = RowMatcher(chosen, answers, seen, known)
        for entry in record_rows(shards, chosen, on_error=on_error, report=ReadReport()):
            matcher.add(entry)
        for identity, records, wanted in decided(matcher, corrections, seen, self.corrected):
            if wanted is not None and identity in dropped:
                self.corrected.ties_dropped.append(identity)
            elif wanted is not None and identity in corrections:
                changed = any(wanted != record.draft.ratings for record in records)
                self.corrected.corrected += changed
                self.corrected.already += [identity] * (not changed)
            for record in records:
                label = record.draft.ratings if wanted is None else None if identity in dropped else wanted
                self._labels[record.shard, record.rows[0].number] = label

    def made(self, entry: RecordRows) -> Record | None:
        place = entry.shard, entry.rows[0].number
        label = self._labels.get(place)
        if label is None and (place in self._labels or self._only_reviewed):
            return None
        record = super().made(entry)
        return record if label is None or record is None else replace(record, ratings=label or record.ratings)
