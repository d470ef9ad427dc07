"""Accounts for the people who review, as functions: `argilla_admap.reviewers.add(["ann", "bo"])`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from argilla_admap.keywords import listed
from argilla_admap.pipeline import connect
from argilla_admap.review.people.accounts import add_reviewers, list_reviewers

if TYPE_CHECKING:
    import argilla as rg

    from argilla_admap.review.people.accounts import Accounts

__all__ = ["add", "list"]


def add(
    names: str | Sequence[str], client: rg.Argilla | None = None, *, workspace: str | None = None, dry_run: bool = False
) -> Accounts:
    """Makes an account for each name that has none, and adds all to the workspace; passwords are in the result, once.

    Args:
        names: usernames; a text may name several, with commas between.
        client: an owner's; None: as for `push`.
        workspace: whose data sets they are to see; None: the only or the usual one.
        dry_run: say what would be made, and make nothing.
    Raises:
        InputError: a name that Argilla does not take.
        ArgillaError: the server refused, at the first account already; at a later one, the result's `failure` tells.
    """
    wanted = listed(names) if isinstance(names, str) else names
    return add_reviewers(connect(client), wanted, workspace=workspace, dry_run=dry_run)


def list(client: rg.Argilla | None = None, *, workspace: str | None = None) -> Accounts:
    """All accounts, and who sees the workspace's data sets; `client` and `workspace` as for `add`."""
    return list_reviewers(connect(client), workspace=workspace)
