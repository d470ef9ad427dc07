"""Alignment data maps for Argilla: find the wrong labels in preference data.

>>> import argilla_admap as admap
>>> preferences = admap.read("ultrafeedback.jsonl")
>>> scored = admap.score(preferences, model="gpt-4o", max_cost=25)
>>> data_map = admap.build_map(scored)
>>> admap.push(data_map, dataset="uf")
>>> corrected = admap.pull("uf")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from argilla_admap import mapping

if TYPE_CHECKING:
    from argilla_admap import reviewers, server
    from argilla_admap.commands import (
        compare,
        demo,
        doctor,
        help,
        judge_check,
        map,
        merge,
        queues,
        report,
        select,
        selftest,
        status,
    )
    from argilla_admap.errors import AdmapError, ArgillaError, InputError, ScoringError, ServerError
    from argilla_admap.mapping.data_map import DataMap, build_map
    from argilla_admap.pipeline import pull, push, read, read_answers, run, score, undo, watch
    from argilla_admap.review.queues.queues import QUEUES

__version__ = "0.1.0"

# Nothing is imported before it is asked for: a help text appears at once.
_HOMES = {
    **dict.fromkeys(("AdmapError", "ArgillaError", "InputError", "ScoringError", "ServerError"), "errors"),
    **dict.fromkeys(("DataMap", "build_map"), "mapping.data_map"),
    "QUEUES": "review.queues.queues",
    **dict.fromkeys(("pull", "push", "read", "read_answers", "run", "score", "undo", "watch"), "pipeline"),
    **dict.fromkeys(("compare", "demo", "doctor", "help", "judge_check", "map", "merge", "queues", "report"), "commands"),
    **dict.fromkeys(("select", "selftest", "status"), "commands"),
    # Commands with commands below them: `argilla_admap.server.start()`.
    "reviewers": "",
    "server": "",
}

__all__ = [
    "QUEUES",
    "AdmapError",
    "ArgillaError",
    "DataMap",
    "InputError",
    "ScoringError",
    "ServerError",
    "build_map",
    "compare",
    "demo",
    "doctor",
    "help",
    "judge_check",
    "map",
    "merge",
    "pull",
    "push",
    "queues",
    "read",
    "read_answers",
    "report",
    "reviewers",
    "run",
    "score",
    "select",
    "selftest",
    "server",
    "status",
    "undo",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name] or name}")
    value = getattr(home, name) if _HOMES[name] else home
    globals()[name] = value
    return value


def _draw(data_map: Any, ax: Any) -> Any:
    from argilla_admap.reporting.plots import draw

    return draw(data_map, ax)


# Drawing is a room above the map: `DataMap.plot` finds it here.
mapping.draw = _draw


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
