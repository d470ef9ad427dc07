"""The options of the commands as keyword arguments: one signature for a person to read, and the values that rooms take."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.scorer import scorer_module

__all__ = ["FIELDS", "READING", "listed", "reading_of", "scoring_of", "takes"]

F = TypeVar("F", bound=Callable[..., Any])

#: Names of fields as `read` and the command line take them, and the attribute of `FieldNames` that each one gives.
FIELDS = {
    **{
        f"{name}_field": name
        for name in ("prompt", "completion", "chosen", "rejected", "rating", "verdict", "id", "source", "annotator")
    },
    "rating_order": "order",
    "verdict_values": "verdict_values",
}
#: What says how data are read, where a function takes a path.
READING = {"format": None, "fields": None, "split": None, "on_error": "stop", **dict.fromkeys(FIELDS)}
_SEVERAL = ("prompt_field", "completion_field", "rating_field")


def takes(*groups: Any, of: Any = None) -> Callable[[F], F]:
    """Shows what ``**options`` of a function are, in its signature: for `help`, for notebooks, and for the tests.

    Args:
        groups: data classes, or names with their defaults.
        of: a data class whose docstring says what such names are.
    """

    def shown(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        known = {parameter.name for parameter in own}
        for group in groups:
            for name, default in _defaults(group):
                if name not in known:
                    own.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default))
                    known.add(name)
        function.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        told: dict[str, str] = {}
        for group in (*groups, of):
            told |= _words(group) if dataclasses.is_dataclass(group) else {}
        added = [
            f"    {one.name}: {words} Default: {one.default!r}."
            for one in own
            if one.name not in signature.parameters and (words := told.get(one.name) or _WORDS.get(one.name))
        ]
        if added:
            function.__doc__ = "\n".join((inspect.cleandoc(function.__doc__ or ""), "", "Options:", *added))
        return function

    return shown


def _defaults(group: Any) -> Iterable[tuple[str, Any]]:
    if not dataclasses.is_dataclass(group):
        return group.items() if isinstance(group, dict) else ()
    return (
        (one.name, one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default)
        for one in dataclasses.fields(group)
    )


def _words(group: Any) -> dict[str, str]:
    """What the docstring of a data class says of each of its attributes."""
    section = inspect.getdoc(group).split("Attributes:\n")[1].split("\n\n")[0]  # type: ignore[union-attr]
    found = re.findall(r"^    (\w+(?:, \w+)*): ((?:.|\n     )+)", section, re.MULTILINE)
    return {name: " ".join(words.split()) for names, words in found for name in names.split(", ")}


_OF_FIELDS = _words(FieldNames)
_WORDS = {
    **_words(ScoreOptions),
    "model": "one name, or several for a panel; None: the default judge.",
    "format": "the format of a path, where it is not recognised.",
    "fields": "a `FieldNames`, in place of the options below.",
    "split": "of data with several splits, one of them or ``all``.",
    "on_error": "``stop`` raises InputError at a bad row, ``skip`` counts it and goes on.",
    **{option: _OF_FIELDS[name] for option, name in FIELDS.items()},
}


def listed(names: str | Iterable[str] | None) -> tuple[str, ...]:
    """The names in ``a,b`` or in a list, each once."""
    every = (names,) if isinstance(names, str) else names or ()
    return tuple(dict.fromkeys(name for one in every for part in one.split(",") if (name := part.strip())))


def reading_of(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the options of reading out of `options`: what `pipeline.read` takes, only what was given."""
    given = {name: options.pop(name) for name in READING if name in options}
    named = {FIELDS[name]: _names(name, given.pop(name)) for name in FIELDS if given.get(name) is not None}
    given = {name: value for name, value in given.items() if name not in FIELDS}
    if named:
        given["fields"] = dataclasses.replace(given.get("fields") or FieldNames(), **named)
    return given


def _names(option: str, value: Any) -> Any:
    if option == "verdict_values":
        return tuple((str(meaning), str(said)) for meaning, said in (value.items() if isinstance(value, dict) else value))
    if option in _SEVERAL:
        return (value,) if isinstance(value, str) else tuple(value)
    return value


def scoring_of(options: dict[str, Any]) -> ScoreOptions:
    """The options of scoring as one value.

    Args:
        options: those of `ScoreOptions`, ``model`` for its `models`, ``samples="auto"``, and what the scorer adds.
    Raises:
        InputError: a value is out of its range.
    """
    given = dict(options)
    model: str | Sequence[str] | None = given.pop("model", None)
    if model is not None:
        given["models"] = (model,) if isinstance(model, str) else tuple(model)
    if given.get("samples") == "auto":
        given |= {"samples": None, "adaptive": True}
    for name in ("rubric", "store"):
        if isinstance(given.get(name), (str, os.PathLike)):
            given[name] = Path(given[name])
    scorer = given.get("scorer", "judge")
    added = () if callable(scorer) else getattr(scorer_module(scorer), "OPTIONS", ())
    extra = {option.name: given.pop(option.name) for option in added if option.name in given}
    if extra:
        given["extra"] = {**given.get("extra", {}), **extra}
    unknown = sorted(set(given) - {one.name for one in dataclasses.fields(ScoreOptions)})
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no option of the scorer {scorer!r}", hint="see help(argilla_admap.score)")
    return ScoreOptions(**given)
