"""What Argilla asks of the search engine, asked of the real server."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def dataset(argilla_client: Any, workspace: str) -> Any:
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


def count(dataset: Any, *filters: tuple[str, str, object]) -> int:
    import argilla as rg

    return len(list(dataset.records(query=rg.Query(filter=rg.Filter(list(filters))))))


def test_an_answer_is_found_by_its_value_its_change_replaces_it_and_its_removal_takes_it_out(
    dataset: Any, annotator: Any
) -> None:
    http = annotator.client.http_client
    record = next(iter(dataset.records))
    server_id = record._server_id
    values = {"label": {"value": "yes"}}
    made = http.post(f"/api/v1/records/{server_id}/responses", json={"values": values, "status": "submitted"})
    made.raise_for_status()
    assert count(dataset, ("label.response", "==", "yes")) == 1
    response_id = made.json()["id"]
    http.put(
        f"/api/v1/responses/{response_id}", json={"values": {"label": {"value": "no"}}, "status": "submitted"}
    ).raise_for_status()
    assert count(dataset, ("label.response", "==", "yes")) == 0
    assert count(dataset, ("label.response", "==", "no")) == 1
    assert count(dataset, ("response.status", "==", "submitted")) == 1
    http.delete(f"/api/v1/responses/{response_id}").raise_for_status()
    assert count(dataset, ("response.status", "==", "submitted")) == 0
