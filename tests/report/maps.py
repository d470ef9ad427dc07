"""Maps for the tests of the report: of made-up scores, through the real `build_map`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from argilla_admap.mapping.data_map import DataMap, build_map
from tests.mapping.plain import scored_stream

SOURCES = ("alpha", "beta", "gamma")
MODELS = ("gpt-4o-mini", "claude-2", "llama-2-13b-chat", "qwen-72b")


def made_up_rows(n: int, *, k: int = 2, seed: int = 0, wrong: float = 0.1, whole: bool = False) -> list[dict[str, Any]]:
    """Rows of the plain format: scores of 1 to 10, labels of which some are swapped."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(2, 9, (n, 1)) + rng.normal(0, 1.5, (n, k))
    scores = np.clip(quality + rng.normal(0, 0.4, (n, k)), 1, 10).round(0 if whole else 2)
    ratings = quality.argsort(axis=1).argsort(axis=1).astype(float)
    swapped = rng.random(n) < wrong
    ratings[swapped] = ratings[swapped][:, ::-1]
    return [
        {
            "id": f"record-{i}",
            "prompt": f"Prompt number {i}: what is to be done?",
            "source": SOURCES[i % 7 % 3],
            "completions": [
                {
                    "text": f"Completion {j} of {i}. " * (1 + (i + j) % 5),
                    "model": MODELS[(i + j) % 4],
                    "rating": float(ratings[i, j]),
                    "scores": [float(scores[i, j])],
                }
                for j in range(k)
            ],
        }
        for i in range(n)
    ]


def map_of(rows: Sequence[dict[str, Any]], **options: Any) -> DataMap:
    """The map of rows of the plain format."""
    return build_map(scored_stream(rows), **options)
