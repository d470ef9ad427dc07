"""Parameters by the names that the command line has for them: the one place that turns `max_cost` into ``--max-cost``."""

from __future__ import annotations

import re

import click

from argilla_admap.errors import AdmapError

__all__ = ["error_words", "with_flags"]

_NAMED = re.compile(r"`([a-z][a-z0-9_]*)`")

#: Parameters whose flag has another name, as a Python function or a data class calls them.
_FLAGS = {
    "adaptive": "--samples auto",
    "as_json": "--json",
    "models": "--model",
    "output": "-o",
    "parts": "PART",
    "path": "-o",
    "shard": "--shard",
}


def _known(context: click.Context | None) -> dict[str, str]:
    """The flag of each parameter of the command that runs, by its Python name; those of field names without ``_field`` too."""
    known = dict(_FLAGS)
    while context is not None:
        for param in context.command.params:
            if isinstance(param, click.Option) and param.name:
                flag = max(param.opts, key=len)
                known[param.name] = flag
                known[flag.lstrip("-").replace("-", "_")] = flag
        context = context.parent
    return known


def with_flags(text: str, context: click.Context | None = None) -> str:
    """The text with each parameter in backticks as its flag, where the command that runs has one of that name.

    Args:
        text: words of ours, such as "give more with `max_cost`".
        context: the command's context; without one, the current one's.
    """
    if "`" not in text:
        return text
    known = _known(context or click.get_current_context(silent=True))
    return _NAMED.sub(lambda match: known.get(match[1], match[0]), text)


def error_words(error: AdmapError, context: click.Context | None = None) -> str:
    """An error as the command line says it: message and hint with flags for parameters."""
    return with_flags(str(error), context)
