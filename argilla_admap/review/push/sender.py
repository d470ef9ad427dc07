"""Records on their way: what is there already, what differs, batches, and the check that the index holds them all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.review.argilla.argilla_api import BY_AGE, Api, RemoteDataset, terms_filter
from argilla_admap.review.argilla.properties import BY_COLUMN, MIXED, POSITION, STALE, TEXTS
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.answers import alike
from argilla_admap.review.dataset.server_record import stale_answers
from argilla_admap.review.push.stored_records import StoredRecord, digest, letters_of, split_metadata

__all__ = ["Sender"]

#: Larger batches are no faster; smaller ones lose less when one fails, and the person sees them go.
_BATCH = 100
_BATCH_BYTES = 8_000_000
_LARGEST = 50_000_000
_SAMPLE, _QUEUE = BY_COLUMN["sample"].name, BY_COLUMN["queue"].name


def _near(stored: list[float] | None, wanted: list[float]) -> bool:
    """Whether two places are one to Argilla, which keeps 8 bits of each number."""
    if stored is None or len(stored) != len(wanted):
        return False
    return all(abs(a - b) <= 1e-6 * abs(wanted[-1]) for a, b in zip(stored, wanted, strict=True))


class Sender:
    """Sends records in batches, of each only what differs from what is there.

    Attributes:
        added, updated: records sent; `reworded` of those updated get other fields.
        met: records of the server that were among those given.
        held: records whose metadata could not be sent without losing others'; `held_by` is one of these others.
        stale: answers to completions that were replaced by others.
        notes: what the user should know.
    """

    def __init__(self, api: Api, dataset: RemoteDataset, *, dry_run: bool) -> None:
        self._api, self._dataset, self._dry_run = api, dataset, dry_run
        self._batch: list[dict[str, Any]] = []
        self._bytes = 0
        #: The ids of records that are changed, of 16 bytes each: of a million, a set would be large.
        self._dated = bytearray()
        self._since: str | None = None
        self._retexted: set[str] = set()
        self._relabelled: dict[str, tuple[float | None, ...]] = {}
        self.added = self.updated = self.reworded = self.met = self.held = self.stale = 0
        self.held_by = ""
        self.notes: list[str] = []

    def add(self, item: Mapping[str, Any], stored: StoredRecord | None) -> None:
        """Takes one record, and what is there of it.

        Args:
            item: ``external_id, fields, metadata``; perhaps ``vector`` (its place), ``texts`` (the vector of its texts) and
                ``suggestions``; of a record that is there the ``digest`` of its fields.
        """
        vector, texts = item.get("vector"), item.get("texts")
        vectors = {name: value for name, value in ((POSITION, vector), (TEXTS, texts)) if value is not None}
        if stored is None:
            self.added += 1
            new = {key: item[key] for key in ("external_id", "fields", "metadata", "suggestions") if item.get(key)}
            self.put(new | ({"vectors": vectors} if vectors else {}))
            return
        self.met += 1
        changed: dict[str, Any] = {}
        if item["digest"] != stored.fields:
            changed["fields"] = item["fields"]
            self.reworded += 1
            if letters_of(item["fields"]) != stored.letters:
                self._retexted.add(str(uuid.UUID(bytes=stored.server_id)))
            elif stored.label and not alike(stored.label, card.shown_label(item["fields"][card.FIELD])):
                self._relabelled[str(uuid.UUID(bytes=stored.server_id))] = stored.label
                if item.get("suggestions"):
                    changed["suggestions"] = item["suggestions"]
        metadata = item["metadata"]
        if stored.sample is not None:
            # Reviewers are at work on the mixed sample: a record does not leave it, nor change its part.
            metadata = {**metadata, _SAMPLE: stored.sample, _QUEUE: MIXED}
        if digest(metadata) != stored.metadata:
            # The server replaces metadata whole: what others put there goes along.
            changed["metadata"] = {**(stored.others or {}), **metadata}
        if vector is not None and digest(vector) == stored.vector:
            del vectors[POSITION]
        if vectors:
            changed["vectors"] = vectors
        if changed:
            self.updated += 1
            self.put({"id": str(uuid.UUID(bytes=stored.server_id)), **changed})

    def change(
        self, item: Mapping[str, Any], metadata: Mapping[str, Any], vector: list[float] | None, texts: list[float] | None = None
    ) -> None:
        """Takes a record as the server gave it, and its metadata of ours, its place and its texts' vector."""
        ours, others = split_metadata(item.get("metadata") or {})
        changed: dict[str, Any] = {}
        refused = (
            [] if self._dataset.allow_extra_metadata else [name for name in others if name not in self._dataset.properties]
        )
        if refused:
            # Left over from a property that was removed: the server takes no metadata with it, and would drop it without.
            self.held += 1
            self.held_by = refused[0]
        elif ours != metadata:
            changed["metadata"] = {**others, **metadata}
        if vector is not None and not _near((item.get("vectors") or {}).get(POSITION), vector):
            changed["vectors"] = {POSITION: vector}
        if texts is not None:
            changed["vectors"] = {**changed.get("vectors", {}), TEXTS: texts}
        if changed:
            self.updated += 1
            self.put({"id": item["id"], **changed})

    def put(self, item: dict[str, Any]) -> None:
        """Queues one item of the bulk request; sends when there are enough."""
        size = len(orjson.dumps(item))
        if size > _LARGEST:
            raise InputError(
                f"record {item.get('external_id') or item['id']!r}: its texts make {size:,} bytes, more than Argilla can index",
                hint="shorten it, or leave it out",
            )
        if self._batch and (len(self._batch) >= _BATCH or self._bytes + size > _BATCH_BYTES):
            self.flush()
        self._batch.append(item)
        self._bytes += size

    def flush(self) -> None:
        """Sends what is queued."""
        batch, self._batch, self._bytes = self._batch, [], 0
        if not batch or self._dry_run:
            return
        self._merge(batch)
        self._note_stale_answers(batch)
        answer = self._api.put_records(self._dataset, batch)
        dated = [item for item in batch if "id" in item and ("metadata" in item or "fields" in item)]
        if not dated:
            return
        if self._since is None:
            # The server's own clock: the records of the first batch carry the time of their update.
            mine = {item["id"] for item in dated}
            self._since = min(str(record["updated_at"]) for record in answer["items"] if record["id"] in mine)
        self._dated += b"".join(uuid.UUID(item["id"]).bytes for item in dated)

    def _merge(self, batch: list[dict[str, Any]]) -> None:
        """Takes others' metadata as they are at this moment: a pull or a person may have written since we looked."""
        changing = [item for item in batch if "id" in item and "metadata" in item]
        if not changing:
            return
        now = self._api.metadata_of(self._dataset, [item["id"] for item in changing])
        for item in changing:
            if item["id"] in now:
                item["metadata"] = {**split_metadata(now[item["id"]])[1], **split_metadata(item["metadata"])[0]}

    def _note_stale_answers(self, batch: list[dict[str, Any]]) -> None:
        """An answer belongs to a text, and "keep" to a label.

        Those given to completions that are replaced now are noted, and do not count. Where somebody answered since we looked,
        the label stays on the card.
        """
        changing = {
            item["id"]: item for item in batch if item.get("id") in self._retexted or item.get("id") in self._relabelled
        }
        if not changing:
            return
        found, _ = self._api.search(
            self._dataset,
            {"filters": {"and": [terms_filter("id", list(changing))]}, "sort": BY_AGE},
            include=("responses",),
        )
        for record in found:
            responses, key = record.get("responses"), str(record["id"])
            if responses and key in self._relabelled:
                fields = changing[key]["fields"]
                changing[key]["fields"] = {
                    **fields,
                    card.FIELD: card.with_label_asked(fields[card.FIELD], self._relabelled[key]),
                }
                changing[key].pop("suggestions", None)
            elif responses:
                self.stale += len(responses)
                metadata = changing[key].get("metadata") or record.get("metadata") or {}
                noted = {**stale_answers(metadata), **{str(r["id"]): str(r["updated_at"]) for r in responses}}
                changing[key]["metadata"] = {**metadata, STALE: orjson.dumps(noted).decode()}
        # Each is sent once: what is known of the others is enough.
        for key in changing:
            self._retexted.discard(key)
            self._relabelled.pop(key, None)

    def verify(self) -> None:
        """Makes sure that the index holds what the database holds; sends again what it lost.

        The server answers 200 when the search engine refuses a record: a new one is then invisible in the page, and of an
        updated one the old values go on matching.

        Raises:
            ArgillaError: some are still lost after they were sent again.
        """
        lost = self._lost()
        if not lost:
            return
        self.notes.append(f"the search index had lost {len(lost):,} records; they were sent again")
        for page in self._api.pages(self._dataset):
            again = [item for item in page if uuid.UUID(item["id"]).bytes in lost]
            for start in range(0, len(again), _BATCH):
                items = [{"id": item["id"], "metadata": item.get("metadata") or {}} for item in again[start : start + _BATCH]]
                self._api.put_records(self._dataset, items)
        lost = self._missing()
        if lost:
            raise ArgillaError(
                f"{self._dataset.full_name}: {len(lost):,} records are stored but cannot be found in the page, "
                f"{uuid.UUID(bytes=next(iter(lost)))} for one",
                hint="see the search engine's log (is its disk full?), then push again",
            )

    def _lost(self) -> set[bytes]:
        lost: set[bytes] = set()
        if self._api.progress(self._dataset)["total"] != self._api.total(self._dataset):
            lost |= self._missing()
        if self._since is not None:
            stale = {"type": "range", "scope": {"entity": "record", "property": "updated_at"}, "ge": self._since}
            body = {"filters": {"and": [stale]}, "sort": BY_AGE}
            if self._api.count(self._dataset, body) < len(self._dated) // 16:
                dated = {bytes(self._dated[start : start + 16]) for start in range(0, len(self._dated), 16)}
                lost |= dated - set(self._found(body))
        return lost

    def _missing(self) -> set[bytes]:
        """Records of the database that the index does not hold."""
        stored = {uuid.UUID(item["id"]).bytes for page in self._api.pages(self._dataset) for item in page}
        return stored - set(self._found({"sort": BY_AGE}))

    def _found(self, body: Mapping[str, Any]) -> Iterator[bytes]:
        offset = 0
        while True:
            items, total = self._api.search(self._dataset, body, offset=offset)
            yield from (uuid.UUID(item["id"]).bytes for item in items)
            offset += len(items)
            if not items or offset >= total:
                return
