"""The real Argilla of the tests: one, started once for the whole run, in a fresh folder on free ports.

With ADMAP_TEST_SERVER_DIR set, the server of that folder is used instead, and left running: quick while one builds.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.server import launcher


@dataclass(frozen=True)
class TestServer:
    """Where the server of the tests is, and how its owner gets in."""

    __test__ = False
    url: str
    api_key: str
    username: str
    password: str
    data_dir: Path


@dataclass(frozen=True)
class Annotator:
    """A person of a workspace: a client of their own, and what they log in with."""

    client: Any
    api_key: str
    username: str
    password: str
    id: str


@pytest.fixture(scope="session")
def argilla_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """A running Argilla: url, api_key, username, password, data_dir."""
    kept = os.environ.get("ADMAP_TEST_SERVER_DIR")
    data_dir = Path(kept) if kept else tmp_path_factory.mktemp("argilla") / "server"
    connection = (launcher.find(data_dir) if kept else None) or launcher.start(data_dir, report=print)
    yield TestServer(connection.url, connection.api_key, connection.username, connection.password, data_dir)
    if not kept:
        launcher.stop(data_dir)


@pytest.fixture(scope="session")
def argilla_url(argilla_server: TestServer) -> str:
    """The address of the page and of the API."""
    return argilla_server.url


@pytest.fixture(scope="session")
def argilla_client(argilla_server: TestServer) -> Any:
    """A client with the owner's key."""
    import argilla as rg

    return rg.Argilla(api_url=argilla_server.url, api_key=argilla_server.api_key)


@pytest.fixture
def argilla_environment(argilla_server: TestServer, monkeypatch: pytest.MonkeyPatch) -> TestServer:
    """The variables by which commands reach the server of the tests."""
    monkeypatch.setenv("ARGILLA_API_URL", argilla_server.url)
    monkeypatch.setenv("ARGILLA_API_KEY", argilla_server.api_key)
    return argilla_server


@pytest.fixture
def workspace(argilla_client: Any) -> Iterator[str]:
    """The name of a workspace of this test alone; it goes with its data sets when the test ends."""
    import argilla as rg

    name = f"test-{uuid.uuid4().hex[:10]}"
    made = rg.Workspace(name=name, client=argilla_client).create()
    yield name
    for dataset in made.datasets:
        dataset.delete()
    made.delete()


@pytest.fixture
def make_annotator(argilla_server: TestServer, argilla_client: Any, workspace: str) -> Iterator[Callable[[], Annotator]]:
    """Makes people with the role annotator in the test's workspace, as many as it is called."""
    import argilla as rg

    users = []

    def make() -> Annotator:
        username, password = f"person-{uuid.uuid4().hex[:10]}", f"secret-{uuid.uuid4().hex}"
        user = rg.User(username=username, password=password, role="annotator", first_name="Person", client=argilla_client)
        user.create()
        users.append(user)
        user.add_to_workspace(argilla_client.workspaces(workspace))
        answer = argilla_client.http_client.post(
            "/api/v1/token",
            data={"username": username, "password": password},
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        answer.raise_for_status()
        token = answer.json()["access_token"]
        me = argilla_client.http_client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}", "X-Argilla-Api-Key": ""})
        me.raise_for_status()
        key = me.json()["api_key"]
        client = _client(argilla_server.url, key, argilla_client)
        return Annotator(client, key, username, password, str(user.id))

    yield make
    for user in users:
        user.delete()


@pytest.fixture
def annotator(make_annotator: Callable[[], Annotator]) -> Annotator:
    """One person with the role annotator in the test's workspace."""
    return make_annotator()


@pytest.fixture
def second_annotator(make_annotator: Callable[[], Annotator]) -> Annotator:
    """Another one."""
    return make_annotator()


def _client(url: str, key: str, owner: Any) -> Any:
    """A client that does not stay the process's default one."""
    import argilla as rg

    client = rg.Argilla(api_url=url, api_key=key)
    rg.Argilla._set_default(owner)
    return client
