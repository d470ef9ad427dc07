"""A grammar of judges' answers whose grade is known: what models say around a grade, with every kind of number beside it.

An answer is made of a thought, an opening, criteria, a verdict and an explanation, each of them optional and in many forms,
with markup and chat templates around it. What stands in thoughts, quotes of the data, conditions and counts is drawn without
regard to the grade. Some answers are made so that nobody could say which grade they mean: those must be none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

__all__ = ["answers"]

_DATA = Path(__file__).parents[1] / "data" / "grades" / "grammar.txt"


def _parts() -> dict[str, list[str]]:
    """What answers are made of, by kind: a line each, in quotes."""
    found: dict[str, list[str]] = {}
    entries: list[str] = []
    for line in _DATA.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            entries = found[line[1:-1]] = []
        elif line:
            entries.append(re.sub(r"\\(.)", lambda escaped: "\n" if escaped[1] == "n" else escaped[1], line[1:-1]))
    return found


_PARTS = _parts()
_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
_CRITERIA = ["Correctness", "Clarity", "Helpfulness", "Honesty", "Instruction following", "Style"]


def answers(seed: int, count: int) -> Iterator[tuple[str, int | None]]:
    """Answers with their grades; None: nobody could say which."""
    rng = Random(seed)  # a seed, so that a failure can be had again
    for _ in range(count):
        grade = rng.randint(1, 5)
        if rng.random() < 0.15:
            yield _around(rng, _filled(rng, _choice(rng, "no_grades")), thoughts=False), None
        else:
            yield _around(rng, _answer(rng, grade)), grade


def _filled(rng: Random, words: str) -> str:
    n, m = rng.sample(range(1, 6), 2)
    n, m = sorted((n, m)) if "-{m}" in words or "of the {m}" in words else (n, m)
    return words.format(n=n, m=m, year=rng.randint(1990, 2026), hundred=rng.randint(11, 999), ten=rng.randint(6, 10))


def _figure(rng: Random, grade: int) -> str:
    words = {"word": rng.choice((_WORDS[grade], _WORDS[grade].capitalize())), "stars": "★" * grade + "☆" * (5 - grade)}
    return _choice(rng, "forms").format(g=grade, key=f"{grade}\ufe0f\u20e3", wide="０１２３４５"[grade], **words)


def _choice(rng: Random, *kinds: str) -> str:
    return rng.choice([entry for kind in kinds for entry in _PARTS[kind]])


def _several(rng: Random, counts: tuple[int, ...], *kinds: str) -> str:
    return " ".join(_filled(rng, _choice(rng, *kinds)) for _ in range(rng.choice(counts)))


def _answer(rng: Random, grade: int) -> str:
    kind = rng.random()
    if kind < 0.12:
        return _figure(rng, grade)
    if kind < 0.22:
        return _json(rng, grade)
    if kind < 0.34:
        return _foreign(rng, grade)
    if kind < 0.42:
        return _leading(rng, grade)
    before = _several(rng, (0, 0, 1, 1, 2, 3), "openings", "quotes")
    after = _several(rng, (0, 0, 1, 2, 3), "after", "quotes")
    criteria, verdict = "", _verdict(rng, grade)
    if rng.random() < 0.2:
        form = rng.choice(("{}: {}/5", "- {}: {}", "**{}**: {}/5", "| {} | {} |"))
        chosen = rng.sample(_CRITERIA, rng.randint(1, 4))
        criteria = "\n".join(form.format(name, rng.randint(1, 5)) for name in chosen) + "\n\n"
        figure = rng.choice(("{}", "{}/5", "**{}**")).format(grade)
        verdict = f"{rng.choice(('Overall score', 'Final score', 'Overall', 'Final rating'))}: {figure}"
    gap = rng.choice(("\n", "\n\n", " "))
    if criteria or "\n" in verdict or not verdict[0].isalpha():
        gap = "\n\n"
    return f"{before}{gap if before else ''}{criteria}{verdict}" + (rng.choice(("\n", "\n\n")) + after if after else "")


def _verdict(rng: Random, grade: int) -> str:
    kind = rng.random()
    if kind < 0.2:
        return _choice(rng, "sentences").format(g=grade)
    if kind < 0.3:
        return _choice(rng, "marks").format(g=grade, tag=rng.choice(("score", "rating", "grade", "final_score", "answer")))
    mark = rng.choice(("", "", "", "**", "__"))
    heading = rng.choice(("", "", "", "", "### ", "- ", "* ", "1. "))
    separator = _choice(rng, "separators")
    figure = _figure(rng, grade)
    if "\n" in separator:
        figure = rng.choice(("{}", "{}/5", "**{}**", "{}.0")).format(grade)
        heading = heading.replace("1. ", "")
    label = f"{_choice(rng, 'labels')}{_choice(rng, 'specs')}"
    if mark:
        return f"{heading}{mark}{label}{separator.rstrip()}{mark}{chr(10) if chr(10) in separator else ' '}{figure}"
    return f"{heading}{label}{separator}{figure}"


def _leading(rng: Random, grade: int) -> str:
    form = _choice(rng, "leading")
    if grade == 1 and form == "{g}. {e}":
        form = "{g}\n\n{e}"
    said = _filled(rng, rng.choice([words for words in _PARTS["after"] if not words.startswith(("{", "A {n}", "("))]))
    return form.format(g=grade, e=said, l=said[0].lower() + said[1:])


def _foreign(rng: Random, grade: int) -> str:
    said = _choice(rng, "other_languages").format(g=grade, arabic="٠١٢٣٤٥"[grade])
    explained = _several(rng, (0, 0, 1, 2), "explained")
    return said + ("\n" + explained if explained else "")


def _json(rng: Random, grade: int) -> str:
    key = rng.choice(("score", "Score", "SCORE", "rating", "Rating", "grade", "final_score", "overall_score", "Overall Score"))
    found: dict[str, object] = {key: rng.choice((grade, grade, float(grade), str(grade), f"{grade}/5", f"{grade} out of 5"))}
    if rng.random() < 0.7:
        found[rng.choice(("reason", "Reason", "rationale", "explanation"))] = _several(rng, (1,), "openings", "after", "quotes")
    if rng.random() < 0.2:
        found |= {rng.choice(("correctness", "clarity", "length", "confidence")): rng.randint(1, 5)}
    if rng.random() < 0.5:
        found = dict(reversed(list(found.items())))
    if rng.random() < 0.1:
        found = {rng.choice(("evaluation", "result", "output")): found}
    text = json.dumps(found, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, None, 2)))
    if rng.random() < 0.1:
        text = text[:-1].rstrip() + rng.choice((",}", ", }"))
    if rng.random() < 0.1 and "'" not in text:
        text = repr(found)
    return rng.choice(("{}", "{}", "```json\n{}\n```", "Here is the JSON:\n\n{}", "```\n{}\n```", "{}\n")).format(text)


def _around(rng: Random, answer: str, *, thoughts: bool = True) -> str:
    """Thoughts before it, and what templates leave after it."""
    if thoughts and rng.random() < 0.35:
        thought = _several(rng, (1, 2, 3, 4), "openings", "after", "considered")
        answer = _choice(rng, "thoughts").format(t=thought, T=thought[0].upper() + thought[1:], a=answer)
    if rng.random() < 0.08:
        answer += rng.choice(("<|im_end|>", "</s>", "<|eot_id|>", "<end_of_turn>", "<|return|>", "<|endoftext|>", "\n\n", " "))
    if rng.random() < 0.03:
        answer += f"<|im_end|>\n<|im_start|>user\nScore: {rng.randint(1, 5)}"
    return answer
