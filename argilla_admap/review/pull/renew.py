"""What follows on Argilla from answers that were taken in: queues, and the overview that shows how far the review is."""

from __future__ import annotations

from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.pull.pull import PullResult
from argilla_admap.review.queues.disagreements import open_disagreements
from argilla_admap.review.queues.overview import count_queues, never_pushed, refresh_overview
from argilla_admap.review.queues.queues import QueueCount

__all__ = ["renew_overview"]


def renew_overview(result: PullResult, api: Api) -> list[QueueCount]:
    """The queues as they stand now, and the guidelines with them; records whose reviewers disagree are opened for the owner.

    Call it after `mark_outcomes`. Idempotent; answers are not touched.

    Raises:
        ArgillaError: the server refused.
    """
    # Once more, because outcomes may have added a property.
    target = api.refresh(result.target)
    if never_pushed(target):
        return []
    open_disagreements(api, target)
    counts = count_queues(api, target)
    summary = {**target.info.get("summary", {}), "records": result.records, "reviewed": result.reviewed}
    refresh_overview(api, target, counts, map_info=target.info.get("map"), summary=summary)
    return counts
