"""Requests are those of the user's own client."""

from __future__ import annotations

import importlib
from typing import Any

import openai
import pytest

from argilla_admap.errors import InputError
from argilla_admap.scoring.client import transport
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import score
from tests.doubles.judge_server import Judge
from tests.doubles.loops import run_apart
from tests.scoring.makers import options, records, stream


def way(client: Any, model: str = "m") -> Any:
    return run_apart(transport._ask_client(client, "/chat/completions", model))


def test_organisation_query_and_headers_are_kept() -> None:
    client = openai.AsyncOpenAI(
        api_key="secret",
        base_url="http://h:81/v1",
        organization="org",
        project="proj",
        default_headers={"x-team": "t"},
        default_query={"q": "1"},
    )
    found = way(client)
    assert str(found.url) == "http://h:81/v1/chat/completions?q=1"
    headers = {name.lower(): value for name, value in found.headers.items()}
    assert headers["authorization"] == "Bearer secret"
    assert (headers["openai-organization"], headers["openai-project"], headers["x-team"]) == ("org", "proj", "t")
    assert not {"host", "content-length"} & headers.keys()


@pytest.mark.parametrize("kind", ["AsyncAzureOpenAI", "AzureOpenAI"])
def test_azure_goes_to_its_deployment(kind: str) -> None:
    client = getattr(openai, kind)(api_key="secret", azure_endpoint="https://x.openai.azure.com", api_version="2024-10-21")
    found = way(client, "my-gpt")
    assert found.url.path == "/openai/deployments/my-gpt/chat/completions"
    assert found.url.query["api-version"] == "2024-10-21"
    assert {name.lower(): value for name, value in found.headers.items()}["api-key"] == "secret"


@pytest.mark.parametrize("kind", ["AsyncOpenAI", "OpenAI"])
def test_a_client_that_is_handed_in_is_used(judge: Judge, tmp_path: Any, kind: str) -> None:
    judge.behave(key="of-the-client")
    client = getattr(openai, kind)(api_key="of-the-client", base_url=judge.url)
    chosen = ScoreOptions(store=tmp_path / "s")
    assert score(stream(records(5)), chosen, client=client).summary["scored"] == 10


@pytest.mark.parametrize("kind", ["Async", ""])
def test_a_client_with_its_own_http_client_carries_its_requests(judge: Judge, tmp_path: Any, kind: str) -> None:
    library = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])
    seen: list[str] = []

    def hook(request: Any) -> None:
        seen.append(str(request.url))

    async def async_hook(request: Any) -> None:
        hook(request)

    own = getattr(library, f"{kind}Client")(event_hooks={"request": [async_hook if kind else hook]})
    client = getattr(openai, f"{kind}OpenAI")(api_key="k", base_url=judge.url, http_client=own)
    judge.behave(faults={"500": 0.3}, times=1)
    assert score(stream(records(5)), ScoreOptions(store=tmp_path / "s"), client=client).summary["scored"] == 10
    assert len(seen) >= 10


def test_a_key_that_runs_out_is_asked_for_again(judge: Judge, tmp_path: Any) -> None:
    judge.behave(key="first", latency=0.05)
    keys = iter(["first"] * 2 + ["second"] * 9)

    async def key() -> str:
        return next(keys)

    def progress(now: Any) -> None:
        if now.requests > 100:
            judge.behave(key="second", latency=0.05)

    client = openai.AsyncOpenAI(api_key=key, base_url=judge.url)
    # Twenty at a time take two seconds: the key changes in the middle of the run.
    slow = ScoreOptions(store=tmp_path / "s", concurrency=20)
    scored = score(stream(records(400)), slow, client=client, progress=progress)
    assert scored.summary["scored"] == 800
    assert scored.summary["retried"] > 0


def test_a_notebook_where_a_loop_runs_can_call_it(judge: Judge, tmp_path: Any) -> None:
    async def cell() -> int:
        scored: int = score(stream(records(3)), options(judge.url, tmp_path)).summary["scored"]
        return scored

    assert run_apart(cell()) == 6


def test_without_a_key_openai_is_not_asked(judge: Judge, tmp_path: Any) -> None:
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        score(stream(records(3)), ScoreOptions(store=tmp_path / "s"))


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://h/v1", "http://"])
def test_an_address_that_is_none_is_named(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    with pytest.raises(InputError, match="`base_url`"):
        score(stream(records(3)), ScoreOptions(store=tmp_path / "s", base_url=address))


def test_the_environment_names_the_server(judge: Judge, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    judge.behave(key="of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", judge.url)
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    assert score(stream(records(3)), ScoreOptions(store=tmp_path / "s")).summary["scored"] == 6


def test_no_key_is_in_the_store(judge: Judge, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
    score(stream(records(3)), options(judge.url, tmp_path), output=tmp_path / "out.parquet")
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"very-secret" not in file.read_bytes()


def test_the_name_of_an_endpoint_holds_no_secret() -> None:
    client = openai.AsyncOpenAI(api_key="k", base_url="https://user:pass@h/v1?token=t")
    assert transport.endpoint_name(client) == "https://h/v1"
