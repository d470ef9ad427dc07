"""`admap selftest`: plants known label errors in a copy, and says how well this map finds them."""

from __future__ import annotations

import click

from argilla_admap.cli.output import emit, json_option, note, sentence, table

__all__ = ["command"]


@click.command("selftest")
@click.argument("data_map", metavar="MAP")
@click.option("--kind", default="swap", show_default=True, help="The errors: swap, permutation or x10.")
@click.option("--rate", default=0.1, show_default=True, help="Share of the labelled records that get one.")
@click.option("--rounds", default=5, show_default=True, help="How often, with other records each time.")
@click.option("--seed", default=0, show_default=True, help="Another seed plants other errors.")
@json_option
def command(data_map: str, kind: str, rate: float, rounds: int, seed: int, as_json: bool) -> None:
    """Plant known label errors in a copy of MAP (or of scored data), and say how well they are found.

    No file is changed and no judge is asked.

    Example: admap selftest map.parquet
    """
    from argilla_admap import pipeline
    from argilla_admap.mapping.selftest import selftest

    result = selftest(pipeline.open_scored(data_map, say=note), kind=kind, rate=rate, rounds=rounds, seed=seed)
    answer = result.answer

    def show() -> None:
        rows: list[list[object]] = [
            [name, f"{answer[key]:.3f}", "{:.3f} to {:.3f}".format(*answer["interval"][key])]
            for name, key in [
                ("AUROC", "auroc"),
                ("average precision", "average_precision"),
                (f"precision at {answer['planted']}", "precision_at_k"),
                ("calibration error", "ece"),
            ]
        ]
        table(
            f"{answer['planted']} of {answer['records']} labels made wrong ({answer['kind']}), {answer['rounds']} rounds",
            ["", "mean", "rounds"],
            rows,
        )
        if answer["refused"] < answer["rounds"]:
            note(result.sentence())
        if answer["refused"]:
            note(
                f"No P(wrong) in {answer['refused']} of {answer['rounds']} rounds, nothing found: {sentence(answer['refusal'])}"
            )

    emit(answer, as_json, show)
