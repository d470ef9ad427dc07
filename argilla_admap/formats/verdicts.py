"""Two answers and somebody's verdict on them: Chatbot Arena and HelpSteer3."""

from __future__ import annotations

from collections.abc import Sequence

from argilla_admap.formats.plain import prompt_of
from argilla_admap.formats.shape import Draft, Edit, FieldNames, Put, Row, RowError, RowFormat
from argilla_admap.formats.values import (
    as_text,
    found_id,
    found_source,
    listing,
    messages,
    number,
    optional_text,
    prompt_and_turns,
    seen,
    shorten,
    split_messages,
    text,
    written_like,
)
from argilla_admap.records import Turn, render_turns

__all__ = ["Arena", "HelpSteer3"]

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
