"""The five calls of the Batch API, each with what its failure means. Stateless.

Creating a batch is the one call that is not idempotent: a batch whose creation broke off is found by the file that it reads.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

from argilla_admap.errors import JudgeRefused, ScoringError
from argilla_admap.scoring.client.failures import server_words

__all__ = ["SUBMISSION", "BatchApi", "BatchState", "Gone", "OutcomeUnknown"]

#: The key of a batch's metadata that holds the name of our submission.
SUBMISSION = "admap_part"
_TRIES = 8
_PAGES = 20
_ENDED = {"completed", "failed", "expired", "cancelled"}
#: Reasons of a failed batch that pass by themselves.
_LATER = {"token_limit_exceeded", "rate_limit_exceeded", "batch_limit_exceeded"}


class Gone(Exception):
    """The server does not know this file or batch (any more), or has no such call."""


class OutcomeUnknown(Exception):
    """The connection broke: the call may have been carried out, or not."""


class _Transient(Exception):
    """The server's trouble, or too many calls: worth a retry."""


class BatchState(NamedTuple):
    """How a batch stands."""

    id: str
    ended: bool
    status: str
    done: int
    total: int
    input_file: str
    output_file: str | None
    error_file: str | None
    submission: str | None
    #: Why it failed as a whole, in words.
    problem: str | None
    #: It failed for a reason that passes: the same may be submitted later.
    later: bool


class BatchApi:
    """The Batch API of the user's own client, which may be a blocking one.

    Args:
        client: an `openai.AsyncOpenAI` or `openai.OpenAI`, or a kind of either.
    """

    def __init__(self, client: Any) -> None:
        self._client = client.with_options(max_retries=0)
        #: Azure's batches name the path without a version.
        azure = any("azure" in base.__name__.lower() for base in type(client).__mro__)
        self._prefix = "" if azure else "/v1"

    def url(self, path: str) -> str:
        """What a request of a batch says for `path`, e.g. ``/chat/completions``."""
        return self._prefix + path

    async def upload(self, path: Path) -> str:
        """Sends a file of requests; returns its id there. A file sent twice costs nothing."""
        return str(await self._retried(self._send_file, path=path))

    async def _send_file(self, path: Path) -> str:
        # An open file is sent piece by piece; named by its path, it would be read into memory.
        with path.open("rb") as requests:
            made = await _call(self._client.files.create, {"file": (path.name, requests), "purpose": "batch"})
        return str(made.id)

    async def create(self, file: str, path: str, submission: str) -> BatchState:
        """Starts a batch.

        Raises:
            OutcomeUnknown: the connection broke; look for the batch with `find` before creating another.
        """
        made = await self._retried(
            self._client.batches.create,
            never_twice=True,
            input_file_id=file,
            endpoint=self.url(path),
            completion_window="24h",
            metadata={SUBMISSION: submission},
        )
        return _state(made)

    async def state(self, batch: str) -> BatchState:
        """How a batch stands.

        Raises:
            Gone: the server does not know it.
        """
        return _state(await self._retried(self._client.batches.retrieve, batch_id=batch))

    async def list(self) -> list[BatchState]:
        """The account's latest batches.

        Raises:
            Gone: this endpoint lists none.
        """
        found: list[BatchState] = []
        for _ in range(_PAGES):
            more: dict[str, Any] = {"after": found[-1].id} if found else {}
            page = await self._retried(self._client.batches.list, limit=100, **more)
            rows = [_state(row) for row in page.data]
            found += rows
            if not rows or not getattr(page, "has_more", False):
                break
        return found

    async def lines(self, file: str, into: Path) -> AsyncIterator[bytes]:
        """The lines of a file there, by way of a file here: an output of 50,000 answers is not held in memory.

        Raises:
            Gone: the server does not have it any more.
        """
        await self._retried(self._download, file=file, into=into)
        try:
            with into.open("rb") as lines:
                for line in lines:
                    if line.strip():
                        yield line
        finally:
            into.unlink()  # noqa: ASYNC240  # as short as the reads above

    async def _download(self, file: str, into: Path) -> None:
        streamed = self._client.files.with_streaming_response.content(file)
        if hasattr(streamed, "__aenter__"):
            async with streamed as response:
                await response.stream_to_file(into)
            return

        def blocking() -> None:
            with streamed as response:
                response.stream_to_file(into)

        await asyncio.to_thread(blocking)

    async def _retried(self, send: Callable[..., Any], *, never_twice: bool = False, **arguments: Any) -> Any:
        wait = 0.5
        for attempt in range(1, _TRIES + 1):
            try:
                return await _call(send, arguments)
            except OutcomeUnknown as exc:
                if never_twice:
                    raise
                failure: Exception = exc
            except _Transient as exc:
                failure = exc
            if attempt < _TRIES:
                await asyncio.sleep(wait)
                wait = min(60.0, 2 * wait)
        raise ScoringError(
            f"the Batch API does not answer ({failure})",
            hint="what was submitted goes on there: run the same command again later",
        ) from failure


async def _call(send: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """One call, in a thread where the client is a blocking one; its errors in our words."""
    try:
        if inspect.iscoroutinefunction(send):
            return await send(**arguments)
        made = await asyncio.to_thread(send, **arguments)
        # An asynchronous client's `list` is a plain function that returns something to wait for.
        return await made if inspect.isawaitable(made) else made
    except Exception as exc:
        # The client's errors are known by what they carry, so that only the transport has to import its library.
        library = type(exc).__module__.partition(".")[0]
        if library in ("httpx", "httpx2"):
            # A file that breaks off in the middle: the client lets its HTTP library's own error through.
            raise OutcomeUnknown(f"{type(exc).__name__}: {exc}") from exc
        if library != "openai":
            raise
        status = getattr(exc, "status_code", None)
        if status is None:
            raise OutcomeUnknown(f"{type(exc.__cause__ or exc).__name__}: {exc.__cause__ or exc}") from exc
        said = server_words(exc.response.content) if hasattr(exc, "response") else str(exc)
        if status in (404, 405, 501):
            raise Gone(said) from exc
        if status == 429 or status >= 500:
            raise _Transient(f"{status}: {said}") from exc
        raise JudgeRefused(
            f"the Batch API answered {status}: {said}\nWithout `batch` the same judgements are asked one by one, at full price."
        ) from exc


def _state(batch: Any) -> BatchState:
    """The server's answer, of which compatible servers leave parts out."""
    problems = list(getattr(getattr(batch, "errors", None), "data", None) or [])
    counts = getattr(batch, "request_counts", None)
    metadata = getattr(batch, "metadata", None) or {}
    return BatchState(
        id=batch.id,
        ended=batch.status in _ENDED,
        status=batch.status,
        done=(getattr(counts, "completed", 0) or 0) + (getattr(counts, "failed", 0) or 0),
        total=getattr(counts, "total", 0) or 0,
        input_file=getattr(batch, "input_file_id", None) or "",
        output_file=getattr(batch, "output_file_id", None),
        error_file=getattr(batch, "error_file_id", None),
        submission=metadata.get(SUBMISSION),
        problem="; ".join(str(p.message or p.code) for p in problems) or None,
        later=any(p.code in _LATER for p in problems),
    )
