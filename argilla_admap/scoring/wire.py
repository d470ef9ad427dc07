"""Keep-alive HTTP/1.1 connections to one address, and nothing more.

A judge's requests are all alike: a few kilobytes there, a few hundred bytes back, no cookies, no redirects, no uploads. Said on
plain asyncio streams of bytes they cost a third of the CPU that a general client takes, and that is what bounds the rate of
one process. Proxies, certificates and hooks of the user's own are not for this: there the user's client carries the requests.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import certifi
from yarl import URL

__all__ = ["ConnectionFailed", "Reply", "TimedOut", "Unreachable", "Wire"]

_MOST_HEAD = 1 << 16
#: Servers close idle connections after a while; one that is closed while we write costs a failed request.
_MOST_IDLE = 20.0
_ADDRESSES_FOR = 60.0
_CONNECT_WITHIN = 15.0


class ConnectionFailed(Exception):
    """No answer: refused, dropped or broken off. The request may have been answered and paid for."""


class TimedOut(ConnectionFailed):
    """No answer in time."""


class Unreachable(ConnectionFailed):
    """No connection: nothing was sent."""


class Reply(NamedTuple):
    """What came back. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Connections to the address of a URL: as many as there are requests at once.

    Args:
        url: scheme, host and port count.
    """

    def __init__(self, url: URL) -> None:
        self._host = url.raw_host or "localhost"
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._ssl = _context() if url.scheme == "https" else None
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._addresses: list[str] = []
        self._resolved_at = -_ADDRESSES_FOR
        self._resolving = asyncio.Lock()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, request: bytes, timeout: float) -> Reply:
        """The answer to a whole request.

        Raises:
            ConnectionFailed, TimedOut: there is none.
        """
        deadline = self._loop.time() + timeout
        connection = self._reusable() or await self._connect(min(timeout, _CONNECT_WITHIN))
        self._busy.add(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(0.5, self._end_late_ones)
        try:
            reply = await connection.ask(request, deadline)
        finally:
            self._busy.discard(connection)
            if connection.reusable and not self._closed:
                connection.idle_since = self._loop.time()
                self._idle.append(connection)
            else:
                connection.abort()
        return reply

    def _reusable(self) -> _Connection | None:
        oldest = self._loop.time() - _MOST_IDLE
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self, within: float) -> _Connection:
        failure: BaseException | None = None
        for address in await self._resolve():
            try:
                name = self._host if self._ssl is not None else None
                opening = self._loop.create_connection(_Connection, address, self._port, ssl=self._ssl, server_hostname=name)
                _, connection = await asyncio.wait_for(opening, within)
            except asyncio.TimeoutError:
                failure = Unreachable(f"{self._host}:{self._port} did not take the connection within {within:.0f} s")
            except OSError as exc:
                failure = Unreachable(f"{self._host}:{self._port}: {exc.strerror or exc}")
                failure.__cause__ = exc
            else:
                return connection
        self._resolved_at = -_ADDRESSES_FOR
        raise failure or Unreachable(f"{self._host} has no address")

    async def _resolve(self) -> list[str]:
        async with self._resolving:
            if self._loop.time() - self._resolved_at > _ADDRESSES_FOR:
                try:
                    found = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                except OSError as exc:
                    raise Unreachable(f"the name {self._host!r} cannot be resolved ({exc.strerror or exc})") from exc
                self._addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
                self._resolved_at = self._loop.time()
            return self._addresses

    def _end_late_ones(self) -> None:
        """One timer for all requests: a timer each would cost as much as parsing the answer."""
        self._sweep = None
        now = self._loop.time()
        for connection in self._busy:
            if now > connection.deadline:
                connection.fail(TimedOut("no answer in time"))
        if self._busy:
            self._sweep = self._loop.call_later(0.5, self._end_late_ones)

    def close(self) -> None:
        """Ends all connections; requests in flight fail."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()


class _Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.deadline = 0.0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._received = bytearray()
        self._head: tuple[int, dict[str, str], bool] | None = None
        self._body_at = 0

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._waiter is None

    def ask(self, request: bytes, deadline: float) -> asyncio.Future[Reply]:
        """Sends a request; the future holds the answer."""
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.deadline = deadline
        if self._transport is None or self._transport.is_closing():
            waiter.set_exception(ConnectionFailed("the server closed the connection"))
            return waiter
        self._waiter = waiter
        self._transport.write(request)
        return waiter

    def abort(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: ConnectionFailed) -> None:
        """Ends the connection and the request on it."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiter is None:
            return
        if exc is None and self._head is not None and not {"content-length", "transfer-encoding"} & self._head[1].keys():
            # Neither length nor chunks: the end of the connection is the end of the answer.
            self._answer(bytes(self._received[self._body_at :]), keep=False)
        else:
            part = "in the middle of the answer" if self._received else "without an answer"
            self.fail(ConnectionFailed(f"the server closed the connection {part}"))

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            # Nobody asked: a server that says why it closes an idle connection.
            self.abort()
            return
        self._received += data
        try:
            self._look()
        except (ValueError, IndexError, zlib.error) as exc:
            self.fail(ConnectionFailed(f"what came back is not HTTP ({exc})"))

    def _look(self) -> None:
        """Is the answer whole?"""
        if self._head is None and not self._read_head():
            return
        if self._head is None:
            return
        status, headers, keep = self._head
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = _unchunked(self._received, self._body_at)
            if body is not None:
                self._answer(body, keep)
        elif "content-length" in headers or status in (204, 304):
            end = self._body_at + int(headers.get("content-length", 0))
            if len(self._received) >= end:
                self._answer(bytes(self._received[self._body_at : end]), keep)

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _MOST_HEAD:
                raise ValueError("the headers do not end")
            return False
        lines = self._received[:end].decode("latin-1").split("\r\n")
        protocol, status = lines[0].split(" ", 2)[:2]
        if not protocol.startswith("HTTP/1."):
            raise ValueError(protocol[:20])
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if status.startswith("1"):
            # An interim answer (100, 103): the real one follows.
            del self._received[: end + 4]
            return self._read_head()
        keep = headers.get("connection", "" if protocol == "HTTP/1.1" else "close").lower() != "close"
        self._head = (int(status), headers, keep)
        self._body_at = end + 4
        return True

    def _answer(self, body: bytes, keep: bool) -> None:
        if self._head is None:
            return
        status, headers, _ = self._head
        if "content-encoding" in headers and headers["content-encoding"].lower() in ("gzip", "deflate"):
            body = zlib.decompress(body, zlib.MAX_WBITS | 32)
        waiter, self._waiter, self._head = self._waiter, None, None
        self._received.clear()
        if not keep:
            self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_result(Reply(status, headers, body))


def _unchunked(received: bytearray, at: int) -> bytes | None:
    """The body behind chunked transfer coding; None: not whole yet."""
    parts: list[bytes] = []
    while (end := received.find(b"\r\n", at)) >= 0:
        size = int(received[at:end].split(b";")[0], 16)
        start = end + 2
        if size == 0:
            # Trailers, if there are any, end with an empty line.
            whole = received.startswith(b"\r\n", start) or received.find(b"\r\n\r\n", start) >= 0
            return b"".join(parts) if whole else None
        if len(received) < start + size + 2:
            return None
        parts.append(bytes(received[start : start + size]))
        at = start + size + 2
    return None


def _context() -> ssl.SSLContext:
    file = os.environ.get("SSL_CERT_FILE") or certifi.where()
    context = ssl.create_default_context(cafile=file, capath=os.environ.get("SSL_CERT_DIR"))
    with suppress(NotImplementedError):
        context.set_alpn_protocols(["http/1.1"])
    return context
