"""One request: broken connections, refusals, pages that move while they are read."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, connect

KEY = "the-key-of-the-test"


@pytest.fixture(autouse=True)
def _no_waiting() -> Any:
    import stamina

    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


def api(handle: Callable[[httpx.Request], httpx.Response], url: str = "http://127.0.0.1:6900") -> Api:
    client: Any = SimpleNamespace(
        api_url=url,
        http_client=httpx.Client(base_url=url, transport=httpx.MockTransport(handle), headers={"X-Argilla-Api-Key": KEY}),
    )
    return Api(client)


def test_a_request_on_a_connection_that_broke_is_sent_again() -> None:
    calls: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        if len(calls) == 1:
            raise httpx.ReadError("connection closed")
        return httpx.Response(200, json={"username": "me"})

    assert api(handle).me() == {"username": "me"}
    assert calls == ["/api/v1/me"] * 2


def test_the_servers_own_error_is_asked_again_and_then_told(capfd: pytest.CaptureFixture[str]) -> None:
    calls = iter(range(10))

    def handle(request: httpx.Request) -> httpx.Response:
        next(calls)
        return httpx.Response(500, text="Internal Server Error")

    with pytest.raises(ArgillaError, match="server's log") as caught:
        api(handle).me()
    assert next(calls) > 1
    assert KEY not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"detail": "Invalid credentials"}, "ARGILLA_API_KEY"),
        (403, {"detail": "Operation not allowed"}, "not allowed"),
        (404, {"detail": {"code": "not_found", "params": {"detail": "Dataset with id `x` not found"}}}, "Dataset with id `x`"),
        (409, {"detail": "already exists"}, "exists already"),
        (422, {"detail": {"code": "x", "params": {"detail": "Record at position 0 is not valid"}}}, "Record at position 0"),
        (418, {"detail": {"odd": [1, 2]}}, "odd"),
    ],
)
def test_a_refusal_says_what_to_do_and_what_the_server_said(status: int, body: Any, words: str) -> None:
    calls = iter(range(10))

    def handle(request: httpx.Request) -> httpx.Response:
        next(calls)
        return httpx.Response(status, json=body)

    with pytest.raises(ArgillaError, match=words) as caught:
        api(handle).me()
    assert next(calls) == 1
    assert KEY not in str(caught.value)


def test_an_answer_that_is_a_web_page_is_not_printed_as_one() -> None:
    with pytest.raises(ArgillaError) as caught:
        api(lambda request: httpx.Response(403, html="<html><script>x()</script>No</html>")).me()
    assert "<" not in str(caught.value)


def test_a_password_in_the_address_is_not_told() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ArgillaError, match="no Argilla server answers") as caught:
        api(handle, "http://user:secret-word@127.0.0.1:6900").me()
    assert "secret-word" not in str(caught.value)
    with pytest.raises(ArgillaError, match="no Argilla server answers"):
        connect("http://127.0.0.1:9", KEY)


def test_a_local_server_is_asked_not_to_pack_its_answers() -> None:
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        return httpx.Response(200, json={})

    api(handle).me()
    api(handle, "https://argilla.example").me()
    assert asked[0] == "identity"
    assert "gzip" in asked[1]


@pytest.mark.parametrize(("told", "waits"), [({"Retry-After": "7"}, [7.0, 7.0]), ({}, [0.2, 0.4])])
def test_too_many_requests_are_sent_again_after_the_time_that_is_asked_for(
    told: dict[str, str], waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    statuses = iter([429, 429, 200])
    api(lambda request: httpx.Response(next(statuses), headers=told, json={"username": "me"})).me()
    assert waited == pytest.approx(waits)
    waited.clear()
    with pytest.raises(ArgillaError, match="too many requests") as caught:
        api(lambda request: httpx.Response(429, headers=told)).me()
    assert 100 < sum(waited) <= 300
    assert "goes on where it stopped" in str(caught.value.hint)


def test_a_request_that_a_proxy_finds_too_large_is_sent_in_parts() -> None:
    sent: list[list[int]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if len(request.content) > 200:
            return httpx.Response(413, html="<html><h1>413 Request Entity Too Large</h1></html>")
        items = [item["id"] for item in json.loads(request.content)["items"]]
        sent.append(items)
        return httpx.Response(200, json={"items": [{"id": number} for number in items]})

    answer = api(handle).put_records(_dataset(), [{"id": number, "text": "x" * 40} for number in range(11)])
    assert [number for part in sent for number in part] == list(range(11))
    assert [item["id"] for item in answer["items"]] == list(range(11))
    with pytest.raises(ArgillaError, match="does not take a request of this size") as caught:
        api(handle).put_records(_dataset(), [{"id": 1}, {"id": 2, "text": "x" * 400}])
    assert "client_max_body_size" in str(caught.value.hint)
    assert sent[-1] == [1]


@pytest.mark.parametrize(("version", "named"), [("2.7.1", True), ("2.8.0", False), ("2.5.0", False)])
def test_a_version_that_cannot_change_records_on_postgresql_is_named(version: str, named: bool) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        found = request.url.path == "/api/v1/version"
        return httpx.Response(200, json={"version": version}) if found else httpx.Response(500, text="Internal Server Error")

    with pytest.raises(ArgillaError) as caught:
        api(handle).put_records(_dataset(), [{"id": "1", "metadata": {}}])
    assert ("PostgreSQL" in str(caught.value.hint)) is named


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_gets_no_answer_is_named_as_one(status: int) -> None:
    with pytest.raises(ArgillaError, match="a proxy in front of the server") as caught:
        api(lambda request: httpx.Response(status, html="<h1>Gateway</h1>")).me()
    assert "goes on where it stopped" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("version", "too_old", "replaces"),
    [("2.4.1", True, False), ("2.5.0", False, False), ("2.6.0", False, True), ("2.10.0", False, True), ("dev", False, True)],
)
def test_what_a_version_cannot_do_is_known_before_anything_is_written(version: str, too_old: bool, replaces: bool) -> None:
    calls: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        return httpx.Response(200, json={"version": version})

    server = api(handle)
    assert server.replaces_fields() is replaces
    if too_old:
        with pytest.raises(InputError, match=r"Argilla 2\.4\.1, which has no custom fields"):
            server.check_version()
    else:
        server.check_version()
    assert set(calls) == {"/api/v1/version"}


def _dataset() -> RemoteDataset:
    return RemoteDataset("1", "n", "w", "2", True, None, {}, 1, True, "http://argilla")


def _id(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def test_every_record_is_read_once_though_one_is_deleted_meanwhile() -> None:
    present = list(range(10))
    calls = iter(range(100))

    def handle(request: httpx.Request) -> httpx.Response:
        if next(calls) == 1:
            present.remove(0)  # all others move up by one
        offset, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
        items = [{"id": _id(number)} for number in present[offset : offset + limit]]
        return httpx.Response(200, content=json.dumps({"items": items, "total": len(present)}))

    found = [item["id"] for page in api(handle).pages(_dataset(), size=3) for item in page]
    assert len(found) == len(set(found))
    assert {_id(number) for number in present} <= set(found)


def test_the_next_page_is_on_its_way_while_one_is_worked_on_and_its_failure_is_told() -> None:
    asked = [threading.Event() for _ in range(3)]

    def handle(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["offset"]) // 2
        asked[page].set()
        items = [{"id": _id(2 * page)}, {"id": _id(2 * page + 1)}]
        return httpx.Response(500 if page == 2 else 200, json={"items": items, "total": 6})

    pages = api(handle).pages(_dataset(), size=2)
    assert len(next(pages)) == 2
    assert asked[1].wait(10)
    assert not asked[2].is_set()
    assert len(next(pages)) == 2
    with pytest.raises(ArgillaError, match="server's log"):
        next(pages)


def test_a_web_page_instead_of_an_answer_is_asked_again_and_then_told() -> None:
    page = "<html><title>Sign in</title><body>Please sign in</body></html>"
    pages = iter([True, False])

    def once(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, html=page) if next(pages) else httpx.Response(200, json={"username": "me"})

    assert api(once).me() == {"username": "me"}
    with pytest.raises(ArgillaError, match=r"proxy or a login page") as caught:
        api(lambda request: httpx.Response(200, html=page)).put_records(_dataset(), [])
    assert "<" not in str(caught.value)
    with pytest.raises(ArgillaError, match="something else than Argilla's JSON"):
        api(lambda request: httpx.Response(200, json={"status": "ok"})).workspaces()


@pytest.mark.parametrize(
    ("status", "words"), [(404, "no Argilla at this address"), (401, "does not accept the API key"), (500, "server's log")]
)
def test_a_wrong_path_is_no_wrong_key(status: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(self: httpx.Client, request: httpx.Request, **_: Any) -> httpx.Response:
        return httpx.Response(status, request=request, html="<html>Not Found</html>")

    monkeypatch.setattr(httpx.Client, "send", send)
    with pytest.raises(ArgillaError, match=words):
        connect("http://argilla.example/wrong/path", KEY)


@pytest.mark.parametrize(("status", "fails"), [("ready", False), ("draft", True)])
def test_a_lost_answer_to_publish_is_no_failure(status: str, fails: bool) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(422, json={"detail": "Dataset has already been published"})
        return httpx.Response(200, json={"status": status})

    if fails:
        with pytest.raises(ArgillaError, match="already been published"):
            api(handle).publish("1")
    else:
        api(handle).publish("1")
