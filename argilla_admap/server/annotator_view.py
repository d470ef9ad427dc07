"""Keeps from annotators what a data set hides from them: runs inside argilla-server, put there by the server's entry.

Argilla leaves the metadata that annotators may not see out of what its searches show, and out of their lists of properties;
but it lets an annotator filter and sort by them, which tells the values, and shows them when asked for one record. A blind
review depends on all of it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from uuid import UUID

__all__ = ["close_to_annotators"]


def close_to_annotators(app: Any) -> None:
    """Changes the two requests by which an annotator gets at records; owners and admins notice nothing. Adds a third, by which
    a push knows that it is so.

    Args:
        app: argilla-server's own, with all its routes.
    """
    from argilla_server.api.handlers.v1.datasets.records import search_current_user_dataset_records
    from argilla_server.api.handlers.v1.records import get_record

    api = next(mount.app for mount in app.routes if getattr(mount, "path", None) == "/api/v1")
    changed = {
        get_record: _with_shown_parts_only(get_record),
        search_current_user_dataset_records: _by_shown_parts_only(search_current_user_dataset_records),
    }
    for handler, new in changed.items():
        (route,) = (route for route in api.routes if getattr(route, "endpoint", None) is handler)
        route.dependant.call = new
    api.add_api_route("/admap", lambda: {"hides_from_annotators": True})


#: The external id of a record without an id: a hash of its texts, which tells their order to whoever tries both.
_HASH = re.compile("[0-9a-f]{32}")


def _is_annotator(user: Any) -> bool:
    return not (user.is_owner or user.is_admin)


def _hidden(properties: Iterable[Any], user: Any) -> set[str]:
    return {found.name for found in properties if user.role not in found.allowed_roles}


def _with_shown_parts_only(get_record: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The record without hidden metadata and without other people's answers, as the server's searches show it."""
    from argilla_server.api.handlers.v1.datasets.records import _filter_record_metadata_for_user
    from sqlalchemy.orm.attributes import set_committed_value

    async def get_shown(db: Any, record_id: UUID, current_user: Any) -> Any:
        record = await get_record(db=db, record_id=record_id, current_user=current_user)
        if _is_annotator(current_user):
            await db.refresh(record.dataset, ["metadata_properties"])
            # Set as if read from the database: it is never written back.
            set_committed_value(record, "metadata_", await _filter_record_metadata_for_user(record, current_user))
            mine = [response for response in record.responses if response.user_id == current_user.id]
            set_committed_value(record, "responses", mine)
            if _hidden(record.dataset.metadata_properties, current_user) and _HASH.fullmatch(record.external_id or ""):
                set_committed_value(record, "external_id", None)
        return record

    return get_shown


def _by_shown_parts_only(search: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The search, which takes what is hidden from the caller for what is not there, in filters and in the order alike."""
    from argilla_server.errors.future import UnprocessableEntityError
    from argilla_server.models import MetadataProperty
    from sqlalchemy import select

    async def search_shown(**given: Any) -> Any:
        if not _is_annotator(given["current_user"]):
            return await search(**given)
        body, dataset_id = given["body"], given["dataset_id"]
        known = await given["db"].execute(select(MetadataProperty).where(MetadataProperty.dataset_id == dataset_id))
        hidden = _hidden(known.scalars(), given["current_user"])
        for part in (*(body.filters.and_ if body.filters else ()), *(body.sort or ())):
            name = getattr(part.scope, "metadata_property", None)
            if name in hidden:
                # The server's own words for a property that is not there.
                raise UnprocessableEntityError(f"MetadataProperty not found filtering by name={name}, dataset_id={dataset_id}")
            if hidden and part.scope.entity == "record" and part.scope.property == "external_id":
                raise UnprocessableEntityError("this data set is blind: its records are not found by their external ids")
        result = await search(**given)
        for found in result.items if hidden else ():
            if _HASH.fullmatch(found.record.external_id or ""):
                found.record.external_id = None
        return result

    return search_shown
