"""`admap report`: the map to look at."""

from __future__ import annotations

from pathlib import Path

import click

from argilla_admap.cli.printing import dry_run_option, emit, json_option, note, table

__all__ = ["command"]


@click.command("report")
@click.argument("data_map", metavar="MAP")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="An .html page, or a picture for a paper: .png, .svg, .pdf.",
)
@click.option(
    "--dataset",
    metavar="[WORKSPACE/]NAME",
    help="The Argilla data set the map was pushed to: a click on a point opens its record, what was reviewed is marked, and "
    "a panel shows how the review stands, with the judge against people.",
)
@click.option(
    "--status",
    "status_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take the review from what `admap status DATASET --json` wrote, without a server.",
)
@click.option("--title", help="Title of the page or picture.  [default: the map's file name; pictures have none]")
@dry_run_option
@json_option
def command(
    data_map: str,
    output: Path,
    dataset: str | None,
    status_file: Path | None,
    title: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Draw MAP (written by `admap map`) and explain its figures: regions, errors, flags, the judge's biases.

    The .html file holds the whole map and opens offline. Pictures need matplotlib: pip install 'argilla-admap[plot]'.

    Example: admap report map.parquet -o map.html
    """
    from argilla_admap.commands import report

    drawn = report(data_map, output, dataset=dataset, title=title, status=status_file, warn=note, dry_run=dry_run)
    answer = drawn.json()

    def show() -> None:
        if dry_run:
            note(f"{output} would be written.")
            return
        table(None, ["", "", ""], [[figure.label, figure.value, figure.note] for figure in drawn.figures])
        note(f"{output}: {answer['drawn']:,} records, {answer['bytes'] / 1e6:.1f} MB")

    emit(answer, as_json, show)
