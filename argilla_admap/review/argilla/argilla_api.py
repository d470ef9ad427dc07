"""Every call that we make to an Argilla server, and what each one does to people's work.

The SDK has no lossless update, no sorted search and no access to when an answer was given, so we call the REST interface
through the SDK's own HTTP client. Nothing here deletes; answers are only read.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt
import orjson

from argilla_admap.errors import ArgillaError, InputError, UnknownDataset
from argilla_admap.review.argilla.refusals import Refused, not_argilla, not_connected, refused, unreachable
from argilla_admap.scoring.client.rate_limit import retry_after

if TYPE_CHECKING:
    import argilla as rg
    import httpx

__all__ = [
    "BY_AGE",
    "INFO",
    "Address",
    "Api",
    "RemoteDataset",
    "connect",
    "is_loopback",
    "parse_address",
    "review_page",
    "terms_filter",
]

# A retry is not news for the user: without a handler, Python would print stamina's warning on stderr.
logging.getLogger("stamina").addHandler(logging.NullHandler())

#: Records a request: the most that the server gives.
PAGE = 1000
#: Where a push keeps what it knows of a data set, in the data set's own metadata.
INFO = "admap"
#: The sort of a search whose pages must not overlap.
BY_AGE = [{"scope": {"entity": "record", "property": "inserted_at"}, "order": "asc"}]
_TRANSIENT = (500, 502, 503, 504)
#: Seconds that one request waits in all, where it is told that there are too many.
_PATIENCE, _SHORTEST_WAIT = 300.0, 0.2
#: The first version with custom fields, which the review page is made of, the first that replaces a record's fields, and the
#: first after it that changes a record on PostgreSQL.
_OLDEST, _REPLACES_FIELDS, _KNOWS_POSTGRESQL = (2, 5), (2, 6), (2, 8)


def terms_filter(prop: str, values: Sequence[str]) -> dict[str, Any]:
    """The filter of a search: records whose property of their own (id, external_id, status) is one of the values."""
    return {"type": "terms", "scope": {"entity": "record", "property": prop}, "values": list(values)}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a data set lies: ``[WORKSPACE/]NAME``."""

    name: str
    workspace: str | None = None

    def __str__(self) -> str:
        return f"{self.workspace}/{self.name}" if self.workspace else self.name


class _Ids:
    """Ids that were met, of 16 bytes each, in sorted arrays: a set of a million takes a hundred megabytes."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.bytes_]] = []

    def add(self, ids: Sequence[bytes]) -> list[bool]:
        """Adds different ids; for each whether it is new."""
        keys = np.array(ids, "S16")
        new = np.ones(len(keys), bool)
        for part in self._parts:
            new &= part[np.searchsorted(part[:-1], keys)] != keys
        part = np.sort(keys[new])
        # Each at least twice as long as the next: few of them, and seldom sorted anew.
        while self._parts and len(self._parts[-1]) < 2 * len(part):
            part = np.sort(np.concatenate([self._parts.pop(), part]))
        if len(part):
            self._parts.append(part)
        return list(map(bool, new))

    def __len__(self) -> int:
        return sum(map(len, self._parts))


@dataclass(frozen=True, slots=True)
class RemoteDataset:
    """A data set on the server, as it stood when it was asked for. Lists hold the server's own JSON."""

    id: str
    name: str
    workspace: str
    workspace_id: str
    ready: bool
    guidelines: str | None
    metadata: Mapping[str, Any]
    min_submitted: int
    allow_extra_metadata: bool
    api_url: str
    fields: Sequence[Mapping[str, Any]] = ()
    questions: Sequence[Mapping[str, Any]] = ()
    properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vectors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """``WORKSPACE/NAME``."""
        return f"{self.workspace}/{self.name}"

    @property
    def info(self) -> Mapping[str, Any]:
        """What a push of ours keeps with the data set; empty for any other."""
        found: Mapping[str, Any] = self.metadata.get(INFO) or {}
        return found

    @property
    def page(self) -> str:
        """The address of its review page."""
        return review_page(self.api_url, self.id)

    def check_published(self) -> None:
        """Raises InputError where it is a draft: that holds no records and has no index."""
        if not self.ready:
            raise InputError(
                f"{self.full_name} is a draft, which holds no records yet",
                hint="publish it in Argilla and add its records, or name another data set",
            )

    def kind(self, prop: str) -> str | None:
        """The type of a metadata property, None where there is no such property."""
        found = self.properties.get(prop)
        return str(found["settings"]["type"]) if found else None


def review_page(api_url: str, dataset_id: Any) -> str:
    """The address of a data set's review page."""
    return f"{api_url.rstrip('/')}/dataset/{dataset_id}/annotation-mode"


def parse_address(text: str, workspace: str | None = None) -> Address:
    """The address that ``[WORKSPACE/]NAME`` means.

    Raises:
        InputError: an empty name, one over 200 characters, or one with a control character.
    """
    head, slash, name = text.rpartition("/")
    if slash and workspace is not None and head != workspace:
        raise InputError(
            f"data set {text!r}: its workspace {head!r} and the given workspace {workspace!r} differ", hint="give one of them"
        )
    for what, value in (("name", name), *((("workspace", head),) if slash else ())):
        if not value.strip() or value != value.strip():
            raise InputError(
                f"data set {text!r}: the {what} is empty or begins or ends with a space", hint="write [WORKSPACE/]NAME"
            )
        if len(value) > 200 or not value.isprintable():
            raise InputError(f"data set {text!r}: the {what} is longer than 200 characters or holds one that cannot be printed")
    return Address(name, head if slash else workspace)


def connect(url: str, api_key: str) -> rg.Argilla:
    """A client of the server at `url`. The process's default client stays what it was.

    Raises:
        ArgillaError: nothing answers there, or the key is not known there.
    """
    import argilla as rg
    import httpx

    before = rg.Argilla._default_client
    try:
        return rg.Argilla(api_url=url, api_key=api_key)
    except httpx.HTTPError as exc:
        raise unreachable(url, exc) from exc
    except rg._exceptions.ArgillaError as exc:
        raise not_connected(url, getattr(exc, "status_code", 401), str(exc)) from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise not_argilla(url, "GET", "/api/v1/me", str(exc)) from exc
    finally:
        rg.Argilla._default_client = before


def is_loopback(url: str) -> bool:
    """Whether the address is of this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Api:
    """The calls. One HTTP client, the SDK's, is kept for all of them.

    Args:
        client: from `connect`, or the user's own.
    """

    def __init__(self, client: rg.Argilla) -> None:
        self.client = client
        self.url = str(client.api_url).rstrip("/")
        self._http: httpx.Client = client.http_client
        self._version: str | None = None

    def request(self, method: str, path: str, *, json: Any = None, params: Any = None) -> Any:
        """One request; its JSON answer. All calls below go through here; a repeated one must do no harm.

        A request that finds a broken connection, the server's 5xx or a web page is sent again: after its own 500 the server
        closes the connection without saying so, and the next request runs into that.

        Raises:
            ArgillaError: what the server said, and what to do.
        """
        import httpx
        import stamina

        headers = {"accept-encoding": "identity"} if is_loopback(self.url) else {}
        content = None
        if json is not None:
            content = orjson.dumps(json)
            headers["content-type"] = "application/json"
        try:
            for attempt in stamina.retry_context(on=_worth_a_retry, attempts=3, wait_initial=0.2, wait_max=3.0, timeout=None):
                with attempt:
                    answer = self._patiently(method, path, content=content, params=params, headers=headers)
                    if answer.status_code in _TRANSIENT:
                        answer.raise_for_status()
                    # A web page instead of JSON: a proxy or a login page that answers for the server, perhaps for a moment.
                    found = orjson.loads(answer.content) if answer.is_success and answer.content else None
        except httpx.HTTPStatusError as exc:
            answer = exc.response
        except httpx.HTTPError as exc:
            raise unreachable(self.url, exc) from exc
        except orjson.JSONDecodeError as exc:
            raise not_argilla(self.url, method, path, answer.text) from exc
        if answer.is_success:
            return found
        raise refused(self.url, method, path, answer)

    def _patiently(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer of a request that is sent again after a while where there were too many (429)."""
        waited = 0.0
        while True:
            answer = self._http.request(method, path, **request)
            if answer.status_code != 429:
                return answer
            told = retry_after(answer.headers)
            wait = max(_SHORTEST_WAIT, 2 * waited if told is None else told)
            if waited + wait > _PATIENCE:
                return answer
            time.sleep(wait)
            waited += wait

    def _items(self, path: str) -> list[dict[str, Any]]:
        found = self.request("GET", path)
        if not isinstance(found, dict) or not isinstance(found.get("items"), list):
            raise not_argilla(self.url, "GET", path, str(found))
        return list(found["items"])

    # --- reading ---------------------------------------------------------------------------------------------------------

    def version(self) -> str:
        """The server's version, asked for once. Reads."""
        if self._version is None:
            self._version = str(self.request("GET", "/api/v1/version").get("version"))
        return self._version

    def check_version(self) -> None:
        """Refuses a server on which no review page can be made, before anything is written to it.

        Raises:
            InputError: it is older than 2.5.
        """
        if _numbers(self.version()) < _OLDEST:
            raise InputError(
                f"{self.url} is Argilla {self.version()}, which has no custom fields: the review page is made of them",
                hint="update it to 2.5 or newer (2.8 is what we test most), or start one with `admap server start`",
            )

    def replaces_fields(self) -> bool:
        """Whether the fields of a record can be changed: Argilla 2.5 answers 200 and keeps the old ones."""
        return _numbers(self.version()) >= _REPLACES_FIELDS

    def is_newer_than(self, client: str) -> bool:
        """Whether the server's first two numbers are above those of the client's version."""
        return _numbers(self.version()) > _numbers(client)

    def me(self) -> dict[str, Any]:
        """Who the key belongs to. Reads."""
        found: dict[str, Any] = self.request("GET", "/api/v1/me")
        return found

    def workspaces(self) -> dict[str, str]:
        """Name -> id of the workspaces of the key's owner. Reads."""
        return {item["name"]: item["id"] for item in self._items("/api/v1/me/workspaces")}

    def create_workspace(self, name: str) -> str:
        """Makes a workspace; needs the owner role. Touches nobody's work. Returns its id."""
        return str(self.request("POST", "/api/v1/workspaces", json={"name": name})["id"])

    def hides_from_annotators(self) -> bool:
        """Whether the server is one of ours, which lets annotators do nothing with what is hidden from them."""
        try:
            found = self.request("GET", "/api/v1/admap")
        except ArgillaError:
            return False
        return isinstance(found, dict) and found.get("hides_from_annotators") is True

    def usernames(self, workspace_id: str) -> dict[str, str]:
        """User id -> name, of all users where the key may see them, else of the workspace's. Reads."""
        try:
            return {item["id"]: item["username"] for item in self._items("/api/v1/users")}
        except Refused as error:
            if error.status != 403:
                raise
        return {identity: name for identity, (name, _) in self.members(workspace_id).items()}

    def users(self) -> list[dict[str, Any]]:
        """All accounts; needs the owner role. Each holds the user's key, which must be printed nowhere. Reads."""
        return self._items("/api/v1/users")

    def create_user(self, name: str, password: str) -> dict[str, Any]:
        """Makes an account with the role annotator; needs the owner role. 409 where the name is taken."""
        body = {"username": name, "password": password, "first_name": name, "role": "annotator"}
        found: dict[str, Any] = self.request("POST", "/api/v1/users", json=body)
        return found

    def can_log_in(self, name: str, password: str) -> bool:
        """Whether the password is that user's. Changes nothing."""
        return bool(self._http.post("/api/v1/token", data={"username": name, "password": password}).is_success)

    def add_member(self, workspace_id: str, user_id: str) -> None:
        """Lets a user see the workspace's data sets; needs the owner role. Idempotent."""
        try:
            self.request("POST", f"/api/v1/workspaces/{quote(workspace_id)}/users", json={"user_id": user_id})
        except Refused as error:
            if error.status != 409:
                raise

    def members(self, workspace_id: str) -> dict[str, tuple[str, str]]:
        """User id -> name and role, of the workspace's users; empty where the key may not see them. Reads."""
        try:
            items = self._items(f"/api/v1/workspaces/{quote(workspace_id)}/users")
        except Refused as error:
            if error.status != 403:
                raise
            return {}
        return {item["id"]: (item["username"], item["role"]) for item in items}

    def datasets(self) -> list[tuple[Address, dict[str, Any]]]:
        """Every data set that the key sees. Reads. (The SDK's own listing fails on some names of other people's settings.)"""
        names = {identity: name for name, identity in self.workspaces().items()}
        items = self._items("/api/v1/me/datasets")
        return [(Address(item["name"], names.get(item["workspace_id"], item["workspace_id"])), item) for item in items]

    def find(self, address: Address) -> RemoteDataset | None:
        """The data set at the address, None where there is none. Reads.

        Raises:
            UnknownDataset: several workspaces hold the name and the address says none.
        """
        whole = str(address)
        found = [
            (place, item)
            for place, item in self.datasets()
            if (item["name"] == address.name and address.workspace in (None, place.workspace))
            # A name that the SDK allowed may hold a slash itself.
            or item["name"] == whole
        ]
        if not found:
            return None
        if len(found) > 1:
            places = ", ".join(sorted(str(place) for place, _ in found))
            raise UnknownDataset(f"data set {whole!r} is in several workspaces", hint=f"name one of {places}")
        place, item = found[0]
        return self._describe(item, str(place.workspace))

    def dataset(self, address: Address) -> RemoteDataset:
        """The data set at the address. Reads.

        Raises:
            UnknownDataset: there is none; the message lists those that there are.
        """
        found = self.find(address)
        if found is not None:
            return found
        known = sorted(str(place) for place, _ in self.datasets())
        listed = ", ".join(known[:12]) + (f", and {len(known) - 12} more" if len(known) > 12 else "")
        raise UnknownDataset(
            f"{self.url}: there is no data set {str(address)!r}",
            hint=f"there are {listed}" if known else "there is none at all: make one with `admap push`",
        )

    def refresh(self, dataset: RemoteDataset) -> RemoteDataset:
        """The same data set as it stands now. Reads."""
        return self._describe(self.request("GET", f"/api/v1/datasets/{dataset.id}"), dataset.workspace)

    def _describe(self, item: Mapping[str, Any], workspace: str) -> RemoteDataset:
        base = f"/api/v1/datasets/{item['id']}"
        return RemoteDataset(
            id=str(item["id"]),
            name=str(item["name"]),
            workspace=workspace,
            workspace_id=str(item["workspace_id"]),
            ready=item["status"] == "ready",
            guidelines=item.get("guidelines"),
            metadata=item.get("metadata") or {},
            min_submitted=int((item.get("distribution") or {}).get("min_submitted", 1)),
            allow_extra_metadata=bool(item.get("allow_extra_metadata", True)),
            api_url=self.url,
            fields=self._items(f"{base}/fields"),
            questions=self._items(f"{base}/questions"),
            properties={p["name"]: p for p in self._items(f"/api/v1/me/datasets/{item['id']}/metadata-properties")},
            vectors={v["name"]: v for v in self._items(f"{base}/vectors-settings")},
        )

    def pages(self, dataset: RemoteDataset, include: Sequence[str] = (), size: int = PAGE) -> Iterator[list[dict[str, Any]]]:
        """All records, a page after the other, each once. Reads; in the order in which they were made, which updates keep.

        The next page is on its way while one is worked on.

        Args:
            dataset: which.
            include: "responses", "suggestions", "vectors" or "vectors:NAME".
            size: records a page, 1,000 at most.

        Raises:
            ArgillaError: records were deleted or added while we read, again and again.
        """
        seen = _Ids()
        for turn in range(5):
            met = _Ids() if turn else seen
            offset, totals = 0, []
            waiting = self._page(dataset, include, size, offset)
            while True:
                answer = waiting.result()
                offset += len(answer["items"])
                last = len(answer["items"]) < size
                if not last:
                    waiting = self._page(dataset, include, size, offset)
                items = {bytes.fromhex(item["id"].replace("-", "")): item for item in answer["items"]}
                totals.append(int(answer["total"]))
                if met is not seen:
                    met.add(list(items))
                fresh = [item for item, new in zip(items.values(), seen.add(list(items)), strict=True) if new]
                if fresh:
                    yield fresh
                if last:
                    break
            # A record that is deleted moves those behind it up, past a page's end; records of one instant may change places.
            if min(totals) == totals[0] and len(met) >= totals[0]:
                return
        raise ArgillaError(
            f"{dataset.full_name}: its records change while they are read", hint="try again when nobody deletes any"
        )

    def _page(self, dataset: RemoteDataset, include: Sequence[str], size: int, offset: int) -> Future[Any]:
        """Asks for a page, in a thread that ends with the program: who waits for it can be interrupted."""
        params = [("offset", str(offset)), ("limit", str(size)), *(("include", word) for word in include)]
        found: Future[Any] = Future()

        def ask() -> None:
            try:
                found.set_result(self.request("GET", f"/api/v1/datasets/{dataset.id}/records", params=params))
            except BaseException as exc:
                found.set_exception(exc)

        threading.Thread(target=ask, name="admap-page", daemon=True).start()
        return found

    def search(
        self,
        dataset: RemoteDataset,
        body: Mapping[str, Any],
        *,
        limit: int = PAGE,
        offset: int = 0,
        include: Sequence[str] = (),
    ) -> tuple[list[dict[str, Any]], int]:
        """One page of the records that match, in the body's order, and how many match. Reads.

        Raises:
            InputError: a draft, which has no index.
        """
        dataset.check_published()
        params = [("limit", str(limit)), ("offset", str(offset)), *(("include", word) for word in include)]
        answer = self.request("POST", f"/api/v1/datasets/{dataset.id}/records/search", json=body, params=params)
        return [item["record"] for item in answer["items"]], int(answer["total"])

    def count(self, dataset: RemoteDataset, body: Mapping[str, Any]) -> int:
        """How many records match. Reads."""
        return self.search(dataset, body, limit=1)[1]

    def metadata_of(self, dataset: RemoteDataset, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The metadata of up to 250 records as the database holds them now, by the server's id. Reads."""
        found, _ = self.search(dataset, {"filters": {"and": [terms_filter("id", ids)]}, "sort": BY_AGE})
        return {str(item["id"]): item.get("metadata") or {} for item in found}

    def terms(self, dataset: RemoteDataset, prop: str) -> dict[str, int]:
        """Each value of a terms property with its number of records. Reads."""
        answer = self.request("GET", f"/api/v1/metadata-properties/{dataset.properties[prop]['id']}/metrics")
        return {str(item["term"]): int(item["count"]) for item in answer["values"]}

    def progress(self, dataset: RemoteDataset) -> dict[str, Any]:
        """Records in the index: total, completed, pending. Reads."""
        answer: dict[str, Any] = self.request("GET", f"/api/v1/datasets/{dataset.id}/progress")
        return answer

    def total(self, dataset: RemoteDataset) -> int:
        """Records in the database. Reads."""
        return int(self.request("GET", f"/api/v1/datasets/{dataset.id}/records", params={"limit": 1})["total"])

    # --- webhooks: an owner's ----------------------------------------------------------------------------------------------

    def webhooks(self) -> list[dict[str, Any]]:
        """All webhooks of the server. Each holds its secret, which must be printed nowhere. Reads."""
        return self._items("/api/v1/webhooks")

    def create_webhook(self, url: str, events: Sequence[str], description: str) -> dict[str, Any]:
        """Has the server call `url` on these events. Returns its id and secret."""
        body = {"url": url, "events": list(events), "description": description}
        found: dict[str, Any] = self.request("POST", "/api/v1/webhooks", json=body)
        return found

    def ping_webhook(self, webhook_id: str) -> None:
        """Has the server call it once."""
        self.request("POST", f"/api/v1/webhooks/{webhook_id}/ping")

    def delete_webhook(self, webhook_id: str) -> None:
        """Ends the calls. Idempotent."""
        try:
            self.request("DELETE", f"/api/v1/webhooks/{webhook_id}")
        except Refused as error:
            if error.status != 404:
                raise

    # --- writing ---------------------------------------------------------------------------------------------------------

    def create_dataset(self, workspace_id: str, name: str, body: Mapping[str, Any]) -> str:
        """Makes an empty, unpublished data set: nobody sees it yet. Returns its id."""
        payload = {**body, "name": name, "workspace_id": workspace_id}
        return str(self.request("POST", "/api/v1/datasets", json=payload)["id"])

    def add_field(self, dataset_id: str, body: Mapping[str, Any]) -> None:
        """Adds a field to an unpublished data set; a published one refuses."""
        self.request("POST", f"/api/v1/datasets/{dataset_id}/fields", json=body)

    def add_question(self, dataset_id: str, body: Mapping[str, Any]) -> None:
        """Adds a question to an unpublished data set; a published one refuses."""
        self.request("POST", f"/api/v1/datasets/{dataset_id}/questions", json=body)

    def add_property(self, dataset_id: str, body: Mapping[str, Any]) -> None:
        """Adds one metadata property, also to a published data set. Touches no record and none of the other settings."""
        self.request("POST", f"/api/v1/datasets/{dataset_id}/metadata-properties", json=body)

    def show_property(self, property_id: str, title: str) -> None:
        """Lets annotators see a metadata property and filter by it."""
        body = {"title": title, "visible_for_annotators": True}
        self.request("PATCH", f"/api/v1/metadata-properties/{property_id}", json=body)

    def remove_vector(self, vector_id: str) -> None:
        """Removes a vector from a data set and from its records."""
        self.request("DELETE", f"/api/v1/vectors-settings/{vector_id}")

    def add_vector(self, dataset_id: str, body: Mapping[str, Any]) -> None:
        """Adds one vector, also to a published data set. Touches no record and none of the other settings."""
        self.request("POST", f"/api/v1/datasets/{dataset_id}/vectors-settings", json=body)

    def publish(self, dataset_id: str) -> None:
        """Publishes the data set: from now on people see it, and its questions are fixed. Idempotent."""
        try:
            self.request("PUT", f"/api/v1/datasets/{dataset_id}/publish")
        except Refused as error:
            # The answer to an earlier request got lost, or another push was first.
            if error.status != 422 or self.request("GET", f"/api/v1/datasets/{dataset_id}")["status"] != "ready":
                raise

    def update_dataset(self, dataset: RemoteDataset, **changes: Any) -> None:
        """Sets the named attributes (guidelines, metadata, distribution) only; a lower `min_submitted` completes records."""
        if changes.get("metadata") and dataset.metadata:
            # Argilla 2.8 fills new metadata into the old dict, sees no change, and keeps the old: it must be empty first.
            self.request("PATCH", f"/api/v1/datasets/{dataset.id}", json={"metadata": None})
        self.request("PATCH", f"/api/v1/datasets/{dataset.id}", json=changes)

    def update_template(self, field_id: str, template: str) -> None:
        """Replaces the template of a field of ours. Touches no record."""
        settings = {"type": "custom", "template": template, "advanced_mode": True}
        self.request("PATCH", f"/api/v1/fields/{field_id}", json={"settings": settings})

    def open_draft(self, record_id: str) -> bool:
        """An empty draft of the key's owner on a record; an answer that they have there stays, also one of this moment."""
        try:
            self.request("POST", f"/api/v1/records/{record_id}/responses", json={"values": {}, "status": "draft"})
        except Refused as error:
            if error.status != 409:
                raise
            return False
        return True

    def put_records(self, dataset: RemoteDataset, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Makes or updates up to 500 records. Answers, suggestions, the other vectors and the status are untouched.

        The server replaces an item's `metadata` and `fields` whole and keeps what an item leaves out, so that an item holds
        the merged metadata or none. An item with the `id` of a record that is gone, and without fields, is refused and makes
        no junk. Sending the same again changes nothing. The answer's records carry the times of the update; their fields are
        not to be sent back, because the server prints some of them otherwise than it takes them.
        """
        try:
            answer: dict[str, Any] = self.request("PUT", f"/api/v1/datasets/{dataset.id}/records/bulk", json={"items": items})
        except Refused as error:
            if error.status == 500 and _REPLACES_FIELDS <= _numbers(self.version()) < _KNOWS_POSTGRESQL:
                # They write a time with a zone where PostgreSQL takes none; nothing of the request is kept.
                hint = "on PostgreSQL, Argilla 2.6 and 2.7 cannot change a record that is there: update it to 2.8"
                raise Refused(error.message, error.status, hint) from error
            if error.status != 413 or len(items) < 2:
                raise
            # A proxy takes no request of this size, often of 1 MB: in halves, then.
            halves = items[: len(items) // 2], items[len(items) // 2 :]
            first, answer = (self.put_records(dataset, half) for half in halves)
            answer = {**answer, "items": [*first["items"], *answer["items"]]}
        return answer


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version; of one without numbers, which is somebody's own build, those of the newest need."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else _REPLACES_FIELDS


def _worth_a_retry(exc: Exception) -> bool:
    import httpx

    transient = (httpx.TransportError, httpx.HTTPStatusError, orjson.JSONDecodeError)
    return isinstance(exc, transient) and not isinstance(exc, httpx.UnsupportedProtocol)
