"""`admap push`: the map onto Argilla."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from argilla_admap.cli.printing import dry_run_option, emit, fail_partly, json_option, note, show_queues
from argilla_admap.cli.scoring_options import PriceType
from argilla_admap.review.push.push_options import TEXT_VECTORS
from argilla_admap.scoring.options import DEFAULT_EMBEDDER

__all__ = ["command", "embedding_options", "push_options"]


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
            click.option(
                "--only",
                metavar="flagged|QUEUE",
                help="Push the flagged records or those of a queue alone; add --audit, which draws from all.",
            ),
            click.option("--copy-to", metavar="NAME", help="Create a review copy instead of enriching the existing data set."),
            click.option(
                "--text-vectors",
                type=click.Choice(TEXT_VECTORS),
                help="Compare texts for 'more like this' by words or by an endpoint's model.  [default: as before, or hashed]",
            ),
        )
    ):
        command = option(command)
    return command


def embedding_options(command: Any) -> Any:
    """Which model makes the text vectors, for `admap push` and `admap run`."""
    model = click.option(
        "--embedding-model", metavar="NAME", help=f"The model of `endpoint`, or local:NAME.  [default: {DEFAULT_EMBEDDER}]"
    )
    place = click.option(
        "--embedding-base-url", metavar="URL", help="Where it is served.  [default: OPENAI_BASE_URL, or OpenAI]"
    )
    return model(place(command))


@click.command("push")
@click.argument("data_map", metavar="MAP", required=False)
@click.option(
    "--dataset", required=True, metavar="[WORKSPACE/]NAME", help="The Argilla data set; created if it does not exist."
)
@push_options
@click.option("--prompt-field", metavar="FIELD", help="The prompt's field, in a data set that admap did not create.")
@click.option("--completion-field", metavar="FIELD", multiple=True, help="A completion's field there; can be repeated.")
@embedding_options
@click.option("--max-cost", type=float, metavar="USD", help="Never spend more than this on embeddings.")
@click.option("--price", type=PriceType(), help="US dollars per million tokens in and out, for a model without a listed price.")
@click.option(
    "--store", type=click.Path(dir_okay=False, path_type=Path), help="Where vectors are kept.  [default: user's data]"
)
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
    only: str | None,
    copy_to: str | None,
    prompt_field: str | None,
    completion_field: tuple[str, ...],
    text_vectors: str | None,
    embedding_model: str | None,
    embedding_base_url: str | None,
    max_cost: float | None,
    price: tuple[float, float] | None,
    store: Path | None,
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
    from argilla_admap.progress import ProgressLine

    if data_map is None and not adjudicate:
        raise click.UsageError("Name the MAP to push; only --adjudicate does without.")
    with ProgressLine() as line:
        result = pipeline.push(
            data_map,
            dataset,
            blind=blind,
            reviewers=reviewers or (),
            overlap=overlap,
            audit=audit,
            only=only,
            copy_to=copy_to,
            prompt_field=prompt_field,
            completion_field=completion_field,
            text_vectors=text_vectors,
            embedding_model=embedding_model,
            embedding_base_url=embedding_base_url,
            max_cost=max_cost,
            price=price,
            store=store,
            adjudicate=adjudicate,
            adjudicator=adjudicator,
            dry_run=dry_run,
            progress=line.pushing,
        )
    for remark in result.notes:
        note(remark)
    if (asked := result.adjudicate) is not None:
        person = asked["adjudicator"]
        own = f", {asked['own']:,} are {asked['adjudicator']}'s own" if asked["own"] else ""
        note(f"{asked['conflicts']:,} conflicts: {person} is asked to decide {asked['asked']:,}{own}. {asked['url']}")
    if data_map is None:
        emit({"dataset": result.dataset, "created": False, "adjudicate": asked}, as_json, lambda: None)
        return

    def show() -> None:
        verb = "would be made" if dry_run and result.created else "made" if result.created else "updated"
        note(
            f"{result.dataset} {verb}: {result.records:,} records of the map, {result.added:,} added, {result.updated:,} "
            f"updated, {result.unmatched:,} not found there, {result.left_out:,} left out."
        )
        show_queues(result.queues)

    emit(result.json(), as_json, show)
    if result.unmatched:
        fail_partly()
