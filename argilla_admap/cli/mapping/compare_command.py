"""`admap compare`: two judges, or two dates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from argilla_admap.cli.printing import dry_run_option, emit, json_option, keep_the_input, note, table

__all__ = ["command"]

#: So many of the records that moved are shown.
FARTHEST = 10


@click.command("compare")
@click.argument("map_a", metavar="MAP_A")
@click.argument("map_b", metavar="MAP_B")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The records that changed region, as JSON lines, farthest first.",
)
@dry_run_option
@json_option
def command(map_a: str, map_b: str, output: Path | None, dry_run: bool, as_json: bool) -> None:
    """Compare two maps of the same records: what moved, how far the judges agree, how each is biased.

    Records are joined by id; those in only one map are counted.

    Example: admap compare gpt-4o.parquet qwen.parquet
    """
    import json

    from argilla_admap.commands import compare

    for source in (map_a, map_b):
        keep_the_input(source, output)
    found = compare(map_a, map_b, output, dry_run=dry_run)
    farthest = found.moved.head(20).to_json(orient="records")
    written = None if output is None or dry_run else str(output)
    answer: dict[str, Any] = {"map_a": map_a, "map_b": map_b, **found.answer, "output": written}
    answer["farthest"] = json.loads(farthest)
    emit(answer, as_json, lambda: _show(answer))


def _show(answer: dict[str, Any]) -> None:
    from argilla_admap.reporting.words import bias_figures, comparison_figures

    regions = answer["regions"]
    names = list(regions["transitions"])
    note(f"a: {answer['map_a']}\nb: {answer['map_b']}")
    table(
        "from a (rows) to b (columns)", ["region", *names], [[name, *regions["transitions"][name].values()] for name in names]
    )
    table(None, ["", "", ""], [[f.label, f.value, f.note] for f in comparison_figures(answer)])
    for side in ("a", "b"):
        figures = bias_figures(answer["bias"][side])
        if figures:
            name = answer["bias"][side]["judge"]
            table(
                f"judge of {side}" + (f": {name}" if name else ""), ["", "", ""], [[f.label, f.value, f.note] for f in figures]
            )
        else:
            note(f"Nothing to say about the judge of {side}: fewer than ten records with scores that differ.")
    if answer["farthest"]:
        rows = [
            [r["id"], r["region_a"] or "none", r["region_b"] or "none", round(r["distance"], 2)]
            for r in answer["farthest"][:FARTHEST]
        ]
        table("moved farthest", ["id", "in a", "in b", "by standard deviations of a"], rows)
    if answer["output"]:
        note(f"{regions['moved']:,} records that changed region are in {answer['output']}.")
    elif regions["moved"] > FARTHEST:
        note(f"All {regions['moved']:,} records that changed region: `admap compare MAP_A MAP_B -o moved.jsonl`.")
