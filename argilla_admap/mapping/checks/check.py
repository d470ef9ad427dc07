"""What a label-free check is, and how all of them run.

A check finds an error without a judge and without a model call. Each is one module of this package with one `CHECK`, and is
found by itself: its words, the evidence, the mask, the review queue and the report follow from that entry.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, UInts, join_text, letters, text_where
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.labels import Labels

__all__ = [
    "OBVIOUS",
    "Check",
    "CheckInput",
    "CheckQueue",
    "Findings",
    "all_checks",
    "check_queues",
    "comparing_checks",
    "run_checks",
]


@dataclass(frozen=True, slots=True)
class CheckInput:
    """What checks look at.

    Attributes:
        seen: ratings, scores and text facts of n records.
        labels: the ratings, made comparable.
        owner: flat, the record of each completion.
        strength, known: flat, what the other records of a prompt say, as `strengths_elsewhere` gives.
    """

    seen: Observations
    labels: Labels
    owner: Ints
    strength: Floats
    known: Bools

    def records(self, completions: Bools) -> Bools:
        """The records of which a completion is marked; shape (n,)."""
        marked = np.zeros(self.seen.n, bool)
        marked[self.owner[completions]] = True
        return marked


@dataclass(frozen=True, slots=True)
class CheckQueue:
    """The review queue of one or more checks: its name, its title, and why to look."""

    name: str
    title: str
    why: str


#: The queue of checks that have none of their own.
OBVIOUS = CheckQueue("obvious-errors", "Obvious errors", "Found without a judge")


@dataclass(frozen=True, slots=True)
class Check:
    """One label-free check.

    Attributes:
        name: as the column `issues` holds it.
        title: what it finds, in a list.
        sentence: what it tells a reviewer. With `{}`, the check marks completions, and the first one's letter is put there;
            without, it marks records.
        test: the completions (flat) or records (shape (n,)) that are marked; with `among`, a number of each record, shape (n,).
        queue: where the records are reviewed.
        unless: checks whose records this one leaves alone, since they say the same more precisely; each of a lower rank.
        rank: lower ones come first in a record's list.
        among: for a check that compares the records of a prompt: which are marked, by the numbers of all of them; 0 is a record
            to leave alone.
    """

    name: str
    title: str
    sentence: str
    test: Callable[[CheckInput], Any]
    queue: CheckQueue = OBVIOUS
    unless: tuple[str, ...] = ()
    rank: int = 100
    among: Callable[[UInts], Bools] | None = None

    @property
    def of_completions(self) -> bool:
        """Whether the check marks completions, not records."""
        return "{}" in self.sentence


@cache
def all_checks() -> tuple[Check, ...]:
    """The `CHECK` of every module of this package, by rank."""
    package = __name__.rpartition(".")[0]
    folder = importlib.import_module(package).__path__
    modules = [importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(folder)]
    found = [module.CHECK for module in modules if hasattr(module, "CHECK")]
    return tuple(sorted(found, key=lambda check: (check.rank, check.name)))


def check_queues() -> list[tuple[CheckQueue, tuple[str, ...]]]:
    """Each queue of the checks with the names of its checks; that of the checks without a queue of their own comes last."""
    of_queue: dict[CheckQueue, list[Check]] = {}
    for check in all_checks():
        of_queue.setdefault(check.queue, []).append(check)
    queues = []
    for queue, checks in sorted(of_queue.items(), key=lambda item: item[0] is OBVIOUS):
        if queue is OBVIOUS:
            queue = CheckQueue(queue.name, queue.title, f"{queue.why}: {'; '.join(check.title for check in checks)}.")
        queues.append((queue, tuple(check.name for check in checks)))
    return queues


@dataclass(frozen=True, slots=True)
class Findings:
    """What the checks found.

    Attributes:
        records: by check, shape (n,).
        first: by check, shape (n,), the first completion that is marked; only of checks that mark completions.
    """

    records: dict[str, Bools]
    first: dict[str, Ints]

    def sentences(self, start: int, stop: int) -> list[Any]:
        """An Arrow array for each check: its sentence for records start..stop, null where it found nothing."""
        said = []
        for check in all_checks():
            mask = self.records[check.name][start:stop]
            if not check.of_completions:
                said.append(text_where(mask, check.sentence))
                continue
            before, after = check.sentence.split("{}")
            said.append(text_where(mask, join_text(before, letters(self.first[check.name][start:stop]), after)))
        return said


def run_checks(given: CheckInput, among: Mapping[str, Bools] | None = None) -> Findings:
    """Runs every check.

    Args:
        among: by check that compares records, which of these are marked; None where these are all records of their prompts.
    """
    records: dict[str, Bools] = {}
    first: dict[str, Ints] = {}
    for check in all_checks():
        if check.among is None or among is None:
            mask = check.test(given) if check.among is None else check.among(check.test(given))
        else:
            mask = among[check.name]
        if check.of_completions:
            marked = np.flatnonzero(mask)[::-1]
            first[check.name] = np.zeros(given.seen.n, np.int64)
            first[check.name][given.owner[marked]] = marked - given.seen.offsets[given.owner[marked]]
            mask = given.records(mask)
        for other in check.unless:
            mask = mask & ~records[other]
        records[check.name] = mask
    return Findings(records, first)


def comparing_checks() -> dict[str, tuple[Callable[[CheckInput], UInts], Callable[[UInts], Bools]]]:
    """By name, `test` and `among` of the checks that compare the records of a prompt."""
    return {check.name: (check.test, check.among) for check in all_checks() if check.among is not None}
