"""Answers about the label: they mean the one that stood on the card, whatever is pushed afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from argilla_admap.pipeline import pull, push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.dataset import layout
from argilla_admap.review.pull.audit import audit_trail
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote

KEPT, FLIPPED = (1.0, 0.0), (0.0, 1.0)


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


def ids(api: Api, workspace: str) -> dict[str, str]:
    return {name: item["id"] for name, item in records(api, remote(api, workspace, "about")).items()}


def options(api: Api, workspace: str) -> list[str]:
    question = next(q for q in remote(api, workspace, "about").questions if q["name"] == "better")
    return [str(option["value"]) for option in question["settings"]["options"]]


def relabelled(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{**r, "ratings": r["ratings"][::-1]} if r["id"] in names else r for r in rows]


def test_a_label_pushed_later_turns_no_answer_and_an_owners_own_change_is_a_conflict(
    api: Api, workspace: str, annotator: Any
) -> None:
    rows = [row(f"r{i}") for i in range(6)]
    push(data_map(rows), "about", api.client, workspace=workspace)
    server = ids(api, workspace)
    answer(annotator.client, server["r0"], {"better": "flip", "note": "B is right"})
    answer(annotator.client, server["r1"], {"better": "keep", "note": "It is fine"})
    answer(annotator.client, server["r2"], {"better": "flip"}, "draft")
    answer(annotator.client, server["r3"], {"better": "keep"})
    first = pull("about", api.client, workspace=workspace)
    assert (first.corrections, first.confirmed) == ({"r0": FLIPPED}, 2)
    assert {line["id"]: line["notes"] for line in audit_trail(first) if line["notes"]} == {
        "r0": {annotator.username: "B is right"},
        "r1": {annotator.username: "It is fine"},  # of a label that stays, too
    }

    # The corrected file, in which the owner changed the labels of r1, r2 and r4 as well.
    corrected = relabelled(rows, "r0", "r1", "r2", "r4")
    push(data_map(corrected), "about", api.client, workspace=workspace)
    second = pull("about", api.client, workspace=workspace)
    assert second.corrections == {}
    assert second.outcomes == {"r0": "confirmed", "r1": "conflict", "r3": "confirmed"}
    assert any("another label by a later push" in note for note in second.notes)
    assert push(data_map(corrected), "about", api.client, workspace=workspace).updated == 0
    shown = {name: item["fields"]["admap"] for name, item in records(api, remote(api, workspace, "about")).items()}
    assert {name: (value["_r"], value.get("_l")) for name, value in shown.items()} == {
        "r0": ([1, 0], [0, 1]),
        "r1": ([1, 0], [0, 1]),
        "r2": ([1, 0], [0, 1]),  # a draft is about the label that was read, too
        "r3": ([1, 0], None),
        "r4": ([0, 1], None),
        "r5": ([1, 0], None),
    }
    # A label that nobody has answered yet is the one that answers are about from now on.
    answer(annotator.client, server["r4"], {"better": "flip"})
    assert pull("about", api.client, workspace=workspace).corrections == {"r4": KEPT}


def test_an_answer_that_comes_while_a_push_is_under_way_keeps_its_label(
    api: Api, workspace: str, annotator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row("r0"), row("r1")]
    push(data_map(rows), "about", api.client, workspace=workspace)
    server = ids(api, workspace)
    whole = Api.metadata_of

    def answered_meanwhile(self: Api, *given: Any) -> Any:
        monkeypatch.setattr(Api, "metadata_of", whole)
        answer(annotator.client, server["r0"], {"better": "flip"})
        return whole(self, *given)

    monkeypatch.setattr(Api, "metadata_of", answered_meanwhile)
    push(data_map(relabelled(rows, "r0", "r1")), "about", api.client, workspace=workspace)
    found = pull("about", api.client, workspace=workspace)
    assert found.outcomes == {"r0": "confirmed"}


def test_records_without_a_label_are_asked_for_a_side(api: Api, workspace: str) -> None:
    unlabelled = row("r1", ratings=[None, None])
    push(data_map([row("r0"), unlabelled]), "about", api.client, workspace=workspace)
    assert options(api, workspace) == ["keep", "flip", "tie", "both_bad", "a", "b"]
    server = ids(api, workspace)
    answer(api.client, server["r0"], {"better": "flip"})
    answer(api.client, server["r1"], {"better": "b"})
    assert pull("about", api.client, workspace=workspace).corrections == {"r0": FLIPPED, "r1": FLIPPED}
    given = records(api, remote(api, workspace, "about"))["r1"]["responses"][0]["id"]
    body = {"values": {"better": {"value": "keep"}}, "status": "submitted"}
    api.request("PUT", f"/api/v1/responses/{given}", json=body)
    found = pull("about", api.client, workspace=workspace)
    assert found.outcomes == {"r0": "corrected", "r1": "unclear"}
    assert any("the card showed no label" in note for note in found.notes)


@pytest.mark.parametrize("blind", [False, True])
def test_where_a_side_is_asked_nothing_is_answered_in_bulk(api: Api, workspace: str, blind: bool) -> None:
    rows = [row("r0"), row("r1")] if blind else [row(f"r{i}", ratings=[None, None]) for i in range(2)]
    done = push(data_map(rows), "about", api.client, workspace=workspace, blind=blind)
    assert options(api, workspace) == ["a", "b", "tie", "both_bad"]
    assert {queue["bulk_url"] for queue in done.queues} == {None}


def test_an_answer_of_an_earlier_version_that_contradicts_itself_changes_nothing(
    api: Api, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def earlier(wanted: Any, client: Any) -> Any:
        import argilla as rg

        yield rg.LabelQuestion("better", labels=list(layout.OF_SIDES), client=client)
        yield rg.LabelQuestion("label_wrong", labels=["wrong", "right", "unsure"], required=False, client=client)

    rows = [row(f"r{i}") for i in range(3)]
    with monkeypatch.context() as before:
        before.setattr(layout, "_questions", earlier)
        push(data_map(rows), "about", api.client, workspace=workspace)
    server = ids(api, workspace)
    answer(api.client, server["r0"], {"better": "b", "label_wrong": "right"})
    answer(api.client, server["r1"], {"better": "b", "label_wrong": "wrong"})
    answer(api.client, server["r2"], {"better": "b"})
    found = pull("about", api.client, workspace=workspace)
    assert found.outcomes == {"r0": "conflict", "r1": "corrected", "r2": "corrected"}
    assert any("contradict themselves" in note for note in found.notes)
    # The corrected file: what was a side stays one.
    push(data_map(relabelled(rows, "r1", "r2")), "about", api.client, workspace=workspace)
    assert pull("about", api.client, workspace=workspace).corrections == {}


def test_ratings_start_from_the_labels_and_the_same_order_confirms(api: Api, workspace: str) -> None:
    rows = [row("r0", 3, ratings=[4.0, 2.0, 1.0]), row("r1", 3, ratings=[2.0, 2.0, 2.0]), row("r2", 3, ratings=[1.0, 4.0, 2.0])]
    push(data_map(rows), "about", api.client, workspace=workspace)
    found = records(api, remote(api, workspace, "about"))
    assert [s["value"] for s in found["r0"]["suggestions"]] == [4, 2, 1]
    assert found["r1"]["suggestions"] == []  # it orders nothing: there is nothing to call fine
    for name, values in {"r0": (5, 3, 1), "r2": (4, 1, 2)}.items():
        answer(api.client, found[name]["id"], {f"rating_{'abc'[i]}": value for i, value in enumerate(values)})
    result = pull("about", api.client, workspace=workspace)
    assert (result.corrections, result.confirmed) == ({"r2": (4.0, 1.0, 2.0)}, 1)
