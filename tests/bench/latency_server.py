"""A chat endpoint that does nothing but wait: the same for every client that is measured against it.

`python -m tests.bench.latency_server LATENCY_MS` prints its port. It speaks HTTP/1.1 on plain asyncio protocols, so that on two
cores the client, not the server, is what a benchmark measures. `GET /stats` tells what arrived and when (and starts anew).
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time


def _answer() -> bytes:
    """A digit with its candidates, as a judge that is almost sure of 4 gives it."""
    candidates = [
        {"token": str(digit), "logprob": math.log(p)} for digit, p in ((4, 0.7), (5, 0.2), (3, 0.08), (2, 0.015), (1, 0.005))
    ]
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "4", "refusal": None},
                "logprobs": {"content": [{"token": "4", "logprob": math.log(0.7), "bytes": [52], "top_logprobs": candidates}]},
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 1, "total_tokens": 301},
    }
    return _http(body)


def _http(body: object) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)


ANSWER = _answer()
MODELS = _http({"object": "list", "data": [{"id": "bench", "object": "model", "created": 1, "owned_by": "bench"}]})


class Stats:
    """What the server saw since it was last asked."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.requests = self.under_way = self.most_under_way = 0
        self.first = self.last = 0.0

    def take(self) -> bytes:
        answer = _http({"requests": self.requests, "seconds": self.last - self.first, "most_in_flight": self.most_under_way})
        self.clear()
        return answer


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests on it are answered in order."""

    def __init__(self, latency: float, stats: Stats) -> None:
        self.latency, self.stats = latency, stats
        self.loop = asyncio.get_running_loop()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self.received) < end + 4 + length:
                return
            self.received = self.received[end + 4 + length :]
            self.asked(head.split(b" ", 2)[1])

    def asked(self, path: bytes) -> None:
        if path == b"/stats":
            self.transport.write(self.stats.take())
        elif path.endswith(b"/models"):
            self.transport.write(MODELS)
        else:
            stats = self.stats
            stats.first = stats.first or time.monotonic()
            stats.requests += 1
            stats.under_way += 1
            stats.most_under_way = max(stats.most_under_way, stats.under_way)
            if self.latency:
                self.loop.call_later(self.latency, self.answer)
            else:
                self.answer()

    def answer(self) -> None:
        self.stats.under_way -= 1
        self.stats.last = time.monotonic()
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def serve(latency: float) -> None:
    """Serves on a free loopback port, until the process is ended."""
    stats = Stats()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(latency, stats), "127.0.0.1", 0, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) / 1000))
