"""The command line: words to calls. A file for each command, imported when that command is asked for."""

from __future__ import annotations

import ctypes
import errno
import importlib
import os
import shlex
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

import click

from argilla_admap.cli.flags import error_words
from argilla_admap.errors import AdmapError, DefaultModelGone

__all__ = ["main"]

# The command's name, and what `admap --help` says of it (so that no command's module is imported to print it).
COMMANDS = {
    "demo": "The first three minutes: server, example data, map, push, links.",
    "run": "The whole job in one command: score, map, push.",
    "score": "Score every completion with a judge.",
    "merge": "Put together what several machines scored.",
    "judge-check": "Measure whether a judge is fit for your records, for less than a dollar.",
    "map": "Place each record on the map and estimate P(label is wrong).",
    "selftest": "Plant known label errors in a copy and measure how many are found.",
    "push": "Create the Argilla data set, or enrich the existing one.",
    "queues": "List the review queues with counts and links.",
    "status": "How the review stands: label errors left, with an interval, and whether to go on.",
    "pull": "Bring corrected labels back, or take corrections back.",
    "watch": "Take answers in as they are made, until stopped.",
    "reviewers": "Make accounts for reviewers: add, list.",
    "select": "Choose a training subset by region, P(wrong), quota and diversity.",
    "report": "Draw the map: an .html page that opens offline, a .png or an .svg.",
    "compare": "Compare two maps: who moved, agreement, bias.",
    "server": "Run your own Argilla: start, stop, status, env.",
    "doctor": "Check the judge, the store and Argilla, and say how to fix what is wrong.",
    "help": "Longer texts: judges, formats, map, privacy, threats, faq, troubleshooting.",
}


# The sub-room of each command's file, ``NAME_command.py``.
_ROOMS = {
    **dict.fromkeys(("run", "score", "merge", "judge-check"), "scoring"),
    **dict.fromkeys(("map", "selftest", "select", "report", "compare"), "mapping"),
    **dict.fromkeys(("push", "queues", "status", "pull", "reviewers", "watch"), "review"),
    **dict.fromkeys(("demo", "server", "doctor", "help"), "machine"),
}


class _Commands(click.Group):
    """Finds a command's module by its name when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"argilla_admap.cli.{_ROOMS[cmd_name]}.{cmd_name.replace('-', '_')}_command")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near and "No such command" in error.message:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands, in the order of the data"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="argilla-admap")
@click.option("--debug", is_flag=True, envvar="ADMAP_DEBUG", help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Find the wrong labels in preference data, and review them in Argilla.

    The data goes: read, score, map, push, (people review), pull.

    Example: admap demo
    """


def _stop(_number: int, _frame: object) -> None:
    """SIGTERM (a container, a job queue) and SIGHUP (a terminal that closes) as Ctrl-C: answers on their way are kept too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background by a shell without job control
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _context_of(words: list[str]) -> click.Context:
    """The context of the command in the line, for its flags: the one that ran is gone when its error arrives."""
    parent = click.Context(cli)
    name = next((word for word in words if word in COMMANDS), None)
    command = cli.get_command(parent, name) if name else None
    context = click.Context(command, parent=parent) if command else parent
    if isinstance(command, click.Group):
        below = next((found for word in words if (found := command.get_command(context, word))), None)
        context = click.Context(below, parent=context) if below else context
    return context


def _show_traceback(error: Exception) -> None:
    """The traceback on stderr, without keys and passwords: libraries put whole addresses into their own errors."""
    import re
    import traceback

    text = "".join(traceback.format_exception(error))
    for name, value in os.environ.items():
        if re.search(r"KEY|TOKEN|PASSWORD|SECRET", name) and len(value) >= 6:
            text = text.replace(value, "[key]")
    text = re.sub(r"(?<=//)[^/\s@'\"]+@", "", text)
    text = re.sub(r"(?i)(key|token|password|secret)=[^&\s'\"]+", r"\1=[key]", text)
    click.echo(text, err=True)


def _share_memory() -> None:
    """Has all threads take memory from one heap: glibc gives each its own, which keeps the most that it ever needed."""
    arena_max = -8  # M_ARENA_MAX of glibc's malloc.h
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(arena_max, 1)


def main(args: list[str] | None = None) -> Any:
    """The entry point: runs a command, and turns what goes wrong into a message and an exit code."""
    _share_memory()
    words = list(sys.argv[1:] if args is None else args)
    # `--debug` is taken anywhere in the line: it is typed after a failure, at the line's end.
    debug = "--debug" in words or bool(os.environ.get("ADMAP_DEBUG"))
    words = [word for word in words if word != "--debug"]
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # what `nohup` asks for
            signal.signal(signal.SIGHUP, _stop)
    try:
        code = cli.main(args=words, prog_name="admap", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("\nadmap: stopped; run the same command again to go on.", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AdmapError as error:
        if debug:
            _show_traceback(error)
        click.echo(f"admap: {error_words(error, _context_of(words))}", err=True)
        if isinstance(error, DefaultModelGone) and error.replacement:
            click.echo(
                f"The same with the named replacement: {shlex.join(['admap', *words, '--model', error.replacement])}", err=True
            )
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone: not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except Exception as error:
        if debug:
            _show_traceback(error)
        click.echo(_unexpected_words(error), err=True)
        sys.exit(1)


def _unexpected_words(error: Exception) -> str:
    """What to say of an error that nothing below has translated."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS):
        # Output that can no longer be written is dropped, or Python would complain of it once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        place = error.filename or "the output, or the folder of temporary files"
        return f"admap: {place}: {os.strerror(error.errno)}; make room there, or name another folder in TMPDIR."
    if isinstance(error, OSError):
        # A folder that is gone, a file that may not be read: the user's world, wherever it shows.
        place = "" if error.filename is None else ascii(os.fsdecode(error.filename))[1:-1] + ": "
        return f"admap: {place}{error.strerror or error}."
    return (
        f"admap: unexpected {type(error).__name__}: {error}\n"
        "This is a defect of argilla-admap; run the command again with --debug and report what it prints."
    )
