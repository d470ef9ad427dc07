"""A proxy in front of an Argilla, as teams have one: under a path, with limits, and with faults where a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from tests.doubles.served import served

__all__ = ["Asked", "FrontProxy", "front_proxy"]

_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"


@dataclass(frozen=True)
class Asked:
    """A request: its place in the order of all, method, path without the prefix, and bytes of its body."""

    number: int
    method: str
    path: str
    size: int


#: None: passed on. The status of the proxy's own answer, and its headers. "lost": passed on, and answered with a 502.
Fault = Callable[[Asked], tuple[int, Mapping[str, str]] | str | None]


@dataclass
class FrontProxy:
    """Where it is; what it was asked and what it answered itself, in order; its fault, which a test sets."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answered: list[tuple[Asked, int]] = field(default_factory=list)
    fault: Fault | None = None


@contextmanager
def front_proxy(server: str, prefix: str = "/team/argilla") -> Iterator[FrontProxy]:
    """Passes what lies under the prefix on to the server; all else is its own 404."""
    proxy = FrontProxy()

    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path_qs
        if not path.startswith(f"{prefix}/"):
            return web.Response(status=404, text=_PAGE.format(404), content_type="text/html")
        body = await request.read()
        asked = Asked(len(proxy.asked), request.method, path.removeprefix(prefix), len(body))
        proxy.asked.append(asked)
        fault = proxy.fault(asked) if proxy.fault else None
        if isinstance(fault, tuple):
            proxy.answered.append((asked, fault[0]))
            return web.Response(status=fault[0], headers=fault[1], text=_PAGE.format(fault[0]), content_type="text/html")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(asked.method, f"{server}{asked.path}", data=body, headers=headers, allow_redirects=False) as answer,
        ):
            content = await answer.read()
            if fault is not None:
                proxy.answered.append((asked, 502))
                return web.Response(status=502, text=_PAGE.format(502), content_type="text/html")
            kept = {
                name: value for name, value in answer.headers.items() if name.lower() in ("content-type", "content-encoding")
            }
            return web.Response(status=answer.status, body=content, headers=kept)

    def make() -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", handle)
        return app

    with served(make) as url:
        proxy.url = f"{url}{prefix}"
        yield proxy
