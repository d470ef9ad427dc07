"""Several reviewers' answers to one record become one, or a conflict.

Reviewers of one record are equals; which way of settling a dispute is right depends on the team, so there are four.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from argilla_admap.mapping.analysis.agreement import dawid_skene, trusting
from argilla_admap.review.dataset.answers import Value

__all__ = ["RULES", "ReviewerAnswer", "posteriors", "resolve"]

#: Dawid-Skene: below this probability of the likeliest value, the record is a conflict.
_SURE = 0.6


@dataclass(frozen=True, slots=True)
class ReviewerAnswer:
    """What one reviewer submitted on one record.

    Attributes:
        reviewer: the user's id; a name may be given to another person later.
        values: by question, those that say something about the label.
        at: when it was last changed.
        note: what the reviewer wrote beside it.
    """

    reviewer: str
    values: Mapping[str, Value]
    at: datetime
    note: str = ""


#: Record id -> its answers.
Answers = Mapping[str, Sequence[ReviewerAnswer]]
#: The one answer, or None: the reviewers are in conflict.
Resolved = dict[str, Value] | None


def resolve(answers: Answers, rule: str = "majority") -> dict[str, Resolved]:
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


def _latest(answers: Answers) -> dict[str, Resolved]:
    return {record: dict(max(given, key=lambda answer: answer.at).values) for record, given in answers.items()}


def _each_question(settle: Callable[[list[Value]], Value | None]) -> Callable[[Answers], dict[str, Resolved]]:
    return lambda answers: {record: _by_question(given, settle) for record, given in answers.items()}


def _by_question(given: Sequence[ReviewerAnswer], settle: Callable[[list[Value]], Value | None]) -> Resolved:
    settled: dict[str, Value] = {}
    for question in dict.fromkeys(question for answer in given for question in answer.values):
        value = settle([answer.values[question] for answer in given if question in answer.values])
        if value is None:
            return None
        settled[question] = value
    return settled


def _most(votes: list[Value]) -> Value | None:
    ranked = Counter(votes).most_common(2)
    return None if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def _same(votes: list[Value]) -> Value | None:
    return votes[0] if len(set(votes)) == 1 else None


def _dawid_skene(answers: Answers) -> dict[str, Resolved]:
    resolved: dict[str, Resolved] = {}
    for record, by_question in posteriors(answers).items():
        likeliest = {question: max(chances.items(), key=lambda one: one[1]) for question, chances in by_question.items()}
        sure = all(chance >= _SURE for _, chance in likeliest.values())
        resolved[record] = {question: value for question, (value, _) in likeliest.items()} if sure else None
    return resolved


def posteriors(answers: Answers) -> dict[str, dict[str, dict[Value, float]]]:
    """Record id -> question -> each value that somebody gave -> its probability, by Dawid and Skene.

    A choice and a rating have different values; the ratings of all completions share one scale, hence one confusion matrix.
    """
    found: dict[str, dict[str, dict[Value, float]]] = {record: {} for record in answers}
    for numeric in (False, True):
        votes = [
            ((record, question), answer.reviewer, value)
            for record, given in answers.items()
            for answer in given
            for question, value in answer.values.items()
            if isinstance(value, int) is numeric
        ]
        for (record, question), chances in _posterior(votes).items():
            found[record][question] = chances
    return found


def _posterior(votes: Sequence[tuple[tuple[str, str], str, Value]]) -> dict[tuple[str, str], dict[Value, float]]:
    if not votes:
        return {}
    items, people = list(dict.fromkeys(vote[0] for vote in votes)), list(dict.fromkeys(vote[1] for vote in votes))
    values = sorted({value for _, _, value in votes}, key=str)
    codes: Iterator[dict[Any, int]] = ({name: code for code, name in enumerate(names)} for names in (items, people, values))
    item, person, answer = (np.array([code[vote[part]] for vote in votes], np.int64) for part, code in enumerate(codes))
    found = dawid_skene(
        item, person, answer, len(values), smoothing=trusting(len(values)), class_smoothing=1.0, given_only=True
    )
    return {
        name: {value: float(chance) for value, chance in zip(values, row, strict=True) if chance > 0}
        for name, row in zip(items, found.probability, strict=True)
    }


#: The ways to settle.
RULES: dict[str, Callable[[Answers], dict[str, Resolved]]] = {
    "majority": _each_question(_most),
    "unanimous": _each_question(_same),
    "latest": _latest,
    "dawid-skene": _dawid_skene,
}
