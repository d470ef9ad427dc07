"""`admap report`: the map to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from argilla_admap.cli.output import dry_run_option, emit, json_option, note, table

__all__ = ["command"]


@click.command("report")
@click.argument("data_map", metavar="MAP")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A .html, .png or .svg file."
)
@click.option("--title", help="Of the page or the picture; the file's name without it.")
@dry_run_option
@json_option
def command(data_map: str, output: Path, title: str | None, dry_run: bool, as_json: bool) -> None:
    """Draw MAP, which `admap map` wrote.

    An .html file holds the whole map and opens offline; .png and .svg are for a paper.

    Example: admap report map.parquet -o map.html
    """
    from argilla_admap.mapping.data_map import DataMap
    from argilla_admap.report.page import write_page

    opened = DataMap.read(data_map)
    if dry_run:
        emit({"records": opened.numbers.num_rows, "output": None}, as_json, lambda: note(f"{output} would be written."))
        return
    written = write_page(opened, output, title=title or Path(data_map).stem, name=data_map)
    answer: dict[str, Any] = {
        "records": written.records,
        "drawn": written.drawn,
        "texts": written.texts,
        "bytes": written.bytes,
        "output": str(output),
    }

    def show() -> None:
        table(None, ["", "", ""], [[f.label, f.value, f.note] for f in written.figures])
        note(f"{output}: {written.bytes / 1e6:.1f} MB")

    emit(answer, as_json, show)
