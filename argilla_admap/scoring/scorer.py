"""The seam: what a scorer is, and what a scored completion is.

A scorer is one class in one file, ``argilla_admap/scoring/scorers/NAME.py``, whose module says ``SCORER = TheClass``. The
option `scorer` finds it by that name and imports it only then. Nothing else needs to change for a new one.

It is made with ``TheClass(options, session)``, once for each model of a panel. ``session.dispatcher(model)`` opens the one
way to a server: it knows the answers that were paid for before, keeps to the limits and the budget, retries, and never raises
for one request (see `Dispatcher.cached` and `.ask`). A scorer that asks nobody leaves the session alone.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from argilla_admap.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

    import pyarrow as pa

    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["ScoredCompletion", "Scorer", "ScorerOption", "Work", "find_scorer", "open_scorers", "scorer_module"]

_ROOM = "argilla_admap.scoring.scorers"


# Not frozen: a resume makes a million of them, and a frozen one takes four times as long to make.
@dataclass(slots=True)
class ScoredCompletion:
    """What a scorer says of one completion. Unscored is `score` None with an `error`: never a zero."""

    score: float | None
    #: Why there is no score, in words for the person; None where there is one.
    error: str | None = None
    #: Variance of one sample of this scorer about its mean, squared score points; None where one sample tells nothing.
    variance: float | None = None
    #: Samples behind the score.
    count: int = 0
    #: The single samples, in the order asked.
    samples: tuple[float | None, ...] = ()
    #: The scorer's reason in words.
    reason: str | None = None


class Work(NamedTuple):
    """What scoring a batch would take, as an estimate: for a dry run."""

    requests: int = 0
    #: Judgements that the store holds already.
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    #: US dollars; None where no price is known.
    cost_usd: float | None = 0.0
    #: Completions whose question occurs earlier in the data: it is asked once.
    repeated: int = 0
    #: What the person should know of these numbers, in words.
    notes: tuple[str, ...] = ()
    #: What whole records in one question cost, and what their completions would cost one by one, in input tokens.
    share: tuple[float, float] = (0.0, 0.0)


class ScorerOption(NamedTuple):
    """An option that a scorer adds to the command line; if given, its value is in ``ScoreOptions.extra`` under its name."""

    name: str
    help: str
    #: Shown as the default; the scorer uses it when nothing was given.
    default: str | None = None
    #: Empty: any text.
    choices: tuple[str, ...] = ()


class Scorer(Protocol):
    """Scores the completions of record batches. Several batches are in work at once, on one event loop."""

    #: Shown as the judge, e.g. the model's name.
    name: str
    #: Judgements that `score` found in the store, so far.
    cached: int

    def __init__(self, options: ScoreOptions, session: Session) -> None: ...

    async def start(self) -> list[str]:
        """Makes ready (loads a model, asks the endpoint for its models) and returns warnings for the person.

        Raises:
            AdmapError: nothing can be scored at all.
        """
        ...

    async def score(self, batch: pa.RecordBatch) -> Sequence[Sequence[ScoredCompletion]]:
        """For each record of a batch of `PREFERENCE_SCHEMA`, one scored completion for each of its completions.

        A record that cannot be scored does not raise: its completions carry an error. What does raise (`JudgeRefused`) ends
        the run.
        """
        ...

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        """What `score` would ask and cost for this batch. Asks nobody; reads the store."""
        ...

    def facts(self) -> dict[str, Any]:
        """What is worth keeping beside the scores, as JSON values: model, method, prompt version, hash of the rubric."""
        ...


def find_scorer(scorer: str | Callable[..., Any]) -> Callable[[ScoreOptions, Session], Scorer]:
    """What makes the scorer: of a name the class in this package, of a ``.py`` file or of a function one that calls it.

    Raises:
        InputError: there is none of that name (the message lists those that there are), or the file holds no function.
    """
    if callable(scorer) or scorer.endswith(".py"):
        # Like every scorer, it is found by its module's name: the room of scorers lies above this file.
        room: Any = scorer_module("function")
        return partial(room.FunctionScorer, scorer if callable(scorer) else room.load_function(scorer))
    name = scorer
    found: type[Scorer] | None = getattr(scorer_module(name), "SCORER", None)
    if found is None:
        there = [module.name for module in pkgutil.iter_modules(importlib.import_module(_ROOM).__path__)]
        names = [name for name in there if hasattr(scorer_module(name), "SCORER")]
        raise InputError(f"there is no scorer {name!r}", option="scorer", hint=f"choose one of {', '.join(names)}")
    return found


def open_scorers(options: ScoreOptions, session: Session) -> list[Scorer]:
    """The scorers of a run, one for each judge; two of one name are one."""
    make = find_scorer(options.scorer)
    found: dict[str, Scorer] = {}
    for model in options.models:
        one = make(replace(options, models=(model,)), session)
        found.setdefault(one.name, one)
    return list(found.values())


def scorer_module(name: str) -> ModuleType | None:
    """The module of the scorer called `name`, which may hold its options as ``OPTIONS``; None: there is none."""
    try:
        return importlib.import_module(f"{_ROOM}.{name}") if name.isidentifier() else None
    except ModuleNotFoundError as exc:
        if exc.name != f"{_ROOM}.{name}":
            raise
        return None
