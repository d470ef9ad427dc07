"""Pairs of a chosen and a rejected completion: as texts, as messages, as transcripts, with and without ratings beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from argilla_admap.formats.format import (
    Copy,
    Draft,
    Edit,
    FieldNames,
    Path,
    Put,
    Row,
    RowError,
    RowFormat,
    Swap,
    TieCannotBeSaid,
)
from argilla_admap.formats.rows.conversations import looks_like_messages
from argilla_admap.formats.rows.prompts import PROMPTS, prompt_of, with_surroundings
from argilla_admap.formats.rows.ratings import good_from, put_ratings, rate, ratings_by_field, wanted_ratings
from argilla_admap.formats.rows.row_label import settle_rating
from argilla_admap.formats.values import (
    as_text,
    at,
    fields_of,
    found_id,
    found_source,
    listing,
    number,
    optional_text,
    seen,
    text,
    unpacked_list,
    written_like,
)
from argilla_admap.records import Turn

__all__ = [
    "Alpaca",
    "ArgillaBinarized",
    "Orca",
    "Pair",
    "PairLists",
    "StackExchangePaired",
    "Trl",
    "TrlImplicit",
    "correct_pair",
    "exchange",
    "implicit_pair",
    "shared_beginning",
    "take_beside",
]

_WON = (1.0, 0.0)


def correct_pair(row: Row, draft: Draft, ratings: Sequence[float | None], sides: tuple[Path, Path]) -> list[Edit]:
    """The edits of a pair whose first completion is the chosen one.

    The other order exchanges the two sides with all fields that belong to one; ratings beside the pair stay in their places, so
    that the chosen side keeps the higher. New values of the ratings are written.

    Raises:
        TieCannotBeSaid: equal ratings: a pair has a better side; those beside it can be written.
    """
    first, second = wanted_ratings(draft, ratings)
    if first is None or second is None or (first, second) == draft.ratings:
        return []
    edits = _exchange(row, sides) if first < second else []
    better, worse = max(first, second), min(first, second)
    for new, places in zip((worse, better) if draft.ranked else (better, worse), draft.places, strict=False):
        for path in places:
            old = at(row, path)
            value = 3.0 - new if draft.ranked else new
            if number(old, "the rating") != value:
                edits.append(Put(path, written_like(value, old)))
    if first == second:
        raise TieCannotBeSaid(edits)
    return edits


#: What says how good a side is stays where it is when the sides are exchanged; so does the history of the data.
_NOT_THE_SIDES = re.compile(r"score|rating|reward|rank|margin|^original", re.IGNORECASE)


def _exchange(row: Row, sides: tuple[Path, Path]) -> list[Edit]:
    edits = exchange(row, *sides)
    words = {_words(*(str(side[0]) for side in sides)), ("chosen", "rejected")}
    partners = {name: name.replace(*pair) for pair in words for name in row if pair[0] in name}
    return edits + [
        Swap((name,), (partner,))
        for name, partner in partners.items()
        if partner in row and not {(name,), (partner,)} & set(sides) and name != partner and not _NOT_THE_SIDES.search(name)
    ]


def _words(first: str, second: str) -> tuple[str, str]:
    """What differs in the names of two fields, by which others that belong to one side are told: chosen and rejected."""
    parts = [re.split(r"([_\W]+)", name) for name in (first, second)]
    if len(parts[0]) == len(parts[1]):
        differing = [pair for pair in zip(*parts, strict=True) if pair[0] != pair[1]]
        if len(differing) == 1 and min(map(len, differing[0])) > 1:
            return differing[0]
    return first, second


def exchange(row: Row, first: Path, second: Path) -> list[Edit]:
    """The edits that exchange two values; one by one where they stand within a text (a CSV cell) that holds a list."""
    if any(isinstance(at(row, path[:n]), str) for path in (first, second) for n in range(1, len(path))):
        return [Put(first, at(row, second)), Put(second, at(row, first))]
    return [Swap(first, second)]


#: How the fields are named that hold the two sides' ratings and models; the first that are there are taken.
_MEASURES = ("score_{}", "{}_score", "{}_rating", "rating_{}", "{}_avg_rating", "{}-rating", "{}_reward", "reward_{}")
_MAKERS = ("{}_model", "{}-model", "model_{}")


def take_beside(row: Row, draft: Draft, sides: tuple[str, str], *, rated: bool) -> None:
    """Gives the draft of a pair the ratings (where they are wanted) and the models that stand beside its sides."""

    def beside(forms: Sequence[str]) -> tuple[str, str] | None:
        names = ((form.format(a), form.format(b)) for form in forms for a, b in (_words(*sides), sides))
        return next((pair for pair in names if pair[0] in row and pair[1] in row), None)

    if rated and (names := beside(_MEASURES)) is not None:
        first, second = (number(row[name], f"{name!r}") for name in names)
        if first is not None and second is not None:
            if first < second:
                draft.remarks = (f"{names[0]!r} is below {names[1]!r}: both are taken in the pair's order",)
            draft.ratings = max(first, second), min(first, second)
            draft.places = tuple(((name,),) for name in names)
    if (names := beside(_MAKERS)) is not None:
        draft.models = optional_text(row[names[0]]), optional_text(row[names[1]])


class Pair(RowFormat):
    """What the formats of pairs share."""

    sides: ClassVar[tuple[str, str]] = ("chosen", "rejected")

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        return settle_rating(sample, fields)

    def draft(self, row: Row, fields: FieldNames, prompt: str, turns: tuple[Turn, ...], pair: tuple[str, str]) -> Draft:
        """The record of a pair, with its ratings: those beside the pair, else 1 and 0.

        Which side is chosen is the label. Ratings beside the pair say by how much; where they contradict it, they are
        taken in the label's order.
        """
        draft = Draft(prompt, pair, _WON, turns=turns, id=found_id(row, fields), source=found_source(row, fields))
        if fields.rating:
            rate(draft, *ratings_by_field(row, fields, 2), fields)
        take_beside(row, draft, self.sides, rated=not fields.rating)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        edits = correct_pair(row, draft, ratings, ((self.sides[0],), (self.sides[1],)))
        if any(isinstance(edit, Swap) for edit in edits) and row.get("response") == row[self.sides[0]]:
            # The answer to train on, beside the pair, is the chosen one.
            edits.append(Copy((self.sides[0],), ("response",)))
        return edits


def are_texts(row: Row, *names: str) -> bool:
    return all(isinstance(row.get(name), (str, int, float)) and not isinstance(row[name], bool) for name in names)


class Trl(Pair):
    """TRL's pairs of texts with an explicit prompt."""

    name = "trl"
    takes = "the prompt is `prompt`, with what stands beside it; the better completion is `chosen`, the worse `rejected`"
    prompts: ClassVar[tuple[str, ...]] = ("prompt",)

    def fits(self, row: Row) -> bool:
        return (
            any(name in row for name in self.prompts)
            and are_texts(row, *self.sides)
            and not any(looks_like_messages(row[name]) for name in self.sides)
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns = prompt_of(row, self.prompts, taken=self.sides)
        return self.draft(row, fields, prompt, turns, (text(row, self.sides[0]), text(row, self.sides[1])))


class Alpaca(Trl):
    """Alpaca's fields with a pair, as LLaMA-Factory writes them; also other names of the prompt beside a pair of texts."""

    name = "alpaca"
    takes = (
        "the prompt is `instruction` and `input` (after `system` and `history`, if any); "
        "the better completion is `chosen`, the worse `rejected`"
    )
    prompts = ("instruction", "question", "query", "user_input", "user_prompt")


class ArgillaBinarized(Trl):
    """The layout of argilla/ultrafeedback-binarized-preferences."""

    name = "argilla_binarized"
    takes = (
        "the prompt is `instruction`; the better completion is `chosen_response`, the worse `rejected_response`, "
        "with the ratings `chosen_avg_rating` and `rejected_avg_rating`, if any"
    )
    sides = ("chosen_response", "rejected_response")
    prompts = ("instruction", "prompt", "question", "query", "input")


class StackExchangePaired(Trl):
    """The layout of lvwerra/stack-exchange-paired: `response_j` was voted higher than `response_k`."""

    name = "stack-exchange-paired"
    takes = "the prompt is `question`; the better completion is taken to be `response_j`, the worse `response_k`"
    sides = ("response_j", "response_k")
    prompts = ("question", "prompt", "instruction", "query")


class PairLists(Pair):
    """Several chosen and several rejected completions of one prompt (RM-Bench, RewardBench 2)."""

    name = "pair-lists"
    takes = "the completions are the lists `chosen` and `rejected`: those in `chosen` have 1, those in `rejected` 0"

    def fits(self, row: Row) -> bool:
        values = [_list_of(row.get(name)) for name in self.sides]
        return (
            any(n in row for n in PROMPTS)
            and any(unpacked_list(row.get(n)) for n in self.sides)
            and all(value and all(isinstance(item, str) for item in value) for value in values)
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        sides = []
        for name in self.sides:
            if not (side := _list_of(row.get(name))):
                raise RowError(f"{name!r} is {seen(row.get(name))}, expected a list of texts; the row has {fields_of(row)}")
            sides.append(side)
        prompt, turns = prompt_of(row, taken=self.sides)
        texts = tuple(
            as_text(item, f"a text of {name!r}") for name, side in zip(self.sides, sides, strict=True) for item in side
        )
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=texts,
            ratings=(1.0,) * len(sides[0]) + (0.0,) * len(sides[1]),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )
        models = unpacked_list(row.get("models"))
        if len(models) == len(texts):
            draft.models = tuple(optional_text(model) for model in models)
        if fields.rating:
            rate(draft, *ratings_by_field(row, fields, len(texts)), fields)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        if draft.places:
            return put_ratings(row, draft, ratings)
        wanted = [value or 0.0 for value in wanted_ratings(draft, ratings)]
        middle = good_from(wanted)
        good = [value >= middle for value in wanted]
        count = sum(draft.ratings[n] == 1.0 for n in range(len(good)))
        if len(set(wanted)) == 1 or all(good) or not any(good):
            raise TieCannotBeSaid
        order = [n for n, is_good in enumerate(good) if is_good] + [n for n, is_good in enumerate(good) if not is_good]
        if order == list(range(len(good))) and sum(good) == count:
            return []
        return self._moved(row, order, sum(good), count, draft)

    def _moved(self, row: Row, order: Sequence[int], good: int, count: int, draft: Draft) -> list[Edit]:
        """The edits that bring the completions into this order, of which the first so many are good."""
        if good == count:
            # As many as before: those that trade places are exchanged, all others stay.
            out = [n for n in range(count) if n not in order[:good]]
            into = [n for n in order[:good] if n >= count]
            return [
                edit
                for a, b in zip(out, into, strict=True)
                for edit in (
                    *exchange(row, self._place(row, "chosen", a), self._place(row, "rejected", b - count)),
                    *(exchange(row, ("models", a), ("models", b)) if draft.models else ()),
                )
            ]
        moved = [item for name in self.sides for item in _list_of(row[name])]
        moved = [moved[n] for n in order]
        edits: list[Edit] = []
        for name, values in zip(self.sides, (moved[:good], moved[good:]), strict=True):
            if isinstance(row[name], str) and not unpacked_list(row[name]):
                raise RowError(f"{name!r} is one text, and now there are {len(values)}")
            edits.append(Put((name,), json.dumps(values) if isinstance(row[name], str) else values))
        return edits + ([Put(("models",), [draft.models[n] for n in order])] if draft.models else [])

    def _place(self, row: Row, name: str, position: int) -> Path:
        return (name, position) if not isinstance(row[name], str) or unpacked_list(row[name]) else (name,)


def _list_of(value: object) -> list[Any]:
    """A list, or the list that a text holds; any other text alone."""
    return [value] if isinstance(value, str) and not unpacked_list(value) else list(unpacked_list(value))


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
        prompt, turns = prompt_of(row, ("input",), taken=self.sides)
        draft = self.draft(row, fields, prompt, turns, (text(row, "chosen"), text(row, "rejected")))
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
            return (0, 1) if unpacked_list(row.get("generations"))[0] == row["chosen"] else (1, 0)
        return (1, 0) if unpacked_list(row.get("order")) == ["rejected", "chosen"] else (0, 1)


def _has_both(row: Mapping[str, Any]) -> bool:
    """Whether `generations` holds the two texts, so that a rating's place tells whose it is."""
    return row["chosen"] != row["rejected"] and sorted(map(str, unpacked_list(row.get("generations")))) == sorted(
        (str(row["chosen"]), str(row["rejected"]))
    )


#: Fields that are certainly no prompt.
_ASIDE = re.compile(
    r"chosen|rejected|model|score|rating|(^|_)u?id$|idx|source|dataset|subset|category|language|split|^system|^tools$|__",
    re.IGNORECASE,
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
            all(isinstance(row.get(name), str) for name in self.sides)
            and not any(isinstance(value, (str, list)) and not _ASIDE.search(name) for name, value in row.items())
            and not all("\n\nAssistant:" in row[name] for name in ("chosen", "rejected"))
        )

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, pair = implicit_pair(text(row, "chosen"), text(row, "rejected"))
        return self.draft(row, fields, *with_surroundings(row, [Turn("user", prompt)], self.sides), pair)


def implicit_pair(chosen: str, rejected: str) -> tuple[str, tuple[str, str]]:
    """The prompt with which both texts begin, up to the last line or word that they share, and what each says after it."""
    shared = shared_beginning(chosen, rejected)
    if shared in (chosen, rejected):
        # One is the other's beginning: the last word must stay with the completions.
        shared = shared[:-1]
    cut = max(shared.rfind("\n"), shared.rfind(" ")) + 1
    if not chosen[:cut].strip():
        raise RowError(
            "there is no prompt: the two texts have no common beginning; name the prompt's field with `prompt_field`"
        )
    return chosen[:cut], (chosen[cut:], rejected[cut:])
