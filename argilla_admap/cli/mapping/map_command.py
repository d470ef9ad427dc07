"""`admap map`: coordinates, regions, agreement, P(wrong), flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from argilla_admap.cli.printing import (
    ParquetFile,
    dry_run_option,
    emit,
    fail_partly,
    json_option,
    keep_the_input,
    note,
    table,
)
from argilla_admap.cli.scoring_options import engine_option, input_options

__all__ = ["command"]

#: From this share of the records on, ties with a threshold make regions of very unlike size.
MOST_TIED = 0.2


@click.command("map")
@click.argument("scored", metavar="SCORED")
@click.option("-o", "--output", type=ParquetFile(), help="The .parquet file to write.")
@click.option("--stratify", metavar="FIELD", help="Split the regions separately for each value of this column, e.g. source.")
@click.option(
    "--thresholds",
    metavar="MAP|VARIANCE,MEAN",
    help="Reuse the thresholds of an earlier map so that regions stay comparable; or give two numbers, e.g. 0.5,4.",
)
@click.option(
    "--between",
    is_flag=True,
    help="Subtract the judge's own noise from the variance, where completions have several samples.",
)
@click.option(
    "--length-control",
    type=click.Choice(["all", "excess"]),
    help="Remove the judge's length bias from the scores: all of it, or only what the labels do not share.",
)
@click.option(
    "--answers",
    metavar="DATASET|CHANGES.jsonl",
    help="Learn from what people answered: unread records like the corrected ones (source, annotator, models) rise.",
)
@click.option(
    "--regions-only",
    is_flag=True,
    help="Only mean, variance and region of each id, from the scores alone: for a look at very large data.",
)
@input_options
@engine_option
@dry_run_option
@json_option
def command(
    scored: str,
    output: Path | None,
    stratify: str | None,
    thresholds: str | None,
    between: bool,
    length_control: str | None,
    answers: str | None,
    regions_only: bool,
    engine: str,
    reading: dict[str, Any],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Place each record of SCORED on the map, and estimate how likely its label is wrong.

    SCORED is what `admap score` wrote. Data that are not scored yet are taken too, with the options that say how to read
    them: their map holds what can be seen without a judge.

    Example: admap map scored.parquet -o map.parquet
    """
    from argilla_admap import commands

    if output is None and not dry_run:
        raise click.UsageError("Say where the map goes with -o MAP.parquet (or look first with --dry-run).")
    keep_the_input(scored, output)
    options: dict[str, Any] = {"regions_only": regions_only, "length_control": length_control, "answers": answers}
    data_map = commands.map(
        scored,
        output,
        stratify=stratify,
        thresholds=thresholds,
        between=between,
        engine=engine,
        warn=note,
        dry_run=dry_run,
        **options,
        **reading,
    )
    answer: dict[str, Any] = {**data_map.summary, "output": None if dry_run or output is None else str(output)}
    emit(answer, as_json, lambda: _show(answer, stratify or "source"))
    if 0 < answer["mapped"] < answer["records"]:
        # Where nothing is scored at all nobody asked for scores: what is seen without a judge is the whole answer.
        missing = answer["records"] - answer["mapped"]
        note(f"{missing:,} records have no place: fewer than two of their completions are scored. Score them and map again.")
        fail_partly()


def _show(answer: dict[str, Any], column: str) -> None:
    from argilla_admap.reporting.words import diagnosis_sentences

    rows: list[list[object]] = [["records", answer["records"]], ["on the map", answer["mapped"]]]
    rows += [[f"region {name}", count] for name, count in answer["regions"].items()]
    rows += [[f"flag {name}", count] for name, count in answer["flags"].items()]
    rows += [[f"issue {name}", count] for name, count in answer["issues"].items()]
    table(None, ["", "records"], rows)
    if answer["noise_by_source"]:
        parts = [
            [p["source"], p["records"], f"{p['noise_rate']:.1%}", "{:.1%} to {:.1%}".format(*p["noise_interval"])]
            for p in answer["noise_by_source"]
        ]
        table(f"Wrong labels by {column}, estimated", [column, "records", "wrong", "90% interval"], parts)
    if answer["thresholds"]:
        limits = "Regions: high_var from a variance of {variance:.4g}; of the rest, high_avg from a mean of {mean:.4g}."
        note(limits.format(**answer["thresholds"]))
    if answer["boundary_ties"]:
        tied = f"{answer['boundary_ties']:,} records tie with a threshold; they stay together on one side of it."
        if answer["boundary_ties"] > MOST_TIED * answer["mapped"]:
            tied += (
                " The judge gives too few different scores to split by: more samples (`admap score --samples 3`), or the "
                "expected score that `--method logprobs` reads, tell more apart."
            )
        note(tied)
    for line in diagnosis_sentences(answer):
        note(line)
    if answer["output"]:
        note(f"Written to {answer['output']}. {_next(answer)}")


def _next(answer: dict[str, Any]) -> str:
    """What to do with the map."""
    if not answer["flags"]:
        return "It holds no texts: to review records, map again without --regions-only."
    push = f"review it in Argilla with `admap push {answer['output']} --dataset NAME`"
    if not answer["mapped"]:
        return f"Next: score the completions (`admap score`) and map again, or {push}: what needs no judge is there already."
    return f"Next: look at it with `admap report {answer['output']} -o map.html`, or {push}."
