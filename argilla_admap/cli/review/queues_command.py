"""`admap queues`: the review queues with counts and links, and queues made on the spot."""

from __future__ import annotations

from typing import Any

import click

from argilla_admap.cli.printing import emit, json_option, note, show_queues

__all__ = ["command"]


@click.command("queues")
@click.argument("dataset", metavar="[WORKSPACE/]DATASET")
@click.option("--where", metavar="CONDITIONS", help="A queue of your own, e.g. 'mean<2 and variance>=1'.")
@click.option("--sort", metavar="NAME:asc|desc", multiple=True, help="Its order.  [default: p_wrong:desc]")
@click.option("--similar-to", metavar="ID", help="The records most like this one.")
@click.option(
    "--by", type=click.Choice(["text", "map"]), help="What is compared.  [default: text where there is a vector of it]"
)
@json_option
def command(
    dataset: str, where: str | None, sort: tuple[str, ...], similar_to: str | None, by: str | None, as_json: bool
) -> None:
    """List the review queues of an Argilla data set: how many records, how many still open, and a link to each.

    Example: admap queues default/uf --where 'mean<2 and variance>=1' --sort p_wrong:desc
    """
    from argilla_admap.commands import queues

    found = queues(dataset, where=where, sort=sort, similar_to=similar_to, by=by)
    answer: dict[str, Any] = {"dataset": found[0].dataset, "queues": [queue.json() for queue in found]}

    def show() -> None:
        show_queues(answer["queues"])
        for queue in found:
            if queue.count and not where:
                note(f"{queue.queue.title}: {queue.queue.why}")
            for like in queue.preview:
                note(f"  {like['id']}: {like['prompt']}")

    emit(answer, as_json, show)
