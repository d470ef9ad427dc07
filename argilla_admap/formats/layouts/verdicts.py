"""Rival answers in fields of their own, and a verdict on them: Chatbot Arena, HelpSteer3, AlpacaEval and their kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from argilla_admap.formats.format import Draft, Edit, FieldNames, Put, Row, RowError, RowFormat, TieCannotBeSaid
from argilla_admap.formats.rows.conversations import looks_like_messages, messages, prompt_and_turns, said, split_messages
from argilla_admap.formats.rows.prompts import PROMPTS, prompt_of, with_surroundings
from argilla_admap.formats.rows.ratings import wanted_ratings
from argilla_admap.formats.rows.row_label import label, put_label, settle_rating, settle_verdict, verdict_values
from argilla_admap.formats.rows.verdict_scale import BOTH_BAD, TIE, VerdictScale
from argilla_admap.formats.values import (
    as_text,
    fields_of,
    found_id,
    found_source,
    in_backticks,
    listing,
    number,
    optional_text,
    seen,
    shorten,
    text,
    unpacked,
    written_like,
)
from argilla_admap.records import Turn, render_turns

__all__ = ["Arena", "HelpSteer3", "Versus", "rival_fields"]

_STEMS = (
    *("response", "answer", "completion", "output", "generation", "candidate", "reply", "summary", "human_ref"),
    *("assistant", "solution", "model_output"),
)
_RUNS = (
    ["left", "right"],
    ["first", "second"],
    [str(n) for n in range(100)],
    [str(n) for n in range(1, 100)],
    list("abcdefgh"),
)
_SUFFIXES = r"\d{1,2}|[A-Ha-h]|left|right|first|second"
_RIVAL = re.compile(
    rf"(?P<stem>{'|'.join(_STEMS)})(?P<gap>[ _-]?)(?P<end>{_SUFFIXES})"
    rf"|(?:model[ _-])?(?P<front>{_SUFFIXES}|[ab12])[ _-](?P<back>{'|'.join(_STEMS)})",
    re.IGNORECASE,
)
#: Fields of verdicts, the first that a row has is taken.
_VERDICTS = (
    *("better_response_id", "overall_pref", "overall_preference", "preference_strength", "preference", "preferred"),
    *(
        "winner",
        "verdict",
        "comparison",
        "better",
        "best",
        "better_response",
        "best_response",
        "preferred_response",
        "human_preference",
    ),
    *(
        "choice",
        "selected",
        "selection",
        "judgment",
        "judgement",
        "decision",
        "vote",
        "votes",
        "preferences",
        "chosen",
        "labels",
        "label",
    ),
)
_ANNOTATORS = re.compile(r"annotator[ _-]?\d+")
_SCORES = ("score", "rating", "reward", "grade", "likert", "votes", "upvotes", "likes", "rank")


def rival_fields(row: Row) -> tuple[str, ...]:
    """Fields that hold rival answers, told by their names: ``response_1`` and ``response_2``, ``answer_a`` and ``answer_b``."""
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for name, value in row.items():
        match = _RIVAL.fullmatch(name)
        if match and (isinstance(value, str) or looks_like_messages(value)):
            stem, end = match["stem"] or match["back"], match["end"] or match["front"]
            groups.setdefault((stem.lower(), match["gap"] or ""), {})[end.lower()] = name
    for stem in _STEMS:
        for (found, _), names in groups.items():
            for ends in _RUNS if found == stem else ():
                there = [end for end in ends if end in names]
                if len(there) == len(names) >= 2 and there == ends[: len(there)]:
                    return tuple(names[end] for end in there)
    return ()


def _score_fields(row: Row, answers: Sequence[str]) -> tuple[str, ...]:
    """Fields with a number for each answer, named after it: ``score_0``, ``response_1_score``, ``score_response_a``."""
    for word in _SCORES:
        found = []
        for answer in answers:
            match = _RIVAL.fullmatch(answer)
            end = (match["end"] or match["front"]) if match else ""
            names = (f"{word}_{end}", f"{word}{end}", f"{answer}_{word}", f"{word}_{answer}", f"{answer} {word}")
            found += [next((n for n in names if n in row), "")]
        if all(found):
            return tuple(found)
    return ()


class Versus(RowFormat):
    """Rival answers in fields of their own, and a verdict in a field, or a score for each (AlpacaEval, LLMBar, WebGPT, SHP)."""

    name = "versus"
    takes = "the completions are fields such as `response_0` and `response_1`; the label is a verdict or scores beside them"

    def fits(self, row: Row) -> bool:
        if "chosen" in row and "rejected" in row:
            return False
        answers = rival_fields(row)
        labelled = bool(answers) and bool(self._verdicts(row, answers) or _score_fields(row, answers))
        return labelled or (bool(answers) and any(name in row for name in PROMPTS))

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        row: Row = {name: value for row in reversed(sample) for name, value in row.items() if value is not None}
        answers = fields.completion or rival_fields(row)
        fields = replace(fields, completion=answers)
        if fields.rating or not answers:
            return settle_rating(sample, fields)
        verdicts = self._verdicts(row, answers)
        if len(verdicts) > 1 and verdicts[0] in _VERDICTS:
            # A field of that name may hold reasons; the first that says which is better is taken.
            readable = [
                n for n in verdicts if any(VerdictScale(n, answers, (0, 2)).outcome(v) is not None for v in _values(sample, n))
            ]
            verdicts = tuple((readable or verdicts)[:1])
        if not fields.verdict and not verdicts:
            if scores := _score_fields(row, answers):
                return settle_rating(sample, replace(fields, rating=scores))
            absent = VerdictScale("preference", tuple(answers), written={TIE: TIE, BOTH_BAD: BOTH_BAD}, absent=True)
            return replace(fields, scales=(absent,))
        if {"scenario", "response 1", "response 2"} <= set(row) and not fields.verdict_values:
            # auto-j counts its answers from 1 and its verdicts from 0.
            fields = replace(fields, verdict_values=(("a", "0"), ("b", "1"), ("tie", "2")))
        return settle_verdict(sample, fields, answers, verdicts)

    def _verdicts(self, row: Row, answers: Sequence[str]) -> tuple[str, ...]:
        found = tuple(name for name in _VERDICTS if name in row and name not in answers)
        return found or tuple(sorted(name for name in row if _ANNOTATORS.fullmatch(name)))

    def describe(self, fields: FieldNames) -> str:
        named = in_backticks(fields.completion) or "not found"
        words = [f"the completions are {named}", *(scale.describe() for scale in fields.scales)]
        if fields.rating:
            words.append(f"the {'ranks' if fields.order == 'lower' else 'ratings'} are {in_backticks(fields.rating)}")
        return "; ".join(words)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        names = fields.completion or rival_fields(row)
        if not names:
            raise RowError(f"two answers are missing, expected fields such as response_0 and response_1 in {fields_of(row)}")
        prompt, turns, texts = self._texts(row, names)
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=texts,
            ratings=(None,) * len(texts),
            models=self._models(row, names),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )
        label(row, draft, fields)
        return draft

    def _texts(self, row: Row, names: Sequence[str]) -> tuple[str, tuple[Turn, ...], tuple[str, ...]]:
        question = unpacked(row.get("question"))
        sides = [messages(row.get(name), repr(name)) for name in names]
        found = [side for side in sides if side is not None]
        shared: Sequence[Turn] = ()
        if len(found) == len(sides):
            shared, answers = split_messages(*found)
        else:
            answers = [text(row, n) if side is None else said(side) for n, side in zip(names, sides, strict=True)]
        if isinstance(question, Mapping) and "full_text" in question:
            return as_text(question["full_text"], "the prompt 'question.full_text'"), (), tuple(answers)
        if any(turn.role == "user" for turn in shared):
            return *with_surroundings(row, shared, names), tuple(answers)
        return *prompt_of(row, taken=names), tuple(answers)

    def _models(self, row: Row, names: Sequence[str]) -> tuple[str | None, ...]:
        models = []
        for answer in names:
            match = _RIVAL.fullmatch(answer)
            end = (match["end"] or match["front"]) if match else ""
            name = next(
                (n for n in (f"model_{end.lower()}", f"generator_{end}", f"model_{end}", f"{answer}_model") if n in row), ""
            )
            models.append(optional_text(row[name]) if name else None)
        return tuple(models)

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return put_label(row, draft, ratings, fields)


def _values(sample: Sequence[Row], name: str) -> list[Any]:
    return [value for row in sample for _, value in verdict_values(row, name)]


_FLAGS = ("winner_model_a", "winner_model_b", "winner_tie")


_CONVERSATIONS = (("conversation_a", "conversation_b"), ("messages_a", "messages_b"))


class Arena(Versus):
    """Chatbot Arena's layouts: two conversations or two responses, and who won."""

    name = "arena"
    takes = (
        "the completions are `conversation_a` and `conversation_b` after what both begin with, or `response_a` and "
        "`response_b` to `prompt`; the ratings are by `winner`: 1 and 0, a tie is 0.5 each, both bad is 0 each"
    )

    def fits(self, row: Row) -> bool:
        judged = "winner" in row or all(name in row for name in _FLAGS[:2])
        return judged and (
            any(all(name in row for name in sides) for sides in _CONVERSATIONS)
            or ("response_a" in row and "response_b" in row and "prompt" in row)
        )

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        fields = settle_rating(sample, fields)
        name = "winner" if any("winner" in row for row in sample) else None
        if not fields.rating and (fields.verdict or name):
            sides = self._sides(sample[0]) if sample else ("response_a", "response_b")
            return settle_verdict(sample, fields, sides, (name,) if name else ())
        return fields

    def describe(self, fields: FieldNames) -> str:
        sides = fields.scales[0].fields if fields.scales else ("response_a", "response_b")
        words = [f"the completions are {in_backticks(sides)}{' after what both begin with' * (sides in _CONVERSATIONS)}"]
        words += [scale.describe() for scale in fields.scales]
        if fields.rating:
            words.append(f"the {'ranks' if fields.order == 'lower' else 'ratings'} are {in_backticks(fields.rating)}")
        elif not fields.scales:
            words.append(f"the verdict is {in_backticks(_FLAGS)}")
        return "; ".join(words)

    def _sides(self, row: Row) -> tuple[str, str]:
        return next((sides for sides in _CONVERSATIONS if sides[0] in row), ("response_a", "response_b"))

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        names = self._sides(row)
        shared: Sequence[Turn]
        if names in _CONVERSATIONS:
            sides = []
            for name in names:
                value = messages(row.get(name), repr(name))
                if value is None:
                    raise RowError(f"{name!r} is {seen(row.get(name))}, expected a list of messages")
                sides.append(value)
            whole, sides = sides, [_judged(side, row.get("turn")) for side in sides]
            cut = whole != sides
            shared, answers = split_messages(*sides)
            prompt, kept = with_surroundings(row, shared, names)
        else:
            cut = False
            prompt, kept, *answers = _exchange(row)
        draft = Draft(
            prompt=prompt,
            turns=kept,
            completions=tuple(answers),
            models=(optional_text(row.get("model_a")), optional_text(row.get("model_b"))),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )
        if cut:
            draft.remarks = ("'turn' says which answer was judged: what was said after it is not read",)
        if fields.scales or fields.rating:
            label(row, draft, fields)
        else:
            draft.ratings = _flagged(row)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        if fields.scales or fields.rating:
            return put_label(row, draft, ratings, fields)
        first, second = wanted_ratings(draft, ratings)
        if first is None or second is None or (first, second) == draft.ratings:
            return []
        if first == second == 0.0 or (first == second and _FLAGS[2] not in row):
            raise TieCannotBeSaid
        wanted = (float(first > second), float(first < second), float(first == second))
        edits: list[Edit] = []
        for name, value in zip(_FLAGS, wanted, strict=True):
            if name in row and number(_as_number(row[name]), repr(name)) != value:
                edits.append(Put((name,), bool(value) if isinstance(row[name], bool) else written_like(value, row[name])))
        return edits


def _judged(side: tuple[Turn, ...], turn: object) -> tuple[Turn, ...]:
    """The conversation up to the answer that was judged, where `turn` is its number: MT-Bench's verdicts are on the first or
    on the second of two answers, and each row has both."""
    answers = [place for place, one in enumerate(side) if one.role == "assistant"]
    if not isinstance(turn, int) or isinstance(turn, bool) or not 0 < turn < len(answers):
        return side
    return side[: answers[turn - 1] + 1]


def _as_number(value: object) -> object:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return float(value.lower() == "true")
    return float(value) if isinstance(value, bool) else value


def _flagged(row: Row) -> tuple[float | None, float | None]:
    flags = [number(_as_number(row.get(name)), repr(name)) for name in _FLAGS]
    if flags[:2] == [None, None]:
        return None, None
    if [f for f in flags if f] != [1.0] and flags != [0.0, 0.0, None]:
        raise RowError(f"{', '.join(_FLAGS)} are {', '.join(shorten(row.get(n)) for n in _FLAGS)}, expected a 1 in one of them")
    return (1.0, 0.0) if flags[0] else (0.0, 1.0) if flags[1] else (0.5, 0.5)


def _exchange(row: Row) -> tuple[Any, ...]:
    """Prompt, turns and the two answers; of lists of several questions and answers, the first question is the prompt."""
    columns = [_said(row, name) for name in ("prompt", "response_a", "response_b")]
    if any(len(column) != len(columns[0]) for column in columns) or not columns[0]:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise RowError(f"'prompt', 'response_a' and 'response_b' have {lengths} turns, expected the same number")
    if len(columns[0]) == 1:
        if isinstance(row["prompt"], str) and not _is_list(row["prompt"]):
            return *prompt_of(row, ("prompt",)), columns[1][0], columns[2][0]
        return *with_surroundings(row, [Turn("user", columns[0][0])], ("prompt",)), columns[1][0], columns[2][0]
    sides = []
    for answers in columns[1:]:
        side: list[Turn] = []
        for question, answer in zip(columns[0], answers, strict=True):
            side += [Turn("user", question), Turn("assistant", answer)]
        sides.append(side)
    shared, answers = split_messages(*sides)
    return *prompt_and_turns(shared), *answers


def _is_list(value: str) -> bool:
    return value.lstrip().startswith('["') or value.strip() in ("[null]", "[]")


def _said(row: Row, name: str) -> list[str]:
    value = row.get(name)
    if isinstance(value, str) and not _is_list(value) and not looks_like_messages(value):
        return [text(row, name)]
    turns = messages(value, repr(name))
    if turns is not None:
        return [render_turns(turns) if len(turns) > 1 else turns[0].content]
    if isinstance(unpacked(value), Mapping):
        raise RowError(
            f"{name!r} is {seen(value)}, expected text, messages or a list of texts; name the fields of the texts within it "
            f"with `completion_field`, as in {name}.content"
        )
    # The public file has null for an empty answer.
    return ["" if item is None else as_text(item, repr(name)) for item in listing(value, repr(name))]


class HelpSteer3(Versus):
    """The layout of nvidia/HelpSteer3's preferences."""

    name = "helpsteer3"
    takes = (
        "the prompt is `context`; the completions are `response1` and `response2`; "
        "`overall_preference` of -3 to 3 gives the better one so many points, the other 0"
    )

    def fits(self, row: Row) -> bool:
        return all(name in row for name in ("context", "response1", "response2", "overall_preference"))

    def describe(self, fields: FieldNames) -> str:
        return self.takes
