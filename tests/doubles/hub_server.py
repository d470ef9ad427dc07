"""A double of the Hugging Face Hub: data sets are made, filled by commits, listed and read, over its HTTP protocol."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.doubles.served import served

__all__ = ["Hub", "hub"]


@dataclass
class Hub:
    """The data sets, and what was asked.

    Attributes:
        url: where it is served.
        token: the only one that is let in.
        files: of each data set, its files.
        private: of each data set.
        commits: how many each has.
        refuses: data sets in which this token may not write.
    """

    url: str = ""
    token: str = "hf_double"
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    commits: dict[str, int] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)
    _stored: dict[str, bytes] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20, middlewares=[self._let_in])
        route = "/api/datasets/{org}/{name}"
        app.router.add_post("/api/repos/create", self._create)
        app.router.add_post("/api/validate-yaml", self._validate)
        app.router.add_get(route, self._info)
        app.router.add_get(f"{route}/revision/{{rev}}", self._info)
        app.router.add_get(f"{route}/tree/{{rev}}", self._tree)
        app.router.add_get(f"{route}/tree/{{rev}}/{{path:.*}}", self._tree)
        app.router.add_post(f"{route}/paths-info/{{rev}}", self._paths)
        app.router.add_post(f"{route}/preupload/{{rev}}", self._preupload)
        app.router.add_post(f"{route}/commit/{{rev}}", self._commit)
        app.router.add_post("/datasets/{org}/{name}.git/info/lfs/objects/batch", self._batch)
        app.router.add_put("/lfs/{oid}", self._store)
        app.router.add_get("/datasets/{org}/{name}/resolve/{rev}/{path:.*}", self._resolve)
        return app

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.startswith("/lfs/") and request.headers.get("authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "Invalid credentials"}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    def _name(self, request: web.Request) -> str:
        name = f"{request.match_info['org']}/{request.match_info['name']}"
        if name not in self.files:
            raise web.HTTPNotFound(headers={"X-Error-Code": "RepoNotFound"}, text="{}", content_type="application/json")
        return name

    def _sha(self, name: str) -> str:
        return hashlib.sha1(f"{name} {self.commits[name]}".encode()).hexdigest()

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = f"{body['organization']}/{body['name']}" if body.get("organization") else body["name"]
        if name in self.refuses:
            return web.json_response({"error": "You don't have the rights"}, status=403)
        if name in self.files:
            return web.json_response({"error": "exists"}, status=409)
        self.files[name] = {".gitattributes": b"*.parquet filter=lfs\n"}
        self.private[name] = body.get("private") is True or body.get("visibility") == "private"
        self.commits[name] = 0
        return web.json_response({"url": f"{self.url}/datasets/{name}", "name": name, "id": name})

    async def _validate(self, request: web.Request) -> web.Response:
        return web.json_response({"errors": [], "warnings": []})

    async def _info(self, request: web.Request) -> web.Response:
        name = self._name(request)
        found = {
            "_id": "0" * 24,
            "id": name,
            "author": name.partition("/")[0],
            "sha": self._sha(name),
            "private": self.private[name],
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in self.files[name]],
        }
        return web.json_response(found)

    def _entries(self, name: str) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for path, content in self.files[name].items()
        ]

    async def _tree(self, request: web.Request) -> web.Response:
        name, under = self._name(request), request.match_info.get("path", "")
        deep = request.query.get("recursive", "").lower() in ("1", "true")
        found = [entry for entry in self._entries(name) if not under or entry["path"].startswith(f"{under}/")]
        if under and not found:
            raise web.HTTPNotFound(headers={"X-Error-Code": "EntryNotFound"}, text="{}", content_type="application/json")
        if not deep:
            start = len(under) + 1 if under else 0
            folders = {e["path"][: e["path"].index("/", start)] for e in found if "/" in e["path"][start:]}
            found = [e for e in found if "/" not in e["path"][start:]]
            found += [{"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in sorted(folders)]
        return web.json_response(found)

    async def _paths(self, request: web.Request) -> web.Response:
        name = self._name(request)
        form = dict(await request.post()) if "form" in request.content_type else await request.json()
        wanted = form["paths"] if isinstance(form["paths"], list) else [form["paths"]]
        folders = {path.rpartition("/")[0] for path in self.files[name]}
        found = [entry for entry in self._entries(name) if entry["path"] in wanted]
        found += [
            {"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in wanted if path and path in folders
        ]
        return web.json_response(found)

    async def _preupload(self, request: web.Request) -> web.Response:
        files = (await request.json())["files"]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".parquet") else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        return web.json_response({"files": modes})

    async def _batch(self, request: web.Request) -> web.Response:
        objects = (await request.json())["objects"]
        made = [
            {**one, "authenticated": True, "actions": {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}}} for one in objects
        ]
        return web.json_response({"transfer": "basic", "objects": made}, content_type="application/vnd.git-lfs+json")

    async def _store(self, request: web.Request) -> web.Response:
        self._stored[request.match_info["oid"]] = await request.read()
        return web.Response()

    async def _commit(self, request: web.Request) -> web.Response:
        name = self._name(request)
        if name in self.refuses:
            return web.json_response({"error": "You don't have the rights"}, status=403)
        files = dict(self.files[name])
        for line in (await request.read()).splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self._stored[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        self.files[name] = files
        self.commits[name] += 1
        place = {"commitOid": self._sha(name), "commitUrl": f"{self.url}/datasets/{name}/commit/{self._sha(name)}"}
        return web.json_response({"success": True, "hookOutput": "", **place})

    async def _resolve(self, request: web.Request) -> web.Response:
        name, path = self._name(request), request.match_info["path"]
        if path not in self.files[name]:
            raise web.HTTPNotFound(headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self._sha(name)})
        content = self.files[name][path]
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": self._sha(name)}
        return web.Response(body=content, headers=headers)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The Hub that this test's environment names, empty at first."""
    found = Hub()
    with served(found.app) as url:
        found.url = url
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_TOKEN", found.token)
        # Its own store of chunks speaks another protocol; without it the library uploads by Git LFS, as it does to other Hubs.
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        yield found
