"""What one reply to a question says: a grade, or a distribution over the grades, from each of its choices.

Token probabilities count only where they are those of the answer's own digit: servers send them for thoughts too, or for
thoughts alone, and a digit in a thought is no grade. Where the two cannot be aligned, the grade is one sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Any, NamedTuple

from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.client.request import ParsedAnswer
from argilla_admap.scoring.judging.grades import (
    Grade,
    TooShort,
    begins_with_grade,
    quoted,
    read_grade,
    read_grades_by_letter,
    same_length,
)
from argilla_admap.scoring.judging.rubric import SCALE
from argilla_admap.scoring.judging.thoughts import Content, content_of, without_thoughts

__all__ = ["BELIEVABLE_MASS", "Logprobs", "read_choice", "read_choices", "read_letters"]

#: Less probability than this on the grades, and the distribution is not believed.
BELIEVABLE_MASS = 0.8
#: What rounding may add to a probability of 1.
_ROUNDED = 0.05
#: So many candidates are a list that was not cut.
_FULL_LIST = 8

_GRADES = {str(grade): grade for grade in SCALE}
_WEIGHTS = (0, *SCALE)
_SQUARES = tuple(grade * grade for grade in _WEIGHTS)
#: Characters of the longest answer, thoughts included: 120,000 tokens.
_LONGEST = 2**19
#: Tokens of chat templates that servers leave at an answer's end.
_SPECIAL_END = re.compile(r"(?:\s|<[^<>\s]{1,40}>){0,8}\Z")
#: So many characters such tokens may have.
_END_ROOM = 40


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
    """What all choices of a reply say; those that cannot be read are left out.

    Raises:
        Unreadable: there is no choice that can be read; the first one's reason.
    """
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices:
        raise Unreadable("the answer holds no choices")
    answers, first = [], None
    for choice in choices:
        try:
            answers.append(read_choice(choice, json=json))
        except Unreadable as exc:
            first = first or exc
    if not answers and first is not None:
        raise first
    return answers


def read_choice(choice: Mapping[str, Any], *, json: bool) -> ParsedAnswer:
    """One choice's grade: from the token probabilities of its digit where they are believable, else from its text.

    Args:
        choice: as the server sent it.
        json: whether JSON with a reason may have been asked for; else a reason is not kept.

    Raises:
        TooShort: the answer was cut before its grade.
        Unreadable: the reply is a refusal, is empty, is prose, or a number outside the scale.
    """
    message = choice.get("message") or {}
    tokens = _tokens(choice)
    text = message.get("content")
    if isinstance(text, str) and text in _GRADES and len(tokens) == 1 and choice.get("finish_reason") != "content_filter":
        # What a million answers are.
        grade, found = Grade(_GRADES[text]), _distribution(tokens[0]) if _plain(tokens[0].get("token")) == text else None
    else:
        content = content_of(message)
        finish = choice.get("finish_reason")
        _check(content, finish)
        if (length := len(content.text) + len(content.thought)) > _LONGEST:
            raise Unreadable(f"the judge's answer has {length:,} characters: {quoted(content.text)}", again=False)
        try:
            grade = read_grade(content.text, cut=finish == "length")
        except Unreadable as exc:
            found = _first_token(tokens, content)
            if found is None or found.mass <= 0 or not exc.again:
                raise
            # The sampled word is no grade, but in its place stand grades: with enough probability a distribution, with too
            # little flagged by its mass, and sampled.
            if found.believable:
                return _from_logprobs(found, None)
            if isinstance(exc, TooShort):
                raise TooShort(str(exc), mass=found.mass) from None
            return ParsedAnswer(None, None, found.mass)
        found = _distribution(_token_of(grade, tokens, content))
    reason = grade.reason if json else None
    if found is not None and found.believable:
        return _from_logprobs(found, reason)
    return ParsedAnswer(float(grade.value), None, found.mass if found is not None else None, reason)


def read_letters(reply: Any, letters: Sequence[str]) -> list[ParsedAnswer]:
    """The grades of several answers from the one choice of a reply, in the order of their letters.

    Raises:
        TooShort: the reply was cut before its last grade.
        Unreadable: it does not hold just one grade for each letter.
    """
    choice = reply["choices"][0]
    content = content_of(choice.get("message") or {})
    finish = choice.get("finish_reason")
    _check(content, finish)
    tokens, answers = _tokens(choice), []
    for grade in read_grades_by_letter(content.text, letters, cut=finish == "length"):
        found = _distribution(_token_of(grade, tokens, content))
        if found is not None and found.believable:
            answers.append(_from_logprobs(found, None))
        else:
            answers.append(ParsedAnswer(float(grade.value), None, found.mass if found is not None else None))
    return answers


def _from_logprobs(found: Logprobs, reason: str | None) -> ParsedAnswer:
    return ParsedAnswer(found.score, found.variance, found.mass, reason)


def _check(content: Content, finish: Any) -> None:
    """Raises where the choice is no answer at all."""
    if content.refusal and finish != "content_filter":
        raise Unreadable(f"the judge refused: {quoted(content.refusal)}", again=False)
    if finish == "content_filter":
        words = f" ({content.refusal})" if content.refusal else ""
        raise Unreadable(f"the endpoint's content filter held the answer back{words}", again=False)
    if content.text.strip():
        return
    if finish == "length":
        raise TooShort("the judge's answer is empty: it had no token left after its reasoning")
    if content.thought.strip():
        # Asking again would be paid for again, and end likewise.
        raise Unreadable(
            f"the judge's answer is empty: all that it wrote came as reasoning, which is never read as the grade: "
            f"{quoted(content.thought)}; turn off the model's thinking, or its server's reasoning parser",
            again=False,
        )
    raise Unreadable("the judge's answer is empty")


def _tokens(choice: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The choice's tokens with their probabilities; empty where there are none."""
    return (choice.get("logprobs") or {}).get("content") or ()


def _token_of(grade: Grade, tokens: Sequence[Mapping[str, Any]], content: Content) -> Mapping[str, Any] | None:
    """The token that is the answer's digit; None where that cannot be told.

    The tokens must spell the answer: from the digit on to the end, whatever came before (thoughts that the server took out of
    the answer), or from the answer's beginning up to the digit.
    """
    if not tokens or grade.place is None:
        return None
    spelled = [_spelled(token) for token in tokens]
    said = "".join(spelled)
    rest = _without_end(content.text[grade.place :])
    place = len(_without_end(said)) - len(rest)
    if place < 0 or said[place : place + len(rest)] != rest or _says_thoughts_alone(said, content):
        if content.thought or len(said) > len(content.text) + _END_ROOM:
            return None
        place = _same_beginning(said, content.text, grade.place)
    for token, words in zip(tokens, spelled, strict=True):
        if 0 <= place < len(words):
            return token if _plain(token.get("token")) == str(grade.value) else None
        place -= len(words)
    return None


def _same_beginning(said: str, text: str, place: int) -> int:
    """Where in the tokens' text the answer's character at a place stands, if all before is the same but for spaces; else -1."""
    before = "".join(text[:place].split())
    if said.startswith(text[:place]):
        return place
    count = 0
    for n, character in enumerate(said):
        if not character.isspace():
            if count == len(before):
                return n
            if character != before[count]:
                return -1
            count += 1
    return -1


def _without_end(text: str) -> str:
    """The text without the spaces and the template's tokens at its end."""
    found = _SPECIAL_END.search(text, max(0, len(text) - 300))
    return text[: found.start()] if found is not None else text


def _says_thoughts_alone(said: str, content: Content) -> bool:
    """Whether the tokens are those of the thoughts, and the answer's own are missing."""
    thought = content.thought.strip()[-40:]
    return bool(thought) and said.strip().endswith(thought)


def _first_token(tokens: Sequence[Mapping[str, Any]], content: Content) -> Logprobs | None:
    """The probabilities where the answer begins; None where it begins with thoughts, or elsewhere."""
    said, unclosed = without_thoughts(content.text)
    if unclosed or said != content.text or content.thought:
        return None
    first = next((token for token in tokens if _plain(token.get("token"))), None)
    if first is None or not content.text.lstrip().startswith(_spelled(first).strip()):
        return None
    if _plain(first.get("token"))[:1].isdigit() and not begins_with_grade(content.text):
        return None
    return _distribution(first)


def _distribution(token: Mapping[str, Any] | None) -> Logprobs | None:
    if token is None:
        return None
    candidates = token.get("top_logprobs") or [token]
    found = [0.0] * (len(SCALE) + 1)
    total, seen = 0.0, set()
    for candidate in candidates:
        word, logprob = candidate.get("token"), candidate.get("logprob")
        # Some servers send null, or NaN, where they keep no probability; and the token that was drawn a second time.
        if logprob is None or logprob != logprob or (word, logprob) in seen:
            continue
        if logprob > _ROUNDED:
            return None  # a probability, a percentage or a cost: not its logarithm
        seen.add((word, logprob))
        chance = math.exp(logprob)
        total += chance
        grade = _GRADES.get(word) or _GRADES.get(_plain(word))
        if grade is not None:
            # Several spellings of one grade ("4", " 4") add up.
            found[grade] += chance
    if total > 1 + _ROUNDED:
        return None  # placeholders, or each for itself
    mass = sum(found)
    if mass <= 0:
        return Logprobs(math.nan, math.nan, 0.0, 0, len(candidates))
    # Sums of floats may pass the ends of the scale by their last digit.
    mean = min(max(sum(map(mul, _WEIGHTS, found)) / mass, float(SCALE[0])), float(SCALE[-1]))
    spread = max(0.0, sum(map(mul, _SQUARES, found)) / mass - mean * mean)
    return Logprobs(mean, spread, min(1.0, mass), len(found) - found.count(0.0), len(candidates))


def _spelled(token: Mapping[str, Any]) -> str:
    """A token's text, as it stands in the answer: some servers send the vocabulary's own marks for spaces."""
    return str(token.get("token") or "").replace("▁", " ").replace("Ġ", " ").replace("Ċ", "\n")


def _plain(token: Any) -> str:
    return same_length(str(token or "").replace("▁", " ").replace("Ġ", " ").replace("Ċ", " ")).strip()
