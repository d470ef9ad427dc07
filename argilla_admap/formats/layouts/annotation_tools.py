"""Exports of annotation tools: Argilla's, of both versions, and Label Studio's."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from argilla_admap.formats.format import Draft, Edit, FieldNames, Path, Put, Row, RowError, RowFormat, TieCannotBeSaid
from argilla_admap.formats.layouts.plain import LISTS, completion_text
from argilla_admap.formats.layouts.verdicts import rival_fields
from argilla_admap.formats.rows.prompts import PROMPTS, prompt_of
from argilla_admap.formats.rows.ratings import put_ratings, wanted_ratings
from argilla_admap.formats.rows.verdict_scale import infer_scale
from argilla_admap.formats.values import (
    fields_of,
    found_id,
    found_source,
    in_backticks,
    number,
    optional_text,
    shorten,
    unpacked,
)

__all__ = ["ArgillaExport", "LabelStudio"]


@dataclass(frozen=True, slots=True)
class _Answer:
    """One annotator's answer to a question, and where it stands."""

    path: Path
    value: Any


class _Export(RowFormat):
    """What the exports share: rival texts, questions, and the answers of annotators, whose mean is the label."""

    @abstractmethod
    def _fields(self, row: Row) -> Row:
        """The record's fields."""

    @abstractmethod
    def _answers(self, row: Row) -> dict[str, list[_Answer]]:
        """The answers that count, by question."""

    def _rivals(self, row: Row) -> tuple[str, ...]:
        found = self._fields(row)
        names = rival_fields(found)
        if not names and {"chosen", "rejected"} <= set(found):
            return ("chosen", "rejected")
        return names or tuple(n for n in LISTS if isinstance(unpacked(found.get(n)), list))[:1]

    def _texts(self, row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The completions' names, by which an answer may call them, and their texts."""
        found, names = self._fields(row), self._rivals(row)
        values: Sequence[Any] = [found[name] for name in names]
        if len(names) == 1:
            values = unpacked(values[0])
            names = tuple(f"{names[0].rstrip('s')}-{n}" for n in range(1, len(values) + 1))
        if len(values) < 2:
            raise RowError(f"completions are missing, expected fields such as response_0 and response_1: {fields_of(found)}")
        return names, tuple(completion_text(value, repr(name)) for name, value in zip(names, values, strict=True))

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        """The field of the label: a ranking, ratings of each completion, or a choice."""
        answers: dict[str, list[Any]] = {}
        for row in sample:
            for question, given in self._answers(row).items():
                answers.setdefault(question, []).extend(answer.value for answer in given)
        usable = [row for row in sample if self._rivals(row)]
        if not usable:
            return fields
        names = self._texts(usable[0])[0]
        wanted = fields.verdict or (fields.rating[0] if len(fields.rating) == 1 else None)
        for question, values in answers.items():
            if (wanted is None or wanted == question) and any(_ranked(value, names) for value in values):
                return replace(fields, verdict=question, rating=(), scales=())
        rated = _by_completion(list(answers), names)
        if rated and all(_is_number(value) for question in rated for value in answers[question]):
            return replace(fields, rating=rated, verdict=None)
        for question, values in answers.items():
            if wanted in (None, question) and values and not isinstance(values[0], (list, dict)):
                scale = infer_scale(question, names, values, fields)
                if any(scale.outcome(value) is not None for value in values):
                    return replace(fields, verdict=question, rating=(), scales=(scale,))
        return fields

    def describe(self, fields: FieldNames) -> str:
        if fields.scales:
            label = fields.scales[0].describe()
        elif fields.verdict:
            label = f"the label is the ranking `{fields.verdict}`, the first is the best"
        elif fields.rating:
            label = f"the ratings are {in_backticks(fields.rating)}"
        else:
            label = "there is no label: no question's answers name the completions"
        return f"{self.takes}; {label}"

    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        names, texts = self._texts(row)
        prompt, turns = prompt_of(self._fields(row), taken=self._rivals(row))
        draft = Draft(
            prompt=prompt,
            turns=turns,
            completions=texts,
            ratings=(None,) * len(texts),
            id=found_id(row, fields),
            source=found_source(row, fields),
        )
        answers = self._answers(row)
        if fields.rating and not fields.verdict:
            places = [answers.get(question, []) for question in fields.rating]
            draft.places = tuple(tuple(answer.path for answer in given) for given in places)
            draft.ratings = tuple(_mean([number(a.value, "the rating") for a in given]) for given in places)
        elif fields.verdict:
            given = answers.get(fields.verdict, [])
            if fields.scales:
                ratings = [fields.scales[0].ratings(answer.value, texts=texts) for answer in given]
            else:
                ratings = [_ratings_of(answer.value, names) for answer in given]
            whole = [r for r in ratings if len(r) == len(texts) and None not in r]
            draft.ratings = tuple(_mean(column) for column in zip(*whole, strict=True)) or (None,) * len(texts)
        return draft

    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        wanted = wanted_ratings(draft, ratings)
        whole = [value for value in wanted if value is not None]
        if fields.rating and not fields.verdict:
            return put_ratings(row, draft, ratings)
        if wanted == list(draft.ratings) or len(whole) < len(wanted):
            return []
        given = self._answers(row).get(fields.verdict or "", [])
        if not given:
            raise RowError(f"no annotator has answered {fields.verdict!r}, so there is no answer to correct")
        names, texts = self._texts(row)
        edits: list[Edit] = []
        for answer in given:
            if fields.scales:
                new = fields.scales[0].write(answer.value, whole, texts=texts)
            else:
                new = _reordered(answer.value, whole, names)
            if new != answer.value:
                edits.append(Put(answer.path, new))
        return edits


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(sum(known) / len(known), 12) if known else None


def _is_number(value: object) -> bool:
    try:
        return number(value, "") is not None
    except RowError:
        return False


def _by_completion(questions: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Of questions that end as the completions' fields do, one for each."""
    found = []
    for name in names:
        end = re.sub(r"^.*?(\d+|[a-h]|chosen|rejected)$", r"\1", name, flags=re.IGNORECASE).lower()
        found += [next((q for q in questions if re.search(rf"[_ -]{end}$|{re.escape(name)}", q, re.IGNORECASE)), "")]
    return tuple(found) if all(found) and len(set(found)) == len(names) else ()


def _position(name: object, names: Sequence[str], called: Sequence[object]) -> int | None:
    """Which completion an answer calls by this name; those of a list are called by their number."""
    if name in names:
        return list(names).index(str(name))
    numbers = [re.search(r"([0-9]{1,9})$", str(other)) for other in called]
    match = re.search(r"([0-9]{1,9})$", str(name))
    return int(match[1]) - min(int(n[1]) for n in numbers if n) if match and all(numbers) else None


def _ranked(value: object, names: Sequence[str]) -> list[tuple[int, int | None]]:
    """The completions' positions and ranks in the order of a ranking; nothing where the value is none."""
    if isinstance(value, Mapping) and isinstance(value.get("value"), list) and isinstance(value.get("rank"), list):
        # So `datasets` gives back a list of objects.
        value = [{"value": name, "rank": rank} for name, rank in zip(value["value"], value["rank"], strict=False)]
    if not isinstance(value, list) or len(value) != len(names):
        return []
    called = [item.get("value") if isinstance(item, Mapping) else item for item in value]
    positions = [_position(name, names, called) for name in called]
    ranks = [item.get("rank") if isinstance(item, Mapping) else None for item in value]
    if sorted(p for p in positions if p is not None) != list(range(len(names))):
        return []
    return [(p, rank if isinstance(rank, int) else None) for p, rank in zip(positions, ranks, strict=True) if p is not None]


def _ratings_of(value: object, names: Sequence[str]) -> tuple[float | None, ...]:
    """The best of K completions has K; without ranks, their order says them."""
    ranks = _ranked(value, names)
    if not ranks:
        return ()
    by_position = {position: rank if rank is not None else place for place, (position, rank) in enumerate(ranks, 1)}
    return tuple(float(len(names) + 1 - by_position[n]) if n in by_position else None for n in range(len(names)))


def _reordered(value: Any, wanted: Sequence[float], names: Sequence[str]) -> Any:
    """The ranking as the wanted ratings have it: the ranks where it has some, else the order."""
    ranks = _ranked(value, names)
    if not ranks:
        raise RowError(f"the ranking {shorten(value)} does not name each completion")
    if isinstance(value, Mapping):
        return {**value, "rank": [1 + sum(other > wanted[position] for other in wanted) for position, _ in ranks]}
    if ranks and all(rank is not None for _, rank in ranks):
        return [
            {**item, "rank": 1 + sum(other > wanted[position] for other in wanted)}
            for item, (position, _) in zip(value, ranks, strict=True)
        ]
    if len(set(wanted)) < len(wanted):
        raise TieCannotBeSaid
    order = sorted(range(len(value)), key=lambda n: -wanted[ranks[n][0]])
    return [value[n] for n in order]


class ArgillaExport(_Export):
    """A data set as Argilla writes it to a file or to the hub: version 2 flat or as records, and version 1."""

    name = "argilla-export"
    takes = "the prompt and the completions are the record's fields; the label is what its annotators submitted, else suggested"

    def fits(self, row: Row) -> bool:
        if not self._rivals(row) or not any(n in self._fields(row) for n in PROMPTS):
            return False
        if isinstance(row.get("fields"), Mapping):
            return "responses" in row or "suggestions" in row
        return any(name.endswith((".responses", ".suggestion", "-suggestion")) for name in row) or bool(self._answers(row))

    def _fields(self, row: Row) -> Row:
        given = unpacked(row.get("fields"))
        return given if isinstance(given, Mapping) else row

    def _answers(self, row: Row) -> dict[str, list[_Answer]]:
        submitted: dict[str, list[_Answer]] = {}
        suggested: dict[str, list[_Answer]] = {}
        if isinstance(unpacked(row.get("fields")), Mapping):
            self._of_record(row, submitted, suggested)
        else:
            self._of_columns(row, submitted, suggested)
        return {**{q: a for q, a in suggested.items() if a}, **{q: a for q, a in submitted.items() if a}}

    def _of_record(self, row: Row, submitted: dict[str, list[_Answer]], suggested: dict[str, list[_Answer]]) -> None:
        responses, suggestions = unpacked(row.get("responses")), unpacked(row.get("suggestions"))
        if isinstance(responses, Mapping):
            for question, given in responses.items():
                submitted[question] = _each(("responses", question), given)
        elif isinstance(responses, list):
            for n, response in enumerate(responses):
                values = response.get("values") if isinstance(response, Mapping) else None
                if isinstance(values, Mapping) and _counts(response.get("status")):
                    for question, given in values.items():
                        submitted.setdefault(question, []).extend(
                            _each(("responses", n, "values", question), [given], one=True)
                        )
        if isinstance(suggestions, Mapping):
            for question, given in suggestions.items():
                suggested[question] = _each(("suggestions", question), [given], one=True)
        elif isinstance(suggestions, list):
            for n, given in enumerate(suggestions):
                if isinstance(given, Mapping) and "question_name" in given:
                    suggested[given["question_name"]] = _each(("suggestions", n), [given], one=True)

    def _of_columns(self, row: Row, submitted: dict[str, list[_Answer]], suggested: dict[str, list[_Answer]]) -> None:
        for name in row:
            if name.endswith(".responses"):
                question = name.removesuffix(".responses")
                given = unpacked(row[name])
                states = unpacked(row.get(f"{name}.status"))
                if isinstance(given, list):
                    counted = [
                        n for n in range(len(given)) if not isinstance(states, list) or n >= len(states) or _counts(states[n])
                    ]
                    submitted[question] = [_Answer((name, n), unpacked(given[n])) for n in counted if given[n] is not None]
            elif name.endswith((".suggestion", "-suggestion")):
                if row[name] not in (None, "", []):
                    suggested[name[: -len(".suggestion")]] = [_Answer((name,), unpacked(row[name]))]
            elif isinstance(given := unpacked(row[name]), list) and _is_old_response(given):
                submitted[name] = _each((name,), given)
            elif isinstance(given, Mapping) and _OLD.issubset(given) and isinstance(given["value"], list):
                states = given["status"] or []
                submitted[name] = [
                    _Answer((name, "value", n), unpacked(value))
                    for n, value in enumerate(given["value"])
                    if value is not None and _counts(states[n] if n < len(states) else None)
                ]


#: What version 1 writes of a response.
_OLD = frozenset({"user_id", "value", "status"})


def _is_old_response(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, Mapping) and _OLD.issubset(item) for item in value)


def _counts(status: object) -> bool:
    return status in (None, "submitted")


def _each(path: Path, given: object, *, one: bool = False) -> list[_Answer]:
    """The values of answers that count; `one`: the path leads to the answer itself."""
    found = []
    for n, item in enumerate(given if isinstance(given, list) else []):
        here = path if one else (*path, n)
        if isinstance(item, Mapping) and "value" in item:
            if _counts(item.get("status")) and item["value"] is not None:
                found.append(_Answer((*here, "value"), unpacked(item["value"])))
        elif item is not None and not isinstance(item, Mapping):
            found.append(_Answer(here, item))
    return found


class LabelStudio(_Export):
    """Label Studio's JSON export of a task that compares completions."""

    name = "label-studio"
    takes = "the prompt and the completions are the task's `data`; the label is what its annotators chose"

    def fits(self, row: Row) -> bool:
        return (
            isinstance(unpacked(row.get("data")), Mapping)
            and isinstance(unpacked(row.get("annotations")), list)
            and bool(self._rivals(row))
        )

    def _fields(self, row: Row) -> Row:
        given = unpacked(row.get("data"))
        if not isinstance(given, Mapping):
            raise RowError(f"'data' is {shorten(given)}, expected the task's fields")
        return given

    def _answers(self, row: Row) -> dict[str, list[_Answer]]:
        found: dict[str, list[_Answer]] = {}
        annotations = unpacked(row.get("annotations"))
        for n, annotation in enumerate(annotations if isinstance(annotations, list) else ()):
            results = annotation.get("result") if isinstance(annotation, Mapping) else None
            if not isinstance(results, list) or annotation.get("was_cancelled"):
                continue
            for m, result in enumerate(results):
                value = result.get("value") if isinstance(result, Mapping) else None
                if not isinstance(value, Mapping):
                    continue
                base: Path = ("annotations", n, "result", m, "value")
                question = str(optional_text(result.get("from_name")) or result.get("type"))
                for key in ("selected", "choices", "rating"):
                    given = value.get(key)
                    if isinstance(given, list) and len(given) == 1:
                        found.setdefault(question, []).append(_Answer((*base, key, 0), given[0]))
                    elif given is not None and not isinstance(given, list):
                        found.setdefault(question, []).append(_Answer((*base, key), given))
        return found
