"""Accounts for reviewers: made with a password that is told once, and added to the workspace of the data sets."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.review.argilla.argilla_api import Address, Api
from argilla_admap.review.argilla.refusals import KEY_HINT, Refused
from argilla_admap.review.dataset.settings import choose_workspace

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["Account", "Accounts", "add_reviewers", "list_reviewers"]

#: Bytes of a generated password: 96 bits, 16 characters.
_PASSWORD_BYTES = 12
#: Queues of single reviewers are links, in which these have a meaning.
_RESERVED = ".~,/"


@dataclass(frozen=True, slots=True)
class Account:
    """One person.

    Attributes:
        name: the username.
        role: ``annotator``, ``admin`` or ``owner``.
        member: whether the workspace's data sets are theirs to see.
        made: the account was made now.
        password: of an account that was made now; it is kept nowhere.
    """

    name: str
    role: str
    member: bool
    made: bool = False
    password: str | None = None

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.role!r}, member={self.member}, made={self.made})"

    def json(self) -> dict[str, Any]:
        """As JSON values; the password only where it was made now."""
        found = {"name": self.name, "role": self.role, "member": self.member, "made": self.made}
        return found | ({"password": self.password} if self.password is not None else {})


@dataclass(frozen=True, slots=True)
class Accounts:
    """People of a workspace.

    Attributes:
        url: where they log in.
        workspace: its name.
        people: in the order in which they were named; else by name.
        failure: what kept the others from being made; the logins of those above hold nevertheless.
    """

    url: str
    workspace: str
    people: tuple[Account, ...]
    failure: ArgillaError | None = None

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"url": self.url, "workspace": self.workspace, "reviewers": [account.json() for account in self.people]}


def add_reviewers(client: rg.Argilla, names: Sequence[str], *, workspace: str | None = None, dry_run: bool = False) -> Accounts:
    """Makes an account with the role annotator for each name that has none, and adds all to the workspace. Idempotent.

    An account that is there keeps its role and its password.

    Args:
        client: an owner's.
        names: usernames.
        workspace: by name; without one, the only or the usual one.
        dry_run: say what would be done; nothing is made.

    Raises:
        InputError: a name that cannot be used.
        ArgillaError: no owner's key, no such workspace, or the server refused before anything was made.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if not name.isprintable() or name != name.strip() or not name or any(mark in name for mark in _RESERVED):
            raise InputError(f"{name!r} cannot be a username", option="names", hint="letters, digits, - and _ are safe")
    api, place, identity = _open(client, workspace)
    known = {str(user["username"]): user for user in api.users()}
    inside = {member for member, _ in api.members(identity).values()}
    people: list[Account] = []
    for name in wanted:
        user = known.get(name)
        role = "annotator" if user is None else str(user["role"])
        password = None
        try:
            if user is None:
                secret = secrets.token_urlsafe(_PASSWORD_BYTES)
                if dry_run:
                    people.append(Account(name, role, member=True, made=True))
                    continue
                user, password = _make(api, name, secret)
            if not dry_run and name not in inside and role != "owner":
                api.add_member(identity, str(user["id"]))
        except ArgillaError as error:
            if password is not None:
                people.append(Account(name, role, member=False, made=True, password=password))
            if not any(account.made for account in people):
                raise
            return Accounts(api.url, place, tuple(people), error)
        people.append(Account(name, role, member=True, made=password is not None, password=password))
    return Accounts(api.url, place, tuple(people))


def list_reviewers(client: rg.Argilla, *, workspace: str | None = None) -> Accounts:
    """Everybody who has an account, and whether they see the workspace's data sets.

    Raises:
        ArgillaError: no owner's key, or no such workspace.
    """
    api, place, identity = _open(client, workspace)
    inside = {member for member, _ in api.members(identity).values()}
    found = sorted((str(user["username"]), str(user["role"])) for user in api.users())
    return Accounts(api.url, place, tuple(Account(name, role, name in inside or role == "owner") for name, role in found))


def _open(client: rg.Argilla, workspace: str | None) -> tuple[Api, str, str]:
    api = Api(client)
    me = api.me()
    if me.get("role") != "owner":
        raise ArgillaError(
            f"{api.url}: {me.get('username')!r} is {me.get('role')}, and only an owner sees and makes accounts", hint=KEY_HINT
        )
    place = choose_workspace(api, Address("", workspace))
    return api, place, api.workspaces()[place]


def _make(api: Api, name: str, password: str) -> tuple[dict[str, Any], str | None]:
    """The account, and the password if it is the one given."""
    try:
        return api.create_user(name, password), password
    except Refused as error:
        if error.status != 409:
            raise
    # Asked twice, because the first answer got lost; or somebody made it at the same moment.
    found = next((user for user in api.users() if user["username"] == name), None)
    if found is None:
        raise ArgillaError(f"{api.url}: the account {name!r} is there and cannot be seen")
    return found, password if api.can_log_in(name, password) else None
