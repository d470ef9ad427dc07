"""What an Argilla server refuses, as errors that say what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from argilla_admap.errors import ArgillaError

if TYPE_CHECKING:
    import httpx

__all__ = ["KEY_HINT", "Refused", "not_argilla", "not_connected", "plain_url", "refused", "shorten", "unreachable"]

KEY_HINT = 'set ARGILLA_API_KEY, or for the embedded server: eval "$(admap server env)"'


class Refused(ArgillaError):
    """The server answered, and refused the request with this HTTP status."""

    def __init__(self, message: str, status: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def plain_url(url: str) -> str:
    """The URL without a user and a password in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/") if parts.netloc else url


def unreachable(url: str, exc: Exception) -> ArgillaError:
    """The error of a URL where nothing answers."""
    return ArgillaError(
        f"{plain_url(url)}: no Argilla server answers ({type(exc).__name__})",
        hint="start one with `admap server start`, or set ARGILLA_API_URL",
    )


def not_connected(url: str, status: int, words: str) -> ArgillaError:
    """The error of a server that did not answer the first question, who the key belongs to, with success."""
    where = plain_url(url)
    if status == 401:
        return ArgillaError(f"{where}: the server does not accept the API key ({shorten(words)})", hint=KEY_HINT)
    if status in (404, 405):
        return ArgillaError(
            f"{where}: there is no Argilla at this address (GET /api/v1/me answered {status})",
            hint="set ARGILLA_API_URL to the address of Argilla's home page, with its path, if it has one",
        )
    return ArgillaError(f"{where}: GET /api/v1/me answered {status} ({shorten(words)})", hint="see the server's log")


def not_argilla(url: str, method: str, path: str, words: str) -> ArgillaError:
    """The error of an answer that no Argilla server gives, such as a proxy's web page."""
    return ArgillaError(
        f"{plain_url(url)}: {method} {path} was answered with something else than Argilla's JSON: "
        f"{shorten(re.sub(r'<[^>]*>', ' ', words), 120)}",
        hint="look whether a proxy or a login page answers for the server; what was done so far is kept, run it again then",
    )


def shorten(text: str, length: int = 300) -> str:
    """The text on one line, cut at `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


_REASONS = {
    401: ("the API key is not accepted", KEY_HINT),
    403: ("this user is not allowed to do that", "ask for the role owner, or admin of the workspace"),
    404: ("it is not there (any more)", "list what there is with `admap queues`"),
    409: ("it exists already", ""),
    413: (
        "a proxy in front of the server does not take a request of this size",
        "raise its limit (nginx: `client_max_body_size`), or go round it; what was sent before is kept",
    ),
    422: ("the server cannot accept it", ""),
    429: ("too many requests", "run it again later, and it goes on where it stopped; or raise the limit of the proxy"),
    **dict.fromkeys(
        (502, 503, 504),
        (
            "a proxy in front of the server does not get its answer (in time)",
            "see whether the server runs; then run it again, and it goes on where it stopped",
        ),
    ),
}


def refused(url: str, method: str, path: str, answer: httpx.Response) -> Refused:
    """The error of an answer that is not a success."""
    try:
        said = orjson.loads(answer.content)
        detail = said.get("detail", said) if isinstance(said, dict) else said
        if isinstance(detail, dict):
            detail = detail.get("params", {}).get("detail") or detail.get("message") or detail
        words = detail if isinstance(detail, str) else orjson.dumps(detail).decode()
    except orjson.JSONDecodeError:
        words = re.sub(r"<[^>]*>", " ", answer.text)
    status = answer.status_code
    reason, hint = _REASONS.get(status, ("the server failed", "see the server's log") if status >= 500 else ("it refused", ""))
    return Refused(f"{plain_url(url)}: {reason}. {method} {path} answered {status}: {shorten(words)}", status, hint)
