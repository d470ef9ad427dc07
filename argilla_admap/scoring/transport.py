"""How a request travels: what the user's own client would send, over connections that cost little.

The client is asked once for each path what it would send, through its public interface, so that Azure's paths, organisations,
queries and callable keys keep working; then the bytes go out by `wire`, at a tenth of the CPU. A client with an http_client of
its own (certificates, hooks), or one that a proxy stands before, carries the requests itself.

The only module that imports `openai`.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import threading
import urllib.request
from typing import Any, NamedTuple, Protocol

import openai
import orjson
from yarl import URL

from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.scoring.wire import ConnectionFailed, Reply, TimedOut, Wire

__all__ = ["ConnectionFailed", "Reply", "TimedOut", "Transport", "endpoint_name", "make_client", "open_transport"]

Client = openai.AsyncOpenAI | openai.OpenAI

#: Sent to servers of one's own that want no key; the client insists on having one.
_NO_KEY = "not-needed"
_LOST_HEADERS = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}


class Transport(Protocol):
    """Carries requests to one endpoint."""

    async def post(self, path: str, body: bytes, timeout: float) -> Reply: ...
    async def get(self, path: str, timeout: float) -> Reply: ...
    async def renew(self) -> bool:
        """Asks the client again for its headers (a key that has run out); whether they differ."""
        ...

    async def close(self) -> None: ...


def make_client(base_url: str | None) -> openai.AsyncOpenAI:
    """A client from OPENAI_API_KEY and OPENAI_BASE_URL; `base_url` wins over the variable.

    Raises:
        InputError: no key, and the address is OpenAI's own; or an address that is none.
    """
    address = base_url or os.environ.get("OPENAI_BASE_URL") or None
    key = os.environ.get("OPENAI_API_KEY") or None
    if address is not None:
        parsed = URL(address)
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise InputError(f"--base-url {address!r}: not an address; give one such as http://127.0.0.1:8000/v1")
    elif key is None:
        raise InputError(
            "there is no key for the judge: set OPENAI_API_KEY, or name a server of your own with --base-url "
            "(vLLM, llama.cpp, Ollama), or use the scores that the data carry with --scorer existing"
        )
    return openai.AsyncOpenAI(api_key=key or _NO_KEY, base_url=address, max_retries=0)


def endpoint_name(client: Client) -> str:
    """The client's address without credentials and query: under this name its ways are remembered."""
    url = URL(str(client.base_url))
    return str(url.with_user(None).with_password(None).with_query(None).with_fragment(None)).rstrip("/")


def open_transport(client: Client, model: str) -> Transport:
    """The carrier for requests of `model` by this client."""
    carrier = getattr(client, "_client", None)
    own = carrier is not None and not type(carrier).__module__.startswith("openai")
    return _OwnClient(client) if own or _proxied(URL(str(client.base_url))) else _Direct(client, model)


def _proxied(url: URL) -> bool:
    """Whether the environment names a proxy for this address."""
    proxies = urllib.request.getproxies()
    return bool(proxies.get(url.scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(url.host or "")


class _Way(NamedTuple):
    """How the client sends to one path."""

    url: URL
    headers: dict[str, str]

    def head(self, method: str) -> bytes:
        """The request's head, but for the body's length and the empty line."""
        lines = [f"{method} {self.url.raw_path_qs} HTTP/1.1", f"host: {_host(self.url)}", "accept-encoding: identity"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode("latin-1")


class _Direct:
    """Plain connections, with the client's own URL and headers."""

    def __init__(self, client: Client, model: str) -> None:
        self._client = client
        self._model = model
        self._ways: dict[str, _Way] = {}
        self._heads: dict[tuple[str, str], bytes] = {}
        self._wires: dict[str, Wire] = {}
        self._asking = asyncio.Lock()

    async def post(self, path: str, body: bytes, timeout: float) -> Reply:
        head = self._heads.get((path, "POST")) or await self._head(path, "POST")
        return await self._wire(path).send(b"%b\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body), timeout)

    async def get(self, path: str, timeout: float) -> Reply:
        head = self._heads.get((path, "GET")) or await self._head(path, "GET")
        return await self._wire(path).send(head + b"\r\n\r\n", timeout)

    async def _head(self, path: str, method: str) -> bytes:
        async with self._asking:
            if path not in self._ways:
                self._ways[path] = await _ask_client(self._client, path, self._model)
            head = self._heads[path, method] = self._ways[path].head(method)
            return head

    def _wire(self, path: str) -> Wire:
        url = self._ways[path].url
        name = f"{url.scheme}://{_host(url)}"
        wire = self._wires.get(name)
        if wire is None:
            wire = self._wires[name] = Wire(url)
        return wire

    async def renew(self) -> bool:
        async with self._asking:
            before = dict(self._ways)
            for path in before:
                self._ways[path] = await _ask_client(self._client, path, self._model)
            self._heads.clear()
            return before != self._ways

    async def close(self) -> None:
        for wire in self._wires.values():
            wire.close()


def _host(url: URL) -> str:
    return f"{url.host_subcomponent}:{url.explicit_port}" if url.explicit_port else str(url.host_subcomponent)


async def _ask_client(client: Client, path: str, model: str) -> _Way:
    """What the client would send to this path."""
    seen: list[Any] = []
    # The client's own HTTP library: httpx for openai 1 and 2, httpx2 from 3 on.
    library = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])

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
    return _Way(URL(str(request.url), encoded=True), headers)


class _OwnClient:
    """A client with an http_client of its own carries its requests itself."""

    def __init__(self, client: Client) -> None:
        self._client = client.with_options(max_retries=0)
        self._response = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]).Response

    async def post(self, path: str, body: bytes, timeout: float) -> Reply:
        return await self._send("post", path, timeout, body=orjson.loads(body))

    async def get(self, path: str, timeout: float) -> Reply:
        return await self._send("get", path, timeout)

    async def _send(self, method: str, path: str, timeout: float, **more: Any) -> Reply:
        send = getattr(self._client, method)
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
        # The user's client stays open: it is not ours to close.
        return


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

    threading.Thread(target=work, name="admap-judge", daemon=True).start()
    return await future
