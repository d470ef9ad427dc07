"""Any layout whose fields are named by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from argilla_admap.errors import InputError
from argilla_admap.formats.format import Draft, Edit, FieldNames, Path, Row, RowError, RowFormat
from argilla_admap.formats.layouts.chats import conversation_pair
from argilla_admap.formats.layouts.pairs import correct_pair, implicit_pair, take_beside
from argilla_admap.formats.layouts.plain import LISTS, completion_text
from argilla_admap.formats.rows.conversations import looks_like_messages, messages, split_messages
from argilla_admap.formats.rows.prompts import PROMPTS, named_prompt, prompt_of, with_surroundings
from argilla_admap.formats.rows.ratings import rate, ratings_by_field
from argilla_admap.formats.rows.row_label import label, put_label, settle_rating, settle_verdict
from argilla_admap.formats.values import fields_of, find, found_id, found_source, in_backticks, listing, look
from argilla_admap.records import Turn

__all__ = ["ByFields", "NamedPair"]


class ByFields(RowFormat):
    """Any layout whose fields are named by hand."""

    name = "fields"
    takes = "the fields that you named"

    def fits(self, row: Row) -> bool:
        # Never taken by itself: it is chosen by naming fields.
        return False

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        there = {name for row in sample for name in row}
        if not fields.completion and not fields.chosen and not fields.rejected:
            if {"chosen", "rejected"} <= there:
                fields = replace(fields, chosen="chosen", rejected="rejected")
            else:
                fields = replace(fields, completion=tuple(n for n in LISTS if n in there)[:1])
        if bool(fields.chosen) != bool(fields.rejected):
            raise InputError("a pair needs both fields", hint="name both with `chosen_field` and `rejected_field`")
        if not fields.chosen and not fields.completion:
            raise InputError(
                f"which fields hold the completions? The rows have {fields_of(dict.fromkeys(sorted(there)))}",
                hint="name them with `completion_field`, or with `chosen_field` and `rejected_field`",
            )
        if not fields.verdict:
            return settle_rating(sample, fields)
        if fields.chosen or fields.rating:
            other = "the chosen and the rejected field" if fields.chosen else "the field of the ratings"
            raise InputError(
                f"{fields.verdict!r} and {other} are both the label",
                option="verdict_field",
                hint="name one of them; rival answers are named with `completion_field`, once for each",
            )
        names: Sequence[str] = fields.completion
        if len(names) == 1:
            k = max(len(listing(look(row, names[0], "completion_field"), repr(names[0]))) for row in sample)
            names = [f"{names[0]}.{n}" for n in range(max(k, 2))]
        return settle_verdict(sample, fields, names)

    def describe(self, fields: FieldNames) -> str:
        if fields.prompts:
            words = [
                f"the prompt is {in_backticks(fields.prompts)}{', with what stands beside it' * (len(fields.prompts) == 1)}"
            ]
        else:
            words = ["the prompt is found by the usual names"]
        if fields.chosen:
            words.append(f"the better completion is `{fields.chosen}`, the worse `{fields.rejected}`")
        else:
            words.append(f"the completions are {in_backticks(fields.completion)}")
        words += [scale.describe() for scale in fields.scales]
        if fields.rating:
            order = "ranks, the lowest is the best" if fields.order == "lower" else "ratings"
            words.append(f"the {order}: {in_backticks(fields.rating)}")
        return "; ".join(words)

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        prompt, turns, completions = self._texts(row, fields)
        k = len(completions)
        if k < 2:
            raise RowError(
                f"{k} completion{'s' * (k != 1)}, and a comparison needs two or more; name more with `completion_field`"
            )
        draft = Draft(prompt, completions, turns=turns, id=found_id(row, fields), source=found_source(row, fields))
        if fields.scales:
            label(row, draft, fields)
        elif fields.rating:
            rate(draft, *ratings_by_field(row, fields, k), fields)
        elif fields.chosen:
            draft.ratings = (1.0, 0.0)
        if fields.chosen and fields.rejected:
            take_beside(row, draft, (fields.chosen, fields.rejected), rated=not fields.rating)
        return draft

    def _texts(self, row: Row, fields: FieldNames) -> tuple[str, tuple[Turn, ...], tuple[str, ...]]:
        pair = (fields.chosen, fields.rejected) if fields.chosen and fields.rejected else ()
        names = pair or fields.completion
        taken = {base for name in (*names, *fields.rating, fields.verdict or "") for base in (name, name.partition(".")[0])}
        values = [look(row, name, "chosen_field" if pair else "completion_field") for name in names]
        if len(values) == 1:
            values = list(listing(values[0], repr(names[0])))
        shared: Sequence[Turn] = ()
        texts: Sequence[str] = ()
        found = conversation_pair(values, names) if pair else None
        if found is not None:
            shared, texts, _ = found
        elif len(names) > 1:
            sides = [messages(value, repr(name)) for value, name in zip(values, names, strict=True)]
            conversations = [side for side in sides if side is not None]
            if len(conversations) == len(sides):
                shared, texts = split_messages(*conversations)
        if not texts:
            texts = [completion_text(value, f"completion {n}") for n, value in enumerate(values, 1)]
        if fields.prompts:
            prompt, turns = named_prompt(row, fields, taken=taken)
        elif any(turn.role == "user" for turn in shared):
            prompt, turns = with_surroundings(row, shared, taken)
        elif any(name in row and name not in taken for name in PROMPTS):
            prompt, turns = prompt_of(row, tuple(name for name in PROMPTS if name not in taken), taken=taken)
        elif found is not None or not pair:
            raise RowError(
                f"there is no prompt: {' and '.join(map(repr, names))} begin with no common message; "
                "name its field with `prompt_field`"
            )
        else:
            words, texts = implicit_pair(texts[0], texts[1])
            prompt, turns = with_surroundings(row, [Turn("user", words)], taken)
        return prompt, turns, tuple(texts)

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        if fields.chosen and fields.rejected:
            names = (fields.chosen, fields.rejected)
            found = conversation_pair([look(row, name, "chosen_field") for name in names], names)
            within: tuple[Path, Path] = found[2] if found else ((), ())
            sides = [(*find(row, name)[0][0], *place) for name, place in zip(names, within, strict=True)]
            return correct_pair(row, draft, ratings, (sides[0], sides[1]))
        return put_label(row, draft, ratings, fields)


#: The better side's word and the worse one's, as fields are named after them.
_SIDES = (
    *(("chosen", "rejected"), ("preferred", "dispreferred"), ("preferred", "rejected"), ("preferred", "nonpreferred")),
    *(("preferred", "non_preferred"), ("preferred", "unpreferred"), ("positive", "negative"), ("pos", "neg")),
    *(("better", "worse"), ("best", "worst"), ("winner", "loser"), ("winning", "losing"), ("win", "lose")),
    *(("accepted", "rejected"), ("good", "bad"), ("y_w", "y_l")),
)


#: ms-swift's fields of texts.
_PLAIN_AND_REJECTED = ("response", "rejected_response")


def _named_sides(row: Row) -> tuple[str, str] | None:
    """The fields of a better and a worse answer, told by their names: ``preferred`` and ``dispreferred``, ``pos_resp`` ..."""
    for better, worse in _SIDES:
        for name in row:
            found = re.search(rf"(?<![a-z]){better}(?![a-z])", name, re.IGNORECASE)
            if found is None:
                continue
            word = worse.upper() if found[0].isupper() else worse.capitalize() if found[0][0].isupper() else worse
            partner = name[: found.start()] + word + name[found.end() :]
            if partner in row and all(_is_an_answer(row[side]) for side in (name, partner)):
                return name, partner
    if all(_is_an_answer(row.get(side)) for side in _PLAIN_AND_REJECTED):
        return _PLAIN_AND_REJECTED
    return None


def _is_an_answer(value: object) -> bool:
    return isinstance(value, str) or looks_like_messages(value)


class NamedPair(ByFields):
    """A pair of answers whose fields are named after the better and the worse one, in any of the usual words."""

    name = "named-pair"
    takes = "the better and the worse completion are told by their fields' names, such as `preferred` and `dispreferred`"

    def fits(self, row: Row) -> bool:
        sides = _named_sides(row) if "chosen" not in row else None
        return sides is not None and (any(n in row for n in PROMPTS) or all(looks_like_messages(row[side]) for side in sides))

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        for row in sample:
            if (sides := _named_sides(row)) is not None:
                return super().settle(sample, replace(fields, chosen=sides[0], rejected=sides[1]))
        raise InputError(
            f"no two fields are named after a better and a worse answer; the rows have {fields_of(sample[0])}",
            hint="name them with `chosen_field` and `rejected_field`",
        )
