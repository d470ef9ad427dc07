"""Reviews on the real server to look at: real pairs with planted label errors, open and blind, and records of four."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import argilla_admap as admap
from argilla_admap.example_data import write_example
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.push.push_options import PushResult
from tests.doubles.argilla_server import TestServer
from tests.doubles.browser import choose_theme, sign_in

FOUR = Path(__file__).parents[1] / "data" / "page" / "prometheus_k4.jsonl"


@dataclass(frozen=True)
class Review:
    """A data set on the server, and what was pushed into it."""

    name: str
    remote: RemoteDataset
    data_map: DataMap
    pushed: PushResult
    api: Api

    def url(self, query: str) -> str:
        return f"{self.remote.api_url}/dataset/{self.remote.id}/annotation-mode?{query}"

    def queue(self, name: str) -> dict[str, Any]:
        return next(queue for queue in self.pushed.queues if queue["name"] == name)


@pytest.fixture(scope="module")
def page_workspace(argilla_client: Any) -> Iterator[str]:
    """A workspace of this module alone."""
    import argilla as rg

    made = rg.Workspace(name=f"page-{uuid.uuid4().hex[:10]}", client=argilla_client).create()
    yield str(made.name)
    for dataset in made.datasets:
        dataset.delete()
    made.delete()


@pytest.fixture(scope="session")
def pairs_map(tmp_path_factory: pytest.TempPathFactory) -> DataMap:
    """Real pairs with recorded scores of GPT-4; a tenth of the labels is flipped."""
    path, _ = write_example(tmp_path_factory.mktemp("pairs"))
    return admap.build_map(admap.score(admap.read(path), scorer="existing"))


@pytest.fixture(scope="session")
def four_map() -> DataMap:
    """Real prompts with four completions, three scores each and no label."""
    return admap.build_map(admap.score(admap.read(FOUR), scorer="existing"))


@pytest.fixture(scope="module")
def make_review(argilla_client: Any, page_workspace: str) -> Callable[..., Review]:
    """Pushes a map into a data set of its own."""

    def make(name: str, data_map: DataMap, **options: Any) -> Review:
        pushed = push(data_map, name, argilla_client, workspace=page_workspace, **options)
        api = Api(argilla_client)
        return Review(name, api.dataset(parse_address(f"{page_workspace}/{name}")), data_map, pushed, api)

    return make


@pytest.fixture(scope="module")
def pairs(make_review: Callable[..., Review], pairs_map: DataMap) -> Review:
    return make_review("pairs", pairs_map)


@pytest.fixture(scope="module")
def blind(make_review: Callable[..., Review], pairs_map: DataMap) -> Review:
    return make_review("blind", pairs_map, blind=True)


@pytest.fixture(scope="module")
def four(make_review: Callable[..., Review], four_map: DataMap) -> Review:
    return make_review("four", four_map)


@dataclass(frozen=True)
class Person:
    """Somebody with a browser: pages of theirs are signed in."""

    role: str
    username: str
    open: Callable[..., Page]


@pytest.fixture(scope="module")
def owner(argilla_server: TestServer, new_page_of_module: Callable[..., Page]) -> Person:
    """The owner of the server."""
    return _person("owner", argilla_server.url, argilla_server.username, argilla_server.password, new_page_of_module)


@pytest.fixture(scope="module")
def reader(
    argilla_server: TestServer, argilla_client: Any, page_workspace: str, new_page_of_module: Callable[..., Page]
) -> Iterator[Person]:
    """A person with the role annotator."""
    import argilla as rg

    password = f"secret-{uuid.uuid4().hex}"
    user = rg.User(
        username=f"reader-{uuid.uuid4().hex[:8]}", password=password, role="annotator", first_name="R", client=argilla_client
    )
    user.create()
    user.add_to_workspace(argilla_client.workspaces(page_workspace))
    yield _person("annotator", argilla_server.url, str(user.username), password, new_page_of_module)
    user.delete()


@pytest.fixture
def person(request: pytest.FixtureRequest) -> Person:
    """The person whose fixture the test names; use with ``indirect``."""
    found: Person = request.getfixturevalue(request.param)
    return found


def _person(role: str, url: str, username: str, password: str, new_page: Callable[..., Page]) -> Person:
    signed_in: list[Any] = []

    def open_page(*, theme: str = "light", **options: Any) -> Page:
        page = new_page(storage_state=signed_in[0] if signed_in else None, **options)
        if signed_in:
            page.goto(f"{url}/favicon.ico")
        else:
            sign_in(page, url, username, password)
            signed_in.append(page.context.storage_state())
        choose_theme(page, theme)
        return page

    return Person(role, username, open_page)
