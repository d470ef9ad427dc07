"""One record as the server gives it: its id, its texts, its label before the review, what its reviewers said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.records import Record
from argilla_admap.review.argilla.properties import BY_COLUMN, HIDDEN_PART, STALE
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.adapters import DatasetAdapter, External, Managed, RecordTexts
from argilla_admap.review.dataset.answers import Ratings, Value, in_own_order, in_terms_of_texts
from argilla_admap.review.dataset.hidden_fields import decrypt_hidden

__all__ = ["ServerRecord", "stale_answers"]

_LABEL = BY_COLUMN["label"].name


class ServerRecord:
    """The server's JSON of a record, read by the data set's adapter.

    Attributes:
        item: the server's JSON.
        id: the record's own id; None where neither an id nor texts are there.
        k: its number of completions; None where not all texts are there.
    """

    def __init__(self, item: Mapping[str, Any], adapter: DatasetAdapter) -> None:
        self.item = item
        self._adapter = adapter
        self.id = adapter.record_id(item)
        self.k = adapter.completions_of(item)

    @cached_property
    def texts(self) -> RecordTexts | None:
        """None where not all of them are there."""
        return self._adapter.texts(self.item)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """By property name."""
        found: Mapping[str, Any] = self.item.get("metadata") or {}
        return found

    @property
    def stale(self) -> int:
        """Submitted responses to completions that were replaced since."""
        stale = stale_answers(self.metadata)
        responses = (r for r in self.item.get("responses") or () if r["status"] == "submitted")
        return sum(stale.get(str(r.get("id"))) == str(r["updated_at"]) for r in responses)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The record's own completion at each place of the page; empty without texts."""
        return self._adapter.order(self.item, self.k) if self.k is not None else ()

    @cached_property
    def label(self) -> Ratings | None:
        """The label before the review, in the record's own order; None without texts."""
        if (k := self.k) is None:
            return None
        noted = _noted(self.metadata.get(_LABEL), k)
        named = isinstance(self._adapter, External) and self._adapter.question_named
        if noted is not None and not named:
            return noted
        suggested = self._adapter.suggested(self.item, k)
        if noted is not None and all(rating is None for rating in suggested):
            return noted
        return tuple(suggested[self.order.index(own)] for own in range(k))

    @cached_property
    def asked(self) -> Ratings | None:
        """The label on the card, in the record's own order: a later push leaves it there where somebody answered.

        The label before the review where the card shows none; None without texts.
        """
        if self.label is None:
            return None
        shown = card.shown_label(self.item["fields"].get(card.FIELD)) if isinstance(self._adapter, Managed) else ()
        if self._adapter.blind or len(shown) != len(self.order):
            return self.label
        return tuple(shown[self.order.index(own)] for own in range(len(shown)))

    @property
    def own_completions(self) -> tuple[str, ...]:
        """The completions in the record's own order."""
        if self.texts is None or isinstance(self._adapter, Managed):
            return self.texts.completions if self.texts is not None else ()
        return tuple(self.texts.completions[self.order.index(own)] for own in range(len(self.order)))

    def in_order_of_texts(self, ratings: Ratings) -> Ratings:
        """Ratings in the record's own order, in the order of `texts`: an external data set has its own."""
        return ratings if isinstance(self._adapter, Managed) else tuple(ratings[own] for own in self.order)

    def submitted(self) -> Iterator[tuple[Mapping[str, Any], dict[str, Value] | InputError]]:
        """Each submitted response with what it says about the label, in the record's own order, or why it cannot be read.

        `keep` and `flip` are said as the side that they mean by the label on the card. Answers to completions that were
        replaced since are left out.
        """
        stale = stale_answers(self.metadata)
        for response in self.item.get("responses") or ():
            if response["status"] != "submitted" or stale.get(str(response.get("id"))) == str(response["updated_at"]):
                continue
            values = {name: given.get("value") for name, given in (response.get("values") or {}).items()}
            try:
                said = self._adapter.answer(values, self.item)
                if self.asked is not None:
                    said = in_terms_of_texts(said, tuple(self.asked[own] for own in self.order))
                said = in_own_order(said, self.order)
            except (KeyError, TypeError, ValueError, InputError) as exc:
                yield response, exc if isinstance(exc, InputError) else InputError(f"the answer {values!r} cannot be read")
            else:
                yield response, said

    def record(self, dataset_name: str) -> Record | None:
        """The record in the one shape of all readers; None where it has no completions."""
        if self.texts is None or self.label is None:
            return None
        k = len(self.texts.completions)
        scores = self._shown("_s", k)
        models, reasons = ([card.decode(text) if text else None for text in self._shown(key, k)] for key in ("_m", "_t"))
        return Record(
            id=self.id or self.texts.id,
            prompt=self.texts.prompt,
            completions=self.texts.completions,
            models=tuple(models),
            ratings=self.in_order_of_texts(self.label),
            samples=tuple(() if score is None else (float(score),) for score in scores),
            reasons=tuple(reasons),
            turns=self.texts.turns,
            source=f"argilla:{dataset_name}" if isinstance(self._adapter, External) else None,
        )

    def scores(self, key: str | None = None) -> tuple[float | None, ...]:
        """The judge's scores that the card holds, in the record's own order; of a blind one with its data set's key."""
        if self.k is None:
            return ()
        hidden = decrypt_hidden(key, self.id or "", self.metadata.get(HIDDEN_PART)) if key is not None else None
        return tuple(self._shown("_s", self.k, hidden))

    def _shown(self, key: str, k: int, hidden: Mapping[str, Any] | None = None) -> list[Any]:
        """What a card of ours shows of each completion, in the record's own order; nothing in a blind review."""
        card_value = hidden or self.item["fields"].get(card.FIELD)
        shown = card_value.get(key) if isinstance(card_value, Mapping) else None
        found: list[Any] = [None] * k
        if isinstance(self._adapter, Managed) and isinstance(shown, list) and len(shown) == k:
            for place, own in enumerate(self.order):
                found[own] = shown[place]
        return found


def stale_answers(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The responses to other completions than those that the record has now: id -> when they were given."""
    try:
        found: dict[str, str] = dict(orjson.loads(metadata.get(STALE) or "{}"))
    except (ValueError, TypeError):
        return {}
    return found


def _noted(text: Any, k: int) -> Ratings | None:
    if not isinstance(text, str):
        return None
    try:
        found = tuple(None if rating is None else float(rating) for rating in orjson.loads(text))
    except (ValueError, TypeError):
        return None
    return found if len(found) == k else None
