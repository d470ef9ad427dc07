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
    from argilla_admap.commands import compare, queues, select, selftest
    from argilla_admap.errors import AdmapError, ArgillaError, InputError, ScoringError, ServerError
    from argilla_admap.judge_audit import judge_check
    from argilla_admap.mapping.data_map import DataMap, build_map
    from argilla_admap.pipeline import pull, push, read, read_answers, run, score, undo, watch
    from argilla_admap.review.queues.queues import QUEUES

__version__ = "0.1.0"

# Nothing is imported before it is asked for: a help text appears at once.
_HOMES = {
    "AdmapError": "errors",
    "ArgillaError": "errors",
    "DataMap": "mapping.data_map",
    "InputError": "errors",
    "QUEUES": "review.queues.queues",
    "ScoringError": "errors",
    "ServerError": "errors",
    "build_map": "mapping.data_map",
    "compare": "commands",
    "judge_check": "judge_audit",
    "pull": "pipeline",
    "push": "pipeline",
    "queues": "commands",
    "read": "pipeline",
    "read_answers": "pipeline",
    "run": "pipeline",
    "score": "pipeline",
    "select": "commands",
    "selftest": "commands",
    "status": "commands",
    "undo": "pipeline",
    "watch": "pipeline",
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
    "judge_check",
    "pull",
    "push",
    "queues",
    "read",
    "read_answers",
    "run",
    "score",
    "select",
    "selftest",
    "status",
    "undo",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def _draw(data_map: Any, ax: Any) -> Any:
    from argilla_admap.reporting.plots import draw

    return draw(data_map, ax)


# Drawing is a room above the map: `DataMap.plot` finds it here.
mapping.draw = _draw


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
