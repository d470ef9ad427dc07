"""`admap reviewers`: accounts for the people who review."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from argilla_admap.cli.printing import dry_run_option, emit, json_option, note, table

if TYPE_CHECKING:
    from argilla_admap.review.people.accounts import Accounts

__all__ = ["command"]

_workspace_option = click.option("--workspace", metavar="NAME", help="Their workspace.  [default: the only or the usual one]")


@click.group("reviewers")
def command() -> None:
    """Make accounts for reviewers, and list them. Needs the owner's key.

    Example: admap reviewers add ann bo
    """


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_workspace_option
@dry_run_option
@json_option
def add(names: tuple[str, ...], workspace: str | None, dry_run: bool, as_json: bool) -> None:
    """Make an account for each NAME that has none, and add all to the workspace. Passwords are shown once, here.

    An account that exists keeps its password and role.

    Example: admap reviewers add ann bo --workspace default
    """
    from argilla_admap import reviewers

    found = reviewers.add(names, workspace=workspace, dry_run=dry_run)
    emit(found.json(), as_json, lambda: _show_logins(found))
    if dry_run:
        note("dry run: nothing was made")
    if found.failure is not None:
        raise found.failure


@command.command("list")
@_workspace_option
@json_option
def list_people(workspace: str | None, as_json: bool) -> None:
    """List all accounts, and who sees the workspace's data sets.

    Example: admap reviewers list --json
    """
    from argilla_admap import reviewers

    found = reviewers.list(workspace=workspace)
    rows = [[person.name, person.role, "yes" if person.member else "no"] for person in found.people]
    emit(found.json(), as_json, lambda: table(None, ["name", "role", f"sees {found.workspace}"], rows))


def _show_logins(found: Accounts) -> None:
    rows = [[person.name, person.password or ("" if person.made else "(as before)"), person.role] for person in found.people]
    table(f"Log in at {found.url}", ["name", "password", "role"], rows)
    if any(person.password for person in found.people):
        note("The passwords are kept nowhere: pass them on now.")
    kept = [person.name for person in found.people if not person.made]
    if kept:
        note(f"there already, password unchanged, now in {found.workspace}: {', '.join(kept)}")
