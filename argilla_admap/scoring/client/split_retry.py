"""Questions about several texts at once: where one text fails them all, they are asked again in halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from argilla_admap.scoring.cache.store import Known
from argilla_admap.scoring.client.request import Question

if TYPE_CHECKING:
    from argilla_admap.scoring.client.dispatcher import Calls

__all__ = ["Divisible", "ask_in_parts"]

_Q = TypeVar("_Q", bound="Divisible")


class Divisible(Question, Protocol):
    """A question with a key for each of its texts."""

    def part(self: _Q, start: int, end: int) -> _Q:
        """The same question about some of the texts."""
        ...


async def ask_in_parts(calls: Calls, question: Divisible) -> dict[bytes, Known | str]:
    """By key, what is known of each text; or why nothing is.

    Raises:
        JudgeRefused, ScoringError: nothing can be asked any more.
    """
    answer = (await calls.ask([question]))[0]
    if answer.error is None and len(answer.known) == len(question.keys):
        return {known.key: known for known in answer.known}
    if len(question.keys) == 1 or calls.over:
        return dict.fromkeys(question.keys, answer.error or "the answer held nothing")
    # A text too long for the model, or more texts than the server takes at once: halves tell which.
    half = len(question.keys) // 2
    first = await ask_in_parts(calls, question.part(0, half))
    return first | await ask_in_parts(calls, question.part(half, len(question.keys)))
