"""A push loses nothing that a person made, sends only what differs, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.argilla.refusals import Refused
from argilla_admap.review.push import sender as sending
from argilla_admap.review.push import stored_records
from argilla_admap.review.queues import guidelines as guidelines_of
from argilla_admap.review.queues.queues import CONTRACT, QUEUES
from tests.review.maps import data_map, many, row


def remote(api: Api, workspace: str, name: str) -> RemoteDataset:
    return api.dataset(parse_address(f"{workspace}/{name}"))


def records(api: Api, target: RemoteDataset) -> dict[str, dict[str, Any]]:
    """Everything that the server holds of each record, by external id."""
    pages = api.pages(target, ("responses", "suggestions", "vectors"))
    return {str(item["external_id"] or item["id"]): item for page in pages for item in page}


def answer(client: Any, record_id: str, values: dict[str, Any], status: str = "submitted") -> None:
    """A person's answer. Where the page asks about the label, a side (`a`, `b`) is said as what it means for that label."""
    api, path = Api(client), f"/api/v1/records/{record_id}/responses"
    body: dict[str, Any] = {"values": {name: {"value": value} for name, value in values.items()}, "status": status}
    try:
        api.request("POST", path, json=body)
    except Refused:
        if values.get("better") not in ("a", "b"):
            raise
        shown = api.request("GET", f"/api/v1/records/{record_id}")["fields"]["admap"]["_r"]
        said = "keep" if (shown[0] > shown[1]) == (values["better"] == "a") else "flip"
        api.request("POST", path, json={**body, "values": {**body["values"], "better": {"value": said}}})


def work_of_people(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What must be the same after a push: every answer with its id and times, every suggestion, the status."""
    return {key: (item["responses"], item["suggestions"], item["status"], item["inserted_at"]) for key, item in found.items()}


def test_a_new_data_set_holds_the_map(argilla_client: Any, workspace: str) -> None:
    rows = many(30)
    done: list[tuple[int, int]] = []
    result = push(data_map(rows), "new", argilla_client, workspace=workspace, progress=lambda *now: done.append(now))
    assert (result.dataset, result.created, result.records, result.added, result.updated, result.unmatched) == (
        f"{workspace}/new",
        True,
        30,
        30,
        0,
        0,
    )
    assert done[-1] == (30, 30)
    assert [queue["name"] for queue in result.queues][:6] == list(CONTRACT)
    frame = data_map(rows).frame
    assert {q["name"]: q["count"] for q in result.queues} == {
        q["name"]: int(QUEUES[q["name"]].mask(frame).sum()) for q in result.queues
    }
    api = Api(argilla_client)
    found = records(api, remote(api, workspace, "new"))
    assert list(found) == [r["id"] for r in rows]
    for wanted in rows:
        item = found[wanted["id"]]
        for column in ("mean", "variance", "p_wrong", "agreement", "region"):
            assert item["metadata"].get(f"admap_{column}") == wanted[column]
        assert item["metadata"].get("admap_flags", []) == wanted["flags"]
        assert ("admap_position" in item["vectors"]) == (wanted["mean"] is not None)
        assert item["suggestions"] == []


def test_the_same_again_sends_nothing(argilla_client: Any, workspace: str) -> None:
    push(data_map(many(20)), "again", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    before = records(api, remote(api, workspace, "again"))
    result = push(data_map(many(20)), "again", argilla_client, workspace=workspace)
    assert (result.created, result.added, result.updated) == (False, 0, 0)
    assert records(api, remote(api, workspace, "again")) == before


def test_a_push_of_another_judges_map_says_whose_values_stay(argilla_client: Any, workspace: str) -> None:
    first, second = data_map(many(6)), data_map(many(6))
    first.info["judge"], second.info["judge"] = "gpt-4o", "llama"
    push(first, "judged", argilla_client, workspace=workspace)
    assert not [note for note in push(first, "judged", argilla_client, workspace=workspace).notes if "judge" in note]
    notes = push(second, "judged", argilla_client, workspace=workspace).notes
    assert [note for note in notes if "judged by llama, the data set was by gpt-4o" in note]


def test_a_push_after_answers_loses_none_of_them(argilla_client: Any, workspace: str, annotator: Any) -> None:
    rows = many(24)
    push(data_map(rows), "answered", argilla_client, workspace=workspace, overlap=1)
    api = Api(argilla_client)
    target = remote(api, workspace, "answered")
    found = list(records(api, target).values())
    for i, item in enumerate(found[:20]):
        answer(argilla_client, item["id"], {"better": "ab"[i % 2]}, ("submitted", "draft", "discarded")[i % 3])
        answer(annotator.client, item["id"], {"better": "tie", "note": "seen"}, ("draft", "submitted")[i % 2])
    api.put_records(target, [{"id": found[0]["id"], "metadata": {**found[0]["metadata"], "mine": "keep me"}}])
    before = records(api, target)
    rows = [r | {"mean": 1.5, "variance": 0.5, "p_wrong": 0.9, "flags": ["likely_wrong"], "region": "low_avg"} for r in rows]
    result = push(data_map(rows), "answered", argilla_client, workspace=workspace)
    after = records(api, target)
    assert result.updated == 24
    assert work_of_people(after) == work_of_people(before)
    assert after[found[0]["external_id"]]["metadata"]["mine"] == "keep me"
    assert {item["metadata"]["admap_mean"] for item in after.values()} == {1.5}
    assert next(q for q in result.queues if q["name"] == "likely-wrong")["count"] == 24


def test_metadata_that_others_write_during_a_push_are_kept(
    argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = many(4)
    push(data_map(rows), "meanwhile", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    target = remote(api, workspace, "meanwhile")
    first = next(iter(records(api, target).values()))
    original = stored_records.existing_records

    def look(*arguments: Any) -> Any:
        known = original(*arguments)
        api.put_records(target, [{"id": first["id"], "metadata": {**first["metadata"], "theirs": "new"}}])
        return known

    monkeypatch.setattr("argilla_admap.review.push.push.existing_records", look)
    push(data_map([r | {"p_wrong": 0.75} for r in rows]), "meanwhile", argilla_client, workspace=workspace)
    metadata = records(api, target)[first["external_id"]]["metadata"]
    assert (metadata["theirs"], metadata["admap_p_wrong"]) == ("new", 0.75)


def test_new_records_of_a_grown_map_are_added_and_gone_ones_stay(argilla_client: Any, workspace: str) -> None:
    push(data_map(many(10, prefix="old")), "grown", argilla_client, workspace=workspace)
    result = push(data_map([*many(5, prefix="old"), *many(3, prefix="new")]), "grown", argilla_client, workspace=workspace)
    assert (result.added, result.records) == (3, 8)
    assert any("5 records of the data set are not in this map" in note for note in result.notes)
    api = Api(argilla_client)
    assert api.total(remote(api, workspace, "grown")) == 13


class _Killed(BaseException):
    """Stands for kill -9: nothing catches it, nothing is tidied up."""


@pytest.mark.parametrize("call", ["add_question", "add_vector", "publish", "put_records"])
def test_a_push_that_was_killed_goes_on(
    argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(sending, "_BATCH", 8)
    original = getattr(Api, call)
    calls = iter(range(100))

    def dies(self: Api, *arguments: Any) -> Any:
        if next(calls) == (2 if call == "put_records" else 0):
            raise _Killed
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Api, call, dies)
        with pytest.raises(_Killed):
            push(data_map(many(30)), "killed", argilla_client, workspace=workspace)
    result = push(data_map(many(30)), "killed", argilla_client, workspace=workspace)
    assert result.added == (30 - 16 if call == "put_records" else 30)
    api = Api(argilla_client)
    target = remote(api, workspace, "killed")
    assert len(records(api, target)) == api.total(target) == api.progress(target)["total"] == 30
    assert push(data_map(many(30)), "killed", argilla_client, workspace=workspace).updated == 0


def test_a_dry_run_writes_nothing(argilla_client: Any, workspace: str) -> None:
    result = push(data_map(many(5)), "dry", argilla_client, workspace=workspace, dry_run=True)
    assert (result.created, result.added) == (True, 5)
    assert Api(argilla_client).find(parse_address(f"{workspace}/dry")) is None


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"mean": float("inf")}, "mean is inf"),
        ({"variance": -1.0}, "variance is -1.0"),
        ({"mean": 1e39}, "mean is 1e\\+39"),
        ({"p_wrong": 1.5}, "p_wrong is 1.5"),
        ({"id": ""}, "empty id"),
        ({"id": "x" * 5000}, "5000 characters"),
        ({"id": "record-0"}, "two records"),
    ],
)
def test_a_value_that_argilla_would_lose_is_refused_before_anything_is_sent(
    argilla_client: Any, workspace: str, columns: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        push(data_map([*many(3), row("bad") | columns]), "bad", argilla_client, workspace=workspace)
    assert Api(argilla_client).find(parse_address(f"{workspace}/bad")) is None


def test_hostile_ids_and_texts_come_back_as_they_were(argilla_client: Any, workspace: str) -> None:
    from argilla_admap.records import batch_to_records
    from argilla_admap.review.dataset.as_input import read_dataset

    texts = ["</script><script>alert(1)</script>", "$$ $& $` #RECORD_OBJECT#", "line\u2028end\x00", "{{x}}", "a" * 100_000]
    rows = [row(f"id {text[:40]} {i}", prompt=text, completions=[text, text[::-1]]) for i, text in enumerate(texts)]
    push(data_map(rows), "hostile", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    for item in records(api, remote(api, workspace, "hostile")).values():
        assert "<" not in str(item["external_id"])
        assert "<script" not in str(item["fields"])
    (batch,) = read_dataset(f"{workspace}/hostile", argilla_client).batches()
    assert [(r.id, r.prompt, list(r.completions)) for r in batch_to_records(batch)] == [
        (r["id"], r["prompt"], r["completions"]) for r in rows
    ]


def test_a_blind_review_holds_nothing_to_read_but_the_texts(argilla_client: Any, workspace: str, annotator: Any) -> None:
    result = push(data_map(many(60)), "blind", argilla_client, workspace=workspace, blind=True)
    mixed = next(queue for queue in result.queues if queue["name"] == "mixed")
    assert 0 < mixed["count"] <= 60
    assert "p_wrong" not in mixed["url"]
    api = Api(argilla_client)
    target = remote(api, workspace, "blind")
    assert [name for name, prop in target.properties.items() if prop["visible_for_annotators"]] == ["admap_queue"]
    seen = Api(annotator.client).request(
        "POST", f"/api/v1/me/datasets/{target.id}/records/search", json=QUEUES["mixed"].body(), params={"limit": 100}
    )
    assert seen["total"] == mixed["count"]
    for item in seen["items"]:
        assert item["record"]["metadata"] == {"admap_queue": "mixed"}
        assert "model-" not in str(item["record"]["fields"])
    assert "Likely wrong" not in (target.guidelines or "")


def test_records_are_assigned_to_reviewers_with_overlap(argilla_client: Any, workspace: str, make_annotator: Any) -> None:
    names = [make_annotator().username for _ in range(3)]
    result = push(data_map(many(60)), "assigned", argilla_client, workspace=workspace, reviewers=names, overlap=2)
    counts = {queue["name"]: queue["count"] for queue in result.queues}
    shares = [counts[f"reviewer-{name}"] for name in names]
    assert sum(shares) == 120
    assert min(shares) > 20
    api = Api(argilla_client)
    assert remote(api, workspace, "assigned").min_submitted == 2


@pytest.mark.parametrize(
    ("reviewers", "overlap", "words"),
    [(["nobody-here"], 1, "nobody-here"), (["a"], 2, "`overlap`: 2"), ([], 0, "`overlap`: 0")],
)
def test_reviewers_that_do_not_fit_are_refused(
    argilla_client: Any, workspace: str, reviewers: Sequence[str], overlap: int, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        push(data_map(many(2)), "x", argilla_client, workspace=workspace, reviewers=reviewers, overlap=overlap)
    assert Api(argilla_client).find(parse_address(f"{workspace}/x")) is None


def test_ratings_of_more_completions_are_asked_on_their_scale(argilla_client: Any, workspace: str) -> None:
    push(data_map(many(4, k=4)), "four", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    target = remote(api, workspace, "four")
    assert {"rating_a", "rating_b", "rating_c", "rating_d"} <= {q["name"] for q in target.questions}
    with pytest.raises(InputError, match="under another name"):
        push(data_map(many(4)), "four", argilla_client, workspace=workspace)


def test_records_that_the_index_lost_are_sent_again(
    argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(data_map(many(12)), "lost", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    target = remote(api, workspace, "lost")
    # A vector of zeros is stored, and the search engine refuses the whole record.
    victim = next(iter(records(api, target).values()))
    api.put_records(
        target, [{"external_id": "junk", "fields": victim["fields"], "vectors": {"admap_position": [0.0, 0.0, 0.0]}}]
    )
    assert api.progress(target)["total"] == 12
    with pytest.raises(ArgillaError, match="cannot be found in the page"):
        push(data_map(many(12)), "lost", argilla_client, workspace=workspace)
    api.put_records(target, [{"external_id": "junk", "vectors": {"admap_position": [0.0, 0.0, 1.0]}}])
    result = push(data_map(many(12)), "lost", argilla_client, workspace=workspace)
    assert not any("lost" in note for note in result.notes)


def test_records_that_reached_the_database_and_not_the_index_are_found(
    argilla_client: Any, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a server that was killed between the two: here the index is read one record short."""
    push(data_map(many(12)), "short", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    before = records(api, remote(api, workspace, "short"))
    search, calls = Api.search, iter(range(9))

    def short(self: Api, dataset: RemoteDataset, body: Any, **options: Any) -> Any:
        items, total = search(self, dataset, body, **options)
        return (items[:-1], total - 1) if options.get("offset") == 0 and next(calls) == 0 else (items, total)

    monkeypatch.setattr(Api, "progress", lambda self, dataset: {"total": 11})
    monkeypatch.setattr(Api, "search", short)
    result = push(data_map(many(12)), "short", argilla_client, workspace=workspace)
    assert any("had lost 1 records" in note for note in result.notes)
    after = records(api, remote(api, workspace, "short"))
    assert {name: item["metadata"] for name, item in after.items()} == {name: item["metadata"] for name, item in before.items()}


def test_the_guidelines_keep_what_a_person_wrote(argilla_client: Any, workspace: str) -> None:
    push(data_map(many(5)), "home", argilla_client, workspace=workspace)
    api = Api(argilla_client)
    target = remote(api, workspace, "home")
    api.update_dataset(target, guidelines=f"Our own rules.\n\n{target.guidelines}")
    push(data_map(many(6)), "home", argilla_client, workspace=workspace)
    guidelines = remote(api, workspace, "home").guidelines or ""
    assert guidelines.startswith("Our own rules.")
    assert guidelines.count(guidelines_of.BEGIN) == 1


@pytest.mark.parametrize("address", ["", "a/", "/b", " x", "a\nb", "y" * 201])
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="data set"):
        parse_address(address)


def test_names_with_odd_characters_work(argilla_client: Any, workspace: str) -> None:
    name = "ütf & <b> #1 ?x=%20"
    push(data_map(many(3)), name, argilla_client, workspace=workspace)
    assert push(data_map(many(3)), f"{workspace}/{name}", argilla_client).created is False


def test_two_pushes_at_once_make_one_data_set(argilla_client: Any, workspace: str) -> None:
    def one() -> Any:
        return push(data_map(many(40)), "twice", argilla_client, workspace=workspace)

    with ThreadPoolExecutor(2) as pool:
        done = [future.result() for future in [pool.submit(one), pool.submit(one)]]
    assert {result.dataset for result in done} == {f"{workspace}/twice"}
    api = Api(argilla_client)
    target = remote(api, workspace, "twice")
    assert len(records(api, target)) == api.total(target) == 40
    assert push(data_map(many(40)), "twice", argilla_client, workspace=workspace).updated == 0
