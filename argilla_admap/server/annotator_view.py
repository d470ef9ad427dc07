"""Keeps from annotators what a data set hides from them: runs inside argilla-server, put there by the server's entry.

Argilla leaves the metadata that annotators may not see out of what its searches show, and out of their lists of properties;
but it lets an annotator filter and sort by them, which tells the values, and shows them when asked for one record. A blind
review depends on all of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

__all__ = ["close_to_annotators"]


def close_to_annotators(app: Any) -> None:
    """Changes the two requests by which an annotator gets at records; owners and admins notice nothing.

    Args:
        app: argilla-server's own, with all its routes.
    """
    from argilla_server.api.handlers.v1.datasets.records import search_current_user_dataset_records
    from argilla_server.api.handlers.v1.records import get_record

    _replace(app, get_record, _with_shown_parts_only(get_record))
    _replace(app, search_current_user_dataset_records, _by_shown_parts_only(search_current_user_dataset_records))


def _replace(app: Any, handler: Callable[..., Any], new: Callable[..., Any]) -> None:
    routes = [route for mount in app.routes for route in getattr(getattr(mount, "app", mount), "routes", ())]
    found = [route for route in routes if getattr(route, "endpoint", None) is handler]
    if not found:
        raise RuntimeError(f"argilla-server has no {handler.__name__}: a blind review would not be blind")
    for route in found:
        route.dependant.call = new


def _is_annotator(user: Any) -> bool:
    return not (user.is_owner or user.is_admin)


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
        return record

    return get_shown


def _by_shown_parts_only(search: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The search, which takes what is hidden from the caller for what is not there, in filters and in the order alike."""
    from argilla_server.errors.future import UnprocessableEntityError
    from argilla_server.models import MetadataProperty
    from sqlalchemy import select

    async def search_shown(**given: Any) -> Any:
        if _is_annotator(given["current_user"]):
            body, dataset_id = given["body"], given["dataset_id"]
            used = [*(body.filters.and_ if body.filters else ()), *(body.sort or ())]
            names = {getattr(one.scope, "metadata_property", None) for one in used} - {None}
            properties = await given["db"].execute(
                select(MetadataProperty).where(MetadataProperty.dataset_id == dataset_id, MetadataProperty.name.in_(names))
            )
            for found in properties.scalars() if names else ():
                if given["current_user"].role not in found.allowed_roles:
                    # The server's own words for a property that is not there.
                    raise UnprocessableEntityError(
                        f"MetadataProperty not found filtering by name={found.name}, dataset_id={dataset_id}"
                    )
        return await search(**given)

    return search_shown
