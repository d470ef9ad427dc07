"""Data sets that other people made, on the real server: enriched without touching anything of theirs, and pulled from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import argilla as rg
import pytest

import argilla_admap as admap
from argilla_admap.errors import ArgillaError, InputError, UnknownDataset
from argilla_admap.formats.format import FieldNames
from argilla_admap.pipeline import check, pull, push
from argilla_admap.records import batch_to_records
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset
from argilla_admap.review.dataset.adapters import External
from argilla_admap.review.dataset.as_input import DatasetRecords, read_dataset
from argilla_admap.review.queues.queues import QUEUES
from tests.review.maps import data_map, many, row
from tests.review.test_push import answer, records, remote, work_of_people


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


@pytest.fixture
def make(argilla_client: Any, workspace: str) -> Callable[..., Any]:
    """Makes a data set as a person would, with the SDK."""

    def make(fields: list[Any], questions: list[Any], items: list[dict[str, Any]], **settings: Any) -> Any:
        made = rg.Dataset(
            name="theirs",
            workspace=workspace,
            settings=rg.Settings(fields=fields, questions=questions, guidelines="Our rules.", **settings),
            client=argilla_client,
        ).create()
        if items:
            made.records.log([rg.Record(**item) for item in items])
        return made

    return make


def distilabel(make: Callable[..., Any], rows: list[dict[str, Any]]) -> Any:
    """As distilabel's step for Argilla makes it: numbered generations, a rating and a rationale for each, as suggestions."""
    questions: list[Any] = [rg.RatingQuestion(f"generations-{i}-rating", values=[1, 2, 3, 4, 5]) for i in range(2)]
    questions += [rg.TextQuestion(f"generations-{i}-rationale", required=False) for i in range(2)]
    items = [
        {
            "fields": {"instruction": r["prompt"], "generations-0": r["completions"][0], "generations-1": r["completions"][1]},
            "id": r["id"],
            "suggestions": [rg.Suggestion("generations-0-rating", 4), rg.Suggestion("generations-1-rating", 2)],
        }
        for r in rows
    ]
    return make([rg.TextField(n) for n in ("instruction", "generations-0", "generations-1")], questions, items)


def pairs(
    make: Callable[..., Any],
    rows: list[dict[str, Any]],
    *,
    ids: bool = True,
    names: tuple[str, str] = ("chosen", "rejected"),
    **more: Any,
) -> Any:
    """A prompt and two named completions, with a question which is better."""
    items = [
        {
            "fields": {"prompt": r["prompt"], names[0]: r["completions"][0], names[1]: r["completions"][1]},
            **({"id": r["id"]} if ids else {}),
            **more,
        }
        for r in rows
    ]
    labels = {names[0]: "First", names[1]: "Second", "tie": "Tie"}
    return make([rg.TextField(n) for n in ("prompt", *names)], [rg.LabelQuestion("preference", labels=labels)], items)


def settings_of(target: RemoteDataset) -> Any:
    """All that is theirs in the settings."""
    return (
        target.fields,
        target.questions,
        target.guidelines,
        target.min_submitted,
        target.info,
        {name: prop for name, prop in target.properties.items() if not name.startswith("admap_")},
        {name: vector for name, vector in target.vectors.items() if not name.startswith("admap_")},
    )


def test_enriching_touches_nothing_of_theirs(api: Api, workspace: str, make: Any, annotator: Any) -> None:
    rows = many(20)
    questions = [rg.LabelQuestion("preference", labels=["response1", "response2"]), rg.TextQuestion("why", required=False)]
    items = [
        {
            "fields": {"instruction": r["prompt"], "response1": r["completions"][0], "response2": r["completions"][1]},
            "id": r["id"],
            "metadata": {"topic": "a", "hidden": "not a property"},
            "vectors": {"theirs": [1.0, 2.0]},
            "suggestions": [rg.Suggestion("preference", "response1", score=0.5, agent="somebody")],
        }
        for r in rows
    ]
    make(
        [rg.TextField(n) for n in ("instruction", "response1", "response2")],
        questions,
        items,
        metadata=[rg.TermsMetadataProperty("topic")],
        vectors=[rg.VectorField("theirs", dimensions=2)],
        allow_extra_metadata=True,
    )
    target = remote(api, workspace, "theirs")
    for i, item in enumerate(records(api, target).values()):
        answer(api.client, item["id"], {"preference": "response1"}, ("submitted", "draft", "discarded")[i % 3])
        answer(annotator.client, item["id"], {"preference": "response2", "why": "so"}, ("draft", "submitted")[i % 2])
    before, settings = records(api, target), settings_of(remote(api, workspace, "theirs"))
    result = push(data_map([*rows, row("only in the map")]), "theirs", api.client, workspace=workspace)
    assert (result.created, result.added, result.updated, result.unmatched) == (False, 0, 20, 1)
    target = remote(api, workspace, "theirs")
    after = records(api, target)
    assert work_of_people(after) == work_of_people(before)
    assert settings_of(target) == settings
    for name, item in after.items():
        assert item["fields"] == before[name]["fields"]
        assert item["vectors"]["theirs"] == [1.0, 2.0]
        theirs = {key: value for key, value in item["metadata"].items() if not key.startswith("admap_")}
        assert theirs == {"topic": "a", "hidden": "not a property"}
    frame = data_map(rows).frame
    for name in ("likely-wrong", "high-variance", "all"):
        found, _ = api.search(target, QUEUES[name].body())
        assert {item["external_id"] for item in found} == set(frame["id"][QUEUES[name].mask(frame)])
    assert push(data_map(rows), "theirs", api.client, workspace=workspace).updated == 0


def test_records_without_ids_are_matched_by_their_texts(api: Api, workspace: str, make: Any) -> None:
    rows = [row(f"r{i}") for i in range(10)]
    pairs(make, rows, ids=False)
    result = push(data_map(rows), "theirs", api.client, workspace=workspace)
    assert (result.updated, result.unmatched) == (10, 0)
    assert any("matched by their texts" in note for note in result.notes)
    target = remote(api, workspace, "theirs")
    stored = records(api, target)
    assert {item["metadata"]["admap_id"] for item in stored.values()} == {r["id"] for r in rows}
    wanted = next(item for item in stored.values() if item["metadata"]["admap_id"] == "r3")
    answer(api.client, wanted["id"], {"preference": "rejected"})
    assert pull("theirs", api.client, workspace=workspace).corrections == {"r3": (0.0, 1.0)}


def test_a_property_of_our_name_and_another_type_is_left_alone(api: Api, workspace: str, make: Any) -> None:
    rows = [row(f"r{i}") for i in range(3)]
    made = pairs(make, rows)
    api.add_property(str(made.id), {"name": "admap_mean", "title": "Mine", "settings": {"type": "terms"}})
    before = records(api, remote(api, workspace, "theirs"))
    with pytest.raises(InputError, match=r"admap_mean.*terms"):
        push(data_map(rows), "theirs", api.client, workspace=workspace)
    target = remote(api, workspace, "theirs")
    assert set(target.properties) == {"admap_mean"}
    assert records(api, target) == before


def test_metadata_that_the_server_would_not_take_back_are_left_as_they_are(api: Api, workspace: str, make: Any) -> None:
    rows = [row("r0"), row("r1")]
    fields = [rg.TextField(n) for n in ("prompt", "chosen", "rejected")]
    items = [{"fields": {"prompt": "p", "chosen": "a", "rejected": "b"}, "id": r["id"]} for r in rows]
    items[0]["metadata"] = {"topic": "old"}
    made = make(fields, [rg.TextQuestion("why")], items, metadata=[rg.TermsMetadataProperty("topic")])
    api.request("DELETE", f"/api/v1/metadata-properties/{made.settings.metadata[0].id}")
    result = push(data_map(rows), "theirs", api.client, workspace=workspace)
    stored = records(api, remote(api, workspace, "theirs"))
    assert stored["r0"]["metadata"] == {"topic": "old"}
    assert stored["r1"]["metadata"]["admap_mean"] == 5.0
    assert any("topic" in note for note in result.notes)


@pytest.mark.parametrize("ids", [True, False])
def test_an_answer_is_understood_where_the_completions_stand_in_another_order(
    api: Api, workspace: str, make: Any, ids: bool
) -> None:
    """Theirs are named chosen and rejected; the map's label prefers the second."""
    rows = [row(f"r{i}", ratings=[1.0, 4.0]) for i in range(2)]
    pairs(make, [r | {"completions": r["completions"][::-1]} for r in rows], ids=ids)
    push(data_map(rows), "theirs", api.client, workspace=workspace)
    stored = records(api, remote(api, workspace, "theirs")).values()
    by_id = {item["metadata"].get("admap_id", item["external_id"]): item["id"] for item in stored}
    answer(api.client, by_id["r0"], {"preference": "chosen"})
    answer(api.client, by_id["r1"], {"preference": "rejected"})
    result = pull("theirs", api.client, workspace=workspace)
    assert (result.corrections, result.outcomes) == ({"r1": (4.0, 1.0)}, {"r0": "confirmed", "r1": "corrected"})
    (batch,) = DatasetRecords(api, result.target, result.adapter, corrections=result.corrections).batches()
    found = {r.id: dict(zip(r.completions, r.ratings, strict=True)) for r in batch_to_records(batch)}
    assert found["r0"] == dict(zip(rows[0]["completions"], (1.0, 4.0), strict=True))
    assert found["r1"] == dict(zip(rows[1]["completions"], (4.0, 1.0), strict=True))


def test_distilabels_layout_is_read_and_pulled(api: Api, workspace: str, make: Any) -> None:
    rows = [row(f"r{i}", ratings=[4.0, 2.0]) for i in range(4)]
    distilabel(make, rows)
    (batch,) = read_dataset(f"{workspace}/theirs", api.client).batches()
    assert [(r.id, r.prompt, list(r.completions), r.ratings) for r in batch_to_records(batch)] == [
        (r["id"], r["prompt"], r["completions"], (4.0, 2.0)) for r in rows
    ]
    push(data_map(rows), "theirs", api.client, workspace=workspace)
    ids = {name: item["id"] for name, item in records(api, remote(api, workspace, "theirs")).items()}
    answer(api.client, ids["r0"], {"generations-0-rating": 1, "generations-1-rating": 5, "generations-0-rationale": "bad"})
    answer(api.client, ids["r1"], {"generations-0-rating": 4, "generations-1-rating": 2})
    result = pull("theirs", api.client, workspace=workspace)
    assert (result.corrections, result.confirmed) == ({"r0": (1.0, 5.0)}, 1)


def test_argillas_own_ranking_recipe_is_read_and_pulled(api: Api, workspace: str, argilla_client: Any) -> None:
    made = rg.Dataset(name="theirs", workspace=workspace, settings=rg.Settings.for_ranking(), client=argilla_client).create()
    texts = {"instruction": "q", "response1": "one", "response2": "two"}
    made.records.log([rg.Record(fields=texts, id=f"r{i}") for i in range(3)])
    ids = {name: item["id"] for name, item in records(api, remote(api, workspace, "theirs")).items()}
    for name, (first, second) in {"r0": (2, 1), "r1": (1, 2), "r2": (1, 1)}.items():
        ranks = [{"value": "response1", "rank": first}, {"value": "response2", "rank": second}]
        answer(argilla_client, ids[name], {"ranking": ranks})
    result = pull("theirs", api.client, workspace=workspace)
    assert result.corrections == {"r0": (0.0, 1.0), "r1": (1.0, 0.0), "r2": (0.5, 0.5)}


def test_chat_fields_are_read_with_their_turns(api: Api, workspace: str, make: Any) -> None:
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "why"}]
    chosen = {"role": "assistant", "content": "because"}
    item = {"prompt": turns, "response_a": "because", "response_b": "no"}
    make(
        [rg.ChatField("prompt"), rg.TextField("response_a"), rg.TextField("response_b")],
        [rg.LabelQuestion("better", labels=["A", "B"])],
        [{"fields": item}],
    )
    (batch,) = read_dataset(f"{workspace}/theirs", api.client).batches()
    (record,) = batch_to_records(batch)
    assert [(turn.role, turn.content) for turn in record.turns] == [(t["role"], t["content"]) for t in turns]
    assert record.completions == (chosen["content"], "no")


def test_content_in_parts_is_read_as_text_and_never_as_python() -> None:
    adapter = External(None, ("chosen", "rejected"))
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    ask = {"role": "user", "content": parts}
    fields = {
        name: [ask, {"role": "assistant", "content": [{"type": "text", "text": name}]}] for name in ("chosen", "rejected")
    }
    texts = adapter.texts({"fields": fields})
    assert texts is not None
    assert (texts.prompt, texts.completions) == ("see\n[1 image, not shown]", ("chosen", "rejected"))
    assert adapter.texts({"fields": {**fields, "rejected": [ask, {"role": "assistant", "content": 7}]}}) is None


def test_other_names_are_given_by_hand(api: Api, workspace: str, make: Any) -> None:
    rows = [row("r0")]
    pairs(make, rows, names=("alpha", "omega"))
    with pytest.raises(InputError, match="`completion_field`"):
        push(data_map(rows), "theirs", api.client, workspace=workspace)
    with pytest.raises(InputError, match="no field 'beta'"):
        push(data_map(rows), "theirs", api.client, workspace=workspace, completion_fields=("alpha", "beta"))
    result = push(
        data_map(rows), "theirs", api.client, workspace=workspace, prompt_field="prompt", completion_fields=("alpha", "omega")
    )
    assert (result.updated, result.unmatched) == (1, 0)


def test_a_data_set_that_asks_nothing_about_the_label_is_refused(api: Api, workspace: str, make: Any) -> None:
    make([rg.TextField(n) for n in ("prompt", "chosen", "rejected")], [rg.TextQuestion("comment")], [])
    with pytest.raises(InputError, match=r"comment.*`rating_question`"):
        pull("theirs", api.client, workspace=workspace)
    with pytest.raises(InputError, match="no question 'rate'"):
        pull("theirs", api.client, workspace=workspace, rating_question="rate")


def test_a_review_copy_keeps_the_ids_and_leaves_theirs_alone(api: Api, workspace: str, make: Any) -> None:
    rows = [row(f"r{i}") for i in range(5)]
    pairs(make, rows)
    target = remote(api, workspace, "theirs")
    before, settings = records(api, target), settings_of(target)
    result = push(data_map(rows), "theirs", api.client, workspace=workspace, copy_to="copy", blind=True)
    assert (result.dataset, result.created, result.added) == (f"{workspace}/copy", True, 5)
    target = remote(api, workspace, "theirs")
    assert (records(api, target), settings_of(target), set(target.properties)) == (before, settings, set())
    assert set(records(api, remote(api, workspace, "copy"))) == {r["id"] for r in rows}
    with pytest.raises(InputError, match="`copy_to`"):
        push(data_map(rows), "theirs", api.client, workspace=workspace, blind=True)
    with pytest.raises(InputError, match="absent"):
        push(data_map(rows), "nowhere", api.client, workspace=workspace, copy_to="copy")


def test_an_annotator_is_told_what_they_may_not(workspace: str, api: Api, annotator: Any) -> None:
    push(data_map([row("r0")]), "ours", api.client, workspace=workspace)
    with pytest.raises(ArgillaError, match="not allowed"):
        pull("ours", annotator.client, workspace=workspace)


def test_texts_that_look_like_markup_are_counted(api: Api, workspace: str, make: Any) -> None:
    rows = [row("r0", completions=["<img src=x onerror=alert(1)>", "1 < 2"]), row("r1", completions=["a < b", "plain"])]
    pairs(make, rows)
    result = push(data_map(rows), "theirs", api.client, workspace=workspace)
    assert any(note.startswith("1 records hold text that looks like markup") for note in result.notes)


def test_a_data_set_of_the_sdk_is_read_without_another_server_being_known(
    api: Api, make: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARGILLA_API_URL", raising=False)
    monkeypatch.setenv("ADMAP_SERVER_DIR", str(tmp_path))
    rows = [row(f"r{i}") for i in range(3)]
    (batch,) = admap.read(distilabel(make, rows)).batches()
    assert [r.id for r in batch_to_records(batch)] == [r["id"] for r in rows]


@pytest.mark.parametrize("value", [7, {"prompt": "p"}, None])
def test_what_is_neither_a_path_nor_a_data_set_says_what_to_give(value: Any) -> None:
    with pytest.raises(InputError, match=r"argilla Dataset"):
        admap.read(value)


def test_as_input_the_texts_are_checked_first_and_taken_once(api: Api, workspace: str, make: Any) -> None:
    fields = [rg.TextField("prompt"), rg.TextField("chosen"), rg.TextField("rejected", required=False)]
    whole = {"prompt": "q", "chosen": "yes", "rejected": "no"}
    items = [{"fields": {"prompt": "q2", "chosen": "yes"}, "id": "half"}]
    made = make(fields, [rg.LabelQuestion("preference", labels=["chosen", "rejected"])], items)
    # Without ids of their own, which the SDK would give them.
    api.request("POST", f"/api/v1/datasets/{made.id}/records/bulk", json={"items": [{"fields": whole}, {"fields": whole}]})
    place = f"argilla:{workspace}/theirs"
    with pytest.raises(InputError, match="record half: its prompt or all completions but one are not there"):
        admap.read(place, client=api.client).table()
    stream = admap.read(place, client=api.client, on_error="skip")
    said: list[str] = []
    check(stream, said.append)
    assert stream.table().num_rows == 1
    assert said[0] == (
        f"Read as the Argilla data set {workspace}/theirs (the prompt is `prompt`; the completions are `chosen`, `rejected`; "
        "the label is said by `preference`)"
    )
    assert any("skipped 1 of 3" in line for line in said)
    assert any("1 exact duplicate" in line for line in said)


def test_as_input_options_that_cannot_be_honoured_are_refused(api: Api, workspace: str, make: Any) -> None:
    pairs(make, many(2))
    place = f"argilla:{workspace}/theirs"
    with pytest.raises(InputError, match="`format`"):
        admap.read(place, client=api.client, format="plain")
    with pytest.raises(InputError, match="`id_field`: uid"):
        admap.read(place, client=api.client, fields=FieldNames(id="uid"))
    with pytest.raises(InputError, match="no question 'quality'"):
        admap.read(place, client=api.client, fields=FieldNames(rating=("quality",)))
    with pytest.raises(UnknownDataset, match="there is no data set"):
        admap.read(f"argilla:{workspace}/absent", client=api.client)
