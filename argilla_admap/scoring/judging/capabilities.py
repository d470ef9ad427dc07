"""How one model on one endpoint must be spoken to: learned from its refusals, and remembered."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

__all__ = ["Capabilities", "filled"]

#: Most answer tokens asked for, one after the other, when a model refuses fewer or says nothing within them.
_STEPS = (1, 4, 8, 64, 512, 2048)
_REASON_TOKENS = 160
_MOST_LESSONS = 16
#: How a request ends, from the end of the last message's text on.
_END = b'"}]}'


@dataclass(slots=True)
class Capabilities:
    """What a model takes. `revision` counts what was learned, so that questions sent before a lesson are asked again."""

    token_field: str = "max_tokens"  # noqa: S105  # a parameter's name
    answer_tokens: int = 1
    top_logprobs: int = 20
    #: ``full``, ``truncated``, ``none``, or empty: not known yet.
    logprobs: str = ""
    temperature: bool = True
    effort: str = ""
    several: bool = True
    schema: bool = True
    system: bool = True
    service_tier: bool = True
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
        return capabilities

    def facts(self) -> dict[str, object]:
        """What to remember."""
        return asdict(self)

    def frame(
        self, model: str, instructions: str, form: str, *, want: int, logprobs: bool, tier: str | None
    ) -> tuple[bytes, bytes]:
        """The request's JSON before and after the text with the data; see `filled`.

        Args:
            model: as the endpoint calls it.
            instructions: the fixed part.
            form: ``digit``, ``json`` or ``reason``.
            want: choices.
            logprobs: ask for token probabilities.
            tier: the service tier; None: the endpoint's own.
        """
        body: dict[str, Any] = {"model": model, self.token_field: self.most_output(form)}
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
        if form != "digit" and self.schema:
            body["response_format"] = _schema(form)
        if tier and self.service_tier:
            body["service_tier"] = tier
        if self.system:
            body["messages"] = [{"role": "system", "content": instructions}, {"role": "user", "content": ""}]
        else:
            body["messages"] = [{"role": "user", "content": f"{instructions}\n\n"}]
        return orjson.dumps(body).removesuffix(_END), _END

    def most_output(self, form: str) -> int:
        """Most answer tokens that a choice may have."""
        return self.answer_tokens if form == "digit" else _REASON_TOKENS + (self.answer_tokens if self.answer_tokens > 8 else 0)

    def learn(self, words: str) -> bool:
        """Takes a lesson from a refusal in words (status 400 or 422); whether there was one."""
        if self.revision >= _MOST_LESSONS:
            return False
        learned = self._lesson(words.lower())
        self.revision += learned
        return learned

    def _lesson(self, low: str) -> bool:
        # The longest names first: "top_logprobs" holds "logprobs", and a refusal names the parameter it means.
        if "max_completion_tokens" in low and self.token_field == "max_tokens" and "max_tokens" in low:  # noqa: S105
            self.token_field = "max_completion_tokens"  # noqa: S105
        elif self.token_field in low or "output limit" in low or "max_output_tokens" in low or "minimum value" in low:
            if "unsupported" in low or "unrecognized" in low or "unknown" in low or "not permitted" in low or "extra" in low:
                self.token_field = "max_tokens" if self.token_field == "max_completion_tokens" else "max_completion_tokens"  # noqa: S105
                return True
            return self.longer()
        elif "top_logprobs" in low and (most := [int(n) for n in re.findall(r"\d+", low) if 0 < int(n) < self.top_logprobs]):
            self.top_logprobs = max(most)
        elif "top_logprobs" in low and self.top_logprobs > 5:
            self.top_logprobs = 5
        elif "logprobs" in low and "effort" in low and self.effort != "none":
            self.effort = "none"
        elif "logprobs" in low and self.logprobs != "none":
            self.logprobs = "none"
        elif "reasoning_effort" in low or "reasoning effort" in low or "reasoning.effort" in low:
            return self._other_effort(low)
        elif "temperature" in low and self.temperature:
            self.temperature = False
        elif ("response_format" in low or "json_schema" in low) and self.schema:
            self.schema = False
        elif "service_tier" in low and self.service_tier:
            self.service_tier = False
        elif self.several and re.search(r"\bn\b", low):
            self.several = False
        elif "system" in low and "role" in low and self.system:
            self.system = False
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

    def longer(self) -> bool:
        """Asks for the next greater number of answer tokens; False: it is the greatest."""
        bigger = [step for step in _STEPS if step > self.answer_tokens]
        if bigger:
            self.answer_tokens = bigger[0]
        return bool(bigger)


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
