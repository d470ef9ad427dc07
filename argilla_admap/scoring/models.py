"""Models that end: what the endpoint says of its models' shutdown."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import orjson

from argilla_admap.errors import AdmapError
from argilla_admap.scoring.transport import ConnectionFailed

if TYPE_CHECKING:
    from argilla_admap.scoring.transport import Transport

__all__ = ["ending_models"]

#: Replacements that providers named; an endpoint's own word wins.
_REPLACEMENTS = {
    "gpt-4o": "gpt-6-luna",
    "gpt-4o-mini": "gpt-6-luna",
    "gpt-4.1": "gpt-6-luna",
    "gpt-4.1-mini": "gpt-6-luna",
}


async def ending_models(transport: Transport, model: str) -> list[str]:
    """A warning where the endpoint's list says that the model will be, or was, shut down; else nothing.

    An endpoint without a list, or one that does not answer, is no reason to stop: the questions will show.
    """
    try:
        reply = await transport.get("/models", 10.0)
        if reply.status != 200:
            return []
        listed = orjson.loads(reply.body).get("data")
    except (ConnectionFailed, AdmapError, orjson.JSONDecodeError, AttributeError):
        return []
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("id") == model and (ends := _date(entry.get("shutdown_date"))) is not None:
            return [_warning(model, ends, entry.get("replacement") or entry.get("replaced_by") or _REPLACEMENTS.get(model))]
    return []


def _warning(model: str, ends: dt.date, replacement: Any) -> str:
    days = (ends - dt.datetime.now(dt.timezone.utc).date()).days
    when = f"on {ends} (in {days} days)" if days >= 0 else f"on {ends}"
    instead = (
        f"; its named replacement is {replacement}: --model {replacement}" if replacement else "; choose another with --model"
    )
    return f"the model {model} {'will be' if days >= 0 else 'was to be'} shut down {when}{instead}"


def _date(value: Any) -> dt.date | None:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.timezone.utc).date()
        return dt.date.fromisoformat(str(value)[:10]) if value else None
    except (ValueError, OverflowError, OSError):
        return None
