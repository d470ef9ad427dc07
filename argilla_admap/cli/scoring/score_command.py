"""`admap score`: a judge's score for every completion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from argilla_admap.cli.printing import ParquetFile, dry_run_option, emit, fail_partly, json_option, keep_the_input, note, table
from argilla_admap.cli.scoring_options import ScoringCommand, input_options, scoring_options

__all__ = ["command", "show_estimate", "show_score"]


@click.command("score", cls=ScoringCommand)
@click.argument("source", metavar="INPUT")
@click.option("-o", "--output", type=ParquetFile(), help="The .parquet file to write.")
@input_options
@scoring_options
@dry_run_option
@json_option
def command(
    source: str, output: Path | None, reading: dict[str, Any], options: dict[str, Any], dry_run: bool, as_json: bool
) -> None:
    """Score every completion of INPUT.

    What was paid for is kept in the judgement store: stop at any time and run the same again to go on. Exit code 3 says
    that some completions stayed unscored.

    Example: admap score pairs.jsonl -o scored.parquet --scorer existing
    """
    if output is None and not dry_run:
        raise click.UsageError("Name the output with -o SCORED.parquet, or see the cost first with --dry-run.")
    from argilla_admap import pipeline
    from argilla_admap.progress import ProgressLine

    keep_the_input(source, output)
    if dry_run:
        answer = pipeline.score(source, dry_run=True, warn=note, **reading, **options)
        emit(answer, as_json, lambda: show_estimate(answer))
        return
    with ProgressLine() as line:
        scored = pipeline.score(source, output=output, progress=line.scoring, warn=note, **reading, **options)
    summary = scored.summary
    emit(summary, as_json, lambda: show_score(summary))
    explain_unscored(summary)
    if summary["unscored"]:
        fail_partly()


def show_estimate(answer: dict[str, Any]) -> None:
    """What a run would ask and cost, as a table."""
    rows = [
        ["records", answer["records"]],
        ["completions", answer["completions"]],
        ["judgements known already", answer["cached"]],
        ["equal to an earlier one", answer["repeated"]],
        ["requests", answer["requests"]],
        ["input tokens", answer["input_tokens"]],
        ["output tokens", answer["output_tokens"]],
        ["cost", dollars(answer["cost_usd"])],
        ["judge", answer["model"]],
    ]
    most = answer.get("at_most")
    if most is not None:
        rows[5:5] = [["requests, at most", most["requests"]]]
        rows[-1:-1] = [["cost, at most", dollars(most["cost_usd"])]]
    if answer["max_cost_usd"] is not None:
        rows[-1:-1] = [["budget", dollars(answer["max_cost_usd"])]]
    table("What scoring would take", ["", ""], rows)
    if most is not None:
        note(
            "At first one look at each completion; at most, what more looks may add where it is undecided: samples, a guide, a "
            "second judge."
        )
    judges = answer.get("facts", ())
    if any(facts.get("tokens_counted") is False for facts in judges):
        note("Tokens are estimated: the model's own tokenizer is not at hand offline.")
    if any(facts.get("method") == "logprobs" and not facts.get("together") for facts in judges):
        note("One call a completion, as with token probabilities; a judge without them gives three samples in that call.")
    for words in answer["notes"]:
        note(f"{words[:1].upper()}{words[1:]}.")


def show_score(summary: dict[str, Any]) -> None:
    """What a run did, as a table."""
    rows = [
        ["records", summary["records"]],
        ["completions", summary["completions"]],
        ["scored", summary["scored"]],
        ["unscored", summary["unscored"]],
        ["judgements known already", summary["cached"]],
        ["requests", summary["requests"]],
        ["tokens in, out", f"{summary['input_tokens']:,}, {summary['output_tokens']:,}"],
        ["cost", dollars(summary["cost_usd"])],
        ["judge", summary["model"]],
        ["file", summary["output"]],
    ]
    table(None, ["", ""], rows)


def explain_unscored(summary: dict[str, Any]) -> None:
    """Why completions stayed unscored, and what to do, on stderr."""
    if not summary["unscored"]:
        return
    note(f"{summary['unscored']:,} completions are unscored:")
    for reason, count in list(summary["reasons"].items())[:5]:
        note(f"  {count:,} x {reason}")
    if summary.get("stopped"):
        note("The budget is used up; run the same with a higher --max-cost to go on: what was paid for is kept.")
    elif summary["requests"] or summary["retried"]:
        note("Run the same again to ask only those.")
    elif summary["model"] == "existing" and summary["scored"]:
        note("To have them scored, ask a judge: the same without --scorer existing.")


def dollars(amount: float | None) -> str:
    """An amount of US dollars for a person."""
    return "unknown (no price listed; give it with --price IN,OUT)" if amount is None else f"${amount:,.4f}"
