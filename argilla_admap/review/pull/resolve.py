"""Several reviewers' answers to one record become one, or a conflict.

Reviewers of one record are equals; which way of settling a dispute is right depends on the team, so there are four.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

__all__ = ["RULES", "ReviewerAnswer", "Value", "resolve"]

#: What a question was answered with: an option of a choice, or a rating.
Value = str | int

#: Dawid-Skene: below this probability of the likeliest value, the record is a conflict.
_SURE = 0.6
_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class ReviewerAnswer:
    """What one reviewer submitted on one record.

    Attributes:
        reviewer: the user's id; a name may be given to another person later.
        values: by question, those that say something about the label.
        at: when it was last changed.
    """

    reviewer: str
    values: Mapping[str, Value]
    at: datetime


#: The one answer, or None: the reviewers are in conflict.
Resolved = dict[str, Value] | None


def resolve(answers: Mapping[str, Sequence[ReviewerAnswer]], rule: str = "majority") -> dict[str, Resolved]:
    """Record id -> the answer that holds, by question, or None where the reviewers are in conflict.

    Args:
        answers: of each record, one or more.
        rule: of `RULES`. ``majority``: to each question, what most answered; a tie is a conflict. ``unanimous``: all answered
            the same, else it is a conflict. ``latest``: the answer that was changed last. ``dawid-skene``: the likeliest
            answer, each reviewer weighed by how they answer the other records; a conflict where it is below 0.6 likely.

    Raises:
        KeyError: an unknown rule.
    """
    return RULES[rule](answers)


def _majority(answers: Mapping[str, Sequence[ReviewerAnswer]]) -> dict[str, Resolved]:
    return {record: _by_question(given, _most) for record, given in answers.items()}


def _unanimous(answers: Mapping[str, Sequence[ReviewerAnswer]]) -> dict[str, Resolved]:
    return {record: _by_question(given, _same) for record, given in answers.items()}


def _latest(answers: Mapping[str, Sequence[ReviewerAnswer]]) -> dict[str, Resolved]:
    return {record: dict(max(given, key=lambda answer: answer.at).values) for record, given in answers.items()}


def _by_question(given: Sequence[ReviewerAnswer], settle: Callable[[list[Value]], Value | None]) -> Resolved:
    settled: dict[str, Value] = {}
    for question in _questions(given):
        value = settle([answer.values[question] for answer in given if question in answer.values])
        if value is None:
            return None
        settled[question] = value
    return settled


def _questions(given: Iterable[ReviewerAnswer]) -> list[str]:
    return list(dict.fromkeys(question for answer in given for question in answer.values))


def _most(votes: list[Value]) -> Value | None:
    ranked = Counter(votes).most_common(2)
    return None if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def _same(votes: list[Value]) -> Value | None:
    return votes[0] if len(set(votes)) == 1 else None


def _dawid_skene(answers: Mapping[str, Sequence[ReviewerAnswer]]) -> dict[str, Resolved]:
    resolved: dict[str, Resolved] = {record: {} for record in answers}
    # A choice and a rating have different values; the ratings of all completions share one scale, hence one table of errors.
    for numeric in (False, True):
        votes = [
            ((record, question), answer.reviewer, value)
            for record, given in answers.items()
            for answer in given
            for question, value in answer.values.items()
            if isinstance(value, int) is numeric
        ]
        for (record, question), settled in _estimate(votes).items():
            current = resolved[record]
            if settled is None or current is None:
                resolved[record] = None
            else:
                current[question] = settled
    return resolved


def _estimate(votes: Sequence[tuple[tuple[str, str], str, Value]]) -> dict[tuple[str, str], Value | None]:
    """The likeliest value of each item by expectation-maximisation.

    Only values that somebody gave are considered: no answer is made up. Each reviewer's table of errors starts from a little
    faith in what they say, so that few answers do not count as proof against them.

    Source: Dawid and Skene, Applied Statistics 28 (1979).
    """
    if not votes:
        return {}
    items = {name: i for i, name in enumerate(dict.fromkeys(item for item, _, _ in votes))}
    people = {name: i for i, name in enumerate(dict.fromkeys(who for _, who, _ in votes))}
    values = {name: i for i, name in enumerate(sorted({value for _, _, value in votes}, key=str))}
    item = np.array([items[name] for name, _, _ in votes])
    person = np.array([people[name] for _, name, _ in votes])
    value = np.array([values[name] for _, _, name in votes])
    given = np.zeros((len(items), len(values)))
    np.add.at(given, (item, value), 1.0)
    possible = given > 0
    belief = given / given.sum(axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        prior = (belief.sum(axis=0) + 1.0) / (len(items) + len(values))
        # errors[who, true, said]
        errors = np.tile(np.eye(len(values)) * 2.0 + 0.5, (len(people), 1, 1))
        np.add.at(errors.transpose(0, 2, 1), (person, value), belief[item])
        errors /= errors.sum(axis=2, keepdims=True)
        logs = np.tile(np.log(prior), (len(items), 1))
        np.add.at(logs, item, np.log(errors[person, :, value]))
        logs[~possible] = -np.inf
        logs -= logs.max(axis=1, keepdims=True)
        updated = np.exp(logs)
        updated /= updated.sum(axis=1, keepdims=True)
        moved = float(np.abs(updated - belief).max())
        belief = updated
        if moved < 1e-6:
            break
    best = belief.argmax(axis=1)
    names = list(values)
    return {name: names[best[i]] if belief[i, best[i]] >= _SURE else None for name, i in items.items()}


#: The ways to settle.
RULES: dict[str, Callable[[Mapping[str, Sequence[ReviewerAnswer]]], dict[str, Resolved]]] = {
    "majority": _majority,
    "unanimous": _unanimous,
    "latest": _latest,
    "dawid-skene": _dawid_skene,
}
