"""A second round: the corrected file is pushed to the same data set, whose answers are of the first; nothing changes twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.pipeline import pull, push
from argilla_admap.records import content_id
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.dataset import card
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.to_file import pull_to_file
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


def shown(api: Api, workspace: str) -> dict[str, list[str]]:
    """The texts at the letters of each record, by external id."""
    found = records(api, remote(api, workspace, "round"))
    return {name: [card.decode(text) for text in item["fields"]["admap"]["_c"]] for name, item in found.items()}


def swapped(record: dict[str, Any], *, hashed: bool) -> dict[str, Any]:
    """The record as a reader takes it from a file of chosen and rejected whose sides were exchanged by the correction."""
    other = {**record, **{name: record[name][::-1] for name in ("completions", "models", "scores")}}
    return {**other, "id": content_id(other["prompt"], other["completions"])} if hashed else other


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("blind", [False, True])
def test_old_answers_keep_their_meaning_when_the_corrected_file_is_pushed(
    api: Api, workspace: str, hashed: bool, blind: bool
) -> None:
    rows = [row(f"r{i}") for i in range(6)]
    if hashed:
        rows = [{**r, "id": content_id(r["prompt"], r["completions"])} for r in rows]
    push(data_map(rows), "round", api.client, workspace=workspace, blind=blind)
    before = shown(api, workspace)
    server = {name: item["id"] for name, item in records(api, remote(api, workspace, "round")).items()}
    for r in rows[:3]:
        # They prefer the second completion of the first file.
        answer(api.client, server[r["id"]], {"better": "ab"[before[r["id"]].index(r["completions"][1])]})
    assert set(pull("round", api.client, workspace=workspace).corrections) == {r["id"] for r in rows[:3]}

    corrected = [swapped(r, hashed=hashed) for r in rows[:3]] + rows[3:]
    result = push(data_map(corrected), "round", api.client, workspace=workspace, blind=blind)
    assert result.added == 0
    assert shown(api, workspace) == before  # each reviewer finds the answer at the letter where they gave it
    second = pull("round", api.client, workspace=workspace)
    assert (second.reviewed, second.confirmed, second.corrections) == (3, 3, {})
    assert set(second.outcomes) == {r["id"] for r in corrected[:3]}
    assert push(data_map(corrected), "round", api.client, workspace=workspace).updated == 0
    # The first file once more: the answers correct it again.
    push(data_map(rows), "round", api.client, workspace=workspace)
    assert set(pull("round", api.client, workspace=workspace).corrections) == {r["id"] for r in rows[:3]}


def test_answers_to_completions_that_are_gone_do_not_count(api: Api, workspace: str, annotator: Any) -> None:
    rows = [row("r0"), row("r1")]
    push(data_map(rows), "round", api.client, workspace=workspace)
    server = {name: item["id"] for name, item in records(api, remote(api, workspace, "round")).items()}
    for name in server:
        answer(api.client, server[name], {"better": "b"})
    edited = [{**rows[0], "completions": ["another text", rows[0]["completions"][1]]}, rows[1]]
    result = push(data_map(edited), "round", api.client, workspace=workspace)
    assert any("1 answers were given to completions that this push replaced" in note for note in result.notes)
    found = pull("round", api.client, workspace=workspace)
    assert (found.reviewed, set(found.corrections)) == (1, {"r1"})
    assert any("do not count" in note for note in found.notes)
    # A new answer is one about the texts that are there now, and a further push keeps that.
    answer(annotator.client, server["r0"], {"better": "b"})
    push(data_map([{**edited[0], "p_wrong": 0.7}, rows[1]]), "round", api.client, workspace=workspace)
    assert set(pull("round", api.client, workspace=workspace).corrections) == {"r0", "r1"}


def test_the_same_correction_is_not_written_twice(api: Api, workspace: str, tmp_path: Path) -> None:
    rows = [row(f"r{i}") for i in range(3)]
    original = tmp_path / "pairs.jsonl"
    lines = [
        {"id": r["id"], "prompt": r["prompt"], "chosen": r["completions"][0], "rejected": r["completions"][1]} for r in rows
    ]
    original.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    push(data_map(rows), "round", api.client, workspace=workspace)
    server = {name: item["id"] for name, item in records(api, remote(api, workspace, "round")).items()}
    answer(api.client, server["r1"], {"better": "b"})
    answer(api.client, server["r2"], {"better": "a"})

    def corrected(source: Path, name: str, **options: Any) -> tuple[bytes, dict[str, Any]]:
        wanted = PullOptions(workspace=workspace, original=str(source), output=str(tmp_path / name), **options)
        done = pull_to_file("round", api.client, wanted)
        return (tmp_path / name).read_bytes(), done.json()

    once, first = corrected(original, "once.jsonl")
    twice, second = corrected(tmp_path / "once.jsonl", "twice.jsonl")
    assert once == twice != original.read_bytes()
    assert (first["written"], second["written"], second["not_written"], second["conflicts"]) == (1, 0, 0, 0)
    # In another format too.
    plain, _ = corrected(original, "plain.jsonl", format="plain")
    assert corrected(tmp_path / "once.jsonl", "again.jsonl", format="plain")[0].count(b"\n") == plain.count(b"\n") == 3
    rewritten = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text(encoding="utf-8").splitlines()]
    best = {r["id"]: max(r["completions"], key=lambda c: c["rating"])["text"] for r in rewritten}
    assert best == {"r0": lines[0]["chosen"], "r1": lines[1]["rejected"], "r2": lines[2]["chosen"]}


def test_an_owners_change_against_an_answer_is_a_conflict_and_said(api: Api, workspace: str, tmp_path: Path) -> None:
    rows = [row(f"r{i}", 3, ratings=[4.0, 2.0, 1.0]) for i in range(4)]
    push(data_map(rows), "round", api.client, workspace=workspace)
    server = {name: item["id"] for name, item in records(api, remote(api, workspace, "round")).items()}
    answer(api.client, server["r0"], {"rating_a": 1, "rating_b": 5, "rating_c": 1})  # a correction
    answer(api.client, server["r1"], {"rating_a": 4, "rating_b": 2, "rating_c": 1})  # a confirmation
    answer(api.client, server["r2"], {"rating_a": 1, "rating_b": 5, "rating_c": 1})
    lines = [
        {
            "id": r["id"],
            "prompt": r["prompt"],
            "completions": [{"text": t, "rating": y} for t, y in zip(r["completions"], r["ratings"], strict=True)],
        }
        for r in rows
    ]
    for changed in (0, 1, 3):  # the owner's own corrections, after the push
        lines[changed]["completions"][0]["rating"] = 3.0
    original = tmp_path / "now.jsonl"
    original.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    options = PullOptions(
        workspace=workspace, original=str(original), output=str(tmp_path / "out.jsonl"), changes=str(tmp_path / "c.jsonl")
    )
    done = pull_to_file("round", api.client, options)
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [[c["rating"] for c in line["completions"]] for line in written] == [
        [3.0, 2.0, 1.0],
        [3.0, 2.0, 1.0],
        [1, 5, 1],
        [3.0, 2.0, 1.0],
    ]
    said = done.json()
    assert (said["conflicts"], said["corrected"], said["confirmed"], said["not_written"]) == (2, 1, 0, 1)
    marks = {line["id"]: line["outcome"] for line in map(json.loads, (tmp_path / "c.jsonl").read_text().splitlines())}
    assert marks == {"r0": "conflict", "r1": "conflict", "r2": "corrected"}

    # The same in another format, and when nothing is written.
    names = ("conflicts", "corrected", "confirmed", "not_written", "written")
    for more in ({"format": "plain"}, {"dry_run": True}, {"format": "trl", "dry_run": True}):
        again = pull_to_file("round", api.client, replace(options, output=str(tmp_path / "more.jsonl"), changes=None, **more))
        assert [again.json()[name] for name in names] == [said[name] for name in names]


def test_ties_are_dropped_as_asked_also_where_the_format_can_express_them(api: Api, workspace: str, tmp_path: Path) -> None:
    rows = [row(f"r{i}") for i in range(4)]
    push(data_map(rows), "round", api.client, workspace=workspace)
    server = {name: item["id"] for name, item in records(api, remote(api, workspace, "round")).items()}
    for name, value in (("r0", "tie"), ("r1", "both_bad"), ("r2", "b")):
        answer(api.client, server[name], {"better": value})
    lines = [
        {"id": r["id"], "prompt": r["prompt"], "response_a": a, "response_b": b, "winner": "model_a"}
        for r in rows
        for a, b in [r["completions"]]
    ]
    original = tmp_path / "arena.jsonl"
    original.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for ties, winners in (
        ("keep", ["tie", "tie (bothbad)", "model_b", "model_a"]),
        ("drop", ["model_b", "model_a"]),
    ):
        options = PullOptions(workspace=workspace, original=str(original), output=str(tmp_path / f"{ties}.jsonl"), ties=ties)
        said = pull_to_file("round", api.client, options).json()
        assert [json.loads(line)["winner"] for line in (tmp_path / f"{ties}.jsonl").read_text().splitlines()] == winners
        assert (said["ties"], said["both_bad"], said["ties_dropped"], said["ties_kept"]) == (1, 1, 4 - len(winners), 0)
