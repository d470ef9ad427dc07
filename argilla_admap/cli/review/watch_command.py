"""`admap watch`: answers taken in as they are made."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from argilla_admap.cli.printing import adjudicators_option, emit, json_option, note, plain, resolve_option

if TYPE_CHECKING:
    from argilla_admap.review.watch.watch import Seen

__all__ = ["command"]

#: Seconds between two lines for a person.
_PAUSE = 60.0


@click.command("watch")
@click.argument("dataset", metavar="[WORKSPACE/]DATASET")
@click.option("--map", "data_map", metavar="MAP", help="The map that was pushed: it learns and is pushed anew.")
@click.option("--every", type=click.IntRange(min=1), default=50, show_default=True, help="Answers after which MAP learns.")
@resolve_option
@adjudicators_option
@click.option("--listen", metavar="HOST:PORT", help="Where an Argilla on another machine is to call.  [default: ask it]")
@click.option("--once", is_flag=True, help="Take in what is there, and end.")
@click.option("--json-lines", is_flag=True, help="Print one JSON object per reading on stdout.")
@json_option
def command(
    dataset: str,
    data_map: str | None,
    every: int,
    resolve: str,
    adjudicators: tuple[str, ...],
    listen: str | None,
    once: bool,
    json_lines: bool,
    as_json: bool,
) -> None:
    """Keep taking reviews in as they are made: outcomes, queues with their counts and the guidelines stay fresh.

    Ctrl-C or SIGTERM ends it. Killed, it goes on where it was when it is started again; while the server restarts, it waits.

    Example: admap watch default/uf --map map.parquet
    """
    from argilla_admap import pipeline

    if as_json and not once:
        raise click.UsageError("--json prints one object: add --once, or take --json-lines.")
    # A request that is sent again while the server restarts is no news.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    seen: Seen | None = None
    told = _Told()
    readings = pipeline.watch(
        dataset,
        data_map=data_map,
        every=every,
        resolve=resolve,
        adjudicators=adjudicators,
        listen=listen,
        once=once,
    )
    try:
        with closing(readings):  # type: ignore[type-var]  # a generator
            for seen in readings:
                if json_lines:
                    click.echo(json.dumps(seen.json(), ensure_ascii=False))
                    sys.stdout.flush()
                elif not as_json:
                    told.tell(seen)
    except KeyboardInterrupt:
        note("stopped")
    if as_json and seen is not None:
        emit(seen.json(), True, lambda: None)


class _Told:
    """One line a minute, at once for the first reading, for what was learned and for trouble."""

    def __init__(self) -> None:
        self._at = -_PAUSE
        self._new = 0
        self._problem: str | None = None

    def tell(self, seen: Seen) -> None:
        self._new += seen.new
        now = time.monotonic()
        if now - self._at < _PAUSE and not seen.learned and seen.problem == self._problem:
            return
        clock = seen.at[11:19]
        if seen.problem is not None:
            click.echo(plain(f"{clock}  {seen.problem}; trying again"))
        else:
            learned = ", P(wrong) renewed" if seen.learned else ""
            click.echo(
                f"{clock}  {self._new:,} new answers, {seen.reviewed:,} of {seen.records:,} records reviewed: "
                f"{seen.corrected:,} corrected, {seen.confirmed:,} confirmed, {seen.conflicts:,} conflicts{learned}"
            )
            self._new = 0
        self._at, self._problem = now, seen.problem
