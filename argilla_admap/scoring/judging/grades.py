"""The grade that a judge's answer says, or why it says none. What is ambiguous is no grade: a wrong one is worse.

An answer is a grade alone, JSON, or prose, whose statements of the highest rank must agree (see `statements`). "8/10" is of
another scale than 1 to 5, and no grade of ours: it is not converted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.judging.rubric import SCALE
from argilla_admap.scoring.judging.statements import (
    FINAL,
    LABEL,
    LEADING,
    NO_FIGURE,
    NUMBER,
    OTHER_SCALE,
    OWN,
    REVISION,
    Statement,
    alone,
    fenced,
    figure_value,
    quotes_next,
    same_length,
    statements,
)
from argilla_admap.scoring.judging.thoughts import without_thoughts

__all__ = [
    "Grade",
    "TooShort",
    "begins_with_grade",
    "may_go_on",
    "quoted",
    "read_grade",
    "read_grades_by_letter",
    "same_length",
]


class TooShort(Unreadable):
    """The answer was cut before it said a grade: with more tokens it may say one.

    Args:
        reason: in words for the person.
        mass: probability on the grades where the answer begins.
    """

    def __init__(self, reason: str, *, mass: float = 0.0) -> None:
        super().__init__(reason)
        self.mass = mass


class Grade(NamedTuple):
    """What an answer says."""

    value: int
    #: Where its digit stands in the answer; None where that is not one place.
    place: int | None = None
    #: In the judge's words.
    reason: str | None = None


_BRACE = re.compile(r"\{")
_FENCE_BEGIN, _FENCE_END = re.compile(r"```\w{0,20}\s{0,20}\Z"), re.compile(r"\A\s{0,20}```")
_MOST_JSON = 200_000
#: Of a longer answer in prose the beginning and the end are read.
_MOST_PROSE, _BEGINNING = 24_000, 6_000

_NUMBER = re.compile(NUMBER, re.IGNORECASE)
#: A number at the beginning and more after it. Not "1. The answer", nor what may go on, as "4 out of".
_RAMBLES = re.compile(r"\d(?![.)]\s?[^\W\d])(?!\s?/|\s?out\b|\s?of\b).{3}", re.DOTALL)

#: What most that do not say the digit alone say.
_USUAL = re.compile(r"\*{0,2}(?:Score|Rating|Grade):\*{0,2} ?\*{0,2}([1-5])\*{0,2}(?:/5)?\.?\Z")

#: One of several answers with its grade, alone on its line or between commas; around it the marks of lists, of JSON and bold.
_LETTER = re.compile(r"(?:[Aa]nswer )?\(?([A-Z])\)?(?: ?[:=] ?| ?(?:-|->|→|=>) | )([1-5])(?: ?/ ?5)?")
_BETWEEN = re.compile(r"[\n,;]|(?<=\d) +(?=(?:[Aa]nswer )?[A-Z] ?[:=])")
_AROUND = re.compile(r"[\"'*_`{}\t\[\]]")

# JSON.

_KEYS = (
    r"overall|final|(?:final|overall|total)?(?:score|rating|grade|mark|verdict|result|evaluation|value|answer|bewertung|note|punktzahl|"
    r"puntuación|calificación|评分|分数|得分|スコア|評価|点数|점수|평점|оценка|الدرجة)"
)
_KEY = re.compile(rf"(?:{_KEYS})(?:value)?", re.IGNORECASE)
_BEST_KEY = re.compile(r"(?:final|overall|total)?(?:score|rating|grade)", re.IGNORECASE)
_REASON_KEYS = ("reason", "reasoning", "rationale", "explanation", "justification", "feedback", "comment", "begründung", "理由")
_SCALE_KEYS = ("max", "maxscore", "maxrating", "maximum", "outof", "scale", "scalemax", "possible", "total", "bestrating")
_PLAIN_KEY = r"(?:(?:(?:final|overall)[_ -]?)?(?:score|rating|grade)|评分|分数|得分)"
_KEY_IN_TEXT = re.compile(
    rf"(?:(?<![\\\w])[\"'“]{_PLAIN_KEY}[\"'”]|(?:(?<=[{{,])|(?<=[{{,]\s)){_PLAIN_KEY})[ \n]{{0,20}}:[ \n]{{0,20}}"
    rf"[\"'“]?(?P<figure>{NUMBER})",
    re.IGNORECASE,
)


def read_grade(answer: str, *, cut: bool = False) -> Grade:
    """The grade of an answer.

    Args:
        answer: the model's words, its thoughts included.
        cut: whether it was cut by its limit of tokens.

    Raises:
        TooShort: it was cut, and says no grade yet.
        Unreadable: it says no grade, another scale's, or several; the reason quotes it.
    """
    said, unclosed = without_thoughts(answer)
    try:
        if unclosed:
            raise Unreadable(f"the judge's answer ends inside its thoughts: {quoted(answer)}")
        begin = len(said) - len(said.lstrip())
        said = said.strip()
        grade, end = _grade(said, same_length(said))
        if cut and end is not None and not said[end:].strip(" \t\n*_`\"'"):
            raise Unreadable(f"the judge's answer ends where its grade may go on: {quoted(said)}")
        if grade.place is not None:
            grade = grade._replace(place=begin + grade.place)
    except TooShort:
        raise
    except Unreadable as exc:
        if cut and may_go_on(answer):
            raise TooShort(f"{exc} (cut by the limit of its tokens)") from None
        raise
    return grade


def read_grades_by_letter(answer: str, letters: Sequence[str], *, cut: bool = False) -> list[Grade]:
    """The grades of several answers, in the order of their letters: one for each, no other number, and no word after the first.

    Args:
        answer: the model's words, its thoughts included.
        letters: of the answers that were to be graded.
        cut: whether it was cut by its limit of tokens.

    Raises:
        TooShort: it was cut before its last grade.
        Unreadable: a grade is missing, stands twice, is of another scale or letter, or words or numbers stand beside them.
    """
    said, unclosed = without_thoughts(answer)
    plain = _AROUND.sub(" ", same_length(said))
    found: dict[str, Grade] = {}
    begin, problem = 0, "ends inside its thoughts" if unclosed else ""
    problem = problem or ("names another scale" if OTHER_SCALE.search(plain) else "")
    for stop in (*(mark.span() for mark in _BETWEEN.finditer(plain)), (len(plain), len(plain))):
        part = plain[begin : stop[0]]
        graded = _LETTER.fullmatch(" ".join(part.split()).lstrip("•- ").removesuffix("."))
        if graded is not None and (letter := graded[1]) in letters and letter not in found:
            found[letter] = Grade(int(graded[2]), begin + part.index(graded[2]))
        elif any(sign.isdigit() or (sign.isalpha() and found) for sign in part):
            problem = problem or f"says {quoted(said[begin : stop[0]].strip())} beside them"
        begin = stop[1]
    missing = [letter for letter in letters if letter not in found]
    at_end = max((grade.place or 0 for grade in found.values()), default=0) + 1
    if cut and (unclosed or missing or not plain[at_end:].strip()):
        raise TooShort(f"the judge's answer was cut before its last grade: {quoted(said)}")
    if problem or missing:
        problem = problem or f"has no grade of {', '.join(missing)}"
        raise Unreadable(f"the judge's answer is not one grade for each of {', '.join(letters)}: it {problem}")
    return [found[letter] for letter in letters]


def may_go_on(answer: str) -> bool:
    """Whether more tokens could make a grade of an answer that says none: not once it began with a number and rambles on."""
    said, unclosed = without_thoughts(answer)
    return unclosed or _RAMBLES.match(same_length(said.lstrip())) is None


def begins_with_grade(said: str) -> bool:
    """Whether an answer that says no grade begins with one and goes on, as of a model that cannot stop: its first token counts.

    Of a number that is no grade ("40", "4/10", "4/") the first digit says nothing.
    """
    plain = same_length(said.lstrip())
    number = _NUMBER.match(plain)
    return (
        number is not None
        and figure_value(number)[0] is not None
        and NO_FIGURE.match(plain, number.end()) is None
        and any(sign.isalnum() for sign in plain[number.end() :])
    )


def quoted(text: Any) -> str:
    """What was answered, in quotes, on one line and shortened."""
    words = " ".join(str(text)[:400].split())
    return repr(words[:77] + "..." if len(words) > 80 else words)


def _grade(said: str, plain: str) -> tuple[Grade, int | None]:
    """The grade, and where the number ends that more digits could follow; None: it stands alone."""
    if not plain.strip():
        raise Unreadable("the judge's answer is empty")
    if (usual := _USUAL.match(plain)) is not None:
        return Grade(int(usual[1]), usual.start(1)), usual.end(1)
    figure = alone(plain)
    if figure is not None and not NO_FIGURE.match(plain, figure.end("max") if figure["max"] else max(figure.end("int"), 0)):
        value, place = figure_value(figure)
        if value is not None:
            return Grade(value, place), None
        if figure["max"]:
            raise _other_scale(said)
        raise Unreadable(f"the judge's score {figure[0].strip()[:20]} is not on the scale of 1 to 5")
    if "{" in plain and (found := _from_json(said, plain)) is not None:
        return found
    left_out = max(0, len(plain) - _MOST_PROSE)
    if left_out:
        # Grades stand at the beginning or at the end.
        plain = plain[:_BEGINNING] + "\n" + plain[_BEGINNING + left_out + 1 :]
        grade, end = _decide(list(statements(plain)), said, plain)
        place = grade.place + left_out if grade.place is not None and grade.place > _BEGINNING else grade.place
        return grade._replace(place=place), end + left_out if end is not None and end > _BEGINNING else end
    claims = list(statements(plain))
    if not claims and "```" in plain and len(blocks := fenced(plain)) == 1:
        # A lone block that is the answer; what stood before it is left out, and its place is kept.
        begin = plain.index(blocks[0])
        claims = list(statements(" " * (begin - 1) + "\n" + blocks[0] if begin else blocks[0]))
    return _decide(claims, said, plain)


def _other_scale(said: str) -> Unreadable:
    return Unreadable(f"the judge grades on another scale than 1 to 5: {quoted(said)}")


def _several(said: str) -> Unreadable:
    return Unreadable(f"the judge's answer says more than one grade: {quoted(said)}")


def _decide(claims: list[Statement], said: str, plain: str) -> tuple[Grade, int | None]:
    if OTHER_SCALE.search(plain):
        raise _other_scale(said)
    if not claims:
        raise Unreadable(f"the judge's answer is no grade: {quoted(said)}")
    best = max(claim.rank for claim in claims)
    counted = claims
    if best == LABEL:
        counted = [claim for claim in claims if claim.rank in (LABEL, OWN)]
    elif best == FINAL:
        last = max(claim.end for claim in claims if claim.rank == FINAL)
        counted = [claim for claim in claims if claim.rank == FINAL or (claim.rank == LABEL and claim.end > last)]
    values = {claim.value for claim in counted}
    if len(values) > 1:
        raise _several(said)
    value = values.pop()
    if value is None:
        raise Unreadable(f"the judge's score is not on the scale of 1 to 5: {quoted(said)}")
    if any(figure_value(found)[0] != value for found in REVISION.finditer(plain)):
        raise _several(said)
    top = [claim for claim in counted if claim.rank == best]
    return Grade(value, top[0].place if len(top) == 1 else None), max(claim.end for claim in top) if best < LABEL else top[
        0
    ].end


def _from_json(said: str, plain: str) -> tuple[Grade, int | None] | None:
    """The grade of an answer that holds a JSON object, or begins one; None: read it as prose."""
    begin = next((found.start() for found in _BRACE.finditer(said) if _begins_json(said, found.start())), -1)
    if begin < 0:
        return None
    end = said.rfind("}") + 1
    inside = list(_KEY_IN_TEXT.finditer(plain, begin))
    places = [found.start("int") for found in inside if figure_value(found)[0] is not None]
    found, broken = _loaded(said[begin:end]) if end > begin else (None, True)
    if isinstance(found, dict):
        grades = _grades_in(found)
        if not grades:
            if not said[:begin].strip() and not said[end:].strip():
                raise Unreadable(f"the judge's JSON holds no score: {quoted(said)}")
            return None
        if len(set(grades)) > 1:
            raise Unreadable(f"the judge's JSON holds more than one score: {quoted(said)}")
        around = f"{_FENCE_BEGIN.sub('', plain[:begin])}\n{_FENCE_END.sub('', plain[end:])}".strip()
        outside = [c for c in statements(around) if c.rank >= LABEL] if around else []
        if grades[0] is None:
            raise Unreadable(f"the judge's JSON holds no score on the scale of 1 to 5: {quoted(said)}")
        if any(claim.value != grades[0] for claim in outside):
            raise _several(said)
        return Grade(grades[0], places[0] if len(inside) == len(places) == 1 else None, _reason(found)), None
    if not broken or not inside:
        return None
    # Cut off, or with an error: the keys can be read all the same.
    values = {None if NO_FIGURE.match(plain, found.end()) else figure_value(found)[0] for found in inside}
    if len(values) > 1:
        raise Unreadable(f"the judge's JSON holds more than one score: {quoted(said)}")
    value = values.pop()
    if value is None:
        raise Unreadable(f"the judge's JSON holds no score on the scale of 1 to 5: {quoted(said)}")
    return Grade(value, places[0] if len(inside) == len(places) == 1 else None), inside[0].end()


def _begins_json(said: str, place: int) -> bool:
    """Whether the brace is the answer's own: it begins a line, or follows words that announce it. Another is in a quote."""
    before = said[said.rfind("\n", max(0, place - 200), place) + 1 : place].strip(" \t`*[>-")
    return not before or (before.endswith(":") and not quotes_next(before))


class _Twice(Exception):
    """A key stands twice in an object, with two values."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value and _KEY.fullmatch(_key(key)):
            raise _Twice
        found[key] = value
    return found


def _loaded(body: str) -> tuple[Any, bool]:
    """The JSON value; and whether it is none."""
    if len(body) > _MOST_JSON:
        return None, True
    try:
        # Its own limit of depth is below Python's; NaN, which it refuses, is left to Python.
        found = orjson.loads(body)
        if not isinstance(found, dict) or body.count(":") == len(found):
            return found, False  # no key stands twice
    except orjson.JSONDecodeError:
        if "NaN" not in body and "Infinity" not in body:
            return None, True
    try:
        return json.loads(body, object_pairs_hook=_once, strict=False), False
    except _Twice:
        raise Unreadable(f"the judge's JSON holds more than one score: {quoted(body)}") from None
    except (ValueError, RecursionError):
        return None, True


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _grades_in(found: Any, depth: int = 0) -> list[int | None]:
    """The grades in a JSON value: those of the outermost object that has any."""
    if depth > 6:
        return []
    if isinstance(found, list):
        return [grade for part in found[:20] for grade in _grades_in(part, depth + 1)]
    if not isinstance(found, dict):
        return []
    named = [(_key(name), value) for name, value in found.items()]
    for pattern in (re.compile(r"(?:final|overall)(?:score|rating|grade)", re.IGNORECASE), _BEST_KEY, _KEY):
        values = [value for name, value in named if pattern.fullmatch(name)]
        if any(not isinstance(value, (dict, list)) for value in values):
            values = [value for value in values if not isinstance(value, (dict, list))]
        if values:
            grades = [grade for value in values for grade in _json_grades(value, depth)]
            other = any(name in _SCALE_KEYS and _other_most(value) for name, value in named)
            if grades:
                return [None] if other else grades
    return [grade for _, value in named if isinstance(value, (dict, list)) for grade in _grades_in(value, depth + 1)]


def _json_grades(value: Any, depth: int) -> list[int | None]:
    if isinstance(value, dict):
        return _grades_in(value, depth + 1)
    if isinstance(value, list):
        return _json_grades(value[0], depth + 1) if len(value) == 1 and depth < 6 else []
    if isinstance(value, bool) or value is None:
        return [None]
    if isinstance(value, (int, float)):
        return [int(value) if value in SCALE else None]
    words = same_length(str(value))[:200]
    figure = alone(words) or LEADING.match(words + "\n")
    if figure is None or (figure["int"] and figure["max"] is None and NO_FIGURE.match(words, max(figure.end("int"), 0))):
        return [None]
    return [figure_value(figure)[0]]


def _other_most(value: Any) -> bool:
    numbers = re.findall(r"\d{1,6}", str(value)[:60])
    return bool(numbers) and int(numbers[-1]) != SCALE[-1]


def _reason(found: dict[str, Any]) -> str | None:
    for name, value in found.items():
        if _key(name) in _REASON_KEYS and isinstance(value, str) and value.strip():
            return " ".join(value.split())
    return None
