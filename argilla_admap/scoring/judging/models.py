"""Models that end: what the endpoint says of its models' shutdown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from argilla_admap.errors import AdmapError
from argilla_admap.scoring.client.transport import ConnectionFailed

if TYPE_CHECKING:
    from argilla_admap.scoring.client.transport import Reply, Transport

__all__ = ["announced_ending", "ending", "ending_models", "listed_models"]

#: Of api.openai.com, as it announced: the last day, and the replacement. An endpoint's own word wins.
_ANNOUNCED = {model: (dt.date(2027, 1, 14), "gpt-6-luna") for model in ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini")}


def announced_ending(endpoint: str, model: str) -> str | None:
    """As `ending`, without asking the endpoint: what was announced when this version was made."""
    return "; ".join(_warning(model, *_ANNOUNCED[model])) if "//api.openai.com/" in endpoint and model in _ANNOUNCED else None


async def ending_models(transport: Transport, model: str) -> list[str]:
    """A warning where the endpoint's list says that the model will be, or was, shut down; else nothing.

    An endpoint without a list, or one that does not answer, is no reason to stop: the questions will show.
    """
    try:
        reply = await transport.get("/models", 10.0)
    except (ConnectionFailed, AdmapError):
        return []
    ends = ending(listed_models(reply) or [], model)
    return ["; ".join(ends)] if ends is not None else []


def listed_models(reply: Reply) -> list[dict[str, Any]] | None:
    """The models in an endpoint's answer; None: it holds no list."""
    try:
        listed = orjson.loads(reply.body).get("data") if reply.status == 200 else None
    except (orjson.JSONDecodeError, AttributeError):
        return None
    if not isinstance(listed, list):
        return None
    return [entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def ending(listed: Sequence[Mapping[str, Any]], model: str) -> tuple[str, str] | None:
    """When the model will be, or was, shut down, and what to do; None: the list says nothing of it."""
    for entry in listed:
        if entry["id"] == model and (ends := _date(entry.get("shutdown_date"))) is not None:
            return _warning(
                model, ends, entry.get("replacement") or entry.get("replaced_by") or _ANNOUNCED.get(model, (None, None))[1]
            )
    return None


def _warning(model: str, ends: dt.date, replacement: Any) -> tuple[str, str]:
    days = (ends - dt.datetime.now(dt.timezone.utc).date()).days
    when = f"on {ends} (in {days} days)" if days >= 0 else f"on {ends}"
    hint = f"its named replacement is {replacement}: `model` {replacement}" if replacement else "choose another `model`"
    return f"the model {model} {'will be' if days >= 0 else 'was to be'} shut down {when}", hint


def _date(value: Any) -> dt.date | None:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.timezone.utc).date()
        return dt.date.fromisoformat(str(value)[:10]) if value else None
    except (ValueError, OverflowError, OSError):
        return None
