"""`admap map`: coordinates, regions, agreement, P(wrong), flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from argilla_admap.cli.output import dry_run_option, emit, json_option, note, table

if TYPE_CHECKING:
    from argilla_admap.tables import RecordStream

__all__ = ["command"]


@click.command("map")
@click.argument("scored", metavar="SCORED")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where the map goes, a .parquet file.")
@click.option("--stratify", metavar="FIELD", help="Split the regions within each value of this column, e.g. source.")
@click.option("--thresholds", metavar="MAP", help="Use the thresholds of an earlier map, so that its regions stay.")
@click.option(
    "--length-control",
    type=click.Choice(["all", "excess"]),
    help="Take the judge's liking for length out of the scores: all of it, or what the labels do not share.",
)
@dry_run_option
@json_option
def command(
    scored: str,
    output: Path | None,
    stratify: str | None,
    thresholds: str | None,
    length_control: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Place each record of SCORED on the map, and say how probably its label is wrong.

    SCORED is what `admap score` wrote. Data that are not scored yet are taken too: their map holds what can be seen
    without a judge.

    Example: admap map scored.parquet -o map.parquet
    """
    from argilla_admap.mapping.data_map import DataMap, build_map

    if output is None and not dry_run:
        raise click.UsageError("Say where the map goes with -o MAP.parquet (or look first with --dry-run).")
    earlier = DataMap.read(thresholds) if thresholds else None
    stream = _open(scored)
    if length_control:
        from argilla_admap.mapping.bias import control_length

        stream = control_length(stream, excess_only=length_control == "excess")
        slope = stream.info["length_control"]["scores"]["per_doubling"]
        note(f"Scores are taken at equal length: {slope:+.3g} points a doubling were taken out.")
    data_map = build_map(stream, stratify=stratify, thresholds=earlier)
    answer: dict[str, Any] = {**data_map.summary, "output": None}
    if output is not None and not dry_run:
        data_map.write(output)
        answer["output"] = str(output)
    emit(answer, as_json, lambda: _show(answer))


def _open(place: str) -> RecordStream:
    """A file of ours as it is, anything else through the readers."""
    from argilla_admap.tables import read_stream

    if place.endswith(".parquet") and Path(place).is_file():
        stream = read_stream(place)
        if "completions" in stream.schema.names and "id" in stream.schema.names:
            return stream
    from argilla_admap.formats import registry

    preferences: RecordStream = registry.read(place)
    return preferences


def _show(answer: dict[str, Any]) -> None:
    rows: list[list[object]] = [["records", answer["records"]], ["on the map", answer["mapped"]]]
    rows += [[f"region {name}", count] for name, count in answer["regions"].items()]
    rows += [[f"flag {name}", count] for name, count in answer["flags"].items()]
    table(None, ["", "records"], rows)
    if answer["noise_rate"] is not None:
        note(f"About {answer['noise_rate']:.1%} of the labels are probably wrong.")
    if answer["refusal"]:
        note(f"No P(wrong): {answer['refusal']}.")
