"""`admap push`: the map onto Argilla."""

from __future__ import annotations

from typing import Any

import click

from argilla_admap.cli.printing import dry_run_option, emit, fail_partly, json_option, note, show_queues

__all__ = ["command", "push_options", "reviewer_names"]


def push_options(command: Any) -> Any:
    """The options of a push, for `admap push` and `admap run`."""
    for option in reversed(
        (
            click.option("--blind", is_flag=True, help="For a new data set: hide label, scores and models, shuffle the order."),
            click.option("--reviewers", metavar="A,B", help="Assign the records to these users; each gets a queue."),
            click.option("--overlap", type=click.IntRange(min=1), default=1, show_default=True, help="Reviewers per record."),
            click.option(
                "--audit",
                type=click.IntRange(min=0),
                default=0,
                show_default=True,
                metavar="N",
                help="Queue N records drawn at random: `admap status` estimates from them how many errors are left.",
            ),
            click.option("--copy-to", metavar="NAME", help="Create a review copy instead of enriching the existing data set."),
        )
    ):
        command = option(command)
    return command


@click.command("push")
@click.argument("data_map", metavar="MAP", required=False)
@click.option(
    "--dataset", required=True, metavar="[WORKSPACE/]NAME", help="The Argilla data set; created if it does not exist."
)
@push_options
@click.option("--prompt-field", metavar="FIELD", help="The prompt's field, in a data set that admap did not create.")
@click.option("--completion-field", metavar="FIELD", multiple=True, help="A completion's field there; can be repeated.")
@click.option("--similarity/--no-similarity", default=True, help="Add the vector of the texts, for 'more like this'.")
@click.option("--adjudicate", is_flag=True, help="Put the conflicts into a third person's queue; MAP may be left out.")
@click.option("--adjudicator", metavar="NAME", help="The third person.  [default: you]")
@dry_run_option
@json_option
def command(
    data_map: str | None,
    dataset: str,
    blind: bool,
    reviewers: str | None,
    overlap: int,
    audit: int,
    copy_to: str | None,
    prompt_field: str | None,
    completion_field: tuple[str, ...],
    similarity: bool,
    adjudicate: bool,
    adjudicator: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Create the Argilla data set of MAP with its review page, or enrich the existing one.

    Answers, suggestions, other metadata and settings of a data set that is there are not touched. Only what differs is
    sent: after a stop, the same command goes on.

    Example: admap push map.parquet --dataset default/uf
    """
    from argilla_admap import pipeline
    from argilla_admap.cli.progress import ProgressLine
    from argilla_admap.mapping.data_map import DataMap

    if data_map is None:
        if not adjudicate:
            raise click.UsageError("Name the MAP to push; only --adjudicate does without.")
        _ask(dataset, adjudicator, dry_run=dry_run, as_json=as_json)
        return
    opened = DataMap.read(data_map)
    with ProgressLine() as line:
        result = pipeline.push(
            opened,
            dataset,
            blind=blind,
            reviewers=reviewer_names(reviewers),
            overlap=overlap,
            audit=audit,
            copy_to=copy_to,
            prompt_field=prompt_field,
            completion_fields=completion_field,
            similarity=similarity,
            dry_run=dry_run,
            progress=line.pushing,
        )
    for remark in result.notes:
        note(remark)

    def show() -> None:
        verb = "would be made" if dry_run and result.created else "made" if result.created else "updated"
        note(
            f"{result.dataset} {verb}: {result.records:,} records of the map, {result.added:,} added, {result.updated:,} "
            f"updated, {result.unmatched:,} not found there."
        )
        show_queues(result.queues)

    answer = result.json()
    if adjudicate and not (dry_run and result.created):
        answer["adjudicate"] = _asked(dataset, adjudicator, dry_run=dry_run)
    emit(answer, as_json, show)
    if result.unmatched:
        fail_partly()


def _asked(dataset: str, adjudicator: str | None, *, dry_run: bool) -> dict[str, Any]:
    """The conflicts into a third person's queue; what was done, told to the person too."""
    from argilla_admap import pipeline
    from argilla_admap.review.people.adjudication import ask_adjudicator

    found = ask_adjudicator(dataset, pipeline.connect(), adjudicator=adjudicator, dry_run=dry_run)
    own = f", {found.own:,} are {found.adjudicator}'s own" if found.own else ""
    note(f"{found.conflicts:,} conflicts: {found.adjudicator} is asked to decide {found.asked:,}{own}. {found.url}")
    return found.json()


def _ask(dataset: str, adjudicator: str | None, *, dry_run: bool, as_json: bool) -> None:
    """No map: the conflicts alone."""
    asked = _asked(dataset, adjudicator, dry_run=dry_run)
    emit({"dataset": asked["dataset"], "created": False, "adjudicate": asked}, as_json, lambda: None)


def reviewer_names(text: str | None) -> tuple[str, ...]:
    """The names in ``a,b``, each once."""
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
