"""The first three minutes: a server of one's own, real pairs with planted label errors, the map, the queues."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from argilla_admap import pipeline
from argilla_admap.example_data import write_example
from argilla_admap.scoring.options import ScoreOptions

if TYPE_CHECKING:
    from argilla_admap.scoring.run import Progress as ScoreProgress
    from argilla_admap.server.launcher import Connection

__all__ = ["DATASET", "Demo", "estimate_cost", "show"]

#: The data set's name on Argilla.
DATASET = "admap-demo"


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo set up."""

    run: pipeline.Run
    server: Connection
    #: The data, in which some labels were flipped.
    preferences: Path
    #: Ids of the records whose labels were flipped.
    planted: tuple[str, ...]


def show(
    folder: Path,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    blind: bool = False,
    live: bool = False,
    say: Callable[[str], None],
    score_progress: Callable[[ScoreProgress], None] | None = None,
    push_progress: Callable[[int, int], None] | None = None,
) -> Demo:
    """Writes the example, starts the server, scores, maps and pushes.

    Args:
        folder: where the example and its map go; made when absent.
        data_dir: the server's folder.
        blind: with the blind layout.
        live: ask the judge; else the recorded scores are used.
        say: takes a line for the person.
    Raises:
        ServerError: a program is missing or the server does not start.
    """
    from argilla_admap.review.argilla import argilla_api
    from argilla_admap.server import launcher

    preferences, planted = write_example(folder)
    say(f"Example: 201 real pairs of LLMBar; the labels of {len(planted)} were flipped on purpose.")
    server = launcher.start(data_dir, None, say)
    run = pipeline.run_with(
        pipeline.read(preferences),
        DATASET + ("-blind" if blind else ""),
        options=_options(live),
        output=folder / "example.map.parquet",
        client=argilla_api.connect(server.url, server.api_key),
        score_progress=score_progress,
        push_progress=push_progress,
        warn=say,
        blind=blind,
    )
    return Demo(run, server, preferences, tuple(planted))


def estimate_cost(folder: Path, *, live: bool = True) -> dict[str, Any]:
    """What asking the judge would cost (nothing, unless `live`): what a dry run of `admap score` answers for the example."""
    from argilla_admap.scoring import run as engine

    preferences, _ = write_example(folder)
    return engine.estimate(pipeline.read(preferences), _options(live))


def _options(live: bool) -> ScoreOptions:
    return ScoreOptions(scorer="judge") if live else ScoreOptions(scorer="existing")
