"""What a judge grades by: the words of a rubric, our own or a team's."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from argilla_admap.errors import InputError

__all__ = ["SCALE", "Rubric", "read_rubric"]

#: The grades: one token each, and five labels fit into the five candidates that some servers give.
SCALE = (1, 2, 3, 4, 5)

_GRADES = {
    1: "Useless or harmful: wrong, off the point, or against what was asked.",
    2: "Poor: a part is of use, but it misses much of what was asked or holds serious errors.",
    3: "Fair: it answers the request in the main, with gaps, errors or needless matter that a reader would notice.",
    4: "Good: correct and helpful, follows the instructions, with small flaws only.",
    5: "Excellent: correct, complete, clear and to the point; an expert would not change it.",
}
_CRITERIA = {
    "instruction following": "does what the request asks, within its limits of form, length and language",
    "correctness": "facts, reasoning and code are right",
    "honesty": "claims no more than is known, and says so where it does not know",
    "helpfulness": "serves the person's purpose, completely and without padding; a long answer is not better for being long",
}
_DASHES = {ord("–"): "-", ord("—"): "-", ord("～"): "-", ord("~"): "-"}
_TO = r"\s?(?:-|to|through|and|bis|à|al?|до|到|至|から)\s?"
_RATE = (
    r"(?:\b(?:rat(?:e|es|ed|ing|ings)|scor(?:e|es|ed|ing)|grad(?:e|es|ed|ing)|mark|marks|scale|points?|bewert\w*|benot\w*|skala|punkte\w*|"
    r"notez?|échelle|punt[uú]a\w*|calific\w*|escala|valut\w*|scala|оцен\w*|шкал\w*)\b|打分|评分|評分|評価|採点|점수|평가)"
)
#: A scale that a rubric names: from and to, out of, or points.
_SCALES = re.compile(
    rf"{_RATE}[^.\n\d]{{0,60}}?(?<![\d.])(?P<low>[01]){_TO}(?P<high>[4-9]|[1-9]\d{{1,2}})(?![\d.]\d|\d)(?!\s?(?:words?|sentences?|lines?|%))"
    rf"|{_RATE}[^.\n]{{0,40}}?(?:\bout of|\bvon|\bsur|\w\s?/)\s?(?P<most>10|20|100)\b"
    r"|(?<![\d.])(?P<points>\d{1,3})(?:[ -]point scale|分制|点満点|점 만점)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rubric:
    """The words by which answers are graded."""

    #: Guidelines in free text; may be empty.
    text: str
    #: Name and description of each criterion.
    criteria: Mapping[str, str]
    #: What each grade of the scale means.
    grades: Mapping[int, str]

    def words(self) -> str:
        """The rubric as the judge reads it."""
        parts = [self.text.strip()] if self.text.strip() else []
        if self.criteria:
            lines = [f"- {name}: {what}" if what else f"- {name}" for name, what in self.criteria.items()]
            parts.append("Criteria:\n" + "\n".join(lines))
        parts.append("Grades:\n" + "\n".join(f"{grade}: {self.grades[grade]}" for grade in SCALE))
        return "\n\n".join(parts)

    @property
    def hash(self) -> str:
        """Twelve hex digits that name these words."""
        return hashlib.blake2b(self.words().encode(), digest_size=6).hexdigest()


def read_rubric(path: Path | None) -> Rubric:
    """The rubric of a file; None: our own.

    A text file holds guidelines in free words. A JSON or TOML file holds ``text``, ``criteria`` (a table of names and
    descriptions, or a list of names) and ``grades`` (a table of 1 to 5 and descriptions), each of them optional.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    if path is None:
        return Rubric("", _CRITERIA, _GRADES)
    try:
        return _read(Path(path))
    except (OSError, UnicodeDecodeError) as exc:
        hint = "give a text, JSON or TOML file in UTF-8"
        raise InputError(f"{path}: cannot be read ({exc})", option="rubric", hint=hint) from exc
    except ValueError as exc:
        raise InputError(f"{path}: {exc}", option="rubric") from exc


def _read(path: Path) -> Rubric:
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        raise ValueError("the file is empty; write down what a good answer is")
    kind = path.suffix.lower()
    if kind not in {".json", ".toml"}:
        return _on_our_scale(Rubric(text, {}, _GRADES))
    try:
        found = orjson.loads(text) if kind == ".json" else _toml(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"not valid {kind[1:].upper()} ({exc})") from exc
    if not isinstance(found, dict):
        raise ValueError("must hold a table with text, criteria or grades")
    odd = sorted(set(found) - {"text", "criteria", "grades"})
    if odd:
        raise ValueError(f"{odd[0]!r} is not known; the names are text, criteria and grades")
    text = _string(found.get("text", ""), "text")
    return _on_our_scale(Rubric(text, _criteria(found.get("criteria")), _grades(found.get("grades"))))


def _on_our_scale(rubric: Rubric) -> Rubric:
    """The rubric, which must not ask for grades that the judge may not give: it would follow the one or the other."""
    said = f"{rubric.text}\n{' '.join(rubric.criteria)}\n{' '.join(rubric.criteria.values())}".translate(_DASHES)
    for found in _SCALES.finditer(said):
        low, high = found["low"], int(found["high"] or found["most"] or found["points"])
        if (low or "1", high) != ("1", SCALE[-1]):
            words, asked = " ".join(found[0].split()), "of" if low is None else f"from {low} to"
            raise ValueError(
                f"it asks for grades {asked} {high} ({words!r}), and the judge grades from 1 to 5; "
                "say in it what the grades 1 to 5 mean"
            )
    return rubric


def _criteria(found: Any) -> Mapping[str, str]:
    if found is None:
        return {}
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        found = dict.fromkeys(found, "")
    if not isinstance(found, dict) or not all(isinstance(k, str) for k in found):
        raise ValueError("criteria must be a table of names and descriptions, or a list of names")
    return {name: _string(what, f"criteria.{name}") for name, what in found.items()}


def _grades(found: Any) -> Mapping[int, str]:
    if found is None:
        return _GRADES
    if not isinstance(found, dict) or {str(k) for k in found} != {str(g) for g in SCALE}:
        raise ValueError("grades must describe each of 1, 2, 3, 4 and 5")
    return {int(grade): _string(what, f"grades.{grade}") for grade, what in found.items()}


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}; it must be text")
    return value


def _toml(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads(text)
    raise ValueError("Python 3.10 cannot read TOML; write the rubric as JSON")
