"""`admap help`: longer texts, by topic."""

from __future__ import annotations

import click

from argilla_admap.cli.printing import emit, json_option, table
from argilla_admap.topics import TOPICS

__all__ = ["command"]


@click.command("help")
@click.argument("name", metavar="[TOPIC]", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """Print what there is to know of a topic; without one, list the topics.

    Example: admap help judges
    """
    if name is None:
        emit({"topics": TOPICS}, as_json, lambda: table(None, ["topic", "about"], [list(pair) for pair in TOPICS.items()]))
        return
    from argilla_admap.commands import help

    text = help(name)
    emit({"topic": name, "text": text}, as_json, lambda: click.echo(text))
