"""`admap pull`: corrected labels back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from argilla_admap.cli.printing import (
    adjudicators_option,
    dry_run_option,
    emit,
    fail_partly,
    json_option,
    note,
    plain,
    rating_question_option,
    resolve_option,
    table,
    written_format_option,
)
from argilla_admap.cli.scoring_options import field_options, on_error_option, split_option

if TYPE_CHECKING:
    from argilla_admap.formats.writeback.undo import Undone
    from argilla_admap.review.pull.copy_back import CopiedBack
    from argilla_admap.review.pull.to_file import Pulled

__all__ = ["command"]


@click.command("pull")
@click.argument("dataset", metavar="[WORKSPACE/]DATASET")
@click.option("--undo", metavar="CHANGES.jsonl", help="Take these changes back in a file, which is named in place of DATASET.")
@click.option("-o", "--output", metavar="OUT", help="The file or new folder to write, or hf:ORG/NAME.")
@click.option("--original", metavar="FILE", help="Write a copy of this file with only the corrected rows changed.")
@click.option("--original-format", metavar="NAME", help="The original's format.  [default: detected]")
@written_format_option("Write another format, not the original's.  [default without --original: plain]  Formats:")
@click.option("--changes", metavar="CHANGES.jsonl", help="Write one JSON line per reviewed record: the audit trail.")
@resolve_option
@adjudicators_option
@click.option(
    "--include-unreviewed/--reviewed-only",
    default=True,
    show_default=True,
    help="Write all records, or only the reviewed ones.",
)
@click.option(
    "--ties",
    type=click.Choice(["keep", "drop"]),
    default="keep",
    show_default=True,
    help="Keep records reviewed as a tie or both bad (a pair keeps its better side where the format cannot express it), "
    "or leave their rows out.",
)
@click.option("--soft", is_flag=True, help="Add vote shares and a chosen_probability, for cDPO or IPO; with --format.")
@click.option("--home", is_flag=True, help="For a review copy: add its answers to the data set that was copied.")
@rating_question_option
@field_options
@split_option
@on_error_option
@dry_run_option
@json_option
def command(
    dataset: str,
    undo: str | None,
    output: str | None,
    original: str | None,
    format_name: str | None,
    include_unreviewed: bool,
    home: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Bring the corrected labels of an Argilla data set back.

    Submitted answers count; drafts and discarded records do not. Records whose reviewers contradict each other stay as they
    were and are counted as conflicts. The names of fields are those of --original, else of the data set. --undo CHANGES.jsonl
    FILE -o OUT takes the corrections of an earlier pull back exactly and puts back the rows that it left out; rows that were
    changed since stay and are named.

    Example: admap pull default/uf --original uf.jsonl -o uf.corrected.jsonl --changes changes.jsonl
    """
    from argilla_admap import pipeline

    if output is None and not home and (not dry_run or undo is not None):
        raise click.UsageError("Name the output with -o OUT, or look first with --dry-run.")
    # What it gives depends on what is asked.
    pull: Callable[..., Any] = pipeline.pull
    done = pull(
        dataset,
        output=output,
        home=home,
        undo=undo,
        original=original,
        format=format_name,
        reviewed_only=not include_unreviewed,
        dry_run=dry_run,
        **options,
    )
    if home:
        _show_home(done, dry_run=dry_run, as_json=as_json)
    elif undo is not None:
        _show_undone(done, dataset, dry_run=dry_run, as_json=as_json)
    else:
        _show_pulled(done, as_json=as_json)


def _show_pulled(pulled: Pulled, *, as_json: bool) -> None:
    for words in pulled.notes:
        note(words)
    answer = pulled.json()

    def show() -> None:
        names = ("records", "reviewed", "corrected", "confirmed", "conflicts", "ties", "both_bad", "not_written")
        rows: list[Any] = [[name.replace("_", " "), answer[name]] for name in names]
        table(None, ["", answer["dataset"]], rows)
        note(f"written: {pulled.output}" if pulled.output else "nothing was written")

    emit(answer, as_json, show)
    if pulled.unmatched:
        fail_partly()


def _show_undone(done: Undone, source: str, *, dry_run: bool, as_json: bool) -> None:
    for record_id, why in list(done.conflicts.items())[:5]:
        note(plain(f"not taken back: {record_id}: {why}"))
    by_label = len(done.undone) - done.exact
    parts = [f"changes {'that would be ' if dry_run else ''}taken back: {len(done.undone):,}"]
    for number, what in (
        (by_label, "of these, the label alone, since the pull wrote another format or the row was changed later"),
        (len(done.already), "taken back before"),
        (len(done.conflicts), "in conflict with later changes, which stay"),
        (len(done.unmatched), f"of records that are not in {source}"),
        (done.put_back, "rows that were left out and are back"),
        (done.not_put_back, "rows that were left out and are not back, because what stood beside them was changed"),
    ):
        if number:
            parts.append(f"{what}: {number:,}")
    emit(done.json(), as_json, lambda: note("; ".join(parts) + "."))
    if done.conflicts or done.unmatched or done.not_put_back:
        fail_partly()


def _show_home(sent: CopiedBack, *, dry_run: bool, as_json: bool) -> None:
    answer = {name: getattr(sent, name) for name in ("dataset", "answers", "present", "unfit", "unmatched")}
    verb = "would be added" if dry_run else "were added"
    emit(
        answer,
        as_json,
        lambda: note(
            f"{sent.dataset}: {sent.answers:,} answers {verb}, {sent.present:,} people had answered there themselves, "
            f"{sent.unfit:,} answers do not fit its questions, {sent.unmatched:,} records are not there."
        ),
    )
    if sent.unfit or sent.unmatched:
        fail_partly()
