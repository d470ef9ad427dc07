"""What a pull keeps of every record, reviewed or not: as columns, since a data set may hold millions."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FactColumns", "RecordFacts"]

#: Facts of which there are few different ones.
_TERMS = ("flags", "sample", "region", "source", "annotator", "models")
_FLOATS = ("p_wrong", "audit")


class RecordFacts(NamedTuple):
    """What is kept of every record, reviewed or not.

    Attributes:
        p_wrong: without the record's own answer, where the map learned from it; None where it has none.
        flags: joined by a space.
        labelled: its label has two ratings or more.
        sample: the part that it plays in the mixed sample of a blind review; None outside of it.
        audit: its random number, if it is in the random sample.
        region, source, annotator, models: as terms; None where it has none.
        length: characters of all completions; 0 where it was not asked for.
        prompt: its beginning; empty where it was not asked for.
    """

    p_wrong: float | None
    flags: str
    labelled: bool
    sample: str | None
    audit: float | None
    region: str | None
    source: str | None
    annotator: str | None
    models: str | None
    length: int = 0
    prompt: str = ""


class FactColumns(Mapping[str, RecordFacts]):
    """Facts by record id, in the order of adding; some 50 bytes a record beside its id."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._floats = {name: array("d") for name in _FLOATS}
        self._codes = {name: array("i") for name in _TERMS}
        #: Of each term, the different ones: what tells them apart, and they themselves, by code.
        self._known: dict[str, dict[Any, int]] = {name: {} for name in _TERMS}
        self._terms: dict[str, list[Any]] = {name: [] for name in _TERMS}
        self._labelled = bytearray()
        self._lengths = array("q")
        self._prompts: dict[int, str] = {}

    def add(self, record_id: str, facts: RecordFacts) -> None:
        """Keeps a record's facts; those of an id that is there stay."""
        row = self._rows.setdefault(record_id, len(self._rows))
        if row < len(self._labelled):
            return
        for name in _FLOATS:
            value = getattr(facts, name)
            self._floats[name].append(value if isinstance(value, (int, float)) else math.nan)
        for name in _TERMS:
            self._codes[name].append(self._code(name, getattr(facts, name)))
        self._labelled.append(facts.labelled)
        self._lengths.append(facts.length)
        if facts.prompt:
            self._prompts[row] = facts.prompt

    def _code(self, name: str, term: Any) -> int:
        # Somebody else's metadata may be a list.
        known, key = self._known[name], repr(term) if isinstance(term, (list, dict)) else term
        if key not in known:
            known[key] = len(known)
            self._terms[name].append(term)
        return known[key]

    def __getitem__(self, record_id: str) -> RecordFacts:
        row = self._rows[record_id]
        known: dict[str, Any] = {name: self._terms[name][codes[row]] for name, codes in self._codes.items()}
        known |= {name: None if math.isnan(column[row]) else column[row] for name, column in self._floats.items()}
        labelled, length, prompt = bool(self._labelled[row]), self._lengths[row], self._prompts.get(row, "")
        return RecordFacts(**known, labelled=labelled, length=length, prompt=prompt)

    def __contains__(self, record_id: object) -> bool:
        return record_id in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def frame(self) -> pd.DataFrame:
        """A row a record: id, and a column for each of `RecordFacts`; NaN for a number that there is not."""
        import pandas as pd

        columns: dict[str, Any] = {"id": list(self._rows)}
        for name in RecordFacts._fields:
            if name in self._floats:
                columns[name] = np.array(self._floats[name])
            elif name in self._codes:
                terms = np.empty(len(self._terms[name]), object)
                terms[:] = self._terms[name]
                columns[name] = terms[np.array(self._codes[name], np.int64)]
        columns["labelled"] = np.frombuffer(bytes(self._labelled), np.bool_)
        columns["length"] = np.array(self._lengths)
        columns["prompt"] = [self._prompts.get(row, "") for row in range(len(self))]
        frame: pd.DataFrame = pd.DataFrame({name: columns[name] for name in ("id", *RecordFacts._fields)})
        return frame
