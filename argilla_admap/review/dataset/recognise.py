"""Which field of a data set on Argilla is the prompt, which are the completions, and which question says the label."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames
from argilla_admap.formats.rows.prompts import BESIDE
from argilla_admap.formats.rows.verdict_scale import infer_scale
from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.dataset.adapters import DatasetAdapter, External, Managed
from argilla_admap.review.dataset.answers import RatingScale
from argilla_admap.review.dataset.layout import managed_layout

__all__ = ["adapter_for"]

_PROMPTS = ["prompt", "instruction", "question", "query", "input", "user", "messages", "conversation", "context"]
_PROMPTS += ["chat", "history"]
_PAIRS = (("chosen", "rejected"), ("chosenresponse", "rejectedresponse"), ("responsechosen", "responserejected"))
#: What numbered completions are called, the surest first: fields `model_1` and `text_1` may stand beside `response_1`.
_STEMS = ("response", "completion", "generation", "answer", "output", "candidate", "text", "model")
_NUMBERED = re.compile(rf"({'|'.join(_STEMS)})s?(\d+|[a-z])")
_TIES = {"tie", "tied", "equal", "same", "both", "draw", "bothgood", "equallygood", "neutral", "nopreference"}
_BAD = {"bothbad", "neither", "none", "bothbadly", "equallybad", "tiebothbad"}
_NOTHING = {"unsure", "notsure", "unknown", "unclear", "skip", "idk", "dontknow", "idontknow", "cannotdecide", "cantdecide"}
_NOTHING |= {"cantsay", "cannotsay", "na", "invalid", "undecided"}
_FIRST = {"a", "1", "first", "left", "chosen"}
_SECOND = {"b", "2", "second", "right", "rejected"}
#: Questions about the whole, where others ask about one aspect.
_WHOLE = re.compile(r"overall|prefer|better|best|winner|total")


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def adapter_for(
    dataset: RemoteDataset,
    *,
    prompt_field: str | None = None,
    completion_fields: Sequence[str] = (),
    rating_question: str | None = None,
    labelled: bool = False,
) -> DatasetAdapter:
    """How to read the data set.

    Args:
        dataset: as it stands on the server.
        prompt_field, completion_fields: their names, where they are not recognised.
        rating_question: the question whose answers are the label; of several rating questions, a part of their names.
        labelled: the two completion fields were named as the better one and the worse one.

    Raises:
        InputError: a draft; fields or a question that are not there, hold no text, or are not recognised, with what there is.
    """
    managed = None if prompt_field or completion_fields else managed_layout(dataset)
    if managed is not None:
        return Managed(managed)
    dataset.check_published()
    kinds = {str(f["name"]): str(f["settings"].get("type")) for f in dataset.fields}
    names = list(kinds)
    listed = ", ".join(names) or "none"
    for name in (*completion_fields, *((prompt_field,) if prompt_field else ())):
        if name not in names:
            raise InputError(f"{dataset.full_name} has no field {name!r}; its fields are {listed}")
    completions = tuple(completion_fields) or _completion_fields(names)
    if len(completions) < 2:
        raise InputError(
            f"{dataset.full_name}: its fields ({listed}) do not say which are the completions",
            hint="name the prompt with `prompt_field` and each completion with `completion_field`",
        )
    bare = {_bare(name): name for name in names if name not in completions}
    prompt = prompt_field or next((bare[word] for word in _PROMPTS if word in bare), None)
    for name in (*completions, *((prompt,) if prompt else ())):
        if kinds[name] in ("image", "custom"):
            raise InputError(
                f"{dataset.full_name}: its field {name!r} is of type {kinds[name]}, which no judge can read",
                hint="name fields of text or chat with `prompt_field` and `completion_field`",
            )
    if prompt is None and {kinds[name] for name in completions} != {"chat"}:
        raise InputError(
            f"{dataset.full_name}: its fields ({listed}) do not say which is the prompt", hint="name it with `prompt_field`"
        )
    found = External(
        prompt,
        completions,
        0 if labelled else _chosen(completions),
        unread=tuple(name for name in names if name not in {*completions, prompt, *BESIDE}),
        question_names={str(question["id"]): str(question["name"]) for question in dataset.questions if "id" in question},
    )
    return _with_questions(found, dataset, rating_question)


def _chosen(completions: Sequence[str]) -> int | None:
    """The place of the completion that the fields' own names call the better of the two, in whatever order they stand."""
    bare = [_bare(name) for name in completions]
    for better, worse in _PAIRS:
        if len(bare) == 2 and (better in bare or worse in bare):
            return bare.index(better) if better in bare else 1 - bare.index(worse)
    return None


def _completion_fields(names: Sequence[str]) -> tuple[str, ...]:
    bare = {_bare(name): name for name in names}
    for first, second in _PAIRS:
        if first in bare and second in bare:
            return (bare[first], bare[second])
    families: dict[str, list[tuple[int, str, str]]] = {stem: [] for stem in _STEMS}
    for word, name in bare.items():
        if match := _NUMBERED.fullmatch(word):
            stem, place = match.groups()
            families[stem].append((int(place) if place.isdigit() else ord(place), place, name))
    best = next((family for family in families.values() if len(family) > 1), [])
    return tuple(name for _, _, name in sorted(best))


def _with_questions(adapter: External, dataset: RemoteDataset, wanted: str | None) -> External:
    questions = {str(q["name"]): q["settings"] for q in dataset.questions}
    listed = ", ".join(questions) or "none"
    part = _bare(wanted or "")
    chosen = {
        name: settings
        for name, settings in questions.items()
        if wanted in (None, name) or (wanted not in questions and settings["type"] == "rating" and part and part in _bare(name))
    }
    if not chosen and wanted is not None:
        raise InputError(f"{dataset.full_name} has no question {wanted!r}; its questions are {listed}")
    ratings = _rating_questions(chosen, adapter.completions)
    choices: dict[str, Mapping[str, str]] = {}
    ranking: dict[str, Mapping[str, int]] = {}
    for name, settings in chosen.items():
        options = [str(option["value"]) for option in settings.get("options") or []]
        if settings["type"] == "label_selection" and len(adapter.completions) == 2:
            if (meaning := _choices(name, options, adapter.completions)) is not None:
                choices[name] = meaning
        elif settings["type"] == "ranking":
            places = {option: _place(option, adapter.completions, options) for option in options}
            if sorted(p for p in places.values() if p is not None) == list(range(len(adapter.completions))):
                ranking[name] = {option: place for option, place in places.items() if place is not None}
    if wanted is not None and not (ratings or choices or ranking):
        raise InputError(
            f"{dataset.full_name}: the answers to {wanted!r} do not say how good each of {', '.join(adapter.completions)} is",
            hint=f"its questions are {listed}",
        )
    # One way to answer: a question about the whole record before ratings of its parts; of several the one that its name calls
    # the whole, else the first.
    if choices or ranking:
        taken = _whole([*choices] or [*ranking])
        adapter = replace(adapter, passed=tuple(name for name in (*choices, *ranking) if name != taken))
        if choices:
            return replace(adapter, choices={taken: choices[taken]})
        k = len(adapter.completions)
        scale = RatingScale(tuple(range(1, k + 1)), 1.0, float(k), places=True)
        return replace(adapter, ranking={taken: ranking[taken]}, scale=scale)
    if ratings:
        family = ratings[_whole([*ratings])]
        asked = [int(option["value"]) for option in questions[next(iter(family))]["options"]]
        others = tuple(next(iter(other)) for other in ratings.values() if other != family)
        return replace(adapter, ratings=family, scale=RatingScale.identity(asked), passed=others)
    return adapter


def _whole(names: Sequence[str]) -> str:
    """The name that asks about the whole, else the first."""
    return next((name for name in names if _WHOLE.search(name.lower())), names[0])


def _rating_questions(questions: Mapping[str, Mapping[str, object]], completions: Sequence[str]) -> dict[str, dict[str, int]]:
    """Sets of questions that rate each completion once: what their names share -> each one with the place of its completion."""
    rated = [name for name, settings in questions.items() if settings["type"] == "rating"]
    found: dict[str, dict[str, int]] = {}
    for name in rated:
        bare = _bare(name)
        # distilabel: generations-0-rating; others: rating-1, rating_a, quality_response_1, response-1-helpfulness. The longest
        # name counts: response1 stands within response10 too.
        own = max(
            (i for i, one in enumerate(completions) if _bare(one) in bare), key=lambda i: len(completions[i]), default=None
        )
        if own is not None:
            found.setdefault(bare.replace(_bare(completions[own]), "", 1), {}).setdefault(name, own)
    complete = {word: family for word, family in found.items() if sorted(family.values()) == list(range(len(completions)))}
    if complete:
        return complete
    ends: dict[str, dict[str, str]] = {}
    for name in rated:
        if match := re.search(r"(\d+|(?<=[\W_])[a-zA-Z])$", name):
            ends.setdefault(name[: match.start()], {})[name] = match.group(1)
    return {
        word: {name: place for place, name in enumerate(sorted(family, key=lambda name: _in_order(family[name])))}
        for word, family in ends.items()
        if len(family) == len(completions)
    }


def _in_order(end: str) -> tuple[int, str]:
    return (int(end), "") if end.isdigit() else (0, end.lower())


def _choices(name: str, options: Sequence[str], completions: Sequence[str]) -> dict[str, str] | None:
    """What each option of a question says of a pair; None where they do not say which is better."""
    known = [option for option in options if _bare(option) not in _NOTHING]
    meaning: dict[str, str | None] = {option: _choice(option, completions) for option in known}
    if not {"a", "b"} <= set(meaning.values()) or None in meaning.values():
        # In the words of files: "A>B", "response 1 is slightly better".
        try:
            scale = infer_scale(name, completions, known, FieldNames())
        except InputError:
            return None
        outcomes = {option: scale.outcome(option) for option in known}
        meaning = {option: said if isinstance(said, str) else None for option, said in outcomes.items()}
    said = {option: outcome for option, outcome in meaning.items() if outcome is not None}
    if len(said) < len(known) or not {"a", "b"} <= set(said.values()):
        return None
    return {option: said.get(option, "") for option in options}


def _choice(option: str, completions: Sequence[str]) -> str | None:
    bare = _bare(option)
    names = [_bare(name) for name in completions]
    if bare in _TIES:
        return "tie"
    if bare in _BAD:
        return "both_bad"
    for place, said in enumerate("ab"):
        if bare == names[place] or bare in (_FIRST, _SECOND)[place]:
            return said
    numbered = _NUMBERED.fullmatch(bare)
    if numbered is None:
        return None
    return "a" if numbered[2] in _FIRST else "b" if numbered[2] in _SECOND else None


def _place(option: str, completions: Sequence[str], options: Sequence[str]) -> int | None:
    bare, names = _bare(option), [_bare(name) for name in completions]
    if bare in names:
        return names.index(bare)
    # Options that are numbered as the fields are, under another word: response-1 for generation-1.
    return list(options).index(option) if _NUMBERED.fullmatch(bare) or bare.isdigit() or len(bare) == 1 else None
