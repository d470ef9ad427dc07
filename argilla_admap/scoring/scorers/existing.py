"""Scores that the data carry already: asks nobody, costs nothing."""

from __future__ import annotations

import math
from collections import Counter
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

from argilla_admap.scoring.scorer import ScoredCompletion, Work

if TYPE_CHECKING:
    import pyarrow as pa

    from argilla_admap.scoring.options import ScoreOptions
    from argilla_admap.scoring.session import Session

__all__ = ["SCORER", "ExistingScorer"]


class ExistingScorer:
    """The mean of the samples that the data carry; their sample variance (ddof 1) where there are two or more."""

    name = "existing"

    def __init__(self, options: ScoreOptions, session: Session) -> None:
        self.cached = 0
        self._judges: Counter[Any] = Counter()

    async def start(self) -> list[str]:
        return []

    async def score(self, batch: pa.RecordBatch) -> list[list[ScoredCompletion]]:
        completions: list[Any] = batch.column("completions").to_pylist()
        samples: list[Any] = batch.column("samples").to_pylist()
        self._judges.update(batch.column("judge").drop_null().to_pylist())
        return [
            [_of(given) for given in row] if row is not None and len(row) == len(texts) else [_of(None)] * len(texts)
            for texts, row in zip(completions, samples, strict=True)
        ]

    async def estimate(self, batch: pa.RecordBatch) -> Work:
        return Work()

    def facts(self) -> dict[str, Any]:
        return {"scorer": "existing", "judges": [judge for judge, _ in self._judges.most_common(20)]}


def _of(given: list[float | None] | None) -> ScoredCompletion:
    samples = tuple(given or ())
    usable = [s for s in samples if s is not None and math.isfinite(s)]
    if not usable:
        return ScoredCompletion(None, "the data carry no score", samples=samples)
    return ScoredCompletion(fmean(usable), None, variance(usable) if len(usable) > 1 else None, len(usable), samples)


SCORER = ExistingScorer
