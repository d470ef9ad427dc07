"""The strip of the review card: the queues as the page needs them, put into the card's template.

The strip shows where a reader is, counts with the reader's own session and leads on to the next queue. It lies in the template
of the card's field, which is renewed with the guidelines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset
from argilla_admap.review.argilla.properties import BY_COLUMN, TEXTS
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.answers import BETTER
from argilla_admap.review.queues.queues import Queue, QueueCount
from argilla_admap.review.queues.similar import links_open

__all__ = ["place_facts", "refresh_places"]

#: Answers that the strip sums up at a queue's end, and those that found an error.
_SUMMED = ("flip", "keep", "tie", "both_bad")
_FAULTS = ("flip",)
#: Whose name stands behind one of these sees the queue, nobody else.
_PERSONAL = ("reviewer-", "adjudicate-")


def place_facts(dataset: RemoteDataset, queues: Sequence[Queue], *, similar: bool = False) -> dict[str, Any]:
    """What the strip knows of a data set, as JSON values: each queue's title, its part of a link and its filters.

    Args:
        dataset, queues: whose.
        similar: the page can open records that are like another one by their texts.
    """
    asked = next((q["settings"].get("options") or () for q in dataset.questions if q["name"] == BETTER), ())
    values = [str(option["value"]) for option in asked]
    return {
        "question": BETTER,
        "values": [value for value in _SUMMED if value in values and "flip" in values],
        "faults": [value for value in _FAULTS if value in values],
        "queues": [_fact(dataset, queue) for queue in queues],
        "texts": TEXTS if similar else None,
        "review": BY_COLUMN["review"].name,
    }


def _fact(dataset: RemoteDataset, queue: Queue) -> dict[str, Any]:
    person = next((queue.name.removeprefix(prefix) for prefix in _PERSONAL if queue.name.startswith(prefix)), None)
    return {
        "name": queue.name,
        "title": queue.title,
        "link": urlsplit(queue.url(dataset)).query,
        "status": queue.status,
        "filters": [condition.rest() for condition in queue.conditions],
        "reviewer": person,
    }


def refresh_places(api: Api, dataset: RemoteDataset, counts: Sequence[QueueCount]) -> bool:
    """Puts the strip into the card's template. Returns whether it changed; a template of an earlier version stays."""
    similar = TEXTS in dataset.vectors and any(links_open(api, item["id"]) for item in api.search(dataset, {}, limit=1)[0])
    script = _script(place_facts(dataset, [found.queue for found in counts if found.count], similar=similar))
    for part in dataset.fields:
        if part["name"] == card.FIELD:
            before = str(part["settings"].get("template") or "")
            after = card.with_place(before, script)
            if after != before:
                api.update_template(str(part["id"]), after)
                return True
    return False


def _script(facts: Mapping[str, Any]) -> str:
    return _source().replace("/*PLACES*/null", card.script_json(facts))


@cache
def _source() -> str:
    return card.bare_source("argilla_admap.review.queues", "place.js")
