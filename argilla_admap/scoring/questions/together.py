"""A question for the grades of all completions of a record: one call in place of one a completion.

Each completion has a letter, in an order drawn from a fixed seed and the texts themselves, so that a label's order of the
completions decides nothing; every second sample shows them in the reverse of the order before it. The keys of its grades hold
all texts in their order: a grade given beside others never passes for one given alone, or in another order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import orjson

from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.judging.choices import read_letters
from argilla_admap.scoring.judging.prompt import together_text
from argilla_admap.scoring.judging.tokens import TokenCounter, most_tokens, quick_tokens
from argilla_admap.scoring.questions.grade_question import GradeQuestion, QuestionTemplate

if TYPE_CHECKING:
    from argilla_admap.scoring.judging.items import BatchItems

__all__ = ["MOST_TOGETHER", "TogetherQuestion", "distinct_texts", "shown_order", "too_many"]

#: Completions in one question: one letter each.
MOST_TOGETHER = len(ascii_uppercase)
_SEED = b"admap together"


def distinct_texts(items: BatchItems, record: int) -> list[str]:
    """The completions of a record that go into one question, each text once; empty where it takes none or cannot."""
    texts = list(dict.fromkeys(items.record_completions(record)))
    return texts if 2 <= len(texts) <= MOST_TOGETHER else []


def too_many(items: BatchItems, record: int) -> bool:
    """Whether a record has more completions than one question takes."""
    return len(set(items.record_completions(record))) > MOST_TOGETHER


def shown_order(prompt: str, texts: Sequence[str], sample: int) -> list[str]:
    """The texts in the order in which a sample shows them, the same however the record has them."""
    seed = hashlib.blake2b(prompt.encode(), key=_SEED, salt=b"%d" % (sample // 2))

    def draw(text: str) -> bytes:
        one = seed.copy()
        one.update(b"\0" + text.encode())
        return one.digest()

    return sorted(texts, key=draw, reverse=sample % 2 == 1)


class TogetherQuestion(GradeQuestion):
    """The request for one sample of all completions of a record. `texts` are in the order of their letters, as `keys` are."""

    __slots__ = ("_letters", "_record", "texts")

    def __init__(self, template: QuestionTemplate, items: BatchItems, record: int, sample: int) -> None:
        self.texts = shown_order(items.record_prompt(record)[0], distinct_texts(items, record), sample)
        hasher = items.record_hash(template.prefix, record)
        hasher.update(b"\0together%d\0" % sample + orjson.dumps(self.texts))
        keys = []
        for place in range(len(self.texts)):
            one = hasher.copy()
            one.update(b"\0%d" % place)
            keys.append(one.digest())
        super().__init__(template, items, -1, tuple(keys))
        self._record = record
        self._letters = ascii_uppercase[: len(keys)]

    def key(self, text: str) -> bytes:
        """Where the grade of a completion is kept."""
        return self.keys[self.texts.index(text)]

    def _want(self) -> int:
        return 1

    def _limit_with(self, answer_tokens: int) -> int:
        return self._template.limit(answer_tokens, len(self.keys))

    def _text(self) -> str:
        prompt, turns = self._items.record_prompt(self._record)
        shown = dict(zip(self._letters, self.texts, strict=True))
        return together_text(prompt, turns, shown, self._items.guides[self._record])

    def tokens(self) -> tuple[int, int, int]:
        prompt, turns = self._items.record_prompt(self._record)
        guide = [text for _, text in self._items.guides[self._record]]
        material = (prompt, *self.texts, *guide)
        about = self._template.fixed_tokens + 50 + 12 * len(material) + sum(map(quick_tokens, material))
        most = self._template.fixed_most + 400 + 60 * len(material) + 40 * len(turns or ())
        return about, most + sum(map(most_tokens, material)) * 4 // 3, self._limit()

    def count(self, counter: TokenCounter) -> int:
        """Input tokens beside those of the fixed part."""
        return counter.count(self._text())

    def one_by_one(self, alone: QuestionTemplate) -> int:
        """About how many input tokens it takes to ask for each of its completions alone."""
        once = self.tokens()[0] - self._template.fixed_tokens - sum(map(quick_tokens, self.texts))
        return len(self.texts) * (alone.fixed_tokens + once) + sum(map(quick_tokens, self.texts))

    def _parsed(self, reply: Any) -> list[ParsedAnswer]:
        return read_letters(reply, self._letters)

    def _unread(self, why: Unreadable) -> list[ParsedAnswer]:
        # It is paid for, and kept: a resume does not pay for it again, but asks for each completion alone.
        return [ParsedAnswer(None, text=str(why))] * len(self.keys)
