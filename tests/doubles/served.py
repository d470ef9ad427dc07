"""Runs an aiohttp application on a loopback port, in a thread: a real server for the doubles of this folder."""

from __future__ import annotations

import asyncio
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

__all__ = ["ChatJudge", "error", "served"]


class ChatJudge(ABC):
    """A judge's double with one route, the chat completions."""

    def app(self) -> web.Application:
        """The application, to be served."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        return app

    @abstractmethod
    async def chat(self, request: web.Request) -> web.Response:
        """The answer to one question."""


def error(status: int, message: str, kind: str = "invalid_request_error") -> web.Response:
    """A refusal in the words of the protocol."""
    return web.json_response({"error": {"message": message, "type": kind, "code": None}}, status=status)


@contextmanager
def served(make_app: Callable[[], web.Application], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves the application until the block ends; yields its address without a slash at the end."""
    started = threading.Event()
    places: list[str] = []
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        runner = web.AppRunner(make_app(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        end = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), end))
        places.append(f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}")
        started.set()
        await end.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="double", daemon=True)
    thread.start()
    if not started.wait(20):
        raise TimeoutError("the double did not start within 20 s")
    try:
        yield places[0]
    finally:
        loop, end = stopping[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(20)
