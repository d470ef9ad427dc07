"""The map's metadata and vector into an external data set; its records, answers and settings stay as they are."""

from __future__ import annotations

import hashlib
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from argilla_admap.records import batch_to_records, printable
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset
from argilla_admap.review.argilla.properties import BY_COLUMN, POSITION
from argilla_admap.review.dataset.adapters import DatasetAdapter, RecordTexts, external_id
from argilla_admap.review.dataset.settings import ensure_properties, ensure_text_vector, refuse_taken_names
from argilla_admap.review.push.payload import Payload
from argilla_admap.review.push.push_options import PushProgress, PushResult
from argilla_admap.review.push.sender import Sender
from argilla_admap.review.push.stored_records import lacks_text_vectors
from argilla_admap.review.push.text_vectors import TextVectors
from argilla_admap.review.queues.overview import count_queues, last_drawn

if TYPE_CHECKING:
    from argilla_admap.mapping.data_map import DataMap

__all__ = ["enrich"]

_ID, _ORDER = BY_COLUMN["id"], BY_COLUMN["order"]
# What Argilla's own text field takes for markup, and may run.
_MARKUP = re.compile(r"<[a-zA-Z!/]")


def enrich(
    api: Api,
    dataset: RemoteDataset,
    data_map: DataMap,
    adapter: DatasetAdapter,
    *,
    texts: TextVectors | None = None,
    dry_run: bool,
    audit: int = 0,
    progress: PushProgress | None,
) -> PushResult:
    """Adds metadata properties, the vector and their values to the records that the map holds.

    A record is matched by its external id, unless its texts are quite other ones, else by the hash of its texts.

    Args:
        api: of the server.
        dataset: an external one.
        data_map: the map.
        adapter: how to read the data set's fields.
        texts: makes the vector of a record's texts; None: none is added.
        dry_run: match, count and write nothing.
        audit: see `PushOptions`.
        progress: told how many of the data set's records are done.

    Raises:
        InputError: one of our names is taken by something else; nothing was written.
    """
    refuse_taken_names(dataset)
    payload = Payload(data_map, audit=audit, drawn=last_drawn(api, dataset), view=_earlier_view(api, dataset))
    notes = [] if dry_run else ensure_properties(api, dataset, payload.columns, blind=False)
    if not dry_run:
        dataset = api.refresh(dataset)
        if texts is not None:
            there, more = ensure_text_vector(api, dataset, texts.title, texts.dimensions)
            notes += more
            dataset = api.refresh(dataset)
            texts = texts if there and lacks_text_vectors(api, dataset) else None
    total = api.total(dataset)
    matcher = _Matcher(data_map, payload, adapter)
    sender = Sender(api, dataset, dry_run=dry_run)
    include = (f"vectors:{POSITION}",) if POSITION in dataset.vectors else ()
    began, done, unsafe = time.monotonic(), 0, 0
    for page in api.pages(dataset, include):
        vectors = _vectors(page, adapter, texts) if texts is not None and not dry_run else {}
        for item in page:
            done += 1
            unsafe += any(_MARKUP.search(str(value)) is not None for value in item["fields"].values())
            found = matcher.find(item)
            if found is not None:
                row, order = found
                wanted = payload.metadata(row)
                if item.get("external_id") != payload.ids[row]:
                    wanted[_ID.name] = external_id(payload.ids[row])
                if order is not None:
                    wanted[_ORDER.name] = orjson.dumps(order).decode()
                lacking = [prop.column for prop in (_ID, _ORDER) if prop.name in wanted and prop.name not in dataset.properties]
                if lacking and not dry_run:
                    notes += ensure_properties(api, dataset, lacking, blind=False)
                    dataset = api.refresh(dataset)
                place = payload.vector(row) if include or dry_run else None
                sender.change(item, wanted, place, vectors.get(item["id"]))
            if progress is not None and (done % 100 == 0 or done == total):
                progress(done, total)
    sender.flush()
    seconds = time.monotonic() - began
    if matcher.by_text:
        notes.append(f"{matcher.by_text:,} records were matched by their texts, because their ids differ")
    if matcher.other_texts:
        notes.append(f"{matcher.other_texts:,} records have the id of a record of the map and texts that differ a little")
    if matcher.strangers:
        notes.append(
            f"{matcher.strangers:,} records have the id of a record of the map and quite other texts: they were left alone; is "
            "the map of other data?"
        )
    if sender.held:
        notes.append(
            f"{sender.held:,} records hold metadata ({sender.held_by!r}) that the data set's settings do not allow any more; "
            "they got none of ours, which would delete it: allow extra metadata in the settings, then push again"
        )
    if unsafe:
        notes.append(
            f"{unsafe:,} records hold text that looks like markup: Argilla's own fields may hide or run it; "
            "a review copy, made with `copy_to`, shows it as it is"
        )
    result = PushResult(
        dataset.full_name, False, len(payload), 0, sender.updated, len(payload) - len(matcher.matched), seconds=seconds
    )
    if dry_run:
        return replace(result, notes=(*notes, "dry run: nothing was written"))
    sender.verify()
    counts = count_queues(api, api.refresh(dataset))
    return replace(result, queues=tuple(found.json() for found in counts), notes=(*notes, *sender.notes))


def _vectors(page: Sequence[Mapping[str, Any]], adapter: DatasetAdapter, texts: TextVectors) -> dict[str, list[float]]:
    """The vectors of the texts of records as the server gave them, by its ids."""
    read = {str(item["id"]): found for item in page if (found := adapter.texts(item)) is not None}
    columns = {
        "prompt": pa.array([one.prompt for one in read.values()], pa.string()),
        "completions": pa.array([list(one.completions) for one in read.values()], pa.list_(pa.string())),
    }
    vectors = texts.of(pa.RecordBatch.from_pydict(columns))
    return {name: vector.tolist() for name, vector in zip(read, vectors, strict=True) if vector.any()}


def _earlier_view(api: Api, dataset: RemoteDataset) -> list[float] | None:
    """The view of an earlier push, read off a record: with it, the vectors of records that have not moved stay."""
    if POSITION not in dataset.vectors:
        return None
    for item in next(api.pages(dataset, (f"vectors:{POSITION}",), size=100), []):
        vector, metadata = (item.get("vectors") or {}).get(POSITION), item.get("metadata") or {}
        mean, variance = metadata.get(BY_COLUMN["mean"].name), metadata.get(BY_COLUMN["variance"].name)
        if vector and mean is not None and variance is not None:
            return [variance - vector[0], mean - vector[1], vector[2]]
    return None


class _Matcher:
    """Finds the map's row of a record on the server, and in which order its completions stand there."""

    def __init__(self, data_map: DataMap, payload: Payload, adapter: DatasetAdapter) -> None:
        self._adapter = adapter
        self._rows = {record_id: row for row, record_id in enumerate(payload.ids)}
        self._rows |= {external_id(record_id): row for record_id, row in self._rows.items()}
        self._texts: dict[bytes, int] = {}
        self._completions: list[tuple[bytes, ...]] = []
        for batch in data_map.batches():
            for record in batch_to_records(batch):
                prints = tuple(map(_print, record.completions))
                self._texts.setdefault(_text_key(record.prompt, prints), len(self._completions))
                self._completions.append(prints)
        self.matched: set[int] = set()
        self._map = data_map
        self.by_text = 0
        self.other_texts = 0
        self.strangers = 0

    @cached_property
    def _sketches(self) -> list[frozenset[int]]:
        """Of the map's records, in its order; made when the first record has other texts than its id says."""
        return [_sketch(r.prompt, r.completions) for batch in self._map.batches() for r in batch_to_records(batch)]

    def find(self, item: Mapping[str, Any]) -> tuple[int, tuple[int, ...] | None] | None:
        """The row, and the map's completion at each place there if that is not the map's order; None without a match."""
        external = item.get("external_id")
        texts = self._adapter.texts(item)
        prints = tuple(map(_print, texts.completions)) if texts is not None else ()
        row = self._rows.get(external) if external is not None else None
        other = row is not None and texts is not None and sorted(prints) != sorted(self._completions[row])
        if texts is not None and row is not None and other and not self._alike(row, texts):
            row = None
        if row is None and texts is not None:
            by_text = self._texts.get(_text_key(texts.prompt, prints))
            self.by_text += by_text is not None
            self.strangers += other and by_text is None
            row = by_text
        elif other:
            self.other_texts += 1
        if row is None:
            return None
        ours = self._completions[row]
        self.matched.add(row)
        if prints == ours or sorted(prints) != sorted(ours) or len(set(ours)) != len(ours):
            return row, None
        return row, tuple(ours.index(found) for found in prints)

    def _alike(self, row: int, texts: RecordTexts) -> bool:
        """Whether the map's row has most of these words."""
        ours, theirs = self._sketches[row], _sketch(texts.prompt, texts.completions)
        return 2 * len(ours & theirs) >= min(len(ours), len(theirs))


def _print(text: str) -> bytes:
    """A fingerprint of a text that white space around it does not change."""
    return hashlib.blake2b(printable(text.strip()).encode(), digest_size=8).digest()


def _sketch(prompt: str, completions: Sequence[str]) -> frozenset[int]:
    """Eight of a record's words, by the smallest hashes: of like texts mostly the same ones (Broder, "On the resemblance and
    containment of documents", 1997)."""
    words = set(re.findall(r"\w{3,}", " ".join((prompt, *completions)).lower()))
    return frozenset(sorted(zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words)[:8])


def _text_key(prompt: str, completions: Sequence[bytes]) -> bytes:
    """The same for the same texts, in whatever order the completions stand."""
    return hashlib.blake2b(_print(prompt) + b"".join(sorted(completions)), digest_size=16).digest()
