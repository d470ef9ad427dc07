"""`admap demo`: server, example data, map, push, links."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from argilla_admap.cli.printing import dry_run_option, emit, json_option, note, show_queues
from argilla_admap.errors import InputError

if TYPE_CHECKING:
    from argilla_admap.demonstration import Demo

__all__ = ["command"]


@click.command("demo")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("admap-demo"),
    show_default=True,
    help="Where to write the example data and the map.",
)
@click.option("--data-dir", type=click.Path(file_okay=False), help="The server's folder.  [default: a folder of this user]")
@click.option("--blind", is_flag=True, help="Blind layout: no label, no score, shuffled order.")
@click.option("--live", is_flag=True, help="Ask the judge (OPENAI_API_KEY) instead of using recorded scores.")
@click.option("--yes", is_flag=True, help="With --live: do not ask before spending.")
@click.option("--browser/--no-browser", default=True, help="Open the first queue in your browser.")
@click.option(
    "--stay/--exit",
    default=None,
    help="Stay until Ctrl-C and then stop the server, or leave it running.  [default: stay on a terminal]",
)
@dry_run_option
@json_option
def command(
    output_dir: Path,
    data_dir: str | None,
    blind: bool,
    live: bool,
    yes: bool,
    browser: bool,
    stay: bool | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """The first three minutes: your own server, real pairs with planted label errors, and queues to review them.

    Example: admap demo --no-browser
    """
    from argilla_admap.commands import demo
    from argilla_admap.progress import ProgressLine

    if dry_run:
        _say_what_would_be_done(output_dir, live, as_json)
        return
    if live and not os.environ.get("OPENAI_API_KEY"):
        raise InputError(
            "--live asks the judge and OPENAI_API_KEY is not set; set it, or leave --live out: then no key is needed"
        )
    if live and not yes:
        _agree_to_the_cost(output_dir)
    if stay is None:
        stay = not as_json and sys.stdout.isatty()
    with ProgressLine() as line:
        done = demo(
            output_dir,
            data_dir=data_dir,
            blind=blind,
            live=live,
            say=note,
            score_progress=line.scoring,
            push_progress=line.pushing,
        )
    server = {"url": done.server.url, "username": done.server.username, "password": done.server.password}
    emit({**done.run.answer(), **server}, as_json, lambda: _show(done))
    first = next((queue["url"] for queue in done.run.pushed.queues if queue["count"]), None)
    if browser and first is not None and sys.stdout.isatty():
        click.launch(first)
    if stay:
        _wait_and_stop(data_dir)


def _say_what_would_be_done(output_dir: Path, live: bool, as_json: bool) -> None:
    from argilla_admap.cli.scoring.score_command import show_estimate
    from argilla_admap.commands import demo

    answer = demo(live=live, dry_run=True)
    emit(answer, as_json, lambda: show_estimate(answer))
    note(f"Your own server would be started, {output_dir} written, and {answer['dataset']} created on it.")


def _agree_to_the_cost(output_dir: Path) -> None:
    from argilla_admap.commands import demo

    estimate = demo(output_dir, live=True, dry_run=True)
    cost = "an unknown price" if estimate["cost_usd"] is None else f"about ${estimate['cost_usd']:.2f}"
    note(f"{estimate['model']} would be asked {estimate['requests']:,} times for {cost}; {estimate['cached']:,} are known.")
    if not click.confirm("Go on?", err=True):
        raise click.exceptions.Abort


def _show(done: Demo) -> None:
    pushed, folder = done.run.pushed, done.preferences.parent
    click.echo(
        f"\n{len(done.planted)} of the {pushed.records} labels in this example were flipped on purpose. Can you find them?"
        f"\n(Which ones they are: {folder / 'planted_errors.txt'})\n"
    )
    show_queues(pushed.queues)
    click.echo(f"\nuser      {done.server.username}\npassword  {done.server.password}")
    admap, original = _program(), shlex.quote(str(done.preferences))
    click.echo(
        "\nAnswer a few records, then bring the corrections home:\n"
        f"  {admap} pull {pushed.dataset} --original {original} -o corrected.jsonl --changes changes.jsonl"
    )
    click.echo(f"Stop the server with: {admap} server stop")


def _program() -> str:
    """How this person calls the command: in a virtual environment that is not active, by its path."""
    called = Path(sys.argv[0])
    return "admap" if shutil.which("admap") or called.name != "admap" else shlex.quote(str(called))


def _wait_and_stop(data_dir: str | None) -> None:
    import threading

    from argilla_admap.server import launcher

    note("\nThe server is running. Ctrl-C stops it; your answers are kept.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        launcher.stop(data_dir, note)
