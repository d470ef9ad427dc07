"""Who may do what, and where: roles, two teams, names as people give them, a proxy in front of the server and its faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doubles.front_proxy import Asked, FrontProxy, front_proxy
from tests.doubles.unpatched_server import UnpatchedServer
from tests.unpatched.conftest import Admap
from tests.unpatched.people import answer, make_team, person, records, search, work

#: As people name things: a space, what an address cuts off at, letters of no ASCII.
ODD_TEAM, ODD_NAME = "Team № 1 #a?", "Präferenzen #2 ?x=1&y 100% 数据"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve records, which `data_with` writes with longer texts too."""
    return data_with(tmp_path, 12)


def data_with(folder: Path, count: int, words: int = 5) -> Path:
    path = folder / f"{count}-{words}.jsonl"
    rows = [
        {
            "id": f"r{i} #?/ü",
            "prompt": f"Question {i}",
            "completions": [
                {"text": f"Answer {i} {side} " + "word " * words, "rating": 1 - place, "scores": [4 + place * (i % 3), 5]}
                for place, side in enumerate("ab")
            ],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def proxy(unpatched: UnpatchedServer) -> Iterator[FrontProxy]:
    with front_proxy(unpatched.url) as running:
        yield running


def test_names_as_people_give_them_and_one_name_in_two_teams(admap: Admap, unpatched: UnpatchedServer, data: Path) -> None:
    make_team(unpatched.url, unpatched.api_key, ODD_TEAM)
    for team in (ODD_TEAM, "argilla"):
        run = admap("run", data, "--dataset", f"{team}/{ODD_NAME}", "--scorer", "existing")
        assert (run["created"], run["dataset"]) == (True, f"{team}/{ODD_NAME}")
        assert httpx.get(run["queues"][0]["url"]).status_code == 200
    both = admap("queues", ODD_NAME, code=2)
    assert f"{ODD_TEAM}/{ODD_NAME}" in both
    assert f"argilla/{ODD_NAME}" in both
    eve = person(unpatched.url, unpatched.api_key, "Ève van 'Dam' #3", "annotator", ODD_TEAM)
    identity = run_id(admap("queues", f"{ODD_TEAM}/{ODD_NAME}"))
    answer(eve, search(eve, identity)[0], better="flip")
    pulled = admap("pull", f"{ODD_TEAM}/{ODD_NAME}", "--original", data, "-o", "out.jsonl", "--changes", "changes.jsonl")
    assert (pulled["reviewed"], pulled["corrected"]) == (1, 1)
    assert json.loads(Path("changes.jsonl").read_text())["reviewers"] == [eve.name]
    assert admap("pull", f"argilla/{ODD_NAME}", "-o", "other.jsonl")["reviewed"] == 0


def run_id(found: dict[str, Any]) -> str:
    return str(found["queues"][0]["url"].split("/dataset/")[1].split("/")[0])


def test_an_admin_does_all_in_their_team_and_nothing_in_another_and_an_annotator_is_told(
    admap: Admap, unpatched: UnpatchedServer, data: Path
) -> None:
    url, owner = unpatched.url, unpatched.api_key
    for team in ("theirs", "others"):
        make_team(url, owner, team)
    admin = person(url, owner, "adam", "admin", "theirs")
    reader = person(url, owner, "rita", "annotator", "theirs")
    as_admin, as_reader = {"ARGILLA_API_KEY": admin.key}, {"ARGILLA_API_KEY": reader.key}
    admap("run", data, "--dataset", "others/secret", "--scorer", "existing", "-o", "secret.parquet")

    run = admap("run", data, "--dataset", "theirs/open", "--scorer", "existing", "-o", "m.parquet", **as_admin)
    assert run["created"]
    answer(reader, search(reader, run_id(run))[0], better="keep")
    assert admap("status", "theirs/open", **as_admin)["reviewed"] == 1
    assert admap("pull", "theirs/open", "-o", "out.jsonl", **as_admin)["confirmed"] == 1
    assert admap("watch", "theirs/open", "--once", **as_admin)["reviewed"] == 1
    assert "adam" in json.dumps(admap("doctor", **as_admin)["findings"])
    for words in (("queues", "others/secret"), ("pull", "others/secret", "-o", "x.jsonl")):
        assert "there is no data set" in admap(*words, code=2, **as_admin)
    assert "there is no workspace 'others'" in admap("push", "m.parquet", "--dataset", "others/new", code=2, **as_admin)
    assert "only an owner" in admap("reviewers", "add", "zoe", code=1, **as_admin)

    before = work(records(url, owner, "theirs/open"))
    for words in (("push", "m.parquet", "--dataset", "theirs/new"), ("pull", "theirs/open", "-o", "y.jsonl")):
        assert "not allowed" in admap(*words, code=1, **as_reader)
    assert "annotator's key cannot push" in json.dumps(admap("doctor", **as_reader)["findings"])
    assert work(records(url, owner, "theirs/open")) == before
    assert "there is no data set" in admap("queues", "theirs/new", code=2)
    assert not list(Path().glob("[xy].jsonl"))


def test_under_a_path_every_command_and_link_has_it(admap: Admap, proxy: FrontProxy, data: Path) -> None:
    there = {"ARGILLA_API_URL": f"{proxy.url}/"}
    run = admap("run", data, "--dataset", "argilla/under", "--scorer", "existing", **there)
    assert all(queue["url"].startswith(f"{proxy.url}/dataset/") for queue in run["queues"])
    assert admap("pull", "argilla/under", "-o", "out.jsonl", **there)["records"] == 12
    said = json.dumps(admap("doctor", **there)["findings"])
    assert proxy.url in said
    cut = proxy.url.removesuffix("/argilla")
    assert "with its path" in admap("queues", "argilla/under", code=1, ARGILLA_API_URL=cut)


def test_a_proxy_with_limits_and_faults_costs_time_and_no_record(
    admap: Admap, unpatched: UnpatchedServer, proxy: FrontProxy, tmp_path: Path
) -> None:
    data, there = data_with(tmp_path, 24, words=200), {"ARGILLA_API_URL": proxy.url}

    def fault(asked: Asked) -> Any:
        if asked.path.endswith("/records/bulk") and asked.size > 40_000:
            return 413, {}
        faults: dict[int, Any] = {2: (429, {"Retry-After": "0"}), 6: (502, {}), 10: "lost", 14: (504, {})}
        return faults.get(asked.number % 16)

    proxy.fault = fault
    run = admap("run", data, "--dataset", "argilla/faults", "--scorer", "existing", **there)
    assert (run["created"], run["records"]) == (True, 24)
    assert {status for _, status in proxy.answered} == {413, 429, 502, 504}
    proxy.fault = None
    held = records(unpatched.url, unpatched.api_key, "argilla/faults")
    assert set(held) == {json.loads(line)["id"] for line in data.read_text().splitlines()}
    assert admap("queues", "argilla/faults")["queues"]
    assert not admap("push", "faults.map.parquet", "--dataset", "argilla/faults")["updated"]

    # A single record that is too large, and a proxy that never lets anything through, are said, with what to do.
    proxy.fault = lambda asked: (413, {}) if asked.path.endswith("/records/bulk") else None
    assert "client_max_body_size" in admap("push", "faults.map.parquet", "--dataset", "argilla/large", code=1, **there)
    proxy.fault = lambda asked: (504, {}) if asked.method == "PUT" else None
    assert "a proxy in front of the server" in admap("push", "faults.map.parquet", "--dataset", "argilla/slow", code=1, **there)


def test_a_key_that_ends_half_way_is_named_and_the_next_push_goes_on(
    admap: Admap, unpatched: UnpatchedServer, proxy: FrontProxy, tmp_path: Path
) -> None:
    data, there = data_with(tmp_path, 24, words=200), {"ARGILLA_API_URL": proxy.url}
    admap("score", data, "--scorer", "existing", "-o", "s.parquet")
    admap("map", "s.parquet", "-o", "m.parquet")
    sent = 0

    def ends(asked: Asked) -> Any:
        nonlocal sent
        if asked.path.endswith("/records/bulk"):
            if asked.size > 20_000:
                return 413, {}
            sent += 1
        return (401, {}) if sent > 3 else None

    proxy.fault = ends
    said = admap("push", "m.parquet", "--dataset", "argilla/ended", code=1, **there)
    assert "API key is not accepted" in said
    assert "ARGILLA_API_KEY" in said
    held = records(unpatched.url, unpatched.api_key, "argilla/ended")
    assert 0 < len(held) < 24
    pushed = admap("push", "m.parquet", "--dataset", "argilla/ended")
    assert (pushed["created"], pushed["updated"]) == (False, 0)
    after = records(unpatched.url, unpatched.api_key, "argilla/ended")
    assert len(after) == 24
    assert {name: item["id"] for name, item in held.items()}.items() <= {
        name: item["id"] for name, item in after.items()
    }.items()
