"""Pairs of a chosen and a rejected completion: as texts, as messages, as transcripts, with and without ratings beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from argilla_admap.formats.format import Draft, Edit, FieldNames, Path, Put, Row, RowError, RowFormat, Swap, TieCannotBeSaid
from argilla_admap.formats.layouts.plain import prompt_of
from argilla_admap.formats.values import (
    at,
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
    shorten,
    text,
    written_like,
)
from argilla_admap.records import Turn, printable

__all__ = [
    "Alpaca",
    "ArgillaBinarized",
    "Orca",
    "Pair",
    "Trl",
    "TrlImplicit",
    "correct_pair",
    "shared_beginning",
]

_WON = (1.0, 0.0)


def correct_pair(row: Row, draft: Draft, ratings: Sequence[float | None], sides: tuple[Path, Path]) -> list[Edit]:
    """The edits of a pair whose first completion is the chosen one.

    The other order exchanges the two sides with all fields that belong to one; ratings beside the pair stay in their places, so
    that the chosen side keeps the higher. New values of the ratings are written.

    Raises:
        TieCannotBeSaid: equal ratings, and the row has none beside the pair.
    """
    first, second = (old if new is None else float(new) for old, new in zip(draft.ratings, ratings, strict=True))
    if first is None or second is None or (first, second) == draft.ratings:
        return []
    if not draft.places:
        if first == second:
            raise TieCannotBeSaid
        return [] if first > second else _exchange(row, sides)
    edits = _exchange(row, sides) if first < second else []
    for new, places in zip((max(first, second), min(first, second)), draft.places, strict=True):
        for path in places:
            old = at(row, path)
            if number(old, "the rating") != new:
                edits.append(Put(path, written_like(new, old)))
    return edits


#: What says how good a side is stays where it is when the sides are exchanged; so does the history of the data.
_NOT_THE_SIDES = re.compile(r"score|rating|reward|rank|margin|^original", re.IGNORECASE)


def _exchange(row: Row, sides: tuple[Path, Path]) -> list[Edit]:
    edits: list[Edit] = [Swap(*sides)]
    for name in row:
        if "chosen" in name and (name,) not in sides and not _NOT_THE_SIDES.search(name):
            partner = name.replace("chosen", "rejected")
            if partner in row and (partner,) not in sides:
                edits.append(Swap((name,), (partner,)))
    return edits


class Pair(RowFormat):
    """What the formats of pairs share."""

    sides: ClassVar[tuple[str, str]] = ("chosen", "rejected")
    #: Pairs of fields that may hold the two ratings, the first that is there is taken.
    measures: ClassVar[tuple[tuple[str, str], ...]] = (
        ("score_chosen", "score_rejected"),
        ("chosen_score", "rejected_score"),
        ("chosen_rating", "rejected_rating"),
        ("rating_chosen", "rating_rejected"),
        ("chosen_avg_rating", "rejected_avg_rating"),
        ("chosen-rating", "rejected-rating"),
    )

    #: Pairs of fields that may hold the two models' names.
    makers: ClassVar[tuple[tuple[str, str], ...]] = (
        ("chosen_model", "rejected_model"),
        ("chosen-model", "rejected-model"),
        ("model_chosen", "model_rejected"),
    )

    def draft(self, row: Row, fields: FieldNames, prompt: str, turns: tuple[Turn, ...], pair: tuple[str, str]) -> Draft:
        """The record of a pair, with its ratings: those beside the pair, else 1 and 0.

        Which side is chosen is the label. Ratings beside the pair say by how much; where they contradict it, they are
        taken in the label's order.
        """
        draft = Draft(prompt, pair, _WON, turns=turns, id=found_id(row, fields), source=found_source(row, fields))
        if fields.rating:
            draft.ratings, draft.places = ratings_by_field(row, fields, 2)
        else:
            for names in self.measures:
                if names[0] in row and names[1] in row:
                    first, second = (number(row[name], f"{name!r}") for name in names)
                    if first is not None and second is not None:
                        draft.ratings = max(first, second), min(first, second)
                        draft.places = tuple(((name,),) for name in names)
                    break
        for names in self.makers:
            if names[0] in row:
                draft.models = optional_text(row[names[0]]), optional_text(row.get(names[1]))
                break
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        return correct_pair(row, draft, ratings, ((self.sides[0],), (self.sides[1],)))


def are_texts(row: Row, *names: str) -> bool:
    return all(isinstance(row.get(name), str) for name in names)


class Trl(Pair):
    """TRL's pairs of texts with an explicit prompt."""

    name = "trl"
    takes = "the prompt is `prompt`; the better completion is `chosen`, the worse `rejected`"

    def fits(self, row: Row) -> bool:
        return "prompt" in row and are_texts(row, "chosen", "rejected") and messages(row["chosen"]) is None

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns = prompt_of(row, ("prompt",))
        return self.draft(row, fields, prompt, turns, (text(row, "chosen"), text(row, "rejected")))


class Alpaca(Pair):
    """Alpaca's fields with a pair, as LLaMA-Factory writes them; also other names of the prompt beside a pair of texts."""

    name = "alpaca"
    takes = (
        "the prompt is `instruction` and `input` (after `system` and `history`, if any); "
        "the better completion is `chosen`, the worse `rejected`"
    )
    _prompts = ("instruction", "question", "query")

    def fits(self, row: Row) -> bool:
        return any(isinstance(row.get(n), str) for n in self._prompts) and are_texts(row, "chosen", "rejected")

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        name = next((n for n in self._prompts if n in row), "instruction")
        prompt = text(row, name)
        more = row.get("input")
        if more not in (None, ""):
            prompt = f"{prompt}\n{text(row, 'input')}"
        before: list[Turn] = []
        if row.get("system") not in (None, ""):
            before.append(Turn("system", text(row, "system")))
        for exchange in row.get("history") or ():
            if isinstance(exchange, str) or not isinstance(exchange, Sequence) or len(exchange) != 2 or not _all_text(exchange):
                raise RowError(f"'history' has {shorten(exchange)}, expected pairs of a question and an answer")
            before += [Turn("user", printable(exchange[0])), Turn("assistant", printable(exchange[1]))]
        turns: tuple[Turn, ...] = ()
        if before:
            prompt, turns = prompt_and_turns([*before, Turn("user", prompt)])
        return self.draft(row, fields, prompt, turns, (text(row, "chosen"), text(row, "rejected")))


def _all_text(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)


class ArgillaBinarized(Pair):
    """The layout of argilla/ultrafeedback-binarized-preferences."""

    name = "argilla_binarized"
    takes = (
        "the prompt is `instruction`; the better completion is `chosen_response`, the worse `rejected_response`, "
        "with the ratings `chosen_avg_rating` and `rejected_avg_rating`"
    )
    sides = ("chosen_response", "rejected_response")

    def fits(self, row: Row) -> bool:
        return ("instruction" in row or "prompt" in row) and are_texts(row, *self.sides)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns = prompt_of(row, ("instruction", "prompt"))
        return self.draft(row, fields, prompt, turns, (text(row, self.sides[0]), text(row, self.sides[1])))


def shared_beginning(first: str, second: str) -> str:
    """What both texts begin with; by halving, since the comparison of whole pieces is fast."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return first[:low]


class Orca(Pair):
    """Pairs in Orca's fields: `system` and `input` or `question`."""

    name = "orca"
    takes = (
        "the prompt is `system` and `input`; the better completion is `chosen`, the worse `rejected`; "
        "their ratings are in `rating`, if any"
    )

    def fits(self, row: Row) -> bool:
        return "instruction" not in row and "prompt" not in row and "input" in row and are_texts(row, "chosen", "rejected")

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns = text(row, "input"), ()
        if isinstance(row.get("system"), str) and row["system"]:
            prompt, turns = prompt_and_turns((Turn("system", text(row, "system")), Turn("user", prompt)))  # type: ignore[assignment]
        pair = text(row, "chosen"), text(row, "rejected")
        draft = self.draft(row, fields, prompt, turns, pair)
        if not fields.rating and row.get("rating") not in (None, ""):
            values = [number(value, "the rating") for value in listing(row["rating"], "'rating'")]
            if len(values) != 2:
                raise RowError(f"'rating' has {len(values)} values for 2 completions")
            if None not in values:
                order = self._order(row)
                draft.ratings = values[order[0]], values[order[1]]
                draft.places = tuple((("rating", i),) for i in order)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        edits = super().correct_row(row, draft, ratings, fields)
        swapped = any(isinstance(edit, Swap) for edit in edits)
        if swapped and draft.places and not fields.rating and _has_both(row):
            # Each rating belongs to a text of `generations`, which stay in their order.
            return [edit for edit in edits if isinstance(edit, Swap)] + put_ratings(row, draft, ratings)
        return edits

    def _order(self, row: Mapping[str, Any]) -> tuple[int, int]:
        """Which of the two ratings is the chosen side's: distilabel shuffled the two before it asked the judge."""
        if _has_both(row):
            return (0, 1) if _listed(row.get("generations"))[0] == row["chosen"] else (1, 0)
        return (1, 0) if _listed(row.get("order")) == ["rejected", "chosen"] else (0, 1)


def _has_both(row: Mapping[str, Any]) -> bool:
    """Whether `generations` holds the two texts, so that a rating's place tells whose it is."""
    return row["chosen"] != row["rejected"] and sorted(_listed(row.get("generations"))) == sorted(
        (row["chosen"], row["rejected"])
    )


def _listed(value: object) -> list[str]:
    """A list of texts, or the text of one; nothing where it is none."""
    value = decoded(value) if isinstance(value, str) else value
    return [str(item) for item in value] if isinstance(value, Sequence) else []


#: Fields that are certainly no prompt.
_ASIDE = re.compile(
    r"chosen|rejected|model|score|rating|(^|_)u?id$|idx|source|dataset|subset|category|language|split|__", re.IGNORECASE
)


class TrlImplicit(Pair):
    """TRL's pairs of texts without a prompt: what both begin with is the prompt."""

    name = "trl-implicit"
    takes = (
        "the better text is `chosen`, the worse `rejected`; "
        "the prompt is what both begin with, up to the last line or word that they share"
    )

    def fits(self, row: Row) -> bool:
        # Any other text may be the prompt: then a person must say which it is. Transcripts are left to their own format, so
        # that a stray row among them does not make them all plain texts.
        return (
            are_texts(row, "chosen", "rejected")
            and not any(isinstance(value, (str, list)) and not _ASIDE.search(name) for name, value in row.items())
            and not all("\n\nAssistant:" in row[name] for name in ("chosen", "rejected"))
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        chosen, rejected = text(row, "chosen"), text(row, "rejected")
        shared = shared_beginning(chosen, rejected)
        if shared in (chosen, rejected):
            # One is the other's beginning: the last word must stay with the completions.
            shared = shared[:-1]
        cut = max(shared.rfind("\n"), shared.rfind(" ")) + 1
        return self.draft(row, fields, chosen[:cut], (), (chosen[cut:], rejected[cut:]))
