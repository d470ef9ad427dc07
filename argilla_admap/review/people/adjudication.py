"""Conflicts for a third person: a queue of their own, in which an answer outweighs the votes that contradict each other.

The person gets an empty draft on each record: Argilla's page shows drafts also where a record is completed. Nobody's name and
nobody's answer is shown with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.review.argilla.argilla_api import BY_AGE, Api, terms_filter
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.dataset.settings import ensure_properties
from argilla_admap.review.pull.pull import mark_outcomes, pull
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.queues.overview import count_queues, never_pushed, refresh_overview
from argilla_admap.review.queues.queues import adjudicate_queue

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["Adjudication", "ask_adjudicator"]

_ASKED = BY_COLUMN["adjudicate"]
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Adjudication:
    """Conflicts that wait for one person.

    Attributes:
        dataset: ``WORKSPACE/NAME``.
        adjudicator: the username.
        conflicts: all records whose reviewers contradict each other.
        asked: of them, those that the person is asked about, now or earlier.
        added: those that were added now.
        own: those on which the person is one of the reviewers.
        url: opens the queue.
    """

    dataset: str
    adjudicator: str
    conflicts: int
    asked: int
    added: int
    own: int
    url: str

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def ask_adjudicator(
    dataset: str,
    client: rg.Argilla,
    *,
    adjudicator: str | None = None,
    workspace: str | None = None,
    resolve: str = "majority",
    dry_run: bool = False,
) -> Adjudication:
    """Puts the conflicts of a data set into the queue of a third person. Idempotent; answers are not touched.

    Args:
        dataset: ``[WORKSPACE/]NAME``.
        client: an owner's.
        adjudicator: a username; None: the key's own user. Records on which they have any answer are left out.
        workspace: where `dataset` does not name it.
        resolve: how answers are settled; what that leaves as a conflict is asked.
        dry_run: count, and write nothing.

    Raises:
        InputError: no such user, or they do not see the data set.
        ArgillaError: the server refused.
    """
    api = Api(client)
    result = pull(dataset, client, PullOptions(workspace=workspace, resolve=resolve))
    target = result.target
    if never_pushed(target):
        raise InputError(f"{target.full_name} was never pushed to", hint="push a map to it with `admap push`")
    person, name = _person(api, target.workspace_id, adjudicator)
    conflicts = [record for record, outcome in result.outcomes.items() if outcome == "conflict"]
    places = {server: meta for record in conflicts for server, meta in result.found[record].on_server}
    added = own = asked = 0
    blind = not all(_visible(target.properties))
    if not dry_run:
        mark_outcomes(result, api)
        ensure_properties(api, target, [_ASKED.column], blind=blind)
    ids = list(places)
    for start in range(0, len(ids), _BATCH):
        body = {"filters": {"and": [terms_filter("id", ids[start : start + _BATCH])]}, "sort": BY_AGE}
        found, _ = api.search(target, body, limit=_BATCH, include=("responses",))
        items = []
        for item in found:
            metadata = item.get("metadata") or {}
            names = list(metadata.get(_ASKED.name) or ())
            if name in names:
                asked += 1
            elif any(
                str(given["user_id"]) == person and (given["status"] != "draft" or given.get("values"))
                for given in item.get("responses") or ()
            ):
                own += 1
            else:
                draft = {"user_id": person, "values": {}, "status": "draft"}
                asked, added = asked + 1, added + 1
                items.append({"id": item["id"], "metadata": {**metadata, _ASKED.name: [*names, name]}, "responses": [draft]})
        if items and not dry_run:
            api.put_records(target, items)
    if not dry_run:
        target = api.refresh(target)
        info = target.info
        refresh_overview(api, target, count_queues(api, target), map_info=info.get("map"), summary=info.get("summary"))
    url = adjudicate_queue(name, blind=blind).url(target)
    return Adjudication(target.full_name, name, len(conflicts), asked, added, own, url)


def _visible(properties: Any) -> list[bool]:
    return [bool(found.get("visible_for_annotators", True)) for found in properties.values()]


def _person(api: Api, workspace_id: str, name: str | None) -> tuple[str, str]:
    """The user's id and name."""
    me = api.me()
    if name is None or name == me["username"]:
        return str(me["id"]), str(me["username"])
    known = {username: identity for identity, username in api.usernames(workspace_id).items()}
    if name not in known:
        listed = ", ".join(sorted(known))
        raise InputError(f"there is no user {name!r} on {api.url}", option="adjudicator", hint=f"there are {listed}")
    members = dict(api.members(workspace_id).values())
    if members and name not in members:
        raise ArgillaError(
            f"{name!r} does not see the data set's workspace", hint=f"add them with `admap reviewers add {name}`"
        )
    return known[name], name
