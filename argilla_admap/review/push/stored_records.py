"""What a data set of ours holds already, as digests in columns: a second push of a million records must know them all."""

from __future__ import annotations

import hashlib
import uuid
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from argilla_admap.mapping.data.arrays import Ints
from argilla_admap.review.argilla.argilla_api import BY_AGE, Api, RemoteDataset
from argilla_admap.review.argilla.properties import BY_COLUMN, HIDDEN_PART, POSITION, PROPERTIES, TEXTS
from argilla_admap.review.dataset import card

__all__ = [
    *("StoredRecord", "StoredRecords", "digest", "existing_records", "lacks_text_vectors", "letters_of", "split_metadata"),
]

#: Written by pull and by an adjudication, so that push must not take it for out of date.
_KEPT = frozenset(BY_COLUMN[column].name for column in ("review", "judged", "adjudicate"))
_OURS = (frozenset(prop.name for prop in PROPERTIES) | {HIDDEN_PART}) - _KEPT
_SAMPLE = BY_COLUMN["sample"].name
#: Bytes of a digest, and of an id.
_DIGEST, _ID = 8, 16


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record on the server: its id there, what its parts look like, and the metadata that are not ours.

    Attributes:
        letters: digests of the completions at each letter.
        label: on the card, at the places of the page; empty where it shows none.
        answered: somebody answered, drafts and discards included.
    """

    server_id: bytes
    letters: tuple[bytes, ...]
    fields: bytes
    metadata: bytes
    vector: bytes
    others: Mapping[str, Any] | None
    sample: str | None
    completed: bool
    label: tuple[float | None, ...]
    answered: bool

    def order_of(self, completions: Sequence[str]) -> tuple[int, ...] | None:
        """Which of the completions stands at each letter; None where they are others."""
        prints = [digest(card.encode(text)) for text in completions]
        order: list[int] = []
        for there in self.letters:
            order += [i for i, mine in enumerate(prints) if mine == there and i not in order][:1]
        return tuple(order) if len(order) == len(prints) == len(self.letters) else None


class StoredRecords:
    """The records of a data set by external id, in columns: of two completions some 130 bytes each, and no text."""

    def __init__(self) -> None:
        #: Of a fixed length each: digest of the external id; the server's id; digests of fields, metadata and place.
        self._names, self._ids, self._digests = bytearray(), bytearray(), bytearray()
        #: Digests of the completions and the label's ratings, and where those of each record end.
        self._letters, self._ends = bytearray(), array("q", [0])
        self._labels, self._label_ends = array("d"), array("q", [0])
        self._samples, self._marks = array("i"), bytearray()
        self._known: list[str | None] = []
        #: What others put beside: most records have nothing.
        self._others: dict[int, Mapping[str, Any]] = {}
        self._sorted: tuple[Any, Ints] | None = None

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, external_id: str, record: StoredRecord) -> None:
        """Keeps a record."""
        if record.others:
            self._others[len(self)] = record.others
        self._names += _name(external_id)
        self._ids += record.server_id
        self._digests += record.fields + record.metadata + record.vector
        self._letters += b"".join(record.letters)
        self._ends.append(len(self._letters))
        self._labels.extend(np.nan if rating is None else rating for rating in record.label)
        self._label_ends.append(len(self._labels))
        if record.sample not in self._known:
            self._known.append(record.sample)
        self._samples.append(self._known.index(record.sample))
        self._marks.append(record.completed | record.answered << 1)
        self._sorted = None

    def rows(self, external_ids: Sequence[str]) -> Ints:
        """The place of each; -1 where it is not there."""
        if not len(self) or not external_ids:
            return np.full(len(external_ids), -1)
        if self._sorted is None:
            names = np.frombuffer(self._names, f"S{_ID}")
            order = np.argsort(names, kind="stable")
            self._sorted = names[order], order
        names, order = self._sorted
        asked = np.array([_name(one) for one in external_ids], f"S{_ID}")
        place = np.minimum(np.searchsorted(names, asked), len(names) - 1)
        return np.where(names[place] == asked, order[place], -1)

    def get(self, external_id: str) -> StoredRecord | None:
        """One record; None where it is not there."""
        return self.at(int(self.rows([external_id])[0]))

    def at(self, row: int) -> StoredRecord | None:
        """The record at a place; None for -1."""
        if row < 0:
            return None
        fields, metadata, place = (bytes(self._digests[n * _DIGEST : (n + 1) * _DIGEST]) for n in range(3 * row, 3 * row + 3))
        letters = range(self._ends[row], self._ends[row + 1], _DIGEST)
        label = self._labels[self._label_ends[row] : self._label_ends[row + 1]]
        return StoredRecord(
            bytes(self._ids[row * _ID : (row + 1) * _ID]),
            tuple(bytes(self._letters[start : start + _DIGEST]) for start in letters),
            fields,
            metadata,
            place,
            self._others.get(row),
            self._known[self._samples[row]],
            bool(self._marks[row] & 1),
            tuple(None if rating != rating else rating for rating in label),
            bool(self._marks[row] & 2),
        )


def _name(external_id: str) -> bytes:
    return hashlib.blake2b(external_id.encode("utf-8", "surrogatepass"), digest_size=_ID).digest()


def digest(value: Any) -> bytes:
    """Tells one JSON value from another, whatever the order of its keys."""
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=_DIGEST).digest()


def letters_of(fields: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Digests of the completions on a card, at the places of the page."""
    value = fields.get(card.FIELD)
    return tuple(map(digest, value.get("_c") or ())) if isinstance(value, Mapping) else ()


def existing_records(api: Api, dataset: RemoteDataset) -> StoredRecords:
    """All records of a data set of ours, as they stand on the server."""
    known = StoredRecords()
    include = ("responses", *((f"vectors:{POSITION}",) if POSITION in dataset.vectors else ()))
    for page in api.pages(dataset, include):
        for item in page:
            if item.get("external_id") is None:
                continue
            ours, others = split_metadata(item.get("metadata") or {})
            stored = StoredRecord(
                uuid.UUID(item["id"]).bytes,
                letters_of(item["fields"]),
                digest(item["fields"]),
                digest(ours),
                digest((item.get("vectors") or {}).get(POSITION)),
                others or None,
                ours.get(_SAMPLE),
                item.get("status") == "completed",
                card.shown_label(item["fields"].get(card.FIELD)),
                bool(item.get("responses")),
            )
            known.add(item["external_id"], stored)
    return known


def lacks_text_vectors(api: Api, dataset: RemoteDataset) -> bool:
    """Whether records are there without the vector of their texts: a push that adds it ends with the newest record."""
    newest = {"sort": [{**BY_AGE[0], "order": "desc"}]}
    found, _ = api.search(dataset, newest, limit=1, include=(f"vectors:{TEXTS}",))
    return bool(found) and not (found[0].get("vectors") or {}).get(TEXTS)


def split_metadata(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata that push writes, and all others."""
    ours = {name: value for name, value in metadata.items() if name in _OURS}
    return ours, {name: value for name, value in metadata.items() if name not in _OURS}
