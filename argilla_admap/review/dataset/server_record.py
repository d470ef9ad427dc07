"""One record as the server gives it: its id, its label, its texts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.records import Record
from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.adapters import DatasetAdapter, External, Managed, record_id_of_external
from argilla_admap.review.dataset.layout import ratings_from_answer

__all__ = ["as_it_stands", "label_of", "order_of", "record_id_of", "record_of"]

_LABEL = BY_COLUMN["label"].name
_ID = BY_COLUMN["id"].name
_ORDER = BY_COLUMN["order"].name


def record_id_of(item: Mapping[str, Any], adapter: DatasetAdapter) -> str | None:
    """The record's own id: the one that push noted, else the external id, else the hash of its texts."""
    noted = (item.get("metadata") or {}).get(_ID)
    if isinstance(noted, str):
        return record_id_of_external(noted)
    external = item.get("external_id")
    if external is not None:
        return record_id_of_external(external) if isinstance(adapter, Managed) else str(external)
    texts = adapter.texts(item["fields"], "")
    return texts.id if texts is not None else None


def order_of(item: Mapping[str, Any], adapter: DatasetAdapter, record_id: str, k: int) -> tuple[int, ...]:
    """The record's own completion at each place of the page."""
    noted = (item.get("metadata") or {}).get(_ORDER)
    if isinstance(adapter, External) and isinstance(noted, str):
        with suppress(ValueError, TypeError):
            order = tuple(int(place) for place in orjson.loads(noted))
            if sorted(order) == list(range(k)):
                return order
    return adapter.order(record_id, k)


def as_it_stands(
    ratings: tuple[float | None, ...], item: Mapping[str, Any], adapter: DatasetAdapter, record_id: str
) -> tuple[float | None, ...]:
    """Ratings in the record's own order, in the order of the texts that `DatasetAdapter.texts` gives."""
    if isinstance(adapter, Managed):
        return ratings
    return tuple(ratings[own] for own in order_of(item, adapter, record_id, len(ratings)))


def label_of(item: Mapping[str, Any], adapter: DatasetAdapter, dataset: RemoteDataset) -> tuple[float | None, ...] | None:
    """The label before the review, in the record's own order; None where the record has no completions.

    It is what push noted; else what the suggestions say; else what the fields' names say: chosen before rejected.
    """
    texts = adapter.texts(item["fields"], record_id_of(item, adapter) or "")
    if texts is None:
        return None
    noted = _noted((item.get("metadata") or {}).get(_LABEL), len(texts.completions))
    if noted is not None:
        return noted
    empty: tuple[float | None, ...] = (None,) * len(texts.completions)
    if isinstance(adapter, Managed):
        return empty
    names = {str(question["id"]): str(question["name"]) for question in dataset.questions}
    suggested = {names.get(str(s["question_id"]), ""): s["value"] for s in item.get("suggestions") or ()}
    try:
        said = ratings_from_answer(adapter.answer(suggested), empty, tuple(range(len(empty))))
    except (InputError, KeyError, TypeError, ValueError):
        said = None
    if said is not None:
        return said
    return (1.0, 0.0) if adapter.labelled and len(empty) == 2 else empty


def _noted(text: Any, k: int) -> tuple[float | None, ...] | None:
    if not isinstance(text, str):
        return None
    try:
        ratings = orjson.loads(text)
        found = tuple(None if rating is None else float(rating) for rating in ratings)
    except (ValueError, TypeError):
        return None
    return found if len(found) == k else None


def record_of(item: Mapping[str, Any], adapter: DatasetAdapter, dataset: RemoteDataset) -> Record | None:
    """The record in the one shape of all readers; None where it has no completions."""
    record_id = record_id_of(item, adapter)
    texts = adapter.texts(item["fields"], record_id or "")
    label = label_of(item, adapter, dataset)
    if texts is None or label is None:
        return None
    k = len(texts.completions)
    models: tuple[str | None, ...] = (None,) * k
    reasons: tuple[str | None, ...] = (None,) * k
    samples: tuple[tuple[float | None, ...], ...] = ((),) * k
    if isinstance(adapter, Managed):
        shown = _Shown(item, adapter, record_id or "", k)
        models, reasons = shown.texts("_m"), shown.texts("_t")
        samples = tuple(() if score is None else (float(score),) for score in shown.values("_s"))
    return Record(
        id=record_id or texts.id,
        prompt=texts.prompt,
        completions=texts.completions,
        models=models,
        ratings=as_it_stands(label, item, adapter, record_id or ""),
        samples=samples,
        reasons=reasons,
        turns=texts.turns,
        source=f"argilla:{dataset.full_name}" if isinstance(adapter, External) else None,
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a card of ours shows of each completion, in the record's own order; nothing in a blind review."""

    item: Mapping[str, Any]
    adapter: Managed
    record_id: str
    k: int

    def values(self, key: str) -> list[Any]:
        shown = self.item["fields"][card.FIELD].get(key)
        found: list[Any] = [None] * self.k
        if isinstance(shown, list) and len(shown) == self.k:
            for place, own in enumerate(self.adapter.order(self.record_id, self.k)):
                found[own] = shown[place]
        return found

    def texts(self, key: str) -> tuple[str | None, ...]:
        return tuple(card.decode(text) if text else None for text in self.values(key))
