"""The reading of the judge's answer. Only the server's reply is read, never what the data say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from operator import mul
from typing import Any, NamedTuple

import orjson

from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.judging.rubric import SCALE

__all__ = ["BELIEVABLE_MASS", "Logprobs", "read_choice", "read_choices"]

#: Less probability than this on the grades, and the distribution is not believed.
BELIEVABLE_MASS = 0.8
#: So many candidates are a list that was not cut.
_FULL_LIST = 8

_GRADES = {str(grade): grade for grade in SCALE}
_WEIGHTS = (0, *SCALE)
_SQUARES = tuple(grade * grade for grade in _WEIGHTS)
_ALONE = re.compile(r"[\s\"'`*_(\[{#.:]*([0-9]+(?:\.[0-9]+)?)[\s\"'`*_)\]}.!]*\Z")
# The last verdict counts: an answer may quote an earlier one before it gives its own.
_VERDICT = re.compile(
    r"(?:score|grade|rating|mark|verdict|评分|分数|得分|スコア|評価|評点|الدرجة|التقييم)\W{0,12}?(?:is|of|:|=|为|是|は)?\W{0,6}?"
    r"(?<![A-Za-z0-9_.])(\d+(?:\.\d+)?)(?![\w.]*\d)",
    re.IGNORECASE,
)
_OUT_OF = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*(?:/|out of|sur|von|de)\s*5(?!\d|\.\d)", re.IGNORECASE)
# Digits of other scripts that judges use: full width, Arabic-Indic, Persian.
_DIGITS = str.maketrans("０１２３４５６７８９٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "0123456789" * 3)
_SCORE_AHEAD = re.compile(r'"score"\s*:\s*"?\Z')
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


class Logprobs(NamedTuple):
    """What an answer's token probabilities say."""

    #: Expected grade and its variance, renormalised over the grades.
    score: float
    variance: float
    #: Probability on the grades, 0..1.
    mass: float
    #: Different grades among the candidates, and candidates in all.
    grades: int
    candidates: int

    @property
    def believable(self) -> bool:
        """Whether it is a distribution: enough mass, and not a list cut to its first token (whose mass would be 1)."""
        return self.mass >= BELIEVABLE_MASS and (self.grades >= 2 or self.candidates >= _FULL_LIST)


def read_choices(reply: Any, *, json: bool) -> list[ParsedAnswer]:
    """The readings of all choices of a reply; those that cannot be read are left out.

    Raises:
        Unreadable: there is no choice that can be read; the first one's reason.
    """
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices:
        raise Unreadable("the answer holds no choices")
    readings, first = [], None
    for choice in choices:
        try:
            readings.append(read_choice(choice, json=json))
        except Unreadable as exc:
            first = first or exc
    if not readings and first is not None:
        raise first
    return readings


def read_choice(choice: dict[str, Any], *, json: bool) -> ParsedAnswer:
    """One choice's grade: from its token probabilities where they are believable, else from its text.

    Raises:
        Unreadable: the reply is a refusal, is empty, is prose, or a number outside the scale.
    """
    message = choice.get("message") or {}
    text = message.get("content")
    if isinstance(text, list):
        text = "".join(part.get("text") or "" for part in text if isinstance(part, dict))
    items = (choice.get("logprobs") or {}).get("content") or []
    reason = None
    if json:
        grade, reason = _from_json(message, text, choice.get("finish_reason"))
        found = _distribution(_score_item(items))
    else:
        found = _distribution(_grade_item(items))
        if found is not None and found.believable:
            return ParsedAnswer(found.score, found.variance, found.mass)
        try:
            grade = _from_text(message, text, choice.get("finish_reason"))
        except Unreadable as exc:
            if found is None or found.mass <= 0 or not exc.again:
                raise
            # Some probability is on grades, too little to believe: flagged by its mass, and sampled.
            return ParsedAnswer(None, None, found.mass)
    if found is not None and found.believable:
        return ParsedAnswer(found.score, found.variance, found.mass, reason)
    return ParsedAnswer(float(grade), None, found.mass if found is not None else None, reason)


def _grade_item(items: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The token that is the grade: the first that is one, else the first that says anything."""
    for item in items:
        token = item.get("token")
        if token in _GRADES or _plain(token) in _GRADES:
            return item
    return next((item for item in items if _plain(item.get("token"))), None)


def _score_item(items: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The token after ``"score":`` in a JSON answer."""
    before = ""
    for item in items:
        token = str(item.get("token") or "")
        if token.strip() and _SCORE_AHEAD.search(before):
            return item
        before = (before + token)[-40:]
    return None


def _distribution(item: dict[str, Any] | None) -> Logprobs | None:
    if item is None:
        return None
    candidates = item.get("top_logprobs") or [item]
    found = [0.0] * (len(SCALE) + 1)
    for candidate in candidates:
        token = candidate.get("token")
        grade = _GRADES.get(token) or _GRADES.get(_plain(token))
        # Some servers send null, or NaN, where they keep no probability.
        if grade is not None and (logprob := candidate.get("logprob")) is not None and logprob == logprob:
            # Several spellings of one grade ("4", " 4") add up.
            found[grade] += math.exp(min(0.0, logprob))
    mass = sum(found)
    if mass <= 0:
        return Logprobs(math.nan, math.nan, 0.0, 0, len(candidates))
    mean = sum(map(mul, _WEIGHTS, found)) / mass
    spread = max(0.0, sum(map(mul, _SQUARES, found)) / mass - mean * mean)
    return Logprobs(mean, spread, min(1.0, mass), len(found) - found.count(0.0), len(candidates))


def _plain(token: Any) -> str:
    return str(token or "").replace("▁", " ").replace("Ġ", " ").strip().translate(_DIGITS)


def _from_text(message: dict[str, Any], text: Any, finish: Any) -> int:
    if message.get("refusal"):
        raise Unreadable(f"the judge refused: {_short(message['refusal'])}", again=False)
    if finish == "content_filter":
        raise Unreadable("the endpoint's content filter held the answer back", again=False)
    if not isinstance(text, str) or not text.strip():
        raise Unreadable("the judge's answer is empty")
    said = _THOUGHT.sub("", text).translate(_DIGITS)
    alone = _ALONE.match(said)
    verdicts = [alone.group(1)] if alone else _VERDICT.findall(said) or _OUT_OF.findall(said)
    if not verdicts:
        raise Unreadable(f"the judge's answer is no grade: {_short(text)}")
    return _on_scale(verdicts[-1])


def _from_json(message: dict[str, Any], text: Any, finish: Any) -> tuple[int, str | None]:
    if message.get("refusal") or finish == "content_filter" or not isinstance(text, str) or not text.strip():
        return _from_text(message, text, finish), None
    body = _THOUGHT.sub("", text).strip()
    body = body[body.find("{") : body.rfind("}") + 1] or body
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Cut off in the reason: the grade came first.
        cut = re.match(r'\W*"score"\W*(\d+)\b', text)
        if cut:
            return _on_scale(cut.group(1)), None
        found = None
    if not isinstance(found, dict):
        # No JSON object, but perhaps a grade all the same.
        return _from_text(message, text, finish), None
    if isinstance(found.get("score"), bool) or not isinstance(found.get("score"), (int, float, str)):
        raise Unreadable(f"the judge's JSON holds no score: {_short(text)}")
    reason = found.get("reason")
    return _on_scale(str(found["score"]).strip()), " ".join(reason.split()) if isinstance(
        reason, str
    ) and reason.strip() else None


def _on_scale(words: str) -> int:
    try:
        value = float(words)
    except ValueError:
        raise Unreadable(f"the judge's score is no number: {_short(words)}") from None
    if value not in SCALE:
        raise Unreadable(f"the judge's score {words[:20]} is not on the scale of 1 to 5")
    return int(value)


def _short(text: Any) -> str:
    words = " ".join(str(text).split())
    return repr(words[:77] + "..." if len(words) > 80 else words)
