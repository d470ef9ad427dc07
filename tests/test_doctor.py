"""What `admap doctor` says of a judge, a store and an Argilla that are well, and of those that are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.checkup import Finding, examine
from argilla_admap.cli import main
from argilla_admap.errors import ArgillaError
from argilla_admap.review.argilla.argilla_api import Api, parse_address
from argilla_admap.review.push.push import push
from argilla_admap.scoring.cache.store import CacheEntry, Store
from argilla_admap.scoring.judging.capabilities import Capabilities
from tests.doubles.argilla_server import Annotator, TestServer
from tests.doubles.judge_server import Judge
from tests.doubles.loops import run_apart
from tests.review.maps import data_map, row

Look = Callable[..., dict[str, list[Finding]]]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """The findings by part, where nothing is set up but what the test gives."""
    for name in ("ARGILLA_API_URL", "ARGILLA_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def look(**given: Any) -> dict[str, list[Finding]]:
        found: dict[str, list[Finding]] = {}
        for finding in examine(**{"store": tmp_path / "store.sqlite", "data_dir": tmp_path / "server", **given}):
            found.setdefault(finding.part, []).append(finding)
        return found

    return look


def test_where_nothing_is_set_up_nothing_is_wrong_and_each_part_says_how(look: Look) -> None:
    found = look()
    assert {part: one.state for part, (one, *_) in found.items()} == {
        "judge": "note",
        "store": "ok",
        "server": "note",
        "argilla": "note",
    }
    assert "OPENAI_API_KEY" in str(found["judge"][0].mend)
    assert "admap server start" in str(found["argilla"][0])


@pytest.mark.parametrize(("today", "state", "said"), [("2026-12-01", "note", "will be"), ("2027-02-01", "wrong", "was to be")])
def test_a_judge_that_has_the_model_is_well_and_asked_nothing_that_is_paid(
    look: Look, judge: Judge, monkeypatch: pytest.MonkeyPatch, today: str, state: str, said: str
) -> None:
    monkeypatch.setattr("argilla_admap.scoring.judging.models._today", lambda: date.fromisoformat(today))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-doctor-0123456789")
    judge.behave(models=[{"id": "gpt-4o", "shutdown_date": "2027-01-14"}, {"id": "other"}])
    found = look(base_url=judge.url)
    assert found["judge"][0].state == "ok"
    assert found["model"][0].state == state
    assert f"{said} shut down on 2027-01-14" in found["model"][0].found
    assert "gpt-6-luna" in str(found["model"][0].mend)
    assert judge.counts()["paid"] == 0
    assert "sk-doctor" not in str(found)


def test_what_earlier_runs_found_the_judge_to_refuse_is_said(look: Look, judge: Judge, tmp_path: Path) -> None:
    judge.behave(models=[{"id": "m"}])
    store = Store(tmp_path / "judgements.sqlite")
    store.remember_endpoint(f"{judge.url} m", Capabilities(temperature=False, logprobs="full", top_logprobs=5).facts())
    store.close()
    found = look(base_url=judge.url, model="m", store=store.path)["model"][0].found
    assert "at most 5 candidates" in found
    assert "refuses a temperature" in found
    assert "system" not in found


def test_a_model_that_the_judge_does_not_have_is_wrong_and_those_that_it_has_are_named(look: Look, judge: Judge) -> None:
    judge.behave(models=[{"id": "llama"}, {"id": "qwen"}])
    found = look(base_url=judge.url, model="gpt-9")
    assert found["judge"][0].state == "wrong"
    assert "`model`: llama, qwen" in str(found["judge"][0].mend)
    assert found["price"][0].state == "note"
    assert "`price`" in str(found["price"][0].mend)


def test_a_judge_that_is_not_there_and_an_address_that_is_none_are_wrong(look: Look, judge: Judge) -> None:
    assert look(base_url="http://127.0.0.1:9/v1")["judge"][0].state == "wrong"
    nowhere = look(base_url="nowhere")["judge"][0]
    assert nowhere.state == "wrong"
    assert "http://127.0.0.1:8000/v1" in str(nowhere.mend)
    # An address without its /v1: something answers, and it is no judge.
    missed = look(base_url=judge.url.removesuffix("/v1"))["judge"][0]
    assert missed.state != "ok"


def test_in_a_notebook_where_a_loop_runs_it_looks_all_the_same(look: Look, judge: Judge) -> None:
    judge.behave(models=[{"id": "gpt-4o"}])

    async def cell() -> dict[str, list[Finding]]:
        return look(base_url=judge.url)

    assert run_apart(cell())["judge"][0].state == "ok"


def test_the_store_tells_what_it_keeps_and_a_file_that_is_none_is_wrong(look: Look, tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.put(CacheEntry(b"k" * 16, 4.0, 0.5, 1.0, None, 10, 1, None), lambda: None)
    store.close()
    assert "1 judgements kept" in look()["store"][0].found
    other = tmp_path / "letter.txt"
    other.write_text("Dear all,\n" * 200)
    wrong = look(store=other)["store"][0]
    assert wrong.state == "wrong"
    assert "`store`" in str(wrong)
    assert other.read_text().startswith("Dear all")


def test_what_others_can_read_is_told_and_repair_makes_it_this_users_alone(look: Look, tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.put(CacheEntry(b"k" * 16, 4.0, 0.5, 1.0, None, 10, 1, None), lambda: None)
    store.close()
    assert {one.state for one in look()["store"]} == {"ok"}
    store.path.chmod(0o644)
    (tmp_path / "server").mkdir(mode=0o755)
    found = look()
    assert [one.state for one in found["store"][:2]] == ["ok", "wrong"]
    assert f"chmod go= {store.path}" in str(found["store"][1].mend)
    assert "is open to other users" in found["server"][0].found
    assert store.path.stat().st_mode & 0o777 == 0o644
    repaired = look(repair=True)
    assert [repaired["store"][1].state, repaired["server"][0].state] == ["mended", "mended"]
    assert [path.stat().st_mode & 0o777 for path in (store.path, tmp_path / "server")] == [0o600, 0o700]
    found = look(repair=True)
    assert {one.state for one in found["store"]} == {"ok"}
    assert "1 judgements kept" in found["store"][0].found


def test_records_that_the_index_lacks_are_told(
    look: Look, argilla_environment: TestServer, argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import argilla as rg

    settings = rg.Settings(
        fields=[rg.TextField("text")], questions=[rg.TextQuestion("note")], vectors=[rg.VectorField("v", dimensions=2)]
    )
    dataset = rg.Dataset("checked", workspace=workspace, settings=settings, client=argilla_client).create()
    dataset.records.log([{"text": "seen", "v": [1.0, 0.5]}])

    def look_again() -> dict[str, list[Finding]]:
        monkeypatch.setenv("ARGILLA_API_URL", argilla_environment.url)
        monkeypatch.setenv("ARGILLA_API_KEY", argilla_environment.api_key)
        found = look()
        assert found["argilla"][0].state == "ok"
        return found

    assert [one.state for one in look_again()["data sets"]] == ["ok"]
    # The server takes a vector of zeros, and cannot index it.
    dataset.records.log([{"text": "not seen", "v": [0.0, 0.0]}])
    (lacking,) = (one for one in look_again()["data set"] if one.found.startswith(f"{workspace}/checked:"))
    assert lacking.state == "wrong"
    assert "holds 2 records and the index 1" in lacking.found


def test_queues_that_hold_other_numbers_than_the_page_tells_are_counted_anew(
    look: Look, argilla_environment: TestServer, argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = push(data_map([row(f"q{n}") for n in range(3)]), f"{workspace}/queues", argilla_client)
    api, address = Api(argilla_client), parse_address(pushed.dataset)
    api.update_dataset(api.dataset(address), guidelines=f"Ours.\n\n{api.dataset(address).guidelines}\n\nAnd ours.")

    def told(**given: bool) -> list[Finding]:
        monkeypatch.setenv("ARGILLA_API_URL", argilla_environment.url)
        monkeypatch.setenv("ARGILLA_API_KEY", argilla_environment.api_key)
        return [one for one in look(**given).get("queues", []) if one.found.startswith(f"{workspace}/queues:")]

    assert told() == []
    (gone,) = (item["id"] for item in api.search(api.dataset(address), {}, limit=1)[0])
    api.request("DELETE", f"/api/v1/datasets/{api.dataset(address).id}/records", params={"ids": gone})
    (stale,) = told()
    assert (stale.state, stale.mend) == ("note", "Run `admap doctor` with `repair`, or `admap pull`: both count them anew.")
    assert [one.state for one in told(repair=True)] == ["mended"]
    after = api.dataset(address).guidelines or ""
    assert "2 records, scored by" in after
    assert after.startswith("Ours.\n\n<!--")
    assert after.endswith("-->\n\nAnd ours.")
    assert told(repair=True) == []


def test_an_argilla_that_fails_on_the_way_is_told_and_the_rest_too(
    look: Look, argilla_environment: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Api) -> Any:
        raise ArgillaError("the search engine does not answer", hint="start it again")

    monkeypatch.setattr(Api, "datasets", broken)
    monkeypatch.setenv("ARGILLA_API_URL", argilla_environment.url)
    monkeypatch.setenv("ARGILLA_API_KEY", argilla_environment.api_key)
    found = look()
    assert found["argilla"][0].state == "ok"
    assert found["data sets"] == [Finding("data sets", "wrong", "the search engine does not answer", "Start it again.")]


def test_a_store_below_a_file_is_wrong(look: Look, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert look(store=tmp_path / "file" / "store.sqlite")["store"][0].state == "wrong"


def test_an_annotator_learns_that_the_key_will_not_do(
    look: Look, annotator: Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    look()
    monkeypatch.setenv("ARGILLA_API_URL", str(annotator.client.api_url))
    monkeypatch.setenv("ARGILLA_API_KEY", annotator.api_key)
    assert "cannot push" in look()["argilla"][1].found


def test_an_argilla_that_is_named_and_does_not_answer_is_wrong(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGILLA_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ARGILLA_API_KEY", "k")
    assert look()["argilla"][0].state == "wrong"


@pytest.mark.usefixtures("look")
def test_the_command_prints_one_json_object_and_fails_where_something_is_wrong(tmp_path: Path, capsys: Any) -> None:
    def doctor(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", "--store", str(tmp_path / "s"), "--data-dir", str(tmp_path / "d"), *words])
        return int(ended.value.code or 0), capsys.readouterr().out

    code, said = doctor("--json")
    assert (code, json.loads(said)["wrong"]) == (0, 0)
    assert json.loads(said)["versions"]["argilla"] == "2.8.0"
    code, said = doctor("--base-url", "http://127.0.0.1:9/v1")
    assert code == 1
    assert "WRONG  judge" in said
