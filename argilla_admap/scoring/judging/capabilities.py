"""What one model on one endpoint can do: negotiated by what it refuses, and remembered."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

__all__ = ["MOST_ANSWER_TOKENS", "Capabilities", "filled"]

#: Limits of an answer's tokens, one after the other, when a model refuses fewer or says nothing within them.
#: Not one at first: where numbers are split over tokens, "40", "4.5" and "4/10" would all be cut to "4".
_STEPS = (4, 8, 64, 512, 2048, 8192, 32768, 131072)
#: So many where nobody says how many: enough for most that think, and a few cents for one answer that never ends.
MOST_ANSWER_TOKENS = 4096
_REASON_TOKENS = 160
#: Of each grade of a record's completions together, with its letter and its line.
_GRADE_TOKENS = 8
#: Up to so many are for the digit alone; JSON has room for them.
_NO_THOUGHTS = 8
_MOST_REVISIONS = 24
#: How a request ends, from the end of the last message's text on.
_END = b'"}]}'
#: Before the server's words: its number is no limit.
_STATUS = re.compile(r"\A.{0,40}answered \d{3}\b")
#: What Text Generation Inference calls top_logprobs when it refuses them.
_OWN_NAME = "top_n_tokens"
_UNKNOWN_FIELD = re.compile(r"unsupported|unrecognized|unknown|not permitted|extra")
_TOO_MANY = re.compile(r"too (?:large|many|high|big)|at most|less than|exceed|maximum|<=|(?<!must be )greater than")
_LIMIT = re.compile(r"max|allowed|at most|up to|less than|<=|between|range|exceed|greater|\[0")
_STREAM_ONLY = re.compile(
    r"stream (?:mode|parameter)|stream\W{0,4}(?:=|to|must be|is)\W{0,4}true|streaming (?:is )?(?:required|only)"
    r"|(?:requires?|only supports?|only|must use|must be) stream|non-?stream"
)
_NO_SYSTEM = re.compile(
    r"(?:system|developer)['\"` ]*(?:role|message|instruction|prompt)|roles?\b.{0,60}(?:alternate|system|developer|user)"
    r"|(?:system|developer)\b.{0,40}\brole|(?:user|assistant)\W{1,4}(?:and|or)\W{1,4}(?:user|assistant|model).{0,20}\broles?"
    r"|(?:start|begin)\w* with an? ['\"]?user|first message (?:must|should|has to) be"
)


@dataclass(slots=True)
class Capabilities:
    """What a model takes. `revision` counts the changes, so that requests sent before one are sent again."""

    token_field: str = "max_tokens"  # noqa: S105  # a parameter's name
    answer_tokens: int = _STEPS[0]
    #: The endpoint's own limit; 0: not known.
    most_answer_tokens: int = 0
    top_logprobs: int = 20
    #: ``full``, ``truncated``, ``none``, or empty: not known yet.
    logprobs: str = ""
    temperature: bool = True
    effort: str = ""
    several: bool = True
    schema: bool = True
    #: A system message; else the user's message begins with its text.
    system: bool = True
    service_tier: bool = True
    #: It answers only as a stream of events.
    stream: bool = False
    #: Whether it grades all completions of a record in one answer.
    together: bool = True
    #: False: it is told not to think, where its endpoint asks for that.
    thinking: bool = True
    revision: int = 0

    @classmethod
    def recall(cls, facts: dict[str, object], *, hosted: bool) -> Capabilities:
        """From what the store remembers.

        Args:
            facts: as `facts` gave them; may be empty.
            hosted: OpenAI or Azure, where the newer name of the token limit is the safe one.
        """
        known = {f.name for f in fields(cls)}
        capabilities = cls(token_field="max_completion_tokens" if hosted else "max_tokens")
        for name, value in facts.items():
            if name in known and isinstance(value, type(getattr(capabilities, name))):
                setattr(capabilities, name, value)
        capabilities.revision = 0
        least = min(_STEPS[0], capabilities.most_answer_tokens or _STEPS[0])
        capabilities.answer_tokens = max(capabilities.answer_tokens, least)
        return capabilities

    def facts(self) -> dict[str, object]:
        """What to remember."""
        return asdict(self)

    def limits(self) -> list[str]:
        """What the model was found not to take or give, in words for the person."""
        found = {
            "gives no token probabilities (three samples in their place)": self.logprobs == "none",
            "gives token probabilities cut to their first (three samples in their place)": self.logprobs == "truncated",
            f"gives at most {self.top_logprobs} candidates a token": self.top_logprobs < 20 and self.logprobs == "full",
            "refuses a temperature": not self.temperature,
            "refuses a system message": not self.system,
            "refuses several choices in one request": not self.several,
            "refuses a JSON schema": not self.schema,
            "answers only as a stream": self.stream,
            "is told not to think": not self.thinking,
            "does not grade the completions of a record in one answer": not self.together,
            f"is asked with reasoning effort {self.effort}": bool(self.effort),
            f"needs up to {self.answer_tokens:,} tokens for an answer": self.answer_tokens > _NO_THOUGHTS,
        }
        return [words for words, holds in found.items() if holds]

    def frame(
        self, model: str, instructions: str, form: str, *, want: int, logprobs: bool, tier: str | None, limit: int | None = None
    ) -> tuple[bytes, bytes]:
        """The request's JSON before and after the text with the data; see `filled`.

        Args:
            model: as the endpoint calls it.
            instructions: the fixed part.
            form: ``digit``, ``json`` or ``reason``; ``text``: no grade, but words.
            want: choices.
            logprobs: ask for token probabilities.
            tier: the service tier; None: the endpoint's own.
            limit: most tokens of an answer; None: what this form needs.
        """
        body: dict[str, Any] = {"model": model, self.token_field: limit or self.most_output(form)}
        if self.temperature:
            # 1, so that the probabilities are the model's own on servers that scale them, and samples are samples.
            body["temperature"] = 1
        if self.effort:
            body["reasoning_effort"] = self.effort
        if logprobs:
            body["logprobs"] = True
            body["top_logprobs"] = self.top_logprobs
        if want > 1:
            body["n"] = want
        if form in ("json", "reason") and self.schema:
            body["response_format"] = _schema(form)
        if tier and self.service_tier:
            body["service_tier"] = tier
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if not self.thinking:
            body["enable_thinking"] = False
        if self.system:
            body["messages"] = [{"role": "system", "content": instructions}, {"role": "user", "content": ""}]
        else:
            body["messages"] = [{"role": "user", "content": f"{instructions}\n\n"}]
        return orjson.dumps(body).removesuffix(_END), _END

    def most_output(self, form: str, answer_tokens: int | None = None, grades: int = 1) -> int:
        """Most tokens that a choice may have, where a digit may have so many, and for so many grades together."""
        tokens = answer_tokens or self.answer_tokens
        room = _GRADE_TOKENS * (grades + 1) if form == "together" else _REASON_TOKENS
        return tokens if form == "digit" else room + (tokens if tokens > _NO_THOUGHTS else 0)

    def negotiate(self, words: str) -> bool:
        """Takes back what a refusal in words (status 400 or 422) names; whether the next request will differ."""
        if self.revision >= _MOST_REVISIONS:
            return False
        changed = self._change(_STATUS.sub("", words.lower()))
        self.revision += changed
        return changed

    def _change(self, low: str) -> bool:
        # The longest names first: "top_logprobs" holds "logprobs", and a refusal names the parameter it means.
        if "max_completion_tokens" in low and self.token_field == "max_tokens" and "max_tokens" in low:  # noqa: S105
            self.token_field = "max_completion_tokens"  # noqa: S105
        elif self.token_field in low or "output limit" in low or "max_output_tokens" in low or "minimum value" in low:
            if _UNKNOWN_FIELD.search(low):
                self.token_field = "max_tokens" if self.token_field == "max_completion_tokens" else "max_completion_tokens"  # noqa: S105
                return True
            fewer = [int(n) for n in re.findall(r"\d+", low) if 0 < int(n) < self.answer_tokens]
            if fewer and _TOO_MANY.search(low):
                self.answer_tokens = self.most_answer_tokens = max(fewer)
                return True
            return self.longer()
        elif "logprobs" in low or _OWN_NAME in low:
            return self._fewer_logprobs(low)
        elif "reasoning_effort" in low or "reasoning effort" in low or "reasoning.effort" in low:
            return self._other_effort(low)
        elif self.thinking and "enable_thinking" in low:
            self.thinking = False
        elif not self.stream and _STREAM_ONLY.search(low):
            self.stream = True
        elif "temperature" in low and self.temperature:
            self.temperature = False
        elif ("response_format" in low or "json_schema" in low) and self.schema:
            self.schema = False
        elif "service_tier" in low and self.service_tier:
            self.service_tier = False
        elif self.system and _NO_SYSTEM.search(low):
            self.system = False
        elif self.several and re.search(r"\bn\b", low):
            self.several = False
        else:
            return False
        return True

    def _fewer_logprobs(self, low: str) -> bool:
        fewer = [int(n) for n in re.findall(r"(?<![\w.-])\d+(?![\w-]|\.\d)", low) if 0 < int(n) < self.top_logprobs]
        if fewer and ("top_logprobs" in low or _LIMIT.search(low)):
            self.top_logprobs = max(fewer)
        elif "top_logprobs" in low and self.top_logprobs > 5:
            self.top_logprobs = 5
        elif "effort" in low and self.effort != "none":
            self.effort = "none"
        elif self.logprobs != "none":
            self.logprobs = "none"
        else:
            return False
        return True

    def _other_effort(self, low: str) -> bool:
        for effort in ("none", "minimal", "low"):
            if (
                effort != self.effort
                and (f"'{effort}'" in low or f'"{effort}"' in low)
                and f"not support '{effort}'" not in low
            ):
                self.effort = effort
                return True
        changed = bool(self.effort)
        self.effort = ""
        return changed

    def longer(self, most: int = MOST_ANSWER_TOKENS, form: str = "digit") -> bool:
        """Asks for the next greater number of answer tokens, at most `most`; False: it is the greatest."""
        before, self.answer_tokens = self.answer_tokens, self.more_tokens(self.answer_tokens, most, form)
        return self.answer_tokens > before

    def more_tokens(self, tokens: int, most: int, form: str) -> int:
        """The next greater number of answer tokens that makes a difference; the same where none is allowed."""
        most = min(most, self.most_answer_tokens or most)
        least = tokens if form == "digit" else max(tokens, _NO_THOUGHTS)
        return max(tokens, min(next((step for step in _STEPS if step > least), most), most))


def _schema(form: str) -> dict[str, Any]:
    properties: dict[str, Any] = {"score": {"type": "integer", "enum": [1, 2, 3, 4, 5]}}
    if form == "reason":
        properties["reason"] = {"type": "string"}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "grade", "strict": True, "schema": schema}}


def filled(frame: tuple[bytes, bytes], text: str) -> bytes:
    """A request: the text as the end of the last message's content.

    The fixed part is escaped once and not for each request; and the bytes are of their own length, where those that `orjson`
    returns may hold on to eight times as much.
    """
    before, after = frame
    return b"".join((before, orjson.dumps(text)[1:-1], after))
