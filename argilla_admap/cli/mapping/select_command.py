"""`admap select`: a training subset of a map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from argilla_admap.cli.printing import dry_run_option, emit, json_option, keep_the_input, note, table, written_format_option
from argilla_admap.cli.scoring_options import engine_option

if TYPE_CHECKING:
    from argilla_admap.mapping.analysis.selection import Selection

__all__ = ["command"]

#: From this association on, a choice is in part a choice of sources, and that is said.
_LEANING = 0.1


@click.command("select")
@click.argument("data_map", metavar="MAP")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file or new folder to write, or hf:ORG/NAME."
)
@click.option(
    "--region",
    "region",
    metavar="REGION",
    multiple=True,
    help="Only this region: high_var, high_avg, low_avg; can be repeated.",
)
@click.option("--max-p-wrong", type=float, metavar="P", help="Only records with P(wrong) up to P.")
@click.option("--without-flag", metavar="FLAG", multiple=True, help="Leave out records with this flag; can be repeated.")
@click.option("--agreed-by", type=int, metavar="N", help="Only records whose label N of the map's judges agree with.")
@click.option("--fraction", type=float, metavar="F", help="Keep at most this share of the records, the best by mean score.")
@click.option("--stratify", metavar="FIELD", help="Keep the mix of this column's values, e.g. source.")
@click.option(
    "--embeddings",
    metavar="FILE|position",
    help="Choose a diverse subset by vectors: a .npy (a row per record), a .parquet (id, embedding), or the map's positions.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed for the order of equal records.")
@written_format_option(
    "The output's format.  [default: trl, or trl-messages for conversations; a .parquet keeps the map's columns]  Formats:"
)
@click.option(
    "--dataset",
    metavar="[WORKSPACE/]NAME",
    help="The Argilla data set the map was pushed to: the data card of a folder or of the Hub says who checked the labels, and "
    "how many are wrong.",
)
@engine_option
@dry_run_option
@json_option
def command(
    data_map: str,
    output: Path | None,
    region: tuple[str, ...],
    max_p_wrong: float | None,
    without_flag: tuple[str, ...],
    agreed_by: int | None,
    fraction: float | None,
    stratify: str | None,
    embeddings: str | None,
    seed: int,
    format_name: str | None,
    dataset: str | None,
    engine: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Choose the records of MAP to train on, and report what was dropped and why.

    `--region high_avg` alone is the published selection: the third of the data with agreed, good completions.

    Example: admap select map.parquet -o train.jsonl --region high_avg --max-p-wrong 0.5 --stratify source
    """
    from argilla_admap.commands import select

    if output is None and not dry_run:
        raise click.UsageError("Say where the records go with -o FILE (or look first with --dry-run).")
    keep_the_input(data_map, output)
    selected = select(
        data_map,
        output,
        region=region,
        max_p_wrong=max_p_wrong,
        without_flag=without_flag,
        agreed_by=agreed_by,
        fraction=fraction,
        stratify=stratify,
        embeddings=embeddings,
        seed=seed,
        format=format_name,
        dataset=dataset,
        engine=engine,
        dry_run=dry_run,
    )
    answer = selected.json()
    emit(answer, as_json, lambda: _show(answer, selected.selection))


def _show(answer: dict[str, Any], selection: Selection) -> None:
    table(None, ["", "records"], [["selected", answer["selected"]], *([k, v] for k, v in answer["dropped"].items())])
    for title, parts in (
        ("region", selection.by_region),
        (selection.stratum, selection.by_stratum),
        ("flag", selection.by_flag),
    ):
        rows = [[name, n["records"], n["kept"], f"{n['kept'] / n['records']:.0%}"] for name, n in parts.items() if n["records"]]
        if rows:
            table(None, [title, "records", "kept", "share"], rows[:30])
    if not answer["dropped"]:
        note("No condition leaves a record out: choose with --region, --max-p-wrong, --without-flag or --fraction.")
    if answer["left_out"]:
        note(f"{answer['left_out']:,} of them are ties or have no label, which this format cannot hold: left out.")
    if answer["selected"] < answer["wanted"]:
        note(f"{answer['wanted'] - answer['selected']:,} fewer than asked for: not enough records pass in every part.")
    if (selection.association or 0) >= _LEANING:
        note(
            f"The choice depends on {selection.stratum} (Cramer's V {selection.association:.2f}); "
            f"--stratify {selection.stratum} keeps the mix."
        )
    if answer["output"]:
        note(f"{answer['selected'] - answer['left_out']:,} of {answer['records']:,} records are in {answer['output']}.")
        if answer["format"]:
            note(f"They are written as {answer['format']}; --help lists the other formats.")
    for words in answer["notes"]:
        note(words)
