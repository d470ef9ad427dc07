"""What a command prints: data on stdout (a table, or one JSON object), all else on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from argilla_admap.cli.flags import with_flags
from argilla_admap.errors import InputError

__all__ = [
    "ParquetFile",
    "adjudicators_option",
    "dry_run_option",
    "emit",
    "fail_partly",
    "json_option",
    "keep_the_input",
    "note",
    "plain",
    "rating_question_option",
    "resolve_option",
    "show_queues",
    "table",
    "written_format_option",
]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would happen; spend and write nothing.")
#: Of the commands that read reviewers' answers.
resolve_option = click.option(
    "--resolve",
    type=click.Choice(["majority", "unanimous", "latest", "dawid-skene"]),
    default="majority",
    show_default=True,
    help="How to combine several reviewers' answers.",
)
adjudicators_option = click.option(
    "--adjudicator", "adjudicators", metavar="NAME", multiple=True, help="Their answers outweigh all others; can be repeated."
)
rating_question_option = click.option(
    "--rating-question", metavar="NAME", help="The question about the label, in a data set that admap did not create."
)

#: Done, but some records stayed unscored or unmatched.
PARTLY = 3


class _WrittenFormat(click.Option):
    """The option of a format to write, whose help lists them all."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        # Looked up when it is shown: the list comes with libraries that take a while to load.
        from argilla_admap.formats.written_rows import who_reads

        found = super().get_help_record(ctx)
        return None if found is None else (found[0], f"{found[1]} {who_reads()}.")


def written_format_option(words: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """``--format`` of a command that writes records.

    Args:
        words: its help, before the list of what can be written.
    """
    return click.option("--format", "format_name", metavar="NAME", cls=_WrittenFormat, help=words)


class ParquetFile(click.Path):
    """A file to write as Parquet; another ending would lie about what it holds, and no command would open it again."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        if Path(str(path)).suffix != ".parquet":
            self.fail(f"{str(path)!r} would hold Parquet: give it a name that ends in .parquet", param, ctx)
        return path


def keep_the_input(source: str, *outputs: Path | None) -> None:
    """Refuses to write over what is read.

    Raises:
        InputError: an output is the input's own file.
    """
    for output in outputs:
        # A name that cannot be looked up is refused where it is read or written.
        with suppress(OSError):
            if output is not None and output.samefile(source):
                raise InputError(f"{output}: this is the input, which must not be lost; name another file with -o")


def note(message: str) -> None:
    """A line for the person, on stderr; parameters in backticks are shown as their flags."""
    click.echo(with_flags(message), err=True)


def emit(answer: Mapping[str, Any], as_json: bool, show: Callable[[], None]) -> None:
    """The command's answer: as JSON, or as `show` prints it for a person."""
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, allow_nan=False))
    else:
        show()


def plain(text: str) -> str:
    """The text with nothing that speaks to a terminal: a data set's or a server's own words may hold escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if title:
        # By itself: as the table's own title it would be broken at the table's width.
        click.echo(title)
    drawn = Table(header_style="bold", box=None, pad_edge=False)
    for position, name in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[position], (int, float)) for row in rows)
        drawn.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a data set's words must not be read as a style.
        drawn.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else plain(str(cell))) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 250
    with console.capture() as captured:
        console.print(drawn)
    click.echo("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def show_queues(queues: Sequence[Mapping[str, Any]]) -> None:
    """Queues on stdout: title, counts, and the link on a line of its own, so that no terminal breaks it."""
    width = max((len(queue["title"]) for queue in queues), default=0)
    for queue in queues:
        click.echo(f"{queue['title']:<{width}}  {queue['count']:>6,} records, {queue['pending']:,} open")
        if queue["count"]:
            click.echo(f"  {queue['url']}")


def fail_partly() -> None:
    """Ends the command with exit code 3."""
    raise click.exceptions.Exit(PARTLY)
