"""The audit trail: each vote, note and outcome, with the map's view at the time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.errors import InputError
from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.pull.audit import read_changes
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.to_file import pull_to_file
from argilla_admap.review.push import payload
from argilla_admap.review.push.payload import pushed_map
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote


def trail(api: Api, workspace: str, folder: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """The lines that a pull writes, by record."""
    options |= {"output": str(folder / "out.jsonl"), "changes": str(folder / "changes.jsonl")}
    pull_to_file("audit", api.client, PullOptions(workspace=workspace, **options))
    return {line["id"]: line for line in map(json.loads, (folder / "changes.jsonl").read_text().splitlines())}


def test_every_vote_is_traced_with_its_note_and_the_maps_view(
    argilla_client: Any, workspace: str, make_annotator: Any, tmp_path: Path
) -> None:
    api, people = Api(argilla_client), sorted((make_annotator() for _ in range(2)), key=lambda one: str(one.username))
    rows = [row(f"r{i}", p_wrong=0.8, flags=["likely_wrong"]) for i in range(5)]
    push(data_map(rows), "audit", api.client, workspace=workspace, overlap=2, reviewers=[one.username for one in people])
    ids = {name: item["id"] for name, item in records(api, remote(api, workspace, "audit")).items()}
    for name, given in {"r0": "bb", "r1": "aa", "r2": "ab", "r3": ("tie", "tie")}.items():
        for person, value in zip(people, given, strict=True):
            answer(person.client, ids[name], {"better": value, "note": f"{value} of {name}"})
    original = tmp_path / "pairs.jsonl"
    lines = [
        {"id": r["id"], "prompt": r["prompt"], "chosen": r["completions"][0], "rejected": r["completions"][1]} for r in rows
    ]
    original.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = trail(api, workspace, tmp_path, original=str(original))
    assert {name: line["outcome"] for name, line in found.items()} == {
        "r0": "corrected",
        "r1": "confirmed",
        "r2": "conflict",
        "r3": "not_written",  # the format cannot say a tie
    }
    assert (found["r0"]["before"], found["r0"]["after"], found["r0"]["written"]) == ([1.0, 0.0], [0.0, 1.0], True)
    assert (found["r2"]["after"], found["r2"]["resolved_by"]) == ([1.0, 0.0], None)
    assert "tie" in found["r3"]["not_written"]
    names = [one.username for one in people]
    assert [(vote["reviewer"], vote["label"], vote["note"]) for vote in found["r2"]["votes"]] == [
        (names[0], [1.0, 0.0], "a of r2"),
        (names[1], [0.0, 1.0], "b of r2"),
    ]
    assert found["r0"]["notes"] == dict.fromkeys(names, "b of r0")
    assert found["r0"]["judge"]["scores"] == [8.0, 7.0]
    assert (found["r0"]["judge"]["flags"], found["r0"]["p_wrong"]) == (["likely_wrong"], 0.8)
    first = found["r0"]["map"]
    assert set(first) == {"fingerprint", "at"}
    # Another map changes what the data set says; the trail keeps what was said when the answer was taken in.
    push(data_map([{**one, "p_wrong": 0.1} for one in rows]), "audit", api.client, workspace=workspace)
    again = trail(api, workspace, tmp_path, original=str(original))
    assert (again["r0"]["p_wrong"], again["r0"]["map"]) == (0.8, first)
    answer(people[0].client, ids["r4"], {"better": "a"})
    later = trail(api, workspace, tmp_path, original=str(original))["r4"]
    assert later["p_wrong"] == 0.1
    assert later["map"]["fingerprint"] != first["fingerprint"]


def test_of_a_blind_review_the_judges_scores_are_in_the_trail(argilla_client: Any, workspace: str, tmp_path: Path) -> None:
    api = Api(argilla_client)
    push(data_map([row(f"r{i}") for i in range(6)]), "audit", api.client, workspace=workspace, blind=True)
    for item in records(api, remote(api, workspace, "audit")).values():
        answer(api.client, item["id"], {"better": "a"})
    found = trail(api, workspace, tmp_path)
    assert len(found) == 6
    assert all(line["judge"]["scores"] == [8.0, 7.0] for line in found.values())


def test_a_file_that_is_no_trail_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    good = {"id": "r", "before": [1, 0], "after": [0, 1]}
    bad: Any
    for bad in ({"id": "r"}, [], {**good, "rows": [{"row": "x", "digest": ""}]}, {**good, "before": ["x"]}, good):
        path.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
        with pytest.raises(InputError, match="two changes" if bad == good else r"changes\.jsonl:2"):
            read_changes(path)
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "id": "s", "outcome": "conflict"}) + "\n")
    found, others, _ = read_changes(path)
    assert ([change.id for change in found], others) == (["r"], 1)
    with pytest.raises(InputError, match="cannot be read"):
        read_changes(tmp_path / "absent.jsonl")


def test_the_fingerprint_of_a_map_does_not_depend_on_how_much_of_it_is_looked_at_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = data_map([row(f"r{i}", p_wrong=i / 50) for i in range(50)])
    whole = pushed_map(given)["fingerprint"]
    for rows in (1, 7, 50):
        monkeypatch.setattr(payload, "_ROWS", rows)
        assert pushed_map(given)["fingerprint"] == whole
    assert pushed_map(data_map([row(f"r{i}", p_wrong=i / 51) for i in range(50)]))["fingerprint"] != whole
