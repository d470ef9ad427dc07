"""What is taken for prompt, completions and label in data sets of other tools, as their settings stand; without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames
from argilla_admap.review.argilla.argilla_api import Api, RemoteDataset
from argilla_admap.review.argilla.properties import PROPERTIES
from argilla_admap.review.dataset.adapters import External
from argilla_admap.review.dataset.as_input import DatasetRecords, read_dataset
from argilla_admap.review.dataset.recognise import adapter_for
from argilla_admap.review.dataset.server_record import ServerRecord
from argilla_admap.review.dataset.settings import refuse_taken_names
from argilla_admap.review.push.enrich import _Matcher
from argilla_admap.review.push.payload import Payload
from tests.review.maps import data_map, row

TARGET = RemoteDataset("1", "theirs", "w", "2", True, None, {}, 1, True, "http://argilla")


def dataset(fields: Sequence[str] | Mapping[str, str], questions: Mapping[str, Any]) -> RemoteDataset:
    """Fields by name and type; questions by name and options: words are labels, numbers ratings, a set a ranking."""
    kinds = fields if isinstance(fields, Mapping) else dict.fromkeys(fields, "text")
    asked = []
    for name, options in questions.items():
        kind = "ranking" if isinstance(options, set) else "rating" if 1 in options else "label_selection"
        settings = {"type": kind, "options": [{"value": option} for option in sorted(options, key=str)]}
        asked.append({"id": f"id of {name}", "name": name, "settings": settings})
    return replace(TARGET, fields=[{"name": n, "settings": {"type": kind}} for n, kind in kinds.items()], questions=asked)


def read(fields: Sequence[str] | Mapping[str, str], questions: Mapping[str, Any], **named: Any) -> External:
    found = adapter_for(dataset(fields, questions), **named)
    assert isinstance(found, External)
    return found


def record(adapter: External, fields: Mapping[str, Any], suggested: Mapping[str, Any] = {}, **more: Any) -> ServerRecord:
    suggestions = [{"question_id": f"id of {name}", "value": value} for name, value in suggested.items()]
    return ServerRecord({"id": "0", "external_id": "r", "fields": fields, "suggestions": suggestions, **more}, adapter)


ASPECTS = {f"response-{i}-{aspect}": range(1, 6) for aspect in ("helpfulness", "honesty", "overall") for i in (1, 2)}


def test_of_several_aspects_the_overall_one_is_the_label_and_the_others_can_be_named() -> None:
    fields = ("instruction", "response-1", "response-2")
    found = read(fields, ASPECTS)
    assert found.ratings == {"response-1-overall": 0, "response-2-overall": 1}
    assert found.passed == ("response-1-helpfulness", "response-1-honesty")
    assert read(fields, ASPECTS, rating_question="honesty").ratings == {"response-1-honesty": 0, "response-2-honesty": 1}
    first_aspect = {f"rating-{aspect}-{i}": range(1, 6) for aspect in ("helpfulness", "honesty") for i in (1, 2)}
    assert read(fields, first_aspect).ratings == {"rating-helpfulness-1": 0, "rating-helpfulness-2": 1}
    assert read(fields, first_aspect, rating_question="honesty").ratings == {"rating-honesty-1": 0, "rating-honesty-2": 1}


def test_of_several_choices_the_preference_is_the_label_and_the_other_is_named() -> None:
    questions = dict.fromkeys(("safer", "preference"), ("response_1", "response_2"))
    found = read(("prompt", "response_1", "response_2"), questions)
    assert (list(found.choices), found.passed) == (["preference"], ("safer",))
    assert list(read(("prompt", "response_1", "response_2"), questions, rating_question="safer").choices) == ["safer"]


def test_ten_completions_are_told_from_the_first() -> None:
    names = [f"response-{i}" for i in range(1, 11)]
    found = read(("prompt", *names), {f"{name}-rating": range(1, 6) for name in names})
    assert found.ratings == {f"{name}-rating": place for place, name in enumerate(names)}


@pytest.mark.parametrize(
    ("options", "better"),
    [
        (("A>B", "A=B", "A<B"), {"A>B": "a", "A=B": "tie", "A<B": "b"}),
        (("A>>B", "A>B", "B>A", "B>>A"), {"A>>B": "a", "A>B": "a", "B>A": "b", "B>>A": "b"}),
        (("Response A is better", "Response B is better"), {"Response A is better": "a", "Response B is better": "b"}),
        (("a", "b", "unsure"), {"a": "a", "b": "b", "unsure": ""}),
    ],
)
def test_options_in_words_say_which_is_better(options: tuple[str, ...], better: dict[str, str]) -> None:
    found = read(("prompt", "response_a", "response_b"), {"preference": options})
    assert found.choices == {"preference": better}
    for option, said in better.items():
        assert found.answer({"preference": option}) == ({"better": said} if said else {})


def test_options_that_say_nothing_of_the_pair_are_no_label() -> None:
    assert not read(("prompt", "chosen", "rejected"), {"chosen_is_better": ("yes", "no")}).answerable
    assert not read(("prompt", "response_a", "response_b"), {"preference": ("A>B", "A<B", "blue")}).answerable


def test_names_of_models_are_no_completions_where_responses_stand_beside_them() -> None:
    found = read(("prompt", "model_1", "model_2", "response_1", "response_2"), {"preference": ("1", "2")})
    assert (found.completions, found.unread) == (("response_1", "response_2"), ("model_1", "model_2"))
    described = DatasetRecords(None, TARGET, found).format  # type: ignore[arg-type]  # reads nothing
    assert "not read: `model_1`, `model_2`" in str(described)


@pytest.mark.parametrize("named", [("chosen", "rejected"), ("rejected", "chosen")])
def test_the_chosen_one_is_the_better_in_whatever_order_they_are_named(named: tuple[str, str]) -> None:
    adapter = read(("prompt", "chosen", "rejected"), {}, completion_fields=named)
    found = record(adapter, {"prompt": "p", "chosen": "good", "rejected": "bad"})
    assert found.texts is not None
    assert found.label is not None
    assert dict(zip(found.texts.completions, found.label, strict=True)) == {"good": 1.0, "bad": 0.0}


def test_fields_named_as_the_better_and_the_worse_one_are_the_label() -> None:
    adapter = read(("prompt", "up", "down"), {}, completion_fields=("up", "down"), labelled=True)
    assert record(adapter, {"prompt": "p", "up": "x", "down": "y"}).label == (1.0, 0.0)


def test_no_suggestion_outweighs_the_better_and_the_worse_one_as_they_were_named(monkeypatch: pytest.MonkeyPatch) -> None:
    target = dataset(("prompt", "up", "down"), {f"{name}-rating": range(1, 6) for name in ("up", "down")})
    item = {"id": "0", "external_id": "r", "fields": {"prompt": "p", "up": "x", "down": "y"}}
    suggestions = [{"question_id": "id of up-rating", "value": 1}, {"question_id": "id of down-rating", "value": 5}]
    monkeypatch.setattr(Api, "__init__", lambda *_: None)
    monkeypatch.setattr(Api, "dataset", lambda *_: target)
    monkeypatch.setattr(Api, "pages", lambda *_: iter([[item | {"suggestions": suggestions}]]))

    def label(**fields: Any) -> tuple[float | None, ...]:
        (found,) = read_dataset("w/theirs", None, fields=FieldNames(**fields)).records()
        return found.ratings

    assert label(completion=("up", "down")) == (1.0, 5.0)
    assert label(chosen="up", rejected="down") == (1.0, 0.0)


def test_what_stands_beside_the_prompt_belongs_to_it() -> None:
    adapter = read(
        {"system_prompt": "text", "context": "text", "image": "image", "prompt": "text", "chosen": "text", "rejected": "text"},
        {},
    )
    values = {"system_prompt": "Be a pirate.", "context": "The sea is salt.", "image": "data:x", "prompt": "Is it?"}
    found = record(adapter, {**values, "chosen": "Aye", "rejected": "No"})
    assert found.texts is not None
    assert found.texts.prompt == "system: Be a pirate.\n\nuser: The sea is salt.\n\n[1 image, not shown]\n\nIs it?"
    assert adapter.unread == ()


def test_conversations_that_part_early_share_only_what_is_the_same() -> None:
    adapter = read({"chosen": "chat", "rejected": "chat"}, {})

    def chat(*said: str) -> list[dict[str, str]]:
        return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]

    texts = record(adapter, {"chosen": chat("Hi", "Well?", "Go", "good"), "rejected": chat("Hi", "Hm", "Go", "bad")}).texts
    assert texts is not None
    assert (texts.prompt, len(texts.completions)) == ("Hi", 2)
    assert texts.completions[1] == "assistant: Hm\n\nuser: Go\n\nassistant: bad"
    assert record(adapter, {"chosen": chat("Hi", "good"), "rejected": []}).texts is None


@pytest.mark.parametrize("kind", ["image", "custom"])
def test_completions_that_hold_no_text_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match=rf"'response_1' is of type {kind}"):
        read({"prompt": "text", "response_1": kind, "response_2": kind}, {})


def test_a_record_without_some_of_the_optional_completions_has_the_others() -> None:
    """As distilabel makes them: only the first generation is required."""
    names = [f"generations-{i}" for i in range(4)]
    adapter = read(("instruction", *names), {f"{name}-rating": range(1, 6) for name in names})
    fields = {"instruction": "p", "generations-0": "w", "generations-1": None, "generations-2": "y", "generations-3": "z"}
    said = {"generations-0-rating": 5, "generations-1-rating": 4, "generations-2-rating": 3, "generations-3-rating": 1}
    response = {
        "id": "1",
        "status": "submitted",
        "user_id": "u",
        "updated_at": "2026-01-01",
        "values": {name: {"value": 6 - value} for name, value in said.items()},
    }
    found = record(adapter, fields, said, responses=[response])
    assert found.texts is not None
    assert (found.texts.completions, found.label) == (("w", "y", "z"), (5.0, 3.0, 1.0))
    assert [said for _, said in found.submitted()] == [{"rating_a": 1, "rating_b": 3, "rating_c": 5}]
    assert record(adapter, dict.fromkeys(names, None) | {"instruction": "p", "generations-0": "w"}).texts is None


def test_a_named_question_is_the_label_whatever_a_push_noted() -> None:
    fields = {"prompt": "p", "response_1": "x", "response_2": "y"}
    adapter = read(tuple(fields), {"preference": ("response_1", "response_2")})
    noted = {"metadata": {"admap_label": "[0.0,1.0]"}}
    assert record(adapter, fields, {"preference": "response_1"}, **noted).label == (0.0, 1.0)
    named = replace(adapter, question_named=True)
    assert record(named, fields, {"preference": "response_1"}, **noted).label == (1.0, 0.0)
    assert record(named, fields, {}, **noted).label == (0.0, 1.0)


def test_metadata_of_somebody_else_under_our_names_are_refused_before_anything_is_sent() -> None:
    ours: dict[str, Any] = {p.name: {"title": p.title, "settings": {"type": p.kind, "values": None}} for p in PROPERTIES}
    half = {name: ours[name] for name in ("admap_mean", "admap_flags")}
    refuse_taken_names(replace(TARGET, properties=half))
    for found in (
        {"admap_mean": {"title": "admap_mean", "settings": {"type": "float"}}},
        {"admap_flags": {"title": "Flags", "settings": {"type": "terms", "values": ["theirs"]}}},
        {"admap_review": {"title": "Mine", "settings": {"type": "float", "min": 0.0}}},
    ):
        with pytest.raises(InputError, match=f"'{next(iter(found))}' that no push made"):
            refuse_taken_names(replace(TARGET, properties=half | found))
    refuse_taken_names(
        replace(TARGET, properties=ours | {"admap_mean": {"title": "admap_mean", "settings": {"type": "float"}}})
    )
    with pytest.raises(InputError, match="'admap_flags' that no push made"):
        refuse_taken_names(
            replace(TARGET, properties=ours | {"admap_flags": {"title": "x", "settings": {"values": ["theirs"]}}})
        )


def test_a_draft_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="is a draft"):
        adapter_for(replace(dataset(("prompt", "chosen", "rejected"), {}), ready=False))
    with pytest.raises(InputError, match="is a draft"):
        Api.search(None, replace(TARGET, ready=False), {})  # type: ignore[arg-type]  # asks nobody


def test_a_record_of_the_same_id_and_quite_other_texts_is_not_the_same() -> None:
    """Ids that count rows are in every file."""
    adapter = read(("prompt", "chosen", "rejected"), {})
    texts = {
        "prompt": "Which river flows through Paris?",
        "chosen": "The Seine does, from east to west.",
        "rejected": "The Rhine.",
    }
    rows = [row(str(i), prompt=f"{texts['prompt']} {i}", completions=[texts["chosen"], texts["rejected"]]) for i in range(3)]
    found = data_map([*rows, row("3", prompt="Name a heavy metal.", completions=["Lead, with symbol Pb.", "Some feather."])])
    matcher = _Matcher(found, Payload(found), adapter)

    def find(record_id: str, **fields: str) -> int | None:
        match = matcher.find({"external_id": record_id, "fields": texts | {"prompt": f"{texts['prompt']} 1"} | fields})
        return None if match is None else match[0]

    assert find("1") == 1
    assert find("1", chosen="<p>The Seine does, from east to west.</p>") == 1
    assert find("2", prompt="How do I bake bread?", chosen="Mix flour, yeast and water.", rejected="Buy some instead.") is None
    assert find("3") == 1
    assert (matcher.other_texts, matcher.strangers, matcher.by_text) == (1, 1, 1)
