"""`admap selftest`: plants known label errors in a copy, and says how well this map finds them."""

from __future__ import annotations

import click

from argilla_admap.cli.printing import emit, json_option, note, table

__all__ = ["command"]

#: Below this precision the way to more is told.
FEW = 0.5


@click.command("selftest")
@click.argument("data_map", metavar="MAP")
@click.option("--kind", default="swap", show_default=True, help="The kind of error: swap, permutation or x10.")
@click.option("--rate", default=0.1, show_default=True, help="Share of the labelled records that get an error.")
@click.option("--rounds", default=5, show_default=True, help="Number of repetitions, each with different records.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@json_option
def command(data_map: str, kind: str, rate: float, rounds: int, seed: int, as_json: bool) -> None:
    """Plant known label errors in a copy of MAP (or of scored data), and measure how many are found.

    No file is changed and no judge is asked.

    Example: admap selftest map.parquet
    """
    from argilla_admap.commands import selftest
    from argilla_admap.reporting.words import sentence

    result = selftest(data_map, kind=kind, rate=rate, rounds=rounds, seed=seed, warn=note)
    answer = result.answer

    def show() -> None:
        k, share = answer["planted"], answer["planted"] / answer["records"]
        rows: list[list[object]] = [
            [name, f"{answer[key]:.3f}", "{:.3f} to {:.3f}".format(*answer["interval"][key]), meaning]
            for name, key, meaning in [
                ("AUROC", "auroc", "how often a wrong label has the higher P(wrong) of a wrong and a right one; chance 0.5"),
                ("average precision", "average_precision", f"share of wrong labels, going down the list; chance {share:.2f}"),
                (f"precision at {k}", "precision_at_k", f"share of wrong labels among the first {k}"),
                ("calibration error", "ece", "how far P(wrong) is from the share that is wrong; 0 is exact"),
            ]
        ]
        table(
            f"{k} of {answer['records']} labels changed ({answer['kind']}), {answer['rounds']} rounds",
            ["", "mean", "lowest to highest round", "what it says"],
            rows,
        )
        if answer["refused"] < answer["rounds"]:
            note(result.sentence())
        if answer["noise_rate"] is not None:
            note(f"Estimated noise rate: {answer['noise_rate']:.1%}, of the {share:.0%} planted and what was wrong before.")
        if answer["refused"]:
            note(
                f"No P(wrong) in {answer['refused']} of {answer['rounds']} rounds, nothing found: {sentence(answer['refusal'])}"
            )
        if answer["refused"] or answer["precision_at_k"] < FEW:
            note("More would be found by a stronger judge, a second one, or more samples (`admap score --samples 3`).")

    emit(answer, as_json, show)
