"""What people and other programs do on an Argilla beside us: teams, data sets of their own, answers, all by the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import argilla as rg
import httpx

from argilla_admap.review.argilla.argilla_api import Api, connect, parse_address


@dataclass(frozen=True)
class Person:
    """A user with a key of their own."""

    name: str
    key: str
    http: httpx.Client


def person(url: str, owner: str, name: str, role: str, *teams: str) -> Person:
    """Makes a user with that role in these workspaces."""
    with _http(url, owner) as http:
        body = {"username": name, "password": f"password of {name}", "first_name": name, "role": role}
        made = http.post("/api/v1/users", json=body).raise_for_status().json()
        for team in teams:
            http.post(f"/api/v1/workspaces/{team_id(http, team)}/users", json={"user_id": made["id"]}).raise_for_status()
    return Person(name, made["api_key"], _http(url, made["api_key"]))


def login(url: str, name: str, password: str) -> Person:
    """A user as the page knows them: by name and password."""
    with httpx.Client(base_url=url, timeout=60) as http:
        token = http.post("/api/v1/token", data={"username": name, "password": password}).raise_for_status().json()
        me = http.get("/api/v1/me", headers={"Authorization": f"Bearer {token['access_token']}"}).raise_for_status().json()
    return Person(name, me["api_key"], _http(url, me["api_key"]))


def make_team(url: str, owner: str, name: str) -> None:
    """Makes a workspace, where there is none of that name."""
    with _http(url, owner) as http:
        if name not in {item["name"] for item in http.get("/api/v1/me/workspaces").json()["items"]}:
            http.post("/api/v1/workspaces", json={"name": name}).raise_for_status()


def team_id(http: httpx.Client, name: str) -> str:
    """The id of a workspace."""
    return next(str(item["id"]) for item in http.get("/api/v1/me/workspaces").json()["items"] if item["name"] == name)


def ratings_of_others(url: str, owner: str, team: str, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """A data set as distilabel's step makes it, by the SDK: two generations and a rating of each, as suggestions."""
    theirs = rg.Argilla(api_url=url, api_key=owner)
    settings = rg.Settings(
        fields=[rg.TextField(field) for field in ("instruction", "generations-0", "generations-1")],
        questions=[rg.RatingQuestion(f"generations-{i}-rating", values=[1, 2, 3, 4, 5]) for i in range(2)],
        metadata=[rg.TermsMetadataProperty("origin")],
        guidelines="Our own rules.",
    )
    made = rg.Dataset(name=name, workspace=team, settings=settings, client=theirs).create()
    made.records.log(
        [
            rg.Record(
                id=row["id"],
                fields={
                    "instruction": row["prompt"],
                    **{f"generations-{i}": completion["text"] for i, completion in enumerate(row["completions"])},
                },
                metadata={"origin": f"shelf {number % 3}"},
                suggestions=[
                    rg.Suggestion(f"generations-{i}-rating", 4 if completion["rating"] else 2, score=0.5, agent="a-model")
                    for i, completion in enumerate(row["completions"])
                ],
            )
            for number, row in enumerate(rows)
        ]
    )


def records(url: str, key: str, dataset: str) -> dict[str, dict[str, Any]]:
    """All that the server holds of each record, by its external id."""
    api = Api(connect(url, key))
    target = api.dataset(parse_address(dataset))
    pages = api.pages(target, ("responses", "suggestions", "vectors"))
    return {str(item["external_id"]): item for page in pages for item in page}


def work(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What people and others made of each record: answers with ids and times, suggestions, status, metadata, texts."""
    return {
        key: (
            item["responses"],
            item["suggestions"],
            item["status"],
            item["fields"],
            {name: value for name, value in (item["metadata"] or {}).items() if not name.startswith("admap_")},
        )
        for key, item in found.items()
    }


def search(who: Person, dataset_id: str, *conditions: dict[str, Any], limit: int = 500) -> list[dict[str, Any]]:
    """What the page shows a person that matches, unanswered by them."""
    body = {"filters": {"type": "and", "and": list(conditions)}} if conditions else {}
    found = who.http.post(
        f"/api/v1/me/datasets/{dataset_id}/records/search", json=body, params={"limit": limit, "response_status": "pending"}
    )
    return [item["record"] for item in found.raise_for_status().json()["items"]]


def terms(name: str, *values: str) -> dict[str, Any]:
    """The condition that a terms property of ours has one of the values."""
    return {"type": "terms", "scope": {"entity": "metadata", "metadata_property": name}, "values": list(values)}


def answer(who: Person, record: dict[str, Any], **values: Any) -> None:
    """Submits an answer."""
    body = {"status": "submitted", "values": {name: {"value": value} for name, value in values.items()}}
    who.http.post(f"/api/v1/records/{record['id']}/responses", json=body).raise_for_status()


def _http(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"X-Argilla-Api-Key": key}, timeout=60)
