"""Sends requests as the user's own client would, at a tenth of its CPU.

The client is asked once for each path what it would send, through its public interface, so that Azure's paths, organisations,
queries and callable keys keep working; then aiohttp carries the bytes. A client with an http_client of its own (certificates,
hooks), or one behind a proxy, carries the requests itself.

The only module that imports `openai` and `aiohttp`.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import importlib
import inspect
import ipaddress
import os
import ssl
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import aiohttp
import certifi
import openai
import orjson
from yarl import URL

from argilla_admap.errors import InputError, JudgeRefused

__all__ = [
    "LARGE_REPLY",
    "LONGEST_REPLY",
    "ConnectionFailed",
    "Reply",
    "TimedOut",
    "Transport",
    "Unreachable",
    "endpoint_name",
    "is_local",
    "make_client",
    "open_transport",
]

Client = openai.AsyncOpenAI | openai.OpenAI

#: Sent to servers of one's own that want no key; the client insists on having one.
_NO_KEY = "not-needed"
_LOST_HEADERS = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}
_CONNECT_WITHIN = 15.0
#: Servers close idle connections after a while; a request that meets that moment is lost and asked again.
_MOST_IDLE = 15.0
_ADDRESSES_FOR = 60
#: Bytes. 32 vectors of 4096 numbers take 3 MB.
LONGEST_REPLY = 4 * 2**20
#: Bytes from which on the rest of one answer is read at a time, so that many at once do not fill the memory.
LARGE_REPLY = 2**19


def _usual_length() -> int:
    return LONGEST_REPLY


class ConnectionFailed(Exception):
    """No answer: refused, dropped or broken off. The request may have been answered and paid for."""


class TimedOut(ConnectionFailed):
    """No answer in time."""


class Unreachable(ConnectionFailed):
    """No connection: nothing was sent."""


class Reply(NamedTuple):
    """What came back. The names of headers are found in any case; a body that is too long is cut behind what it may have."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Carries requests to one endpoint."""

    async def post(self, path: str, body: bytes, timeout: float, most: Callable[[], int] = ...) -> Reply:
        """`most`: bytes that the answer may have; asked for where it is large."""
        ...

    async def get(self, path: str, timeout: float) -> Reply: ...
    async def renew(self) -> bool:
        """Asks the client again for its headers (a key that has run out); whether they differ."""
        ...

    async def close(self) -> None: ...


def make_client(base_url: str | None, *, needs_key: bool = True) -> openai.AsyncOpenAI:
    """A client from OPENAI_API_KEY and OPENAI_BASE_URL; `base_url` wins over the variable.

    Args:
        base_url: None: the variable's, else OpenAI's own.
        needs_key: False for an estimate, which asks nobody.

    Raises:
        InputError: no key, and the address is OpenAI's own; or an address that is none.
    """
    address = base_url or os.environ.get("OPENAI_BASE_URL") or None
    key = os.environ.get("OPENAI_API_KEY") or None
    if address is not None:
        parsed = URL(address)
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise InputError(
                f"{address!r}: not an address", option="base_url", hint="give one such as http://127.0.0.1:8000/v1"
            )
    elif key is None and needs_key:
        raise InputError(
            "there is no key for the judge in OPENAI_API_KEY",
            hint="set OPENAI_API_KEY, or name a server of your own with `base_url` (vLLM, llama.cpp, Ollama), or use the "
            "scores that the data carry with `scorer` existing",
        )
    try:
        return openai.AsyncOpenAI(api_key=key or _NO_KEY, base_url=address, max_retries=0)
    except Exception as exc:
        # The client reads the environment's proxies when it is made, and its HTTP library's own errors pass through it.
        if type(exc).__name__ != "InvalidURL":
            raise
        hint = "give http_proxy and https_proxy an address such as http://proxy:8080, or unset them"
        raise InputError(f"the environment names a proxy by no address ({exc})", hint=hint) from exc


def endpoint_name(client: Client) -> str:
    """The client's address without credentials and query: under this name its capabilities are remembered."""
    url = URL(str(client.base_url))
    return str(url.with_user(None).with_password(None).with_query(None).with_fragment(None)).rstrip("/")


def is_local(client: Client) -> bool:
    """Whether the client's server is on this machine or in its network."""
    host = URL(str(client.base_url)).host or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local"))


def open_transport(client: Client, model: str) -> Transport:
    """The carrier for requests of `model` by this client."""
    carrier = getattr(client, "_client", None)
    # What the client makes for itself is a wrapper; `openai.DefaultHttpxClient(verify=...)` is the user's.
    own = carrier is not None and not type(carrier).__name__.endswith("HttpxClientWrapper")
    return _ClientTransport(client) if own or _proxied(URL(str(client.base_url))) else _DirectTransport(client, model)


def _proxied(url: URL) -> bool:
    """Whether the environment names a proxy for this address."""
    proxies = urllib.request.getproxies()
    return bool(proxies.get(url.scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(url.host or "")


class _Template(NamedTuple):
    """How the client sends to one path."""

    url: URL
    headers: dict[str, str]


class _DirectTransport:
    """Plain connections, as many as there are requests at once, with the client's own URL and headers."""

    def __init__(self, client: Client, model: str) -> None:
        self._client = client
        self._model = model
        self._templates: dict[str, _Template] = {}
        self._session: aiohttp.ClientSession | None = None
        self._usual_headers: dict[str, str] | None = None
        self._asking = asyncio.Lock()
        self._large = asyncio.Lock()

    async def post(self, path: str, body: bytes, timeout: float, most: Callable[[], int] = _usual_length) -> Reply:
        return await self._send("POST", path, body, timeout, most)

    async def get(self, path: str, timeout: float) -> Reply:
        return await self._send("GET", path, None, timeout, _usual_length)

    async def _send(self, method: str, path: str, body: bytes | None, timeout: float, most: Callable[[], int]) -> Reply:
        url, headers = self._templates.get(path) or await self._template(path)
        session = self._session or self._open(url, headers)
        own = None if headers is self._usual_headers else headers
        try:
            async with session.request(
                method, url, data=body, headers=own, timeout=_within(timeout), allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await self._body(response.content, most))
        except aiohttp.ClientConnectorCertificateError as exc:
            words = getattr(exc.certificate_error, "verify_message", None) or exc.certificate_error
            raise JudgeRefused(
                f"{url.host}:{url.port}: its certificate is not trusted ({words})",
                hint="if an authority of your own has signed it, set SSL_CERT_FILE to that authority's certificate",
            ) from exc
        except (aiohttp.ClientError, asyncio.TimeoutError) as exc:
            raise _failure(exc, url) from exc

    async def _body(self, content: aiohttp.StreamReader, most: Callable[[], int]) -> bytes:
        body = bytearray()
        while len(body) <= LARGE_REPLY:
            if not (block := await content.readany()):
                return bytes(body)
            body += block
        async with self._large:
            longest = most()
            while len(body) <= longest and (block := await content.readany()):
                body += block
        return bytes(body)

    async def _template(self, path: str) -> _Template:
        async with self._asking:
            if path not in self._templates:
                self._templates[path] = await _ask_client(self._client, path, self._model)
            return self._templates[path]

    def _open(self, url: URL, headers: dict[str, str]) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=_MOST_IDLE,
            ttl_dns_cache=_ADDRESSES_FOR,
            ssl=_certificates() if url.scheme == "https" else True,
        )
        # Headers of the session cost less than those of each request.
        self._usual_headers = headers
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers)
        return self._session

    async def renew(self) -> bool:
        async with self._asking:
            before = dict(self._templates)
            for path in before:
                self._templates[path] = await _ask_client(self._client, path, self._model)
            return before != self._templates

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _failure(exc: Exception, url: URL) -> ConnectionFailed:
    """What happened, in words that hold no part of the URL but its host: its query may be a secret."""
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return Unreachable(f"{url.host}:{url.port} did not take the connection in time")
    if isinstance(exc, aiohttp.ClientConnectorError):
        cause = exc.__cause__ or exc
        return Unreachable(f"{url.host}:{url.port}: {getattr(cause, 'strerror', None) or cause}")
    if isinstance(exc, asyncio.TimeoutError):
        return TimedOut("no answer in time")
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return ConnectionFailed("the server closed the connection without an answer")
    if isinstance(exc, aiohttp.ClientPayloadError):
        return ConnectionFailed("the answer breaks off in the middle, or is garbled")
    if isinstance(exc, aiohttp.ClientResponseError):
        return ConnectionFailed(f"what came back is not HTTP ({exc.message.strip().partition(chr(10))[0][:100]})")
    return ConnectionFailed(str(exc) if isinstance(exc, aiohttp.ClientConnectionError) else type(exc).__name__)


@functools.lru_cache
def _within(timeout: float) -> aiohttp.ClientTimeout:
    # Connecting gives up first: where nothing was sent, nothing is paid.
    return aiohttp.ClientTimeout(total=timeout, connect=min(_CONNECT_WITHIN, 0.9 * timeout))


def _certificates() -> ssl.SSLContext:
    file = os.environ.get("SSL_CERT_FILE") or certifi.where()
    context = ssl.create_default_context(cafile=file, capath=os.environ.get("SSL_CERT_DIR"))
    context.set_alpn_protocols(["http/1.1"])
    return context


def _http_library() -> Any:
    """The client's own HTTP library: httpx for openai 1 and 2, httpx2 from 3 on."""
    return importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])


async def _ask_client(client: Client, path: str, model: str) -> _Template:
    """What the client would send to this path."""
    seen: list[Any] = []
    library = _http_library()

    def answer(request: Any) -> Any:
        seen.append(request)
        return library.Response(200, json={})

    mock = library.MockTransport(answer)
    body = {"model": model, "messages": []}
    try:
        if isinstance(client, openai.AsyncOpenAI):
            copy = client.copy(http_client=openai.DefaultAsyncHttpxClient(transport=mock), max_retries=0)
            async with copy:
                await copy.post(path, cast_to=object, body=body)
        else:
            with client.copy(http_client=openai.DefaultHttpxClient(transport=mock), max_retries=0) as copied:
                await asyncio.to_thread(copied.post, path, cast_to=object, body=body)
    except openai.OpenAIError as exc:
        raise JudgeRefused(f"the client for {endpoint_name(client)} cannot make a request: {exc}") from exc
    request = seen[-1]
    # What the connection sets itself, and what tells the provider about the client's own Python, stay out.
    headers = {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in _LOST_HEADERS and not name.lower().startswith("x-stainless-")
    }
    for name, value in headers.items():
        if {"\r", "\n", "\0"} & set(value):
            raise JudgeRefused(f"the header {name} holds a line break", hint="take it out of the key")
    # The answers are short: to compress them costs more than to send them.
    headers["accept-encoding"] = "identity"
    # A user and a password in the URL are in the client's headers already.
    return _Template(URL(str(request.url), encoded=True).with_user(None), headers)


#: How much the answer to the request in hand may have; where nothing is set, the request is not ours.
_most: ContextVar[Callable[[], int] | None] = ContextVar("_most", default=None)


class _ClientTransport:
    """A client with an http_client of its own carries its requests itself; of a long answer it reads the beginning."""

    def __init__(self, client: Client) -> None:
        self._client = client.with_options(max_retries=0)
        library = _http_library()
        self._response = library.Response
        carrier = getattr(client, "_client", None)
        self._hooks = carrier if isinstance(carrier, (library.Client, library.AsyncClient)) else None
        self._hook = _bounding_hook(library, blocking=isinstance(carrier, library.Client))
        self._set_hooks(add=[self._hook])

    def _set_hooks(self, add: list[Any]) -> None:
        if self._hooks is not None:
            before = self._hooks.event_hooks
            kept = [hook for hook in before["response"] if hook is not self._hook]
            self._hooks.event_hooks = {**before, "response": kept + add}

    async def post(self, path: str, body: bytes, timeout: float, most: Callable[[], int] = _usual_length) -> Reply:
        return await self._send("post", path, timeout, most, body=orjson.loads(body))

    async def get(self, path: str, timeout: float) -> Reply:
        return await self._send("get", path, timeout, _usual_length)

    async def _send(self, method: str, path: str, timeout: float, most: Callable[[], int], **more: Any) -> Reply:
        send = getattr(self._client, method)
        _most.set(most)
        arguments = {"cast_to": self._response, "options": {"timeout": timeout}, **more}
        try:
            if inspect.iscoroutinefunction(send):
                response = await asyncio.wait_for(send(path, **arguments), timeout + 5)
            else:
                response = await _in_thread(send, path, arguments)
        except openai.APIStatusError as exc:
            response = exc.response
        except (openai.APITimeoutError, asyncio.TimeoutError) as exc:
            raise TimedOut(f"no answer within {timeout:.0f} s") from exc
        except openai.APIConnectionError as exc:
            raise ConnectionFailed(f"{type(exc.__cause__ or exc).__name__}: {exc.__cause__ or exc}") from exc
        return Reply(response.status_code, response.headers, response.content)

    async def renew(self) -> bool:
        return False

    async def close(self) -> None:
        # The user's client stays open, and as it was: it is not ours to close.
        self._set_hooks(add=[])


def _bounding_hook(library: Any, *, blocking: bool) -> Any:
    """A hook for responses of the client's own HTTP library that ends an answer behind what it may have."""

    class Bounded(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        """The beginning of a stream, as long as an answer may be."""

        def __init__(self, stream: Any, most: Callable[[], int]) -> None:
            self._stream = stream
            self._most = most
            self._size = 0

        def _ends(self, block: bytes) -> bool:
            self._size += len(block)
            return self._size > LARGE_REPLY and self._size > self._most()

        def __iter__(self) -> Iterator[bytes]:
            for block in self._stream:
                yield block
                if self._ends(block):
                    return

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for block in self._stream:
                yield block
                if self._ends(block):
                    return

        def close(self) -> None:
            self._stream.close()

        async def aclose(self) -> None:
            await self._stream.aclose()

    def bound(response: Any) -> None:
        if (most := _most.get()) is not None:
            response.stream = Bounded(response.stream, most)

    async def bound_soon(response: Any) -> None:
        bound(response)

    return bound if blocking else bound_soon


async def _in_thread(send: Any, path: str, arguments: dict[str, Any]) -> Any:
    """One thread for one request of a blocking client: the default executor would hold its calls to a few at a time."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result, error = None, None
        try:
            result = send(path, **arguments)
        except BaseException as exc:
            error = exc
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            return  # the loop has ended: nobody waits for this answer

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="admap-judge", daemon=True).start()
    return await future
