"""One request: broken connections, refusals, pages that move while they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from argilla_admap.errors import ArgillaError
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
