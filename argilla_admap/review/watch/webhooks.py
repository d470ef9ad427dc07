"""The server's own news of answers: a listener on this machine, whose every message must carry the server's signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import orjson

from argilla_admap.errors import ArgillaError, InputError
from argilla_admap.review.argilla.argilla_api import Api, is_loopback

__all__ = ["Listener", "sign", "verified"]

_log = logging.getLogger(__name__)
_EVENTS = ("response.created", "response.updated", "response.deleted")
#: Seconds: how old a message may be, and how long the server has to answer the first one.
_TOLERANCE, _PATIENCE = 300, 5.0
_LARGEST = 64 * 2**20


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """The signature of a message. Source: standardwebhooks.com, version 1 (HMAC-SHA256), which Argilla 2.8 uses."""
    key = base64.b64decode(secret.removeprefix("whsec_") + "==")
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def verified(secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> bool:
    """Whether a message is from who knows the secret, and of the last five minutes.

    Args:
        secret: as the server gave it when the webhook was made.
        headers: ``webhook-id``, ``webhook-timestamp`` (seconds) and ``webhook-signature`` (one or several).
        body: as it came.
        now: seconds since 1970.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, given = (found.get(f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    if not message_id or not timestamp or not given:
        return False
    try:
        recent = abs((time.time() if now is None else now) - int(timestamp)) <= _TOLERANCE
        wanted = sign(secret, message_id, timestamp, body)
    except (ValueError, binascii.Error):
        return False
    return recent and any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given.split(" "))


class Listener:
    """Tells of each answer of one data set; use as a context, which takes the webhook away again at its end.

    Args:
        api: of an owner.
        dataset_id: whose answers to tell of.
        tell: called, in another thread, for each answer.
        listen: ``HOST:PORT`` to listen at and to be called at; without it a free port of the loopback address, which only a
            server on this machine can call.

    Attributes:
        active: the server's messages arrive here. Without an owner's key, or where they do not, it is False.
    """

    def __init__(self, api: Api, dataset_id: str, tell: Callable[[], None], *, listen: str | None = None) -> None:
        self._api, self._dataset_id, self._tell = api, dataset_id, tell
        self._host, self._port = _address(listen)
        self._possible = listen is not None or is_loopback(api.url)
        self._server: ThreadingHTTPServer | None = None
        self._webhook: str | None = None
        self._secret = ""
        self._heard = threading.Event()
        self.active = False

    def __enter__(self) -> Listener:
        if self._possible:
            try:
                self._open()
            except ArgillaError as error:
                _log.debug("no webhook: %s", error)
            if not self.active:
                self._close()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def _open(self) -> None:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_POST(self) -> None:
                length = self.headers.get("content-length", "")
                body = self.rfile.read(int(length)) if length.isdecimal() and int(length) <= _LARGEST else b""
                known = bool(body) and verified(listener._secret, dict(self.headers), body)
                self.send_response(204 if known else 401)
                self.end_headers()
                if known:
                    listener._take(body)

            def log_message(self, format: str, *args: Any) -> None:
                _log.debug(format, *args)

        try:
            self._server = ThreadingHTTPServer((self._host, self._port), Handler)
        except OSError as exc:
            raise InputError(f"{self._host}:{self._port}: cannot listen there ({exc.strerror})", option="listen") from exc
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        host, port = self._host, int(self._server.server_address[1])
        name = f"admap watch {self._dataset_id}"
        for old in self._api.webhooks():
            # Of a watch that was killed: nobody listens there any more.
            if old.get("description") == name and not _somebody_listens(str(old["url"])):
                self._api.delete_webhook(str(old["id"]))
        made = self._api.create_webhook(f"http://{f'[{host}]' if ':' in host else host}:{port}/", _EVENTS, name)
        self._webhook, self._secret = str(made["id"]), str(made["secret"])
        self._api.ping_webhook(self._webhook)
        self.active = self._heard.wait(_PATIENCE)

    def _take(self, body: bytes) -> None:
        self._heard.set()
        try:
            message = orjson.loads(body)
            record = (message.get("data") or {}).get("record") or {}
            other = str((record.get("dataset") or {}).get("id", self._dataset_id)) != self._dataset_id
        except (ValueError, AttributeError):
            return
        if message.get("type") in _EVENTS and not other:
            self._tell()

    def _close(self) -> None:
        self.active = False
        if self._webhook is not None:
            try:
                self._api.delete_webhook(self._webhook)
                self._webhook = None
            except ArgillaError as error:
                _log.debug("the webhook stays until the next watch: %s", error)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _address(listen: str | None) -> tuple[str, int]:
    if listen is None:
        return "127.0.0.1", 0
    parts = urlsplit(f"//{listen}")
    try:
        if parts.hostname and parts.port is not None:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise InputError(f"{listen!r} is no HOST:PORT", option="listen")


def _somebody_listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=1):
            return True
    except OSError:
        return False
