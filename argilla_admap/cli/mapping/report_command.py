"""`admap report`: the map to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from argilla_admap.cli.printing import dry_run_option, emit, json_option, note, table
from argilla_admap.errors import InputError

if TYPE_CHECKING:
    from argilla_admap.reporting.page import RecordLink

__all__ = ["command"]

_KINDS = (".html", ".png", ".svg", ".pdf")


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
    from argilla_admap.mapping.analysis.bias import measure_bias
    from argilla_admap.mapping.data_map import DataMap
    from argilla_admap.reporting.page import write_page
    from argilla_admap.reporting.points import gather_points
    from argilla_admap.reporting.review_words import read_status, review_figures
    from argilla_admap.reporting.words import bias_figures, map_figures

    kind = output.suffix.lower()
    if kind not in _KINDS:
        raise InputError(f"{output}: give a file that ends in {', '.join(_KINDS)}")
    opened = DataMap.read(data_map)
    link, outcomes, status = _review(dataset) if dataset else (None, {}, None)
    if status_file is not None:
        status = read_status(status_file)
    if dry_run:
        emit({"records": opened.numbers.num_rows, "output": None}, as_json, lambda: note(f"{output} would be written."))
        return
    bias = measure_bias(opened.stream()).as_json()
    answer: dict[str, Any] = {"records": opened.numbers.num_rows, "output": str(output), "bias": bias}
    if kind == ".html":
        judged = bias_figures(bias)
        title = title or Path(data_map).stem
        review: dict[str, Any] = {"outcomes": outcomes, "status": status}
        written = write_page(opened, output, title=title, link=link, figures=judged, name=data_map, **review)
        answer["reviewed"] = len(outcomes)
        answer |= {"drawn": written.drawn, "texts": written.texts, "bytes": written.bytes}
        figures = list(written.figures)
    else:
        from argilla_admap.reporting.plots import write_picture

        answer["drawn"] = write_picture(opened, output, title=title or "")
        answer["bytes"] = output.stat().st_size
        figures = [*map_figures(gather_points(opened)), *bias_figures(bias)]
    if status is not None:
        figures += review_figures(status)
        answer |= {name: status[name] for name in ("judge", "slices")}
    answer["figures"] = {figure.label: f"{figure.value} ({figure.note})" if figure.note else figure.value for figure in figures}

    def show() -> None:
        table(None, ["", "", ""], [[figure.label, figure.value, figure.note] for figure in figures])
        note(f"{output}: {answer['drawn']:,} records, {answer['bytes'] / 1e6:.1f} MB")

    emit(answer, as_json, show)


def _review(dataset: str) -> tuple[RecordLink, Mapping[str, str], dict[str, Any] | None]:
    """How the page finds a record in the data set, how the review of each record ended that has answers, and how it stands.

    Raises:
        ArgillaError: no server, or no such data set.
        InputError: the data set was never pushed to.
    """
    from argilla_admap import commands, pipeline
    from argilla_admap.reporting.page import RecordLink
    from argilla_admap.review.argilla.argilla_api import Api, parse_address
    from argilla_admap.review.argilla.properties import BY_COLUMN
    from argilla_admap.review.dataset.card import FIELD
    from argilla_admap.review.dataset.layout import managed_layout

    client = pipeline.connect()
    target = Api(client).dataset(parse_address(dataset))
    if not {BY_COLUMN[column].name for column in ("mean", "variance")} <= set(target.properties):
        raise InputError(f"{target.full_name} was never pushed to; do it with `admap push MAP --dataset {target.full_name}`")
    layout = managed_layout(target)
    # The blind card holds no id, and a foreign data set no card: there the record's numbers alone must do.
    search = FIELD if layout is not None and not layout.blind else None
    link = RecordLink(page=target.page, dataset=target.full_name, search=search)
    try:
        found = commands.status(target.full_name, client)
        return link, found.reviews.result.outcomes, found.answer
    except InputError as error:
        # Its questions ask nothing about the label.
        note(f"no answers were read: {error}")
        return link, {}, None
