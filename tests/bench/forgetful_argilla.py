"""An Argilla that keeps its settings, and of the records no more than their number and the first few.

What the client holds at a million records can be measured against it; a real server takes hours to index them. It answers
what a push and a pull ask, and gives the first records again and again under other ids, one in a hundred with an answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from aiohttp import web

from tests.doubles.served import served

__all__ = ["forgetful_argilla"]

_NOW = "2026-01-01T00:00:00.000000"
_OWNER = {
    "id": str(uuid.UUID(int=1)),
    "username": "owner",
    "first_name": "Owner",
    "last_name": None,
    "role": "owner",
    "api_key": "key",
    "inserted_at": _NOW,
    "updated_at": _NOW,
}
_WORKSPACE = {"id": str(uuid.UUID(int=2)), "name": "admap", "inserted_at": _NOW, "updated_at": _NOW}
#: Records that are kept, and one in so many has an answer.
_KEPT, _ANSWERED = 100, 100


class _Argilla:
    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, Any]] = {}
        self.parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.counts: dict[str, int] = {}

    async def handle(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read() or b"{}")
        path = request.path.removeprefix("/api/v1/").replace("me/datasets/", "datasets/").split("/")
        found = self._answer(request, path, body)
        if found is None:
            return web.json_response({"detail": "no such thing"}, status=404)
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    def _answer(self, request: web.Request, path: list[str], body: dict[str, Any]) -> Any:
        method = request.method
        match path:
            case ["version"]:
                return {"version": "2.8.0"}
            case ["me"]:
                return _OWNER
            case ["users"] | ["workspaces", _, "users"]:
                return {"items": [_OWNER]}
            case ["me", "workspaces"] | ["workspaces"]:
                return {"items": [_WORKSPACE]}
            case ["me", "datasets"]:
                return {"items": list(self.datasets.values())}
            case ["datasets"]:
                made = {**body, "id": str(uuid.uuid4()), "status": "draft", "guidelines": None}
                self.datasets[made["id"]] = made
                self.records[made["id"]], self.counts[made["id"]] = [], 0
                return made
            case ["datasets", name, *rest] if name in self.datasets:
                return self._of_dataset(request, name, rest, body)
            case ["metadata-properties", _, "metrics"]:
                return {"type": "terms", "values": []}
            case ["fields" | "metadata-properties", _] if method == "PATCH":
                return {}
        return None

    def _of_dataset(self, request: web.Request, name: str, rest: list[str], body: dict[str, Any]) -> Any:
        dataset = self.datasets[name]
        match request.method, rest:
            case "GET", []:
                return dataset
            case "PATCH", []:
                dataset.update(body)
                return dataset
            case "PUT", ["publish"]:
                dataset["status"] = "ready"
                return dataset
            case "PUT", ["records", "bulk"]:
                kept = self.records[name]
                kept += [item for item in body["items"] if "id" not in item][: _KEPT - len(kept)]
                self.counts[name] += sum("id" not in item for item in body["items"])
                return {"items": []}
            case "GET", ["records"]:
                return self._page(name, int(request.query.get("offset", 0)), int(request.query["limit"]))
            case "POST", ["records", "search"]:
                return {"items": [], "total": 0}
            case "GET", ["progress"]:
                return {"total": self.counts[name], "completed": 0, "pending": self.counts[name]}
            case "PUT", ["count", count]:
                self.counts[name] = int(count)
                return {}
            case "POST", [kind]:
                self.parts.setdefault((name, kind), []).append({**body, "id": str(uuid.uuid4())})
                return self.parts[name, kind][-1]
            case "GET", [kind]:
                return {"items": self.parts.get((name, kind), [])}
        return None

    def _page(self, name: str, offset: int, limit: int) -> Any:
        kept, total = self.records[name], self.counts[name]
        numbers = range(offset, min(offset + limit, total))
        return {"items": [self._record(name, number, kept[number % len(kept)]) for number in numbers], "total": total}

    def _record(self, name: str, number: int, kept: dict[str, Any]) -> dict[str, Any]:
        question = self.parts[name, "questions"][0]
        said = {question["name"]: {"value": question["settings"]["options"][0]["value"]}}
        answer = {"id": str(uuid.UUID(int=number + 1)), "user_id": _OWNER["id"], "status": "submitted", "values": said}
        return {
            **kept,
            "id": str(uuid.UUID(int=number + 1)),
            "external_id": f"r{number}",
            "status": "pending",
            "responses": [] if number % _ANSWERED else [{**answer, "inserted_at": _NOW, "updated_at": _NOW}],
            "suggestions": [],
            "inserted_at": _NOW,
            "updated_at": _NOW,
        }


@contextmanager
def forgetful_argilla() -> Iterator[str]:
    """The address of one, in a thread of this process. ``PUT /api/v1/datasets/ID/count/N`` says how many records it has."""

    def make() -> web.Application:
        argilla = _Argilla()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", argilla.handle)
        return app

    with served(make) as url:
        yield url
