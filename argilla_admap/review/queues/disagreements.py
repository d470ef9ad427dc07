"""Records whose reviewers disagree, opened for the person who is to decide.

Such a record is complete: as many people as were asked have answered, and Argilla's page shows a complete record only to those
who have an answer of their own there. So the person who decides gets an empty draft, which says nothing and counts nowhere, and
finds the records among their drafts; the answer that they submit takes its place.
"""

from __future__ import annotations

from typing import Any

from argilla_admap.review.argilla.argilla_api import PAGE, Api, RemoteDataset
from argilla_admap.review.queues.queues import REVIEWERS_DISAGREE, usable

__all__ = ["open_disagreements"]

_BATCH = 100


def open_disagreements(api: Api, dataset: RemoteDataset, user_id: str | None = None) -> int:
    """Gives a person an empty draft on each record of the queue that they have no answer on. Idempotent.

    Args:
        api: of the server, with an owner's or admin's key.
        dataset: as it stands now.
        user_id: who decides; by default the owner of the key.

    Returns:
        the number of records opened.
    """
    queue = REVIEWERS_DISAGREE
    if not usable(queue, dataset.properties):
        return 0
    me = str(api.me()["id"])
    who = user_id or me
    found: list[dict[str, Any]] = []
    total = 1
    while len(found) < total:
        items, total = api.search(dataset, queue.body(), offset=len(found), limit=PAGE, include=("responses",))
        if not items:
            break
        found += items
    lacking = [item["id"] for item in found if all(str(r["user_id"]) != who for r in item.get("responses") or ())]
    if who == me:
        # One by one, so that an answer of this very moment is not replaced.
        return sum(api.open_draft(record) for record in lacking)
    draft = [{"user_id": who, "values": {}, "status": "draft"}]
    for start in range(0, len(lacking), _BATCH):
        api.put_records(dataset, [{"id": record, "responses": draft} for record in lacking[start : start + _BATCH]])
    return len(lacking)
