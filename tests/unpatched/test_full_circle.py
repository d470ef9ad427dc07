"""The circle on an Argilla that is not ours: a new data set, one of others, a blind one; reviewers, links, pull, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.example_data import write_example
from tests.doubles.unpatched_server import UnpatchedServer
from tests.unpatched.conftest import Admap
from tests.unpatched.people import answer, login, person, ratings_of_others, records, search, terms, work

#: Records of the example that are taken: enough for a queue.
_TAKEN = 40


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The first records of the example, of which some labels are wrong, with a judge's scores."""
    whole, planted = write_example(tmp_path / "whole")
    lines = whole.read_text().splitlines()[:_TAKEN]
    (tmp_path / "planted.txt").write_text("\n".join(planted))
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def truth(original: Path) -> dict[str, str]:
    planted = set((original.parent / "planted.txt").read_text().split())
    ids = [json.loads(line)["id"] for line in original.read_text().splitlines()]
    return {name: "flip" if name in planted else "keep" for name in ids}


def dataset_id(pushed: dict[str, Any]) -> str:
    return str(pushed["queues"][0]["url"].split("/dataset/")[1].split("/")[0])


def counts(found: dict[str, Any]) -> dict[str, int]:
    return {queue["name"]: queue["count"] for queue in found["queues"]}


def test_a_new_data_set_is_made_reviewed_and_pulled(admap: Admap, unpatched: UnpatchedServer, original: Path) -> None:
    place = "argilla/circle"
    run = admap("run", original, "--dataset", place, "--scorer", "existing")
    assert (run["created"], run["records"]) == (True, _TAKEN)
    suspects = counts(run)["likely-wrong"]
    assert suspects == run["map"]["flags"]["likely_wrong"] > 1
    assert counts(admap("queues", place)) == counts(run)

    (ann,) = admap("reviewers", "add", "ann of the circle", "--workspace", "argilla")["reviewers"]
    ann = login(unpatched.url, ann["name"], ann["password"])
    right, given = truth(original), {}
    for record in search(ann, dataset_id(run), terms("admap_flags", "likely_wrong")):
        given[record["external_id"]] = right[record["external_id"]]
        answer(ann, record, better=given[record["external_id"]])
    assert len(given) == suspects
    flips = {name for name, said in given.items() if said == "flip"}
    assert flips

    before = work(records(unpatched.url, unpatched.api_key, place))
    again = admap("run", original, "--dataset", place, "--scorer", "existing")
    assert not again["created"]
    assert work(records(unpatched.url, unpatched.api_key, place)) == before

    near = admap("queues", place, "--similar-to", next(iter(given)))["queues"][0]
    assert near["count"] >= 2
    # Such a link opens on every Argilla: by ranges where the server cannot show one record with its vectors.
    link = near["url"].partition("?")[2]
    assert "similarity=record." in link or "admap_mean.ge" in link
    reading = admap("watch", place, "--once")
    assert (reading["reviewed"], reading["corrected"]) == (len(given), len(flips))
    status = admap("status", place)
    assert (status["reviewed"], status["corrected"], status["conflicts"]) == (len(given), len(flips), 0)
    assert status["reviewers"][0]["name"] == ann.name

    pulled = admap("pull", place, "--original", original, "-o", "corrected.jsonl")
    assert (pulled["reviewed"], pulled["corrected"]) == (len(given), len(flips))
    pairs = zip(original.read_bytes().splitlines(), Path("corrected.jsonl").read_bytes().splitlines(), strict=True)
    assert {json.loads(new)["id"] for old, new in pairs if old != new} == flips

    findings = admap("doctor")["findings"]
    assert [one["part"] for one in findings if one["state"] == "ok" and one["part"] == "data sets"] == ["data sets"]
    assert any(one["part"] == "argilla" and unpatched.version in one["found"] for one in findings)
    assert not [one for one in findings if one["state"] == "wrong"]


def test_a_change_of_what_is_on_the_page_is_made_or_refused_before_anything_is_written(
    admap: Admap, unpatched: UnpatchedServer, original: Path
) -> None:
    place, few = "argilla/changed", Path("few.jsonl")
    rows = [json.loads(line) for line in original.read_text().splitlines()[:6]]
    few.write_text("".join(json.dumps(row) + "\n" for row in rows))
    admap("run", few, "--dataset", place, "--scorer", "existing")
    before = records(unpatched.url, unpatched.api_key, place)
    for completion, rating in zip(
        rows[0]["completions"], (0, 1) if rows[0]["completions"][0]["rating"] else (1, 0), strict=True
    ):
        completion["rating"] = rating
    few.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if unpatched.version.startswith("2.5."):
        said = admap("run", few, "--dataset", place, "--scorer", "existing", code=2)
        assert "2.5.0 cannot change the fields" in said
        assert "2.6 or newer" in said
        assert records(unpatched.url, unpatched.api_key, place) == before
        return
    admap("run", few, "--dataset", place, "--scorer", "existing")
    name = rows[0]["id"]
    after = records(unpatched.url, unpatched.api_key, place)
    assert after[name]["fields"]["admap"]["_r"] == before[name]["fields"]["admap"]["_r"][::-1]


def test_a_data_set_of_others_is_enriched_and_keeps_all_that_is_theirs(
    admap: Admap, unpatched: UnpatchedServer, original: Path
) -> None:
    rows = [json.loads(line) for line in original.read_text().splitlines()]
    key, place = unpatched.api_key, "argilla/theirs"
    ratings_of_others(unpatched.url, key, "argilla", "theirs", rows)
    first = person(unpatched.url, key, "bo of theirs", "annotator", "argilla")
    named = records(unpatched.url, key, place)
    for row in rows[:5]:
        answer(first, named[row["id"]], **{"generations-0-rating": 1, "generations-1-rating": 5})
    before = work(records(unpatched.url, key, place))
    admap("score", original, "--scorer", "existing", "-o", "scored.parquet")
    admap("map", "scored.parquet", "-o", "map.parquet")
    pushed = admap("push", "map.parquet", "--dataset", place)
    assert (pushed["created"], pushed["updated"], pushed["unmatched"]) == (False, _TAKEN, 0)
    after = records(unpatched.url, key, place)
    assert work(after) == before
    assert all("admap_position" in item["vectors"] and "admap_mean" in item["metadata"] for item in after.values())
    found = search(first, dataset_id(pushed), terms("admap_flags", "likely_wrong"))
    answered = {row["id"] for row in rows[:5]}
    flagged = {name for name, item in after.items() if "likely_wrong" in item["metadata"].get("admap_flags", [])}
    assert {item["external_id"] for item in found} == flagged - answered
    assert counts(pushed)["likely-wrong"] == len(flagged)
    assert admap("push", "map.parquet", "--dataset", place)["updated"] == 0
    assert admap("pull", place, "-o", "out.jsonl")["reviewed"] == 5


def test_a_blind_review_is_shared_out_among_reviewers(admap: Admap, unpatched: UnpatchedServer, original: Path) -> None:
    key, place = unpatched.api_key, "argilla/blind"
    people = [person(unpatched.url, key, name, "annotator", "argilla") for name in ("cy", "di")]
    run = admap("run", original, "--dataset", place, "--scorer", "existing", "--blind", "--reviewers", "cy,di")
    assert any("key and some skill" in note for note in run["notes"]), "what this server cannot hide is said"
    shares = [
        {item["external_id"] for item in search(who, dataset_id(run), terms("admap_reviewer", who.name))} for who in people
    ]
    assert not shares[0] & shares[1]
    assert len(shares[0] | shares[1]) == _TAKEN
    shown = search(people[0], dataset_id(run), limit=1)[0]
    assert "better" not in shown["fields"]
    assert not {"admap_mean", "admap_p_wrong", "admap_flags"} & set(shown["metadata"] or {})
    answer(people[0], search(people[0], dataset_id(run), terms("admap_reviewer", people[0].name))[0], better="a")
    assert admap("pull", place, "-o", "out.jsonl")["reviewed"] == 1
