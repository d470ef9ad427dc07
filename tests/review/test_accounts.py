"""Accounts for reviewers on the real server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from argilla_admap import reviewers
from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.argilla.refusals import Refused
from tests.cli.test_commands import admap


@pytest.fixture
def names(argilla_client: Any) -> Iterator[list[str]]:
    """Three names that nobody has; the accounts go when the test ends."""
    api = Api(argilla_client)
    made = [f"{name}-{uuid.uuid4().hex[:8]}" for name in ("ann", "bo", "cy")]
    yield made
    for user in api.users():
        if user["username"] in made:
            api.request("DELETE", f"/api/v1/users/{user['id']}")


def test_people_get_a_login_that_works_and_see_the_workspace(argilla_client: Any, workspace: str, names: list[str]) -> None:
    found = reviewers.add(names[:2], argilla_client, workspace=workspace)
    api = Api(argilla_client)
    assert [(person.name, person.role, person.member, person.made) for person in found.people] == [
        (name, "annotator", True, True) for name in names[:2]
    ]
    assert len({person.password for person in found.people}) == 2
    assert all(api.can_log_in(person.name, str(person.password)) for person in found.people)
    assert all(str(person.password) not in repr(found) for person in found.people)
    listed = {person.name: person for person in reviewers.list(argilla_client, workspace=workspace).people}
    assert all(listed[name].member and listed[name].password is None for name in names[:2])
    # Again, with one more: those that are there are kept.
    again = reviewers.add(names, argilla_client, workspace=workspace)
    assert [person.made for person in again.people] == [False, False, True]
    assert all(api.can_log_in(person.name, str(person.password)) for person in found.people)


def test_a_dry_run_makes_nobody(argilla_client: Any, workspace: str, names: list[str]) -> None:
    found = reviewers.add(names, argilla_client, workspace=workspace, dry_run=True)
    assert [(person.made, person.password) for person in found.people] == [(True, None)] * 3
    assert not set(names) & {person.name for person in reviewers.list(argilla_client).people}


def test_an_account_whose_first_answer_got_lost_still_tells_its_password(
    argilla_client: Any, workspace: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Api.create_user

    def lost(api: Api, name: str, password: str) -> dict[str, Any]:
        made(api, name, password)
        return made(api, name, password)

    monkeypatch.setattr(Api, "create_user", lost)
    (person,) = reviewers.add(names[:1], argilla_client, workspace=workspace).people
    assert person.made
    assert Api(argilla_client).can_log_in(person.name, str(person.password))


def test_logins_that_were_made_are_told_though_the_server_fails_then(
    argilla_client: Any, workspace: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Api.create_user

    def second_fails(api: Api, name: str, password: str) -> dict[str, Any]:
        if name == names[1]:
            raise Refused("the server failed", 500, "")
        return made(api, name, password)

    monkeypatch.setattr(Api, "create_user", second_fails)
    found = reviewers.add(names, argilla_client, workspace=workspace)
    assert isinstance(found.failure, Refused)
    assert [person.name for person in found.people] == names[:1]
    assert Api(argilla_client).can_log_in(names[0], str(found.people[0].password))
    with pytest.raises(Refused):
        reviewers.add(names[1:], argilla_client, workspace=workspace)


def test_only_an_owner_makes_accounts_and_only_usable_names(argilla_client: Any, annotator: Any, workspace: str) -> None:
    with pytest.raises(ArgillaError, match="only an owner"):
        reviewers.add(["x"], annotator.client, workspace=workspace)
    with pytest.raises(ArgillaError, match="no workspace"):
        reviewers.list(argilla_client, workspace="nowhere")
    for name in ("a.b", "a~b", "a,b", " a", "", "a\nb"):
        with pytest.raises(InputError, match="username"):
            reviewers.add([name], argilla_client, workspace=workspace)


@pytest.mark.usefixtures("argilla_environment")
def test_the_command_prints_each_login_once(workspace: str, names: list[str]) -> None:
    done = admap("reviewers", "add", *names[:2], "--workspace", workspace, "--json")
    assert done.returncode == 0, done.stderr
    people = json.loads(done.stdout)["reviewers"]
    assert [person["name"] for person in people] == names[:2]
    assert all(len(person["password"]) == 16 and person["password"] not in done.stderr for person in people)
    again = admap("reviewers", "add", *names[:2], "--workspace", workspace)
    assert again.returncode == 0
    assert "(as before)" in again.stdout
    assert all(person["password"] not in again.stdout + again.stderr for person in people)
    listed = json.loads(admap("reviewers", "list", "--workspace", workspace, "--json").stdout)
    assert {person["name"] for person in listed["reviewers"] if person["member"]} >= set(names[:2])
    assert reviewers.list(workspace=workspace).json() == listed
    (third,) = reviewers.add(names[2], workspace=workspace, dry_run=True).people
    assert (third.name, third.made) == (names[2], True)
