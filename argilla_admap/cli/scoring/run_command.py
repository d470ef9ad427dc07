"""`admap run`: the main job in one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from argilla_admap.cli.printing import (
    ParquetFile,
    dry_run_option,
    emit,
    fail_partly,
    json_option,
    keep_the_input,
    note,
    show_queues,
)
from argilla_admap.cli.review.push_command import embedding_options, push_options
from argilla_admap.cli.scoring.score_command import dollars, explain_unscored, show_estimate
from argilla_admap.cli.scoring_options import ScoringCommand, input_options, scoring_options

if TYPE_CHECKING:
    from argilla_admap.pipeline import Run

__all__ = ["command"]


@click.command("run", cls=ScoringCommand)
@click.argument("source", metavar="INPUT")
@click.option(
    "--dataset", required=True, metavar="[WORKSPACE/]NAME", help="The Argilla data set; created if it does not exist."
)
@click.option(
    "-o",
    "--output",
    type=ParquetFile(),
    help="Where to write the map; its scores are written beside it.  [default: NAME.map.parquet]",
)
@click.option("--stratify", metavar="FIELD", help="Split the regions separately for each value of this column, e.g. source.")
@input_options
@scoring_options
@push_options
@embedding_options
@dry_run_option
@json_option
def command(
    source: str,
    dataset: str,
    output: Path | None,
    stratify: str | None,
    reading: dict[str, Any],
    options: dict[str, Any],
    reviewers: str | None,
    embedding_model: str | None,
    embedding_base_url: str | None,
    dry_run: bool,
    as_json: bool,
    **push: Any,
) -> None:
    """Score INPUT, map it, push it to Argilla, and print the review queues with their links.

    Stop it at any point (Ctrl-C, a crash) and run it again: nothing is paid twice, nothing is sent twice. Exit code 3 says
    that some completions stayed unscored, or that some records are not in the data set.

    Example: admap run pairs.jsonl --dataset pairs --scorer existing
    """
    from argilla_admap import pipeline
    from argilla_admap.progress import ProgressLine

    output = output or pipeline.map_path(dataset)
    keep_the_input(source, output, pipeline.scored_path(output))
    push |= {"embedding_model": embedding_model, "embedding_base_url": embedding_base_url}
    if dry_run:
        answer = pipeline.run(source, dataset, dry_run=True, warn=note, **reading, **options, **push)
        emit(answer, as_json, lambda: show_estimate(answer))
        return
    with ProgressLine() as line:
        done = pipeline.run(
            source,
            dataset,
            output=output,
            stratify=stratify,
            score_progress=line.scoring,
            push_progress=line.pushing,
            warn=note,
            reviewers=reviewers or (),
            **reading,
            **options,
            **push,
        )
    for remark in done.pushed.notes:
        note(remark)
    emit(done.answer(), as_json, lambda: _show(done))
    explain_unscored(done.scored.summary)
    if done.scored.summary["unscored"] or done.pushed.unmatched:
        fail_partly()


def _show(done: Run) -> None:
    from argilla_admap.reporting.words import diagnosis_sentences

    scored, mapped, pushed = done.scored.summary, done.data_map.summary, done.pushed
    click.echo(
        f"{scored['scored']:,} of {scored['completions']:,} completions scored for {dollars(scored['cost_usd'])}; "
        f"{mapped['mapped']:,} of {mapped['records']:,} records on the map ({done.output})."
    )
    for line in diagnosis_sentences(mapped):
        click.echo(line)
    verb = "made" if pushed.created else "updated"
    click.echo(f"{pushed.dataset} {verb}: {pushed.added:,} records added, {pushed.updated:,} updated.")
    click.echo()
    show_queues(pushed.queues)
