"""Answers taken in as they are made: outcomes, queues and guidelines renewed, and now and then what the map learns from them.

What is known stands on the server: a watch that is killed and started again goes on, and a second look at the same answers
changes nothing. Where the server can call this machine, it tells of each answer; else its time of last activity is asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from argilla_admap.errors import ArgillaError, InputError, UnknownDataset
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset, parse_address
from argilla_admap.review.argilla.refusals import Refused
from argilla_admap.review.pull.pull import mark_outcomes, pull, renew_overview
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.watch.webhooks import Listener

if TYPE_CHECKING:
    import argilla as rg

__all__ = ["Seen", "WatchOptions", "watch"]

#: Seconds: between two looks at the server's time of last activity, and at least between two readings of all answers.
_POLL, _PAUSE = 2.0, 1.0
#: A reading of all answers every so many seconds, news or none: metadata of ours that another program wrote over come back.
_ANYWAY = 60.0
_LONGEST_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How to watch.

    Attributes:
        pull: how answers are settled.
        every: answers after which the map learns anew, where it is given.
        listen: ``HOST:PORT`` at which the server is to call; without it only one on this machine does.
        once: take in what is there, and end.

    Raises:
        InputError: a value that cannot be used.
    """

    pull: PullOptions = field(default_factory=PullOptions)
    every: int = 50
    listen: str | None = None
    once: bool = False

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"{self.every}: at least 1", option="every")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one reading of the answers found.

    Attributes:
        dataset: ``WORKSPACE/NAME``.
        at: when, ISO 8601.
        via: ``webhook`` or ``polling``.
        answers: submitted answers; `new` of them since the reading before.
        records, reviewed, corrected, confirmed, conflicts: as `pull` counts them.
        noted: records whose outcome was noted on the server now.
        learned: P(wrong), flags and queues were renewed now from the answers.
        open: queue -> records in it that still wait for an answer.
        problem: why the server could not be read; the figures are those of the last reading.
    """

    dataset: str
    at: str
    via: str
    answers: int = 0
    new: int = 0
    records: int = 0
    reviewed: int = 0
    corrected: int = 0
    confirmed: int = 0
    conflicts: int = 0
    noted: int = 0
    learned: bool = False
    open: dict[str, int] | None = None
    problem: str | None = None

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def watch(
    dataset: str,
    client: rg.Argilla,
    options: WatchOptions = WatchOptions(),  # frozen
    *,
    renew: Callable[[], None] | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Seen]:
    """Yields what each reading found, from now until `stop` is set, or until the iterator is closed.

    Args:
        dataset: ``[WORKSPACE/]NAME``.
        client: an owner's for webhooks; else an admin's of the workspace.
        options: how to watch.
        renew: pushes a map that has learned from the answers.
        stop: ends the watch within a second.

    Raises:
        InputError: a data set that asks nothing about the label.
        UnknownDataset: it is not there.
        ArgillaError: the first reading failed; of later failures the result tells, and they are tried again.
    """
    return _Watch(dataset, client, options, renew, stop or threading.Event()).run()


class _Watch:
    def __init__(
        self,
        dataset: str,
        client: rg.Argilla,
        options: WatchOptions,
        renew: Callable[[], None] | None,
        stop: threading.Event,
    ) -> None:
        self._dataset, self._client, self._options, self._renew, self._stop = dataset, client, options, renew, stop
        self._api = Api(client)
        self._news = threading.Event()
        self._taught: int | None = None
        self._last = Seen(dataset, "", "polling")

    def run(self) -> Iterator[Seen]:
        target = self._api.dataset(parse_address(self._dataset, self._options.pull.workspace))
        if self._options.once:
            yield self._read("polling")
            return
        with Listener(self._api, target.id, self._news.set, listen=self._options.listen) as listener:
            wait = 0.0
            while not self._stop.is_set():
                via = "webhook" if listener.active else "polling"
                try:
                    activity = self._activity(target)
                    self._news.clear()
                    yield self._read(via)
                    wait = 0.0
                except ArgillaError as error:
                    refused = isinstance(error, Refused) and error.status < 500 and error.status != 429
                    gone = isinstance(error, UnknownDataset) or refused
                    if gone or not self._last.at:
                        raise
                    # The server restarts, or is not to be reached: what was said meanwhile is read when it is back.
                    yield replace(self._last, at=_now(), via=via, new=0, noted=0, learned=False, problem=str(error))
                    wait = min(_LONGEST_WAIT, wait * 2 or 1.0)
                    self._stop.wait(wait)
                    continue
                self._until_news(target, activity)

    def _read(self, via: str) -> Seen:
        """One reading of all answers, and what follows from it on the server."""
        result = pull(self._dataset, self._client, self._options.pull)
        target, answers = result.target, sum(len(record.answers) for record in result.found.values())
        noted = mark_outcomes(result, self._api)
        if self._taught is None:
            self._taught = int((target.info.get("pushed") or {}).get("answers") or 0)
        learned = self._renew is not None and answers - self._taught >= self._options.every
        if learned and self._renew is not None:
            self._renew()
            self._taught = answers
        news = noted or learned or self._last.open is None or answers != self._last.answers
        waiting = {one.queue.name: one.pending for one in renew_overview(result, self._api)} if news else None
        self._last = Seen(
            result.dataset,
            _now(),
            via,
            answers,
            answers - self._last.answers,
            result.records,
            result.reviewed,
            result.corrected,
            result.confirmed,
            result.conflicts,
            noted,
            learned,
            self._last.open if waiting is None else waiting,
        )
        return self._last

    def _activity(self, target: RemoteDataset) -> str:
        """When a reviewer last answered, by the server's clock."""
        return str(self._api.request("GET", f"/api/v1/datasets/{target.id}").get("last_activity_at"))

    def _until_news(self, target: RemoteDataset, activity: str) -> None:
        """Waits for the server's message, for another time of last activity, or a minute."""
        began = time.monotonic()
        self._stop.wait(_PAUSE)
        while not self._stop.is_set() and time.monotonic() - began < _ANYWAY:
            for _ in range(4):
                if self._news.wait(_POLL / 4) or self._stop.is_set():
                    return
            try:
                if self._activity(target) != activity:
                    return
            except ArgillaError:
                return  # The reading says what is wrong.


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
