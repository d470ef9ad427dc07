"""A scorer of one's own: a Python function of a prompt and its completions, in a file or in a script."""

from __future__ import annotations

import asyncio
import importlib.util
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import InputError
from argilla_admap.scoring.scorer import ScoredCompletion, Work

if TYPE_CHECKING:
    import pyarrow as pa

    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["FunctionScorer", "ScoringFunction", "load_function"]

#: Takes a prompt and its completions; returns a score each, None where there is none.
ScoringFunction = Callable[[str, list[str]], Sequence[float | None]]


class FunctionScorer:
    """Calls the function once a record, in a thread of its own; an error of one record leaves that record unscored."""

    def __init__(self, function: ScoringFunction, options: ScoreOptions, session: Session) -> None:
        self._function = function
        self.name = getattr(function, "__name__", type(function).__name__)
        self.cached = 0

    async def start(self) -> list[str]:
        return []

    async def score(self, batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
        prompts: list[Any] = batch.column("prompt").to_pylist()
        completions: list[Any] = batch.column("completions").to_pylist()
        return await asyncio.to_thread(lambda: [self._record(*one) for one in zip(prompts, completions, strict=True)])

    def _record(self, prompt: str, completions: list[str]) -> list[ScoredCompletion]:
        try:
            scores = list(self._function(prompt, list(completions)))
        except Exception as exc:
            return [ScoredCompletion(None, f"{self.name}: {type(exc).__name__}: {exc}")] * len(completions)
        if len(scores) != len(completions):
            return [ScoredCompletion(None, f"{self.name}: {len(scores)} scores for {len(completions)} completions")] * len(
                completions
            )
        return [self._completion(score) for score in scores]

    def _completion(self, score: Any) -> ScoredCompletion:
        if score is None:
            return ScoredCompletion(None, f"{self.name}: no score")
        try:
            value = float(score)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            return ScoredCompletion(None, f"{self.name}: {score!r} is no number")
        return ScoredCompletion(value, None, None, 1, (value,))

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        return Work()

    def facts(self) -> dict[str, Any]:
        return {"scorer": "function", "name": self.name}


def load_function(path: str) -> ScoringFunction:
    """The function `score` of a Python file; the file's code is run.

    Raises:
        InputError: no such file, it cannot be run, or it holds no function of that name.
    """
    hint = "define `def score(prompt, completions)` in it, which returns a number for each completion"
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file", option="scorer")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: not a Python file", option="scorer", hint=hint)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        raise InputError(f"{path}: cannot be run ({type(exc).__name__}: {exc})", option="scorer") from exc
    function = getattr(module, "score", None)
    if not callable(function):
        raise InputError(f"{path}: there is no function `score`", option="scorer", hint=hint)
    # Shown as the judge: the file's name says more than "score".
    function.__name__ = Path(path).stem
    return function  # type: ignore[no-any-return]
