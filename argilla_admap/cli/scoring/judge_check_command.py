"""`admap judge-check`: whether a judge is fit for one's own records, before it is paid for all of them."""

from __future__ import annotations

from typing import Any

import click

from argilla_admap.cli.printing import dry_run_option, emit, json_option, note, table
from argilla_admap.cli.scoring.score_command import show_estimate
from argilla_admap.cli.scoring_options import ScoringCommand, input_options, scoring_options

__all__ = ["command"]


@click.command("judge-check", cls=ScoringCommand)
@click.argument("source", metavar="INPUT")
@click.option("--records", default=100, show_default=True, metavar="N", help="How many records to look at, drawn at random.")
@click.option("--seed", default=0, show_default=True, help="Random seed of the draw.")
@input_options
@scoring_options
@dry_run_option
@json_option
def command(
    source: str, records: int, seed: int, reading: dict[str, Any], options: dict[str, Any], dry_run: bool, as_json: bool
) -> None:
    """Measure whether a judge is fit for INPUT: repeated grades, changed answers, orders in the text, the labels.

    Costs less than a dollar unless --max-cost allows more: fewer records are looked at where they are dear. Exit code 3 says
    that the judge is not fit.

    Example: admap judge-check pairs.jsonl --model gpt-4o --dry-run
    """
    from argilla_admap.cli.printing import fail_partly
    from argilla_admap.commands import judge_check
    from argilla_admap.progress import ProgressLine

    asked: dict[str, Any] = {"records": records, "seed": seed, "warn": note, **reading, **options}
    if dry_run:
        estimate = judge_check(source, dry_run=True, **asked)
        emit(estimate, as_json, lambda: show_estimate(estimate))
        return
    with ProgressLine() as line:
        audit = judge_check(source, progress=line.scoring, **asked)
    emit(audit.answer, as_json, lambda: _show(audit.answer))
    if not audit.fit:
        fail_partly()


def _show(answer: dict[str, Any]) -> None:
    agreement, repeated, position = answer["agreement"], answer["repeatability"], answer["position_bias"]
    rows: list[list[object]] = [
        ["agrees with the label", f"{agreement['share']:.0%} of {agreement['n']}" if agreement else _few(), "chance 50%"],
        ["varies when asked again", f"{repeated['sd']:.2f}" if repeated else _few(), "points, standard deviation of one look"],
        ["prefers what stands first", f"{position['first_preferred']:.0%}" if position else _few(), _label_says(position)],
        ["everything said twice", _points(answer["length_bias"]), "a fair judge gives no more"],
        ["sentences shuffled", _points(answer["damage"]["shuffled"]), "a fair judge gives less"],
        ["cut to a third", _points(answer["damage"]["truncated"]), "a fair judge gives less"],
        ["an order in the text", _points(answer["injection"]), "a fair judge gives no more"],
    ]
    table(f"{answer['judge']} on {answer['records']} records", ["", "", "what it says"], rows)
    note(answer["sentence"])


def _few() -> str:
    return "too few to say"


def _points(found: dict[str, Any] | None) -> str:
    if found is None:
        return _few()
    low, high = found["interval"]
    return f"{found['change']:+.2f} points ({low:+.2f} to {high:+.2f})"


def _label_says(position: dict[str, Any] | None) -> str:
    if position is None or position["label_prefers_first"] is None:
        return "the judge sees no position"
    return f"the label prefers it in {position['label_prefers_first']:.0%}; the judge sees no position"
