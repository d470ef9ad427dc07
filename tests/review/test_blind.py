"""Blind is blind: with an annotator's key nothing hidden can be shown, filtered by, sorted by, counted or found similar."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from argilla_admap.pipeline import pull, push
from argilla_admap.records import content_id
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset
from argilla_admap.review.argilla.cipher import key_of
from argilla_admap.review.argilla.properties import POSITION, PROPERTIES
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.layout import TITLE, record_title, shown_order
from argilla_admap.review.queues.overview import count_queues
from tests.doubles.argilla_server import Annotator
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote

SECRET = "The judge found the first completion wrong."
#: Records enough for every part of the mixed sample and every flag.
ROWS: list[dict[str, Any]] = [
    row(
        f"r{i}",
        mean=2.0 + i / 20,
        variance=i / 8,
        p_wrong=0.02 * i,
        flags=["likely_wrong"] if i > 30 else ["boundary"] if i % 3 else [],
        issues=["truncated"] if i % 5 == 0 else [],
        ratings=[1.0, 0.0] if i % 2 else [0.0, 1.0],
        reasons=[SECRET, "Fine."],
    )
    for i in range(40)
]


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


@pytest.fixture
def blind(api: Api, workspace: str, annotator: Annotator) -> RemoteDataset:
    push(data_map(ROWS), "blind", api.client, workspace=workspace, blind=True, reviewers=(annotator.username,))
    return remote(api, workspace, "blind")


def searches(dataset: RemoteDataset) -> list[dict[str, Any]]:
    """Bodies of a search that filter or sort by each thing that a record carries, visible or not, alone and beside others."""
    names = [*(prop.name for prop in PROPERTIES if not prop.neutral), *dataset.properties]
    names = sorted({name for name in names if dataset.properties.get(name, {}).get("visible_for_annotators") is not True})
    shown = {"type": "terms", "scope": {"entity": "record", "property": "status"}, "values": ["pending"]}
    found: list[dict[str, Any]] = []
    for name in names:
        scope = {"entity": "metadata", "metadata_property": name}
        values = ["likely_wrong", "high_avg", "[1.0,0.0]", "[1,0]", "suspect", "control", "truncated", "x"]
        for condition in (
            {"type": "terms", "scope": scope, "values": values},
            {"type": "range", "scope": scope, "ge": 0, "le": 1},
        ):
            found += [{"filters": {"and": [condition]}}, {"filters": {"and": [shown, condition]}}]
        for order in ("asc", "desc"):
            found.append({"sort": [{"scope": scope, "order": order}]})
            age = {"scope": {"entity": "record", "property": "inserted_at"}, "order": "asc"}
            found.append({"sort": [age, {"scope": scope, "order": order}], "query": {"text": {"q": "thing"}}})
    return found


def test_no_search_of_an_annotator_filters_or_sorts_by_anything_hidden(blind: RemoteDataset, annotator: Annotator) -> None:
    http = annotator.client.http_client
    bodies = searches(blind)
    assert len(bodies) > 80
    for body, place in itertools.product(bodies, ("/api/v1/me/datasets", "/api/v1/datasets")):
        found = http.post(f"{place}/{blind.id}/records/search?limit=1", json=body)
        assert found.status_code == (422 if "/me/" in place else 403), (body, found.text)
        # A property that is hidden and one that is nowhere sound alike.
        assert "/me/" not in place or "not found filtering by name=admap_" in found.text
    nothing = {"entity": "metadata", "metadata_property": "admap_none"}
    body = {"filters": {"and": [{"type": "terms", "scope": nothing, "values": ["x"]}]}}
    found = http.post(f"/api/v1/me/datasets/{blind.id}/records/search", json=body)
    assert (found.status_code, "not found filtering by name=admap_none" in found.text) == (422, True)


def test_no_vector_tells_the_place_on_the_map(blind: RemoteDataset, annotator: Annotator) -> None:
    assert POSITION not in blind.vectors
    http = annotator.client.http_client
    search = f"/api/v1/me/datasets/{blind.id}/records/search"
    record = http.post(search, json={}).json()["items"][0]["record"]
    for query in ({"record_id": record["id"]}, {"value": [1.0, 0.5, 1.0]}):
        assert http.post(search, json={"query": {"vector": {"name": POSITION, **query}}}).status_code == 422
    shown = http.post(f"{search}?include=vectors", json={}).json()["items"]
    assert all(set(item["record"].get("vectors") or {}) <= {"admap_text"} for item in shown)


def test_nothing_that_an_annotator_gets_holds_anything_hidden(
    api: Api, blind: RemoteDataset, annotator: Annotator, second_annotator: Annotator
) -> None:
    ids = {name: item["id"] for name, item in records(api, blind).items()}
    answer(second_annotator.client, ids["r3"], {"better": "b"})
    http, key = annotator.client.http_client, str(key_of(blind))
    search, base = f"/api/v1/me/datasets/{blind.id}/records/search", f"/api/v1/datasets/{blind.id}"
    include = {"include": ["responses", "suggestions", "vectors"], "limit": 100}
    given = [
        http.post(search, json={}, params=include),
        *(http.get(f"/api/v1/records/{ids[name]}") for name in ("r3", "r35")),
        *(http.get(f"/api/v1/records/{ids['r35']}/{part}") for part in ("suggestions", "responses")),
        *(http.get(f"{base}{part}") for part in ("", "/fields", "/questions", "/vectors-settings", "/records", "/progress")),
        *(
            http.get(f"{base}/{part}")
            for part in ("users/progress", "metadata-properties", "records/search/suggestions/options")
        ),
        *(http.get(f"/api/v1/me/datasets{part}") for part in ("", f"/{blind.id}/metadata-properties", f"/{blind.id}/metrics")),
        *(http.get(f"/api/v1/metadata-properties/{found['id']}/metrics") for found in blind.properties.values()),
        *(http.get(f"/api/v1/{place}") for place in ("webhooks", "users", f"workspaces/{blind.workspace_id}/users")),
        http.post(f"{base}/export", json={"name": "x/y", "subset": "d", "split": "train", "private": True, "token": "x"}),
        http.patch(f"/api/v1/records/{ids['r35']}", json={"metadata": {}}),
        http.put(f"{base}/records/bulk", json={"items": [{"id": ids["r35"], "metadata": {}}]}),
        http.patch(
            f"/api/v1/metadata-properties/{blind.properties['admap_label']['id']}", json={"visible_for_annotators": True}
        ),
    ]
    assert sum(found.is_success for found in given) >= 13
    assert "r35 is thing number 1" in given[0].text
    for found in given:
        hidden = (key, SECRET, "model-0", "suspect", '"admap_p_wrong"', '"admap_label"', "admap_sealed", '"[1.0,0.0]"')
        assert [one for one in hidden if one in found.text] == [], found.url
    assert second_annotator.id not in given[0].text + given[1].text
    listed = given[0].json()["items"]
    assert {name for item in listed for name in item["record"]["metadata"]} == {"admap_queue", "admap_reviewer"}


def test_the_queues_of_a_blind_review_are_open_to_annotators_and_those_of_suspicion_are_not(
    api: Api, blind: RemoteDataset, annotator: Annotator
) -> None:
    counts = {found.queue.name: found for found in count_queues(api, blind)}
    assert counts["likely-wrong"].count == 9
    assert counts["mixed"].count == sum("admap_queue" in item["metadata"] for item in records(api, blind).values()) > 18
    open_to_all = {"mixed", f"reviewer-{annotator.username}"}
    assert open_to_all <= set(counts)
    http = annotator.client.http_client
    for name, found in counts.items():
        answered = http.post(f"/api/v1/me/datasets/{blind.id}/records/search", json=found.queue.body())
        assert (answered.status_code == 200) == (name in open_to_all), name
        if name in open_to_all:
            assert answered.json()["total"] == found.count


def test_the_order_and_the_id_of_a_record_do_not_tell_its_label(api: Api, workspace: str, annotator: Annotator) -> None:
    rows = [row(f"r{i}") for i in range(16)]
    for one in rows[:6]:
        one["id"] = content_id(one["prompt"], one["completions"])
    push(data_map(rows), "blind", api.client, workspace=workspace, blind=True)
    target = remote(api, workspace, "blind")
    found, key = records(api, target), key_of(target)
    for one in rows:
        fields, order = found[one["id"]]["fields"], shown_order(one["id"], 2, blind=True, key=key)
        assert [card.decode(text) for text in fields[card.FIELD]["_c"]] == [one["completions"][i] for i in order]
        assert fields[TITLE] == record_title(one["id"], blind=True, key=key) != record_title(one["id"], blind=True)
    assert any(shown_order(one["id"], 2, blind=True, key=key) != shown_order(one["id"], 2, blind=True) for one in rows)
    # The id of a record without one is the hash of its texts in their order: whoever has the texts could try both.
    http, search = annotator.client.http_client, f"/api/v1/me/datasets/{target.id}/records/search"
    shown = http.post(search, json={}, params={"limit": 50}).json()["items"]
    assert {item["record"]["external_id"] for item in shown} == {None, *(f"r{i}" for i in range(6, 16))}
    assert http.get(f"/api/v1/records/{found[rows[0]['id']]['id']}").json()["external_id"] is None
    scope = {"entity": "record", "property": "external_id"}
    body = {"filters": {"and": [{"type": "terms", "scope": scope, "values": [rows[0]["id"]]}]}}
    assert http.post(search, json=body).status_code == 422
    for name, item in found.items():
        answer(api.client, item["id"], {"better": "ab"[shown_order(name, 2, blind=True, key=key).index(1)]})
    pulled = pull("blind", api.client, workspace=workspace)
    assert pulled.corrections == {one["id"]: (0.0, 1.0) for one in rows}


def test_a_blind_review_of_an_earlier_version_is_closed_by_the_next_push_and_keeps_its_order(
    api: Api, blind: RemoteDataset, annotator: Annotator
) -> None:
    stored = {**blind.metadata["admap"], "layout": {"kind": "pair", "blind": True, "k": [2, 2]}}
    api.update_dataset(blind, metadata={**blind.metadata, "admap": stored})
    hidden = blind.properties["admap_reviewer"]
    title = {"title": hidden["title"], "visible_for_annotators": False}
    api.request("PATCH", f"/api/v1/metadata-properties/{hidden['id']}", json=title)
    api.add_vector(blind.id, {"name": POSITION, "title": "Place", "dimensions": 3})
    before = {name: item["fields"][card.FIELD]["_c"] for name, item in records(api, blind).items()}
    push(data_map(ROWS), "blind", api.client, workspace=blind.workspace, blind=True)
    after = api.refresh(blind)
    assert {name: item["fields"][card.FIELD]["_c"] for name, item in records(api, after).items()} == before
    assert POSITION not in after.vectors
    assert after.properties["admap_reviewer"]["visible_for_annotators"] is True
    assert "keyed" not in orjson.dumps(after.info["layout"]).decode() or after.info["layout"]["keyed"] is False


def test_a_push_says_what_a_server_of_others_cannot_hide(api: Api, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api.hides_from_annotators()
    ours = push(data_map(ROWS[:3]), "blind", api.client, workspace=workspace, blind=True, dry_run=True)
    assert not [note for note in ours.notes if "annotators" in note]
    monkeypatch.setattr(Api, "hides_from_annotators", lambda _self: False)
    theirs = push(data_map(ROWS[:3]), "blind", api.client, workspace=workspace, blind=True, dry_run=True)
    assert [note for note in theirs.notes if "lets annotators filter and sort by what is hidden" in note]
