"""Models that end: what the endpoint says of its models' shutdown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from argilla_admap.errors import AdmapError, DefaultModelGone
from argilla_admap.scoring.client.transport import ConnectionFailed
from argilla_admap.scoring.options import DEFAULT_MODEL

if TYPE_CHECKING:
    from argilla_admap.scoring.client.transport import Reply, Transport

__all__ = ["announced_ending", "ending", "listed_models", "look_for_model"]

#: Of api.openai.com, as it announced: the last day, and the replacement. An endpoint's own word wins.
_ANNOUNCED = {model: (dt.date(2027, 1, 14), "gpt-6-luna") for model in ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini")}


class Ending(NamedTuple):
    """When a model will be, or was, shut down; what to do; whether that day is over."""

    words: str
    hint: str
    over: bool

    def sentence(self) -> str:
        return f"{self.words}; {self.hint}"


def announced_ending(endpoint: str, model: str, *, named: bool = True) -> str | None:
    """As `ending`, without asking the endpoint: what was announced when this version was made.

    Raises:
        DefaultModelGone: it has ended, and nobody named it.
    """
    if "//api.openai.com/" not in endpoint or model not in _ANNOUNCED:
        return None
    ends, replacement = _ANNOUNCED[model]
    if not named and ends < _today():
        raise _gone(f"the default judge {model} was shut down on {ends}", replacement, ())
    return _ending(model, ends, replacement).sentence()


async def look_for_model(transport: Transport, endpoint: str, model: str, *, named: bool) -> list[str]:
    """A warning where the endpoint's list says that the model will be, or was, shut down; else nothing.

    An endpoint without a list, or one that does not answer, is no reason to stop: the questions will show.

    Args:
        transport: to the endpoint.
        endpoint: its address, and the model.
        model: as the endpoint calls it.
        named: whether somebody asked for this model.

    Raises:
        DefaultModelGone: it has ended, or the endpoint does not list it, and nobody named it.
    """
    try:
        reply = await transport.get("/models", 10.0)
    except (ConnectionFailed, AdmapError):
        return []
    listed = listed_models(reply) or []
    ends = ending(listed, model)
    if not named and listed:
        entry = next((one for one in listed if one["id"] == model), None)
        over = entry is not None and (_date(entry.get("shutdown_date")) or _today()) < _today()
        if entry is None or over:
            what = "was shut down" if over else f"is not among the models of {endpoint.partition(' ')[0]}"
            raise _gone(f"the default judge {model} {what}", _replacement(entry, model), [one["id"] for one in listed])
    return [ends.sentence()] if ends is not None else []


def _gone(words: str, replacement: str | None, listed: Sequence[str]) -> DefaultModelGone:
    has = sorted(name for name in listed if name != DEFAULT_MODEL)
    named = replacement if replacement in has or not has else has[0] if len(has) == 1 else None
    shown = ", ".join(has[:20]) + (f" and {len(has) - 20} more" if len(has) > 20 else "")
    hint = (f"name the judge, such as `model` {named}" if named else "name the judge with `model`") + (
        f"; the endpoint has {shown}" if shown else ""
    )
    return DefaultModelGone(f"{words}, and no other was named; nothing was asked", hint=hint, replacement=named)


def _replacement(entry: Mapping[str, Any] | None, model: str) -> Any:
    told = entry or {}
    return told.get("replacement") or told.get("replaced_by") or _ANNOUNCED.get(model, (None, None))[1]


def _today() -> dt.date:
    return dt.datetime.now(dt.timezone.utc).date()


def listed_models(reply: Reply) -> list[dict[str, Any]] | None:
    """The models in an endpoint's answer; None: it holds no list."""
    try:
        listed = orjson.loads(reply.body).get("data") if reply.status == 200 else None
    except (orjson.JSONDecodeError, AttributeError):
        return None
    if not isinstance(listed, list):
        return None
    return [entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def ending(listed: Sequence[Mapping[str, Any]], model: str) -> Ending | None:
    """The ending of a model; None: the list says nothing of it."""
    for entry in listed:
        if entry["id"] == model and (ends := _date(entry.get("shutdown_date"))) is not None:
            return _ending(model, ends, _replacement(entry, model))
    return None


def _ending(model: str, ends: dt.date, replacement: Any) -> Ending:
    days = (ends - _today()).days
    when = f"on {ends} (in {days} days)" if days >= 0 else f"on {ends}"
    hint = f"its named replacement is {replacement}: `model` {replacement}" if replacement else "choose another `model`"
    return Ending(f"the model {model} {'will be' if days >= 0 else 'was to be'} shut down {when}", hint, over=days < 0)


def _date(value: Any) -> dt.date | None:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.timezone.utc).date()
        return dt.date.fromisoformat(str(value)[:10]) if value else None
    except (ValueError, OverflowError, OSError):
        return None
