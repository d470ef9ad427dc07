"""Whether the parts of a server answer."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from urllib.parse import unquote, urlsplit

__all__ = ["argilla_answers", "elasticsearch_answers", "redis_answers"]


def argilla_answers(url: str, api_key: str, timeout: float = 5.0) -> bool:
    """Whether Argilla serves at this address and knows this key."""
    status, body = _get(f"{url}/api/v1/me", {"X-Argilla-Api-Key": api_key}, timeout)
    return status == 200 and "username" in body


def elasticsearch_answers(url: str, timeout: float = 5.0) -> bool:
    """Whether the engine at this address can be searched; the address may hold a user and a password."""
    parts = urlsplit(url)
    headers = {}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    status, body = _get(url.rstrip("/") + "/_cluster/health?wait_for_status=yellow&timeout=1s", headers, timeout)
    return status == 200 and body.get("timed_out") is False


def redis_answers(url: str, timeout: float = 5.0) -> bool:
    """Whether a Redis answers at this address (redis://[user:password@]host:port/...) and lets us in."""
    parts = urlsplit(url)
    words = []
    if parts.password:
        user = [unquote(parts.username)] if parts.username else []
        words.append(["AUTH", *user, unquote(parts.password)])
    words.append(["PING"])
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=timeout) as connection:
            answers = connection.makefile("rb")
            for command in words:
                connection.sendall(_request(command))
                answer = answers.readline()
    except OSError:
        return False
    # While it still loads its file it says -LOADING.
    return answer.startswith(b"+PONG")


def _request(words: list[str]) -> bytes:
    lines = [f"*{len(words)}"]
    for word in words:
        lines += [f"${len(word.encode())}", word]
    return ("\r\n".join(lines) + "\r\n").encode()


def _get(url: str, headers: dict[str, str], timeout: float) -> tuple[int, dict[str, object]]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # Not through a proxy: what we start is on loopback, and what is named in the environment is named in full.
    connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        answer = connection.getresponse()
        body = json.loads(answer.read() or b"{}")
        return answer.status, body if isinstance(body, dict) else {}
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        connection.close()
