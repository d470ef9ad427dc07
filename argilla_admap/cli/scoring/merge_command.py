"""`admap merge`: scored parts of several machines, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from argilla_admap.cli.printing import ParquetFile, dry_run_option, emit, fail_partly, json_option, keep_the_input, note, table
from argilla_admap.cli.scoring.score_command import dollars

__all__ = ["command"]


@click.command("merge")
@click.argument("parts", metavar="PART...", nargs=-1, required=True)
@click.option("-o", "--output", type=ParquetFile(), help="The .parquet file to write.")
@click.option(
    "--part-store",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A machine's judgement store, to be taken into the one store; repeat for each.",
)
@click.option(
    "--store", type=click.Path(path_type=Path, dir_okay=False), help="The one store.  [default: in this user's data folder]"
)
@dry_run_option
@json_option
def command(
    parts: tuple[str, ...],
    output: Path | None,
    part_store: tuple[Path, ...],
    store: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put together what several machines scored with `admap score --shard I/N`.

    The result is what one machine would have written, in the input's order. A part that is missing, there twice, of another
    input or by another judge ends the command, and nothing is written.

    Example: admap merge part-1.parquet part-2.parquet -o scored.parquet
    """
    from argilla_admap import commands

    if output is None and not dry_run:
        raise click.UsageError("Name the output with -o SCORED.parquet, or look first with --dry-run.")
    for part in parts:
        keep_the_input(part, output)
    answer = commands.merge(parts, output, part_store=part_store, store=store, dry_run=dry_run)
    emit(answer, as_json, lambda: _show(answer))
    if answer["unscored"]:
        note(f"{answer['unscored']:,} completions are unscored: score those parts again, and merge again.")
        fail_partly()


def _show(answer: dict[str, Any]) -> None:
    rows = [[name, answer[name]] for name in ("parts", "records", "completions", "scored", "unscored", "requests")]
    rows += [["cost", dollars(answer["cost_usd"])], ["new in the store", answer["judgements"]], ["file", answer["output"]]]
    table(None, ["", ""], rows)
