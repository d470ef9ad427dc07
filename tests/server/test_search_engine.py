"""What Argilla asks of the search engine and of the worker, asked of the real server."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from argilla_admap.server.data_dir import DataDir


@pytest.fixture
def dataset(argilla_client: Any, workspace: str) -> Any:
    """Twenty records with a number, a word and a vector each, and a suggestion."""
    import argilla as rg

    settings = rg.Settings(
        fields=[rg.TextField("text")],
        questions=[rg.LabelQuestion("label", labels=["yes", "no"]), rg.TextQuestion("note", required=False)],
        metadata=[rg.FloatMetadataProperty("size"), rg.TermsMetadataProperty("kind")],
        vectors=[rg.VectorField("position", dimensions=3)],
    )
    made = rg.Dataset("things", workspace=workspace, settings=settings, client=argilla_client).create()
    made.records.log(
        [
            rg.Record(
                id=f"r{i}",
                fields={"text": f"thing number {i}"},
                metadata={"size": float(i), "kind": "even" if i % 2 == 0 else "odd"},
                vectors={"position": [1.0, float(i), 0.5]},
                suggestions=[rg.Suggestion("label", "yes", agent="rule", score=0.5)],
            )
            for i in range(20)
        ]
    )
    return made


def found(dataset: Any, *filters: tuple[str, str, object], **query: Any) -> list[str]:
    import argilla as rg

    records = dataset.records(query=rg.Query(filter=rg.Filter(list(filters)) if filters else None, **query))
    return [getattr(one, "id", None) or one[0].id for one in records]


def test_an_answer_is_found_by_its_value_its_change_replaces_it_and_its_removal_takes_it_out(
    dataset: Any, annotator: Any
) -> None:
    http = annotator.client.http_client
    record = next(iter(dataset.records))
    answer = {"values": {"label": {"value": "yes"}}, "status": "submitted"}
    made = http.post(f"/api/v1/records/{record._server_id}/responses", json=answer)
    made.raise_for_status()
    assert found(dataset, ("label.response", "==", "yes")) == [record.id]
    answer["values"] = {"label": {"value": "no"}}
    http.put(f"/api/v1/responses/{made.json()['id']}", json=answer).raise_for_status()
    assert found(dataset, ("label.response", "==", "yes")) == []
    assert found(dataset, ("label.response", "==", "no")) == [record.id]
    http.delete(f"/api/v1/responses/{made.json()['id']}").raise_for_status()
    assert found(dataset, ("response.status", "==", "submitted")) == []


def test_the_answers_of_two_people_to_one_record_stand_side_by_side(
    dataset: Any, annotator: Any, second_annotator: Any
) -> None:
    record = next(iter(dataset.records))
    for person, value in ((annotator, "yes"), (second_annotator, "no")):
        answer = {"values": {"label": {"value": value}}, "status": "submitted"}
        http = person.client.http_client
        http.post(f"/api/v1/records/{record._server_id}/responses", json=answer).raise_for_status()
    assert found(dataset, ("label.response", "==", "yes")) == [record.id]
    assert found(dataset, ("label.response", "==", "no")) == [record.id]


def test_a_suggestion_that_is_removed_is_not_found_any_more(dataset: Any, argilla_client: Any) -> None:
    http = argilla_client.http_client
    assert len(found(dataset, ("label.suggestion", "==", "yes"))) == 20
    item = http.get(f"/api/v1/datasets/{dataset.id}/records?limit=1&include=suggestions").json()["items"][0]
    ids = {"ids": item["suggestions"][0]["id"]}
    http.delete(f"/api/v1/records/{item['id']}/suggestions", params=ids).raise_for_status()
    assert len(found(dataset, ("label.suggestion", "==", "yes"))) == 19
    assert item["external_id"] not in found(dataset, ("label.suggestion", "==", "yes"))


def test_text_numbers_words_and_likeness_find_what_they_say(dataset: Any) -> None:
    import argilla as rg

    assert found(dataset, query="17") == ["r17"]
    assert sorted(found(dataset, ("metadata.size", ">=", 17.5))) == ["r18", "r19"]
    assert len(found(dataset, ("metadata.kind", "in", ["odd"]))) == 10
    near = found(dataset, similar=rg.Similar("position", [1.0, 19.0, 0.5]))
    assert "r19" in near[:5]


def test_the_worker_recomputes_the_statuses_when_fewer_answers_are_enough(dataset: Any, annotator: Any) -> None:
    owner = dataset._client.http_client
    two = {"distribution": {"strategy": "overlap", "min_submitted": 2}}
    owner.patch(f"/api/v1/datasets/{dataset.id}", json=two).raise_for_status()
    record = next(iter(dataset.records))
    answer = {"values": {"label": {"value": "yes"}}, "status": "submitted"}
    annotator.client.http_client.post(f"/api/v1/records/{record._server_id}/responses", json=answer).raise_for_status()
    assert found(dataset, ("status", "==", "completed")) == []
    one = {"distribution": {"strategy": "overlap", "min_submitted": 1}}
    owner.patch(f"/api/v1/datasets/{dataset.id}", json=one).raise_for_status()
    deadline = time.monotonic() + 30
    while found(dataset, ("status", "==", "completed")) != [record.id]:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def engine(argilla_server: Any) -> Iterator[httpx.Client]:
    """The engine itself, with the password of the server's folder."""
    folder = DataDir(argilla_server.data_dir)
    secrets = folder.secrets()
    assert secrets is not None
    url = f"http://127.0.0.1:{folder.state().ports['elasticsearch']}"
    with httpx.Client(base_url=url, auth=("admap", secrets.engine_password), timeout=30) as client:
        yield client


def test_the_engine_is_the_version_that_argilla_is_made_for(engine: httpx.Client) -> None:
    answer = engine.get("/")
    assert answer.json()["version"]["number"] == "8.17.0"
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    assert engine.head("/").status_code == 200


@pytest.mark.parametrize(
    "script",
    [
        'ctx._source["suggestions"].remove("label"); ctx._source.clear()',
        "ctx._source.status = 'completed'",
        "ctx._source.responses.add(params.response)",
        'ctx._source["suggestions"].remove("a\\"); ctx._source.clear(); (\\"b")',
    ],
)
def test_the_engine_refuses_a_script_that_it_does_not_know(engine: httpx.Client, dataset: Any, script: str) -> None:
    index = f"rg.{dataset.id}"
    document = engine.get(f"/{index}/_search?size=1").json()["hits"]["hits"][0]
    body = {"script": {"source": script, "params": {"response": {"id": "x"}}}}
    answer = engine.post(f"/{index}/_update/{document['_id']}", json=body)
    assert answer.status_code == 400
    assert "knows the update scripts of argilla-server 2.8.0 only" in answer.text
    assert engine.get(f"/{index}/_doc/{document['_id']}").json()["_source"] == document["_source"]


def test_the_engine_makes_no_index_that_was_not_asked_for(engine: httpx.Client) -> None:
    assert engine.put("/nobody-made-me/_doc/1", json={"a": 1}).status_code == 404
    assert engine.head("/nobody-made-me").status_code == 404


@pytest.fixture
def heard(argilla_client: Any) -> Iterator[list[dict[str, Any]]]:
    """The events that a webhook of this test hears."""
    events: list[dict[str, Any]] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that the library calls
            events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    body = {"url": f"http://127.0.0.1:{server.server_port}/", "events": ["record.created", "record.updated"]}
    made = argilla_client.http_client.post("/api/v1/webhooks", json=body)
    made.raise_for_status()
    yield events
    argilla_client.http_client.delete(f"/api/v1/webhooks/{made.json()['id']}").raise_for_status()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_hears_of_records_written_in_bulk(heard: list[dict[str, Any]], dataset: Any) -> None:
    deadline = time.monotonic() + 30
    while len(heard) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {event["type"] for event in heard} == {"record.created"}
    assert {event["data"]["external_id"] for event in heard} == {f"r{i}" for i in range(20)}


def test_a_change_of_a_data_sets_notes_is_kept(dataset: Any, argilla_client: Any) -> None:
    http, place = argilla_client.http_client, f"/api/v1/datasets/{dataset.id}"
    for notes in ({"a": {"b": 1}}, {"a": {"b": 2}, "c": 3}):
        http.patch(place, json={"metadata": notes}).raise_for_status()
    assert http.get(place).json()["metadata"] == {"a": {"b": 2}, "c": 3}
