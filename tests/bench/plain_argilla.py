"""An Argilla without an index: settings in memory, records in a file.

What the client holds at a million records can be measured against it; a real server takes hours to index them. It answers
what a push and a pull ask, and gives one record in a hundred with an answer.
"""

from __future__ import annotations

import tempfile
import uuid
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from aiohttp import web

from argilla_admap.review.argilla.properties import POSITION
from tests.doubles.served import served

__all__ = ["plain_argilla"]

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
#: One record in so many has an answer.
_ANSWERED = 100


class _Records:
    """The records of a data set, in a file: each as it was sent last."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # goes with the records
        self._places, self._sizes = array("q"), array("q")

    def __len__(self) -> int:
        return len(self._places)

    def put(self, item: dict[str, Any]) -> dict[str, Any]:
        """Makes or changes a record; the answer's part of it."""
        number = uuid.UUID(item["id"]).int - 1 if "id" in item else len(self)
        if number < len(self):
            item = {**self.at(number), **{name: value for name, value in item.items() if name != "id"}}
        written = orjson.dumps(item)
        place = self._file.seek(0, 2)
        self._file.write(written)
        if number == len(self):
            self._places.append(place)
            self._sizes.append(len(written))
        self._places[number], self._sizes[number] = place, len(written)
        return {"id": str(uuid.UUID(int=number + 1)), "updated_at": _NOW}

    def at(self, number: int) -> dict[str, Any]:
        """A record as it was sent."""
        self._file.seek(self._places[number])
        found: dict[str, Any] = orjson.loads(self._file.read(self._sizes[number]))
        return found


class _Argilla:
    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, Any]] = {}
        self.parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.records: dict[str, _Records] = {}

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
                self.records[made["id"]] = _Records()
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
                return {"items": [self.records[name].put(item) for item in body["items"]]}
            case "GET", ["records"]:
                return self._page(name, int(request.query.get("offset", 0)), int(request.query["limit"]))
            case "POST", ["records", "search"]:
                return {"items": [], "total": 0}
            case "GET", ["progress"]:
                return {"total": len(self.records[name]), "completed": 0, "pending": len(self.records[name])}
            case "POST", [kind]:
                self.parts.setdefault((name, kind), []).append({**body, "id": str(uuid.uuid4())})
                return self.parts[name, kind][-1]
            case "GET", [kind]:
                return {"items": self.parts.get((name, kind), [])}
        return None

    def _page(self, name: str, offset: int, limit: int) -> Any:
        total = len(self.records[name])
        return {"items": [self._record(name, number) for number in range(offset, min(offset + limit, total))], "total": total}

    def _record(self, name: str, number: int) -> dict[str, Any]:
        question = self.parts[name, "questions"][0]
        said = {question["name"]: {"value": question["settings"]["options"][0]["value"]}}
        answer = {"id": str(uuid.UUID(int=number + 1)), "user_id": _OWNER["id"], "status": "submitted", "values": said}
        found = self.records[name].at(number)
        vectors = found.pop("vectors", None) or {}
        return {
            **found,
            "id": str(uuid.UUID(int=number + 1)),
            "status": "pending",
            "responses": [] if number % _ANSWERED else [{**answer, "inserted_at": _NOW, "updated_at": _NOW}],
            "suggestions": [],
            "vectors": {POSITION: vectors[POSITION]} if POSITION in vectors else {},
            "inserted_at": _NOW,
            "updated_at": _NOW,
        }


@contextmanager
def plain_argilla() -> Iterator[str]:
    """The address of one, in a thread of this process."""

    def make() -> web.Application:
        argilla = _Argilla()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", argilla.handle)
        return app

    with served(make) as url:
        yield url
