"""`admap server`: an embedded Argilla."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from typing import Any

import click

from argilla_admap.cli.printing import dry_run_option, emit, json_option, note, table

__all__ = ["command"]

_data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    envvar="ADMAP_SERVER_DIR",
    help="The server's folder: its data, secrets and logs.  [default: a folder of this user]",
)


@click.group("server")
def command() -> None:
    """Run your own Argilla on this machine, without docker: start, stop, status, env, backup, restore.

    Example: admap server start
    """


@command.command()
@_data_dir_option
@click.option("--port", type=int, help="The port of the page.  [default: the last one used, else 6900, else a free one]")
@dry_run_option
@json_option
def start(data_dir: str | None, port: int | None, dry_run: bool, as_json: bool) -> None:
    """Start the server, or repair a running one; it runs until `admap server stop`.

    Example: admap server start --port 6901
    """
    from argilla_admap import server

    if dry_run:
        _plan(server.status(data_dir), as_json, "would start")
        return
    connection = server.start(data_dir, port, note)
    emit(dataclasses.asdict(server.status(data_dir)), as_json, lambda: _show_connection(connection))


@command.command()
@_data_dir_option
@dry_run_option
@json_option
def stop(data_dir: str | None, dry_run: bool, as_json: bool) -> None:
    """Stop the server; all data is kept.

    Example: admap server stop
    """
    from argilla_admap import server

    if dry_run:
        _plan(server.status(data_dir), as_json, "would stop")
        return
    ran = server.stop(data_dir, note)
    answer = dataclasses.asdict(server.status(data_dir)) | {"stopped": ran}
    emit(answer, as_json, lambda: click.echo("stopped" if ran else "nothing was running"))


@command.command()
@_data_dir_option
@json_option
def status(data_dir: str | None, as_json: bool) -> None:
    """Show what is running, where, and what is wrong.

    Example: admap server status --json
    """
    from argilla_admap import server

    found = server.status(data_dir)
    emit(dataclasses.asdict(found), as_json, _show_status(found))


@command.command()
@_data_dir_option
@json_option
def env(data_dir: str | None, as_json: bool) -> None:
    """Print the lines that let a shell and its programs reach the server.

    Example: eval "$(admap server env)"
    """
    from argilla_admap import server

    values = server.env(data_dir)

    def show() -> None:
        for name, value in values.items():
            click.echo(f"export {name}={shlex.quote(value)}")

    emit(values, as_json, show)


@command.command()
@click.argument("folder", type=click.Path(file_okay=False))
@_data_dir_option
@dry_run_option
@json_option
def backup(folder: str, data_dir: str | None, dry_run: bool, as_json: bool) -> None:
    """Copy the server's data into a new folder: database, accounts, secrets. The server may run meanwhile.

    Example: admap server backup backup-monday
    """
    from argilla_admap import server

    made = server.backup(folder, data_dir, note, dry_run=dry_run)
    did = "would be copied to" if dry_run else "copied to"
    words = f"{made.records:,} records and {made.responses:,} answers {did} {made.folder}"
    emit(dataclasses.asdict(made), as_json, lambda: click.echo(words))


@command.command()
@click.argument("folder", type=click.Path(file_okay=False))
@_data_dir_option
@dry_run_option
@json_option
def restore(folder: str, data_dir: str | None, dry_run: bool, as_json: bool) -> None:
    """Put a backup in the place of the stopped server's data; what was there before is kept beside it.

    The next `admap server start` fills the index, and brings a backup of an older version up to date.

    Example: admap server restore backup-monday
    """
    from argilla_admap import server

    found = server.restore(folder, data_dir, note, dry_run=dry_run)
    did = "would be put back" if dry_run else "put back; start it with `admap server start`"
    words = f"{found.records:,} records and {found.responses:,} answers of {found.at} {did}"
    emit(dataclasses.asdict(found), as_json, lambda: click.echo(words))


def _plan(found: Any, as_json: bool, does: str) -> None:
    """The answer of ``--dry-run``: the server as it stands, what would be started or stopped, and what is missing."""
    from argilla_admap.server.runtime import missing_packages

    stops = does == "would stop"
    services = [name for name, pid in found.pids.items() if name not in found.external and (pid is not None) == stops]
    missing = {} if stops else missing_packages("elasticsearch" in services, "redis" in services)
    lacking = ", ".join(f"{program} (Debian package {package})" for program, package in missing.items())

    def show() -> None:
        click.echo(f"{does}: {', '.join(services) if services else 'nothing'}; folder {found.data_dir}")
        if lacking:
            click.echo(f"missing: {lacking}")

    emit(dataclasses.asdict(found) | {"parts": services, "missing": missing}, as_json, show)


def _show_connection(connection: Any) -> None:
    table(None, ["", ""], [["page", connection.url], ["user", connection.username], ["password", connection.password]])
    note('For other programs: eval "$(admap server env)"')


def _show_status(found: Any) -> Callable[[], None]:
    def show() -> None:
        rows: list[list[object]] = [["running", "yes" if found.running else "no"]]
        if found.url:
            rows.append(["page", found.url])
        rows.append(["folder", found.data_dir])
        for name, pid in found.pids.items():
            given = "from the environment" if name in found.external else "does not run"
            rows.append([name, f"process {pid}" if pid else given])
        table(None, ["", ""], rows)
        for problem in found.problems:
            note(f"{problem}; fix it with: admap server start")

    return show
