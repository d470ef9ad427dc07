"""Two answers and somebody's verdict on them: Chatbot Arena, HelpSteer3, and other layouts of that kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from argilla_admap.formats.format import Draft, Edit, FieldNames, Put, Row, RowError, RowFormat, TieCannotBeSaid
from argilla_admap.formats.layouts.plain import prompt_of
from argilla_admap.formats.values import (
    as_text,
    decoded,
    found_id,
    found_source,
    listing,
    messages,
    number,
    optional_text,
    prompt_and_turns,
    put_ratings,
    ratings_by_field,
    seen,
    shorten,
    split_messages,
    text,
    written_like,
)
from argilla_admap.records import Turn, render_turns

__all__ = ["Arena", "HelpSteer3", "Versus"]

_WINNERS = {
    "model_a": (1.0, 0.0),
    "model_b": (0.0, 1.0),
    "a": (1.0, 0.0),
    "b": (0.0, 1.0),
    "tie": (0.5, 0.5),
    "tie (bothbad)": (0.0, 0.0),
    "both_bad": (0.0, 0.0),
    "bothbad": (0.0, 0.0),
}
_FLAGS = ("winner_model_a", "winner_model_b", "winner_tie")


class Arena(RowFormat):
    """Chatbot Arena's layouts: two conversations or two responses, and who won."""

    name = "arena"
    takes = (
        "the completions are `conversation_a` and `conversation_b` after what both begin with, or `response_a` and "
        "`response_b` to `prompt`; the ratings are by `winner`: 1 and 0, a tie is 0.5 each, both bad is 0 each"
    )

    def fits(self, row: Row) -> bool:
        judged = "winner" in row or all(name in row for name in _FLAGS[:2])
        return judged and (
            ("conversation_a" in row and "conversation_b" in row)
            or ("response_a" in row and "response_b" in row and "prompt" in row)
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        turns: Sequence[Turn]
        if "conversation_a" in row:
            sides = []
            for name in ("conversation_a", "conversation_b"):
                value = messages(row.get(name), repr(name))
                if value is None:
                    raise RowError(f"{name!r} is {seen(row.get(name))}, expected a list of messages")
                sides.append(value)
            turns, first, second = split_messages(*sides)
            prompt, kept = prompt_and_turns(turns)
        else:
            prompt, kept, first, second = _exchange(row)
        return Draft(
            prompt=prompt,
            turns=kept,
            completions=(first, second),
            ratings=_verdict(row),
            models=(optional_text(row.get("model_a")), optional_text(row.get("model_b"))),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        first, second = (old if new is None else float(new) for old, new in zip(draft.ratings, ratings, strict=True))
        if first is None or second is None or _order(first, second) == _order(*draft.ratings):
            return []
        if "winner" in row:
            side = "a" if first > second else "b"
            short = str(row["winner"]).lower() in ("a", "b")
            return [Put(("winner",), "tie" if first == second else side if short else f"model_{side}")]
        wanted = (float(first > second), float(first < second), float(first == second))
        edits: list[Edit] = []
        for name, value in zip(_FLAGS, wanted, strict=True):
            if name in row and number(_as_number(row[name]), repr(name)) != value:
                edits.append(Put((name,), bool(value) if isinstance(row[name], bool) else written_like(value, row[name])))
        return edits


def _order(first: float | None, second: float | None) -> int | None:
    return None if first is None or second is None else (first > second) - (first < second)


def _as_number(value: object) -> object:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return float(value.lower() == "true")
    return float(value) if isinstance(value, bool) else value


def _verdict(row: Row) -> tuple[float | None, float | None]:
    if "winner" in row:
        value = row["winner"]
        if value in (None, ""):
            return None, None
        known = _WINNERS.get(value.strip().lower()) if isinstance(value, str) else None
        if known is None:
            raise RowError(f"'winner' is {shorten(value)}, expected model_a, model_b, tie or both_bad")
        return known
    flags = [number(_as_number(row.get(name)), repr(name)) for name in _FLAGS]
    if flags[:2] == [None, None]:
        return None, None
    if [f for f in flags if f] != [1.0] and flags != [0.0, 0.0, None]:
        raise RowError(f"{', '.join(_FLAGS)} are {', '.join(shorten(row.get(n)) for n in _FLAGS)}, expected a 1 in one of them")
    return (1.0, 0.0) if flags[0] else (0.0, 1.0) if flags[1] else (0.5, 0.5)


def _exchange(row: Row) -> tuple[str, tuple[Turn, ...], str, str]:
    """Prompt, turns and the two answers; of lists of several questions and answers, the first question is the prompt."""
    columns = [_said(row, name) for name in ("prompt", "response_a", "response_b")]
    if any(len(column) != len(columns[0]) for column in columns) or not columns[0]:
        seen = ", ".join(str(len(column)) for column in columns)
        raise RowError(f"'prompt', 'response_a' and 'response_b' have {seen} turns, expected the same number")
    if len(columns[0]) == 1:
        prompt = columns[0][0]
        turns: tuple[Turn, ...] = ()
        if isinstance(row["prompt"], str) and not _is_list(row["prompt"]):
            prompt, turns = prompt_of(row, ("prompt",))
        return prompt, turns, columns[1][0], columns[2][0]
    sides = []
    for answers in columns[1:]:
        side: list[Turn] = []
        for question, answer in zip(columns[0], answers, strict=True):
            side += [Turn("user", question), Turn("assistant", answer)]
        sides.append(side)
    shared, first, second = split_messages(*sides)
    prompt, kept = prompt_and_turns(shared)
    return prompt, kept, first, second


def _is_list(value: str) -> bool:
    return value.lstrip().startswith('["') or value.strip() in ("[null]", "[]")


def _said(row: Row, name: str) -> list[str]:
    value = row.get(name)
    if isinstance(value, str) and not _is_list(value):
        return [text(row, name)]
    turns = messages(value, repr(name))
    if turns is not None:
        return [render_turns(turns) if len(turns) > 1 else turns[0].content]
    # The public file has null for an empty answer.
    return ["" if item is None else as_text(item, repr(name)) for item in listing(value, repr(name))]


class HelpSteer3(RowFormat):
    """The layout of nvidia/HelpSteer3's preferences."""

    name = "helpsteer3"
    takes = (
        "the prompt is `context`; the completions are `response1` and `response2`; "
        "`overall_preference` of -3 to 3 gives the better one so many points, the other 0"
    )

    def fits(self, row: Row) -> bool:
        return all(name in row for name in ("context", "response1", "response2", "overall_preference"))

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns = prompt_of(row, ("context",))
        preference = number(row.get("overall_preference"), "'overall_preference'")
        return Draft(
            prompt=prompt,
            turns=turns,
            completions=(text(row, "response1"), text(row, "response2")),
            ratings=(None, None) if preference is None else (max(-preference, 0.0), max(preference, 0.0)),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        first, second = (old if new is None else float(new) for old, new in zip(draft.ratings, ratings, strict=True))
        if first is None or second is None or (first, second) == draft.ratings:
            return []
        margin = second - first
        whole = min(max(float(round(margin)), -3.0), 3.0)
        if not whole and margin:
            # Less than half a point is a preference still.
            whole = 1.0 if margin > 0 else -1.0
        old = row.get("overall_preference")
        if number(old, "'overall_preference'") == whole:
            return []
        return [Put(("overall_preference",), written_like(whole, old))]


#: Names of the two answers, in the order in which a verdict of 0 and 1, or of a and b, means them.
_ANSWERS = (
    ("response_0", "response_1"),
    ("answer_0", "answer_1"),
    ("response_a", "response_b"),
    ("answer_a", "answer_b"),
    ("completion_a", "completion_b"),
    ("output_a", "output_b"),
    ("output_1", "output_2"),
    ("response1", "response2"),
    ("human_ref_A", "human_ref_B"),
)
_VERDICTS = ("better_response_id", "overall_pref", "preference", "preferred", "winner", "labels", "label")
_WORDS = {**_WINNERS, "equal": (0.5, 0.5), "both": (0.5, 0.5)}


class Versus(RowFormat):
    """Two answers in fields of their own, and a field that says which is better, or two scores (WebGPT, SHP, PKU-SafeRLHF)."""

    name = "versus"
    takes = "the completions are two fields such as `response_0` and `response_1`; the ratings are by the verdict beside them"

    def fits(self, row: Row) -> bool:
        return self._answers(row) is not None and (self._verdict_field(row) is not None or "score_0" in row)

    def _answers(self, row: Row) -> tuple[str, str] | None:
        return next((names for names in _ANSWERS if all(isinstance(row.get(n), str) for n in names)), None)

    def _verdict_field(self, row: Row) -> str | None:
        return next((name for name in _VERDICTS if name in row), None)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        answers = self._answers(row)
        if answers is None:
            raise RowError(f"two answers are missing, expected fields such as {' and '.join(_ANSWERS[0])}")
        prompt, turns = self._prompt(row)
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=(text(row, answers[0]), text(row, answers[1])),
            models=(optional_text(row.get("model_a")), optional_text(row.get("model_b"))),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )
        if fields.rating:
            draft.ratings, draft.places = ratings_by_field(row, fields, 2)
        elif "score_0" in row and "score_1" in row and self._verdict_field(row) is None:
            draft.ratings = number(row["score_0"], "'score_0'"), number(row["score_1"], "'score_1'")
            draft.places = (("score_0",),), (("score_1",),)
        else:
            draft.ratings = self._said(row)
        return draft

    def _prompt(self, row: Row) -> tuple[str, tuple[Turn, ...]]:
        question = row.get("question")
        question = decoded(question) if isinstance(question, str) else question
        if isinstance(question, Mapping) and "full_text" in question:
            return as_text(question["full_text"], "the prompt 'question.full_text'"), ()
        return prompt_of({"prompt": row["history"]} if isinstance(row.get("history"), str) else row)

    def _said(self, row: Row) -> tuple[float | None, float | None]:
        name = self._verdict_field(row)
        value = row.get(name) if name else None
        if value in (None, ""):
            return None, None
        known: tuple[float, float] | None = None
        if isinstance(value, str):
            # "A-is-slightly-better", "model_a", "a"
            known = _WORDS.get(value.strip().lower().partition("-is-")[0])
        if known is None:
            numbers = self._numbers(row, name)
            which = number(value, repr(name), "or a word: a, b or tie")
            if which not in numbers:
                raise RowError(f"{name!r} is {seen(value)}, expected {numbers[0]:.0f} or {numbers[1]:.0f}, or a, b or tie")
            known = (1.0, 0.0) if which == numbers[0] else (0.0, 1.0)
        return known

    def _numbers(self, row: Row, name: str | None) -> tuple[float, float]:
        """The verdict's numbers for the first answer and for the second."""
        answers = self._answers(row)
        if name in ("labels", "label"):
            # SHP's says whether the first is preferred.
            return 1.0, 0.0
        return (1.0, 2.0) if answers is not None and answers[0].endswith("1") else (0.0, 1.0)

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        if draft.places:
            return put_ratings(row, draft, ratings)
        first, second = (old if new is None else float(new) for old, new in zip(draft.ratings, ratings, strict=True))
        if first is None or second is None or _order(first, second) == _order(*draft.ratings):
            return []
        name = self._verdict_field(row) or _VERDICTS[0]
        old = row.get(name)
        if isinstance(old, str) and not old.strip().isdigit():
            return [Put((name,), _word_like(old, first, second))]
        if first == second:
            raise TieCannotBeSaid
        return [Put((name,), written_like(self._numbers(row, name)[first < second], old))]


def _word_like(old: str, first: float, second: float) -> str:
    """The verdict in the words of the old one."""
    if first == second:
        return "Tie" if old[:1].isupper() else "tie"
    side = "a" if first > second else "b"
    word, strength, rest = old.partition("-is-")
    if word.lower().startswith("model_"):
        side = f"model_{side}"
    side = side.upper() if old[:1].isupper() else side
    return f"{side}{strength}{rest}" if strength else side
