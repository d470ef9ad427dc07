"""Answers of real people on the real server, as corrected labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.commands import select
from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.pipeline import pull, push, undo
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset
from argilla_admap.review.argilla.cipher import key_of
from argilla_admap.review.dataset.layout import shown_order
from argilla_admap.review.pull.audit import audit_trail
from argilla_admap.review.pull.pull import mark_outcomes
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.resolve import RULES
from argilla_admap.review.pull.to_file import pull_to_file
from argilla_admap.review.queues.queues import QUEUES
from tests.doubles.hub_server import Hub, hub  # noqa: F401  # a fixture
from tests.review.maps import data_map, many, row
from tests.review.test_push import answer, records, remote, work_of_people


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


def review(api: Api, workspace: str, rows: list[dict[str, Any]], **options: Any) -> tuple[RemoteDataset, dict[str, str]]:
    """A pushed data set, and the server's id of each record."""
    push(data_map(rows), "review", api.client, workspace=workspace, **options)
    target = remote(api, workspace, "review")
    return target, {name: item["id"] for name, item in records(api, target).items()}


def test_only_submitted_answers_count(api: Api, workspace: str, annotator: Any) -> None:
    _, ids = review(api, workspace, [row(f"r{i}") for i in range(8)])
    answer(api.client, ids["r0"], {"better": "b"})  # the label said a
    answer(api.client, ids["r1"], {"better": "a"})
    answer(api.client, ids["r2"], {"better": "b"}, "draft")
    answer(api.client, ids["r3"], {"better": "b"}, "discarded")
    answer(annotator.client, ids["r4"], {"better": "tie"})
    answer(annotator.client, ids["r5"], {"better": "both_bad"})
    result = pull("review", api.client, workspace=workspace)
    assert (result.records, result.reviewed, result.corrected, result.confirmed, result.conflicts) == (8, 4, 3, 1, 0)
    assert result.corrections == {"r0": (0.0, 1.0), "r4": (0.5, 0.5), "r5": (0.0, 0.0)}
    trail = {line["id"]: line for line in audit_trail(result)}
    assert {name: line["outcome"] for name, line in trail.items()} == {
        **dict.fromkeys(("r0", "r4", "r5"), "corrected"),
        "r1": "confirmed",
    }
    change = trail["r4"]
    assert {"id", "before", "after", "reviewers", "resolved_by", "at", "p_wrong", "dataset"} <= set(change)
    assert (change["before"], change["after"]) == ([1.0, 0.0], [0.5, 0.5])
    assert change["reviewers"] == [annotator.username]
    assert change["p_wrong"] == 0.1
    assert change["dataset"] == f"{workspace}/review"


def test_an_answer_that_was_edited_later_is_the_one_that_counts(api: Api, workspace: str) -> None:
    _, ids = review(api, workspace, [row("r0"), row("r1"), row("r2")])
    for name, second, status in (("r0", "keep", "submitted"), ("r1", "keep", "draft"), ("r2", "flip", "discarded")):
        answer(api.client, ids[name], {"better": "b"})
        item = records(api, remote(api, workspace, "review"))[name]
        api.request(
            "PUT",
            f"/api/v1/responses/{item['responses'][0]['id']}",
            json={"values": {"better": {"value": second}}, "status": status},
        )
    result = pull("review", api.client, workspace=workspace)
    # A submitted answer that became a draft again is not said any more.
    assert (result.reviewed, result.confirmed, result.corrections) == (1, 1, {})


def test_several_reviewers_are_settled(api: Api, workspace: str, make_annotator: Any) -> None:
    people = [make_annotator() for _ in range(3)]
    rows = [row("agree"), row("split"), row("two-one"), row("open")]
    _, ids = review(api, workspace, rows, overlap=3, reviewers=_names(people))
    for name, answers in {"agree": "bb", "split": ("b", "tie"), "two-one": ("b", "b", "tie")}.items():
        for person, value in zip(people, answers, strict=False):
            answer(person.client, ids[name], {"better": value})
    settled = {rule: pull("review", api.client, workspace=workspace, resolve=rule) for rule in RULES}
    swapped, tie = (0.0, 1.0), (0.5, 0.5)
    assert settled["majority"].corrections == {"agree": swapped, "two-one": swapped}
    assert settled["unanimous"].corrections == {"agree": swapped}
    assert settled["latest"].corrections == {"agree": swapped, "split": tie, "two-one": tie}
    assert settled["dawid-skene"].corrections.items() >= {"agree": swapped, "two-one": swapped}.items()
    assert {rule: found.conflicts for rule, found in settled.items() if rule != "dawid-skene"} == {
        "majority": 1,
        "unanimous": 2,
        "latest": 0,
    }
    assert {found.reviewed for found in settled.values()} == {3}


def _names(people: Any) -> list[str]:
    return [person.username for person in people]


def test_a_blind_answer_is_turned_back_into_the_records_own_order(api: Api, workspace: str) -> None:
    rows = [row(f"r{i}") for i in range(12)]
    target, ids = review(api, workspace, rows, blind=True)
    for record in ids.values():
        answer(api.client, record, {"better": "a"})
    result = pull("review", api.client, workspace=workspace)
    turned = {name for name in ids if shown_order(name, 2, blind=True, key=key_of(target)) == (1, 0)}
    assert 0 < len(turned) < 12
    assert set(result.corrections) == turned
    assert result.confirmed == 12 - len(turned)


@pytest.mark.parametrize("blind", [False, True])
def test_ratings_replace_ratings(api: Api, workspace: str, blind: bool) -> None:
    target, ids = review(api, workspace, [row("r0", 4), row("r1", 4)], blind=blind)
    order = shown_order("r0", 4, blind=blind, key=key_of(target))
    wanted = [2.0, 2.0, 5.0, 1.0]
    answer(api.client, ids["r0"], {f"rating_{'abcd'[place]}": int(wanted[own]) for place, own in enumerate(order)})
    order = shown_order("r1", 4, blind=blind, key=key_of(target))
    answer(api.client, ids["r1"], {f"rating_{'abcd'[place]}": 4 - own for place, own in enumerate(order)})
    result = pull("review", api.client, workspace=workspace)
    assert result.corrections == {"r0": tuple(wanted)}
    assert result.confirmed == 1


def test_the_queue_of_disagreements_shows_the_conflicts(api: Api, workspace: str, make_annotator: Any) -> None:
    people = [make_annotator(), make_annotator()]
    target, ids = review(api, workspace, [row("r0"), row("r1"), row("r2")], overlap=2, reviewers=_names(people))
    for person, value in zip(people, "ab", strict=True):
        answer(person.client, ids["r0"], {"better": value})
        answer(person.client, ids["r1"], {"better": "b"})
    before = records(api, target)
    result = pull("review", api.client, workspace=workspace)
    assert mark_outcomes(result, api) == 2
    assert mark_outcomes(pull("review", api.client, workspace=workspace), api) == 0
    target = api.refresh(target)
    found, _ = api.search(target, QUEUES["reviewers-disagree"].body())
    assert [item["external_id"] for item in found] == ["r0"]
    after = records(api, target)
    assert work_of_people(after) == work_of_people(before)
    assert {
        n: {k: v for k, v in i["metadata"].items() if k not in ("admap_review", "admap_judged")} for n, i in after.items()
    } == {n: i["metadata"] for n, i in before.items()}
    # A push does not take the outcome away, and does not send what has not changed.
    assert push(data_map([row("r0"), row("r1"), row("r2")]), "review", api.client, workspace=workspace).updated == 0


def test_answers_of_a_person_who_left_the_workspace_are_not_lost(api: Api, workspace: str, annotator: Any) -> None:
    _, ids = review(api, workspace, [row("r0")])
    answer(annotator.client, ids["r0"], {"better": "b"})
    place = api.workspaces()[workspace]
    api.request("DELETE", f"/api/v1/workspaces/{place}/users/{annotator.id}")
    result = pull("review", api.client, workspace=workspace)
    assert result.corrections == {"r0": (0.0, 1.0)}
    assert [line["reviewers"] for line in audit_trail(result)] == [[annotator.username]]


def test_the_records_are_read_once_and_written_as_they_were_read(
    api: Api, workspace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ids = review(api, workspace, [row("r0"), row("r1")])
    answer(api.client, ids["r1"], {"better": "b"})
    pages, read = Api.pages, []

    def counted(self: Api, *arguments: Any, **options: Any) -> Any:
        read.append(arguments)
        return pages(self, *arguments, **options)

    monkeypatch.setattr(Api, "pages", counted)
    pull_to_file("review", api.client, PullOptions(output=str(tmp_path / "out.jsonl"), workspace=workspace))
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(one["id"], [text["rating"] for text in one["completions"]]) for one in written] == [("r0", [1, 0]), ("r1", [0, 1])]
    assert len(read) == 1


def test_a_pull_never_writes_over_the_data_that_was_pushed(api: Api, workspace: str, tmp_path: Path) -> None:
    source, link = tmp_path / "in.jsonl", tmp_path / "link.jsonl"
    source.write_text("all that a person made")
    link.symlink_to(source)
    pushed = data_map([row("r0")])
    pushed.info["input"] = str(source)
    push(pushed, "review", api.client, workspace=workspace)
    for output in (source, link):
        with pytest.raises(InputError, match="must not be lost"):
            pull_to_file("review", api.client, PullOptions(output=str(output), workspace=workspace))
    assert source.read_text() == "all that a person made"
    # Where it is, is nobody's business on Argilla.
    assert str(tmp_path) not in json.dumps(remote(api, workspace, "review").metadata)
    pull_to_file("review", api.client, PullOptions(output=str(tmp_path / "out.jsonl"), workspace=workspace))
    assert (tmp_path / "out.jsonl").exists()


def test_a_record_that_somebody_added_by_hand_is_counted_and_said(api: Api, workspace: str) -> None:
    target, ids = review(api, workspace, [row("r0")])
    api.put_records(target, [{"fields": {"admap_title": "mine", "admap": {"text": "no completions"}}}])
    stranger = next(item for name, item in records(api, target).items() if name != "r0")
    answer(api.client, stranger["id"], {"better": "flip"})
    answer(api.client, ids["r0"], {"better": "b"})
    result = pull("review", api.client, workspace=workspace)
    assert (result.records, result.corrected) == (2, 1)
    assert any("could not be read" in note for note in result.notes)


def test_the_original_gets_exactly_the_corrections(api: Api, workspace: str, tmp_path: Path) -> None:
    rows = [row(f"r{i}", prompt=f"ü {i} \\u00fc") for i in range(50)]
    original, output, changes = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "changes.jsonl"
    lines = [
        json.dumps(
            {
                "id": r["id"],
                "prompt": r["prompt"],
                "completions": [{"text": t, "rating": y} for t, y in zip(r["completions"], r["ratings"], strict=True)],
                "mine": [1, {"x": None}],
            }
        )
        for r in rows
    ]
    original.write_text("\n".join(lines) + "\n")
    _, ids = review(api, workspace, rows)
    for i in range(0, 20, 2):
        answer(api.client, ids[f"r{i}"], {"better": "b" if i % 4 else "a"})
    pulled = pull_to_file(
        "review", api.client, PullOptions(output=str(output), workspace=workspace, original=str(original), changes=str(changes))
    )
    written = output.read_text().splitlines()
    assert len(written) == 50
    changed = [i for i, (before, after) in enumerate(zip(lines, written, strict=True)) if before != after]
    assert changed == [2, 6, 10, 14, 18]
    assert pulled.result.corrected == pulled.written == 5
    assert [completion["rating"] for completion in json.loads(written[2])["completions"]] == [0, 1]
    trail = [json.loads(line) for line in changes.read_text().splitlines()]
    assert [line["id"] for line in trail if line["written"]] == [f"r{i}" for i in changed]
    assert [line["outcome"] for line in trail] == ["confirmed", "corrected"] * 5
    done = undo(changes, output, tmp_path / "back.jsonl")
    assert (len(done.undone), done.exact) == (5, 5)
    assert (tmp_path / "back.jsonl").read_bytes() == original.read_bytes()


@pytest.mark.parametrize("options", [{"ties": "drop"}, {"reviewed_only": True}, {"ties": "drop", "reviewed_only": True}])
def test_a_pull_that_left_rows_out_is_undone_too(api: Api, workspace: str, tmp_path: Path, options: dict[str, Any]) -> None:
    rows = [row(f"r{i}") for i in range(4)]
    original, output, changes = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "changes.jsonl"
    lines = [{key: r[key] for key in ("id", "prompt")} | dict(zip(("chosen", "rejected"), r["completions"])) for r in rows]  # noqa: B905
    original.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, ids = review(api, workspace, rows)
    answer(api.client, ids["r1"], {"better": "b"})
    answer(api.client, ids["r2"], {"better": "tie"})
    pull("review", api.client, workspace=workspace, output=output, original=original, changes=changes, **options)
    kept = {"r0", "r1", "r2", "r3"} - ({"r2"} if "ties" in options else set())
    kept -= {"r0", "r3"} if "reviewed_only" in options else set()
    assert {json.loads(line)["id"] for line in output.read_text().splitlines()} == kept
    done = pull(str(output), undo=changes, output=tmp_path / "back.jsonl")
    assert (len(done.undone), done.exact, done.put_back, done.not_put_back) == (1, 1, 4 - len(kept), 0)
    assert (tmp_path / "back.jsonl").read_bytes() == original.read_bytes()
    named = {json.loads(line).get("left_out_rows") for line in changes.read_text().splitlines()} - {None}
    (tmp_path / named.pop()).unlink()
    with pytest.raises(InputError, match="put it there again"):
        undo(changes, output, tmp_path / "again.jsonl")
    # Of another format nothing is kept that could be put back.
    given: dict[str, Any] = {"workspace": workspace, "original": original, "format": "trl", **options}
    pull("review", api.client, output=tmp_path / "trl.jsonl", changes=changes, **given)
    with pytest.raises(InputError, match="which it kept nowhere"):
        undo(changes, tmp_path / "trl.jsonl", tmp_path / "again.jsonl")
    assert not (tmp_path / "again.jsonl").exists()


def test_a_dry_run_writes_nothing_anywhere(api: Api, workspace: str, tmp_path: Path) -> None:
    target, ids = review(api, workspace, [row("r0")])
    answer(api.client, ids["r0"], {"better": "b"})
    before = records(api, target)
    pulled = pull_to_file(
        "review", api.client, PullOptions(output=str(tmp_path / "out.jsonl"), workspace=workspace, dry_run=True)
    )
    assert pulled.result.corrected == 1
    assert list(tmp_path.iterdir()) == []
    assert records(api, target) == before


def test_pull_changes_nobodys_answers(api: Api, workspace: str, annotator: Any, tmp_path: Path) -> None:
    target, ids = review(api, workspace, many(15))
    for i, record in enumerate(ids.values()):
        answer(annotator.client, record, {"better": "ab"[i % 2]}, ("submitted", "draft", "discarded")[i % 3])
    before = records(api, target)
    original = tmp_path / "o.jsonl"
    texts = [{"text": "x", "rating": 1}, {"text": "y", "rating": 0}]
    original.write_text(json.dumps({"id": "none", "prompt": "p", "completions": texts}) + "\n")
    pulled = pull_to_file(
        "review", api.client, PullOptions(output=str(tmp_path / "out.jsonl"), workspace=workspace, original=str(original))
    )
    assert len(pulled.unmatched) == pulled.result.corrected > 0
    assert work_of_people(records(api, target)) == work_of_people(before)


def test_what_is_not_there_is_said(api: Api, workspace: str) -> None:
    with pytest.raises(ArgillaError, match="no data set"):
        pull("nothing-here", api.client, workspace=workspace)
    with pytest.raises(InputError, match="`resolve`"):
        pull("nothing-here", api.client, resolve="by dice")


def test_ties_that_the_original_cannot_say_are_kept_or_left_out(api: Api, workspace: str, tmp_path: Path) -> None:
    rows = [row(f"r{i}") for i in range(3)]
    _, ids = review(api, workspace, rows)
    answer(api.client, ids["r1"], {"better": "tie"})
    original = tmp_path / "pairs.jsonl"
    lines = [
        json.dumps({"id": r["id"], "prompt": r["prompt"], "chosen": r["completions"][0], "rejected": r["completions"][1]})
        for r in rows
    ]
    original.write_text("\n".join(lines) + "\n", encoding="utf-8")
    given: dict[str, Any] = {"workspace": workspace, "original": str(original)}
    kept = pull_to_file("review", api.client, PullOptions(output=str(tmp_path / "kept.jsonl"), **given))
    assert (tmp_path / "kept.jsonl").read_bytes() == original.read_bytes()
    assert (kept.json()["ties_kept"], kept.written) == (1, 0)
    assert "1 records are ties now and 0 are both bad" in kept.notes[0]
    assert "`ties` drop" in kept.notes[0]
    dropped = pull_to_file("review", api.client, PullOptions(output=str(tmp_path / "dropped.jsonl"), ties="drop", **given))
    assert (tmp_path / "dropped.jsonl").read_text(encoding="utf-8").splitlines() == [lines[0], lines[2]]
    assert (dropped.json()["ties_dropped"], dropped.ties_kept) == (1, ())
    said = pull_to_file("review", api.client, PullOptions(output=str(tmp_path / "plain.jsonl"), format="plain", **given))
    after = [json.loads(line) for line in (tmp_path / "plain.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [completion["rating"] for completion in after[1]["completions"]] == [0.5, 0.5]
    assert said.ties_kept == ()


def test_corrected_labels_go_to_the_hub_with_a_card_that_says_who_checked_them(
    api: Api,
    workspace: str,
    annotator: Any,
    hub: Hub,  # noqa: F811
    tmp_path: Path,
) -> None:
    rows = [row(f"r{i}") for i in range(3)]
    _, ids = review(api, workspace, rows)
    answer(annotator.client, ids["r0"], {"better": "b"})
    answer(annotator.client, ids["r1"], {"better": "tie"})
    cases: list[tuple[dict[str, Any], tuple[int, int]]] = [
        ({"format": "trl"}, (1, 1)),
        ({"format": "kto", "original": str(tmp_path / "o.jsonl")}, (1, 1)),
        ({"format": "plain"}, (2, 0)),
    ]
    for options, counts in cases:
        lines = ({key: r[key] for key in ("id", "prompt")} | dict(zip(("chosen", "rejected"), r["completions"])) for r in rows)  # noqa: B905
        (tmp_path / "o.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        pulled = pull_to_file("review", api.client, PullOptions(output="hf:acme/data", workspace=workspace, **options))
        assert (pulled.written, len(pulled.not_written)) == counts
        assert pulled.output == "hf:acme/data"
    card = hub.files["acme/data"]["README.md"].decode()
    assert "2 of 3 labels (67%)" in card
    assert f"{annotator.username}: 2" in card
    assert "Wrong labels left: 0 to 1; too few" in card
    folder = tmp_path / "chosen"
    chosen = select(data_map(rows), folder, dataset=f"{workspace}/review", client=api.client, max_p_wrong=0.9)
    card = (folder / "README.md").read_text()
    assert chosen.json()["selected"] == 3
    assert "2 of 3 labels (67%)" in card
    assert re.search(r"Wrong labels left: \d to 3; too few", card)
    assert "2 of these labels were corrected by people, and stand here as they were" in card
    original = str(tmp_path / "o.jsonl")
    with pytest.raises(InputError, match="written again as a file of its own kind"):
        pull_to_file("review", api.client, PullOptions(output="hf:acme/data", workspace=workspace, original=original))
