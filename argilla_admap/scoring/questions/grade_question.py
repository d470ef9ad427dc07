"""A question for the grade of one completion: what is sent, how its answer is read, and what to do when it was cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from argilla_admap.scoring.cache.keys import key_hash
from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.judging.capabilities import Capabilities, filled
from argilla_admap.scoring.judging.choices import read_choices
from argilla_admap.scoring.judging.grades import TooShort, may_go_on
from argilla_admap.scoring.judging.prompt import PROMPT_VERSION, Instructions, question_text
from argilla_admap.scoring.judging.thoughts import content_of
from argilla_admap.scoring.judging.tokens import estimate_tokens, most_tokens, quick_tokens

if TYPE_CHECKING:
    from argilla_admap.scoring.cache.store import CacheEntry
    from argilla_admap.scoring.client.dispatcher import Dispatcher
    from argilla_admap.scoring.judging.items import BatchItems

__all__ = ["FRAME_TOKENS", "Asked", "GradeQuestion", "QuestionTemplate"]

#: Tokens that a chat adds around its messages.
FRAME_TOKENS = 12
#: Cut answers of one request, after which a first token with some probability on grades is taken for what it is.
_MOST_CUTS = 3
#: Up to so many tokens an answer may have been cut though the server does not say so.
_SHORT = 64


class Asked:
    """The model that is asked, and what was learned of its answers.

    Args:
        dispatcher: the way to it.
        model: as the endpoint calls it.
        capabilities: what it takes.
        most_answer_tokens: that an answer may have, thoughts included.
        tier: the service tier; None: the endpoint's own.
    """

    def __init__(
        self, dispatcher: Dispatcher, model: str, capabilities: Capabilities, most_answer_tokens: int, tier: str | None
    ) -> None:
        self.dispatcher, self.model, self.capabilities, self.tier = dispatcher, model, capabilities, tier
        self.most_answer_tokens = most_answer_tokens
        #: Answers that had tokens enough, and those that had not, since all were given more.
        self.answers = self._cut = 0

    def answer_was_cut(self, limit: int, form: str) -> None:
        """An answer ended before its grade: all get more tokens, where none ended otherwise or surely over a tenth did.

        Args:
            limit: that it was asked with; what was asked with less or more than all have now says nothing of that.
            form: of answer.
        """
        if limit != self.capabilities.answer_tokens:
            return
        self._cut += 1
        # Two standard deviations of a Poisson count: the first few answers may hold one or two such by chance.
        many = not self.answers or self._cut - 2 * math.sqrt(self._cut) > 0.1 * self.answers
        if many and self.capabilities.longer(self.most_answer_tokens, form):
            self.capabilities.revision += 1
            self._cut = self.answers = 0
            self.remember()

    def remember(self) -> None:
        """Keeps what was learned of this endpoint and model."""
        self.dispatcher.store.remember_endpoint(self.dispatcher.name, self.capabilities.facts())


class QuestionTemplate:
    """One way to ask: a form of answer, with or without token probabilities.

    Args:
        asked: whom.
        instructions: the fixed part of the question.
        form: of `Instructions`.
        logprobs: whether token probabilities are asked for.
        version: of the question's words.
    """

    def __init__(
        self, asked: Asked, instructions: Instructions, form: str, *, logprobs: bool, version: str = PROMPT_VERSION
    ) -> None:
        self.asked = asked
        self.instructions = instructions
        self.form = form
        self.logprobs = logprobs
        #: Tokens of an answer for one grade.
        self.usual_output = {"digit": 1, "json": 8, "reason": 45, "together": 5}[form]
        space = asked.dispatcher.key_space
        self.prefix = key_hash(version, asked.model, form, logprobs, instructions.text, *space.parts)
        self.fixed_tokens = estimate_tokens(instructions.text) + FRAME_TOKENS
        self.fixed_most = most_tokens(instructions.text) + 4 * FRAME_TOKENS
        self._frames: dict[tuple[int, int, int, bool], tuple[bytes, bytes]] = {}

    def limit(self, answer_tokens: int, grades: int = 1) -> int:
        """Most tokens of an answer in this form, with so many grades."""
        capabilities, most = self.asked.capabilities, self.asked.most_answer_tokens
        return min(capabilities.most_output(self.form, answer_tokens, grades), most, capabilities.most_answer_tokens or most)

    def frame(self, want: int, limit: int) -> tuple[bytes, bytes]:
        """The request around the text, for so many choices of at most so many tokens."""
        capabilities = self.asked.capabilities
        logprobs = self.logprobs and capabilities.logprobs != "none"
        key = want, limit, capabilities.revision, logprobs
        if key not in self._frames:
            self._frames[key] = capabilities.frame(
                self.asked.model,
                self.instructions.text,
                self.form,
                want=want,
                logprobs=logprobs,
                tier=self.asked.tier,
                limit=limit,
            )
        return self._frames[key]

    def about(self, items: BatchItems, index: int) -> int:
        """About how many input tokens a request has, at a glance."""
        guide = sum(quick_tokens(text) + 16 for _, text in items.guide(index))
        return self.fixed_tokens + 60 + quick_tokens(items.prompt(index)) + quick_tokens(items.completion(index)) + guide

    def text(self, items: BatchItems, index: int) -> str:
        """The part of the request that holds the data."""
        return question_text(
            items.prompt(index),
            items.turns(index),
            items.completion(index),
            self.instructions.reminder,
            items.guide(index),
        )


class GradeQuestion:
    """One request for the samples that are missing of one item."""

    __slots__ = ("_answer_tokens", "_cuts", "_index", "_items", "_revision", "_template", "keys", "logprobs_seen")
    path = "/chat/completions"

    def __init__(self, template: QuestionTemplate, items: BatchItems, index: int, keys: tuple[bytes, ...]) -> None:
        self._template = template
        self._items = items
        self._index = index
        self._revision = template.asked.capabilities.revision
        #: What it is asked with, where that is more than all others have; and how often its answer was cut.
        self._answer_tokens = self._cuts = 0
        self.keys = keys
        self.logprobs_seen = ""

    def rest(self, known: Sequence[CacheEntry]) -> GradeQuestion:
        """The request for those keys that were not answered."""
        had = {one.key for one in known}
        return GradeQuestion(self._template, self._items, self._index, tuple(key for key in self.keys if key not in had))

    @property
    def form(self) -> str:
        """The form of answer: answers of one form are about as long."""
        return self._template.form

    @property
    def outdated(self) -> bool:
        """Whether the endpoint's capabilities have changed since it was sent: the next try is put differently."""
        return self._template.asked.capabilities.revision > self._revision

    def _want(self) -> int:
        return len(self.keys) if self._template.asked.capabilities.several else 1

    def _limit(self) -> int:
        return self._limit_with(max(self._answer_tokens, self._template.asked.capabilities.answer_tokens))

    def _limit_with(self, answer_tokens: int) -> int:
        return self._template.limit(answer_tokens)

    def _text(self) -> str:
        """The part of the request that holds the data."""
        return self._template.text(self._items, self._index)

    def body(self) -> bytes:
        template, capabilities = self._template, self._template.asked.capabilities
        self._revision = capabilities.revision
        self._answer_tokens = max(self._answer_tokens, capabilities.answer_tokens)
        return filled(template.frame(self._want(), self._limit()), self._text())

    def tokens(self) -> tuple[int, int, int]:
        template, index = self._template, self._index
        prompt, turns, completion = self._items.prompt(index), self._items.turns(index), self._items.completion(index)
        about = template.about(self._items, index)
        # The data may grow a little where marks of chat templates are broken up.
        texts = most_tokens(prompt) + most_tokens(completion)
        texts += sum(most_tokens(words) + 60 for _, words in self._items.guide(index))
        most = template.fixed_most + 400 + texts * 4 // 3 + 40 * len(turns or ())
        return about, most, self._want() * self._limit()

    def read(self, reply: Any) -> list[ParsedAnswer]:
        asked = self._template.asked
        choices = reply["choices"]
        try:
            answers = self._parsed(reply)
        except Unreadable as exc:
            if isinstance(exc, TooShort) or (exc.again and self._used_up(reply)):
                return self._ask_for_more(exc)
            asked.answers += 1
            return self._unread(exc)
        if len(choices) < self._want():
            asked.capabilities.several = False
        asked.answers += 1
        items = (choices[0].get("logprobs") or {}).get("content") or []
        self.logprobs_seen = "truncated" if items else "none"
        return answers

    def _parsed(self, reply: Any) -> list[ParsedAnswer]:
        return read_choices(reply, json=self._template.form != "digit")

    def _unread(self, why: Unreadable) -> list[ParsedAnswer]:
        """What to keep of an answer that holds no grade."""
        raise why

    def _used_up(self, reply: Any) -> bool:
        """Whether an answer without a grade used all its tokens, though the server says that it ended, and more may help."""
        sent = self._limit_with(self._answer_tokens)
        used = (reply.get("usage") or {}).get("completion_tokens")
        text = content_of(reply["choices"][0].get("message") or {}).text
        words = estimate_tokens(text) if sent <= _SHORT else 0
        most = max(words, used / len(reply["choices"]) if isinstance(used, (int, float)) else 0)
        return most >= sent and may_go_on(text)

    def _ask_for_more(self, cut: Unreadable) -> list[ParsedAnswer]:
        """The answer was cut before its grade: the next try may be longer, be it that all are, or this one.

        Raises:
            Unreadable: always, but for an answer whose first token may be flagged and is not asked for again.
        """
        asked, sent = self._template.asked, self._answer_tokens
        asked.answer_was_cut(sent, self.form)
        self._cuts += 1
        if asked.capabilities.answer_tokens > sent:
            raise Unreadable(str(cut)) from cut
        more = asked.capabilities.more_tokens(sent, asked.most_answer_tokens, self.form)
        if self._cuts >= _MOST_CUTS and isinstance(cut, TooShort) and cut.mass > 0:
            return [ParsedAnswer(None, None, cut.mass)]
        if more <= sent:
            # Longer is not allowed, and the same again would be paid for again.
            raise Unreadable(
                f"{cut}; it may have {self._limit_with(sent):,} tokens, thoughts included: allow more with `max_answer_tokens`",
                again=False,
            ) from cut
        self._answer_tokens = more
        raise Unreadable(str(cut)) from cut

    def negotiate(self, words: str) -> bool:
        capabilities = self._template.asked.capabilities
        if self.outdated:
            return True
        if capabilities.negotiate(words):
            self._template.asked.remember()
            return True
        return False
