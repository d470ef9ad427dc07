"""A question on its way, as `calls` keeps it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from argilla_admap.scoring.client.request import Answer, Question

__all__ = ["Group", "Job", "Ticket"]


@dataclass(slots=True)
class Group:
    """The questions of one `ask`."""

    future: asyncio.Future[None]
    answers: list[Answer | None]
    left: int


@dataclass(slots=True, eq=False)
class Job:
    """A question, who waits for it, and how often it has failed in which way."""

    question: Question
    waiters: list[tuple[Group, int]] = field(default_factory=list)
    claimed: bool = False
    tries: int = 0
    timeouts: int = 0
    unreadable: int = 0
    refusals: int = 0
    #: How often the key had been renewed when the question was sent last.
    renewals: int = 0


class Ticket(NamedTuple):
    """A question that may go, with what was set aside for it."""

    job: Job
    #: Input tokens, estimated.
    about: int
    #: Of input and output, against the limit of tokens a minute.
    tokens: int
    #: Against the budget.
    dollars: float
