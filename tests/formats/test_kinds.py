"""Rows of the world's files: what they say is read, guessed out loud, or refused; never silently something else."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames, RowError, TieCannotBeSaid
from argilla_admap.formats.registry import FORMATS, read
from argilla_admap.formats.rows.conversations import messages
from argilla_admap.formats.writeback.corrected import write_corrected
from argilla_admap.records import Record

PAIR = {"chosen": "good", "rejected": "bad"}
Row = dict[str, Any]


def user(text: Any) -> Row:
    return {"role": "user", "content": text}


def assistant(text: Any, **more: Any) -> Row:
    return {"role": "assistant", "content": text, **more}


@pytest.fixture
def written(tmp_path: Path):
    def write(*rows: Row, name: str = "x.jsonl") -> Path:
        (tmp_path / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return tmp_path / name

    return write


def records(path: Path, **options: Any) -> list[Record]:
    return list(read(path, **options).records())


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        read(path, **options).check()
    return str(refused.value)


SYSTEM = "Answer only in French."


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"system": SYSTEM, "prompt": "Hello", **PAIR}, f"system: {SYSTEM}\n\nuser: Hello"),
        ({"system_prompt": SYSTEM, "question": "Hello", **PAIR}, f"system: {SYSTEM}\n\nuser: Hello"),
        ({"system": SYSTEM, "input": "Hello", **PAIR}, f"system: {SYSTEM}\n\nuser: Hello"),
        (
            {"system": SYSTEM, "instruction": "Hello", "chosen_response": "good", "rejected_response": "bad"},
            f"system: {SYSTEM}\n\nuser: Hello",
        ),
        (
            {"system": SYSTEM, "prompt": [user("Hello")], "chosen": [assistant("good")], "rejected": [assistant("bad")]},
            f"system: {SYSTEM}\n\nuser: Hello",
        ),
        (
            {"system": SYSTEM, "conversations": [{"from": "human", "value": "Hello"}], **PAIR},
            f"system: {SYSTEM}\n\nuser: Hello",
        ),
        ({"prompt": "Translate.", "input": "Hello", **PAIR}, "Translate.\nHello"),
        (
            {"instruction": "Translate.", "input": "Hello", "output_1": "good", "output_2": "bad", "preference": 1},
            "Translate.\nHello",
        ),
        (
            {"instruction": "Translate.", "input": "Hello", "generations": ["good", "bad"], "ratings": [5, 1]},
            "Translate.\nHello",
        ),
        ({"context": "It opens at 8.", "question": "When?", **PAIR}, "It opens at 8.\n\nWhen?"),
        (
            {"passage": "It opens at 8.", "prompt": "When?", "response_a": "good", "response_b": "bad", "winner": "a"},
            "It opens at 8.\n\nWhen?",
        ),
        ({"documents": ["One.", "Two."], "question": "When?", **PAIR}, "One.\n\nTwo.\n\nWhen?"),
        (
            {"document": "It opens at 8.", "prompt": "When?", "completions": [{"text": "good"}, {"text": "bad"}], "x": 1},
            "It opens at 8.\n\nWhen?",
        ),
        ({"history": [["Hi", "Hello"]], "instruction": "Bye", **PAIR}, "user: Hi\n\nassistant: Hello\n\nuser: Bye"),
        ({"history": [user("Hi"), assistant("Hello")], "prompt": "Bye", **PAIR}, "user: Hi\n\nassistant: Hello\n\nuser: Bye"),
        (
            {"prompt": "Translate: Hello there, my old friend", "input": "Hello there, my old friend", **PAIR},
            "Translate: Hello there, my old friend",
        ),
        ({"prompt": "Look", "images": ["a.png", "b.png"], **PAIR}, "[2 images, not shown]\n\nLook"),
        ({"tools": [{"name": "clock"}], "prompt": "When?", **PAIR}, 'system: Tools: [{"name": "clock"}]\n\nuser: When?'),
    ],
)
def test_what_stands_beside_a_prompt_is_part_of_it(written, row: Row, prompt: str) -> None:
    if "x" in row:
        row = {**row, "completions": [{"response": "good"}, {"response": "bad"}]}
    (record,) = records(written(row))
    assert record.prompt == prompt
    assert record.completions == ("good", "bad")


def test_a_prompt_named_by_hand_has_what_stands_beside_it_and_several_fields_are_joined_in_order(written) -> None:
    row = {"system": SYSTEM, "q": "When?", "place": "Here", "win": "good", "lose": "bad"}
    path = written(row)
    fields = FieldNames(prompt="q", chosen="win", rejected="lose")
    assert records(path, fields=fields)[0].prompt == f"system: {SYSTEM}\n\nuser: When?"
    several = FieldNames(prompt=("place", "q", "system"), chosen="win", rejected="lose")
    assert records(path, fields=several)[0].prompt == f"user: Here\n\nWhen?\n\nsystem: {SYSTEM}"
    assert records(path, fields=FieldNames(prompt=("place", "q"), chosen="win", rejected="lose"))[0].prompt == "Here\n\nWhen?"


CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"town": 1}'}}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (assistant([{"type": "text", "text": "Elbe"}]), "Elbe"),
        (assistant([{"type": "text", "value": "Elbe"}]), "Elbe"),
        (assistant([{"type": "text", "content": "Elbe"}]), "Elbe"),
        (assistant([{"type": "output_text", "text": "Elbe"}]), "Elbe"),
        (assistant([{"type": "text", "text": {"value": "Elbe"}}]), "Elbe"),
        ({"role": "model", "parts": [{"text": "Elbe"}]}, "Elbe"),
        ({"from": "gpt", "value": "Elbe"}, "Elbe"),
        (assistant("", tool_calls=[CALL]), '[call: weather({"town": 1})]'),
        (assistant(None, tool_calls=[CALL]), '[call: weather({"town": 1})]'),
        (assistant("I look.", tool_calls=[CALL]), 'I look.\n[call: weather({"town": 1})]'),
        (assistant(None, function_call={"name": "weather", "arguments": "{}"}), "[call: weather({})]"),
        (assistant([{"type": "tool_use", "name": "weather", "input": {"town": 1}}]), '[call: weather({"town": 1})]'),
        (assistant("Elbe", reasoning_content="A river."), "<think>\nA river.\n</think>\n\nElbe"),
        (
            assistant([{"type": "thinking", "thinking": "A river."}, {"type": "text", "text": "Elbe"}]),
            "<think>\nA river.\n</think>\n\nElbe",
        ),
        (
            user(
                [
                    {"type": "image_url", "image_url": {"url": "a"}},
                    {"type": "image", "text": None},
                    {"type": "text", "text": "Elbe"},
                ]
            ),
            "[2 images, not shown]\nElbe",
        ),
    ],
)
def test_a_message_is_read_whatever_its_content_is_called(message: Row, text: str) -> None:
    turns = messages([message])
    assert turns is not None
    assert turns[0].content == text


@pytest.mark.parametrize("content", [None, [], [{"type": "text", "text": None}], [{"type": "odd", "data": 1}], 7, {"x": 1}])
def test_content_that_cannot_be_read_is_refused_and_never_empty(written, content: Any) -> None:
    row = {"prompt": "p", "chosen": [assistant(content)], "rejected": [assistant("bad")]}
    assert "x.jsonl:1: a message of 'chosen' has" in refusal(written(row))


def test_a_completion_of_pictures_alone_is_refused(written) -> None:
    picture = [{"type": "image_url", "image_url": {"url": "a.png"}}]
    row = {"prompt": "p", "chosen": [assistant(picture)], "rejected": [assistant("bad")]}
    assert "completion 1 is 1 image, not shown: it has no text" in refusal(written(row))


def test_empty_prompts_are_told_before_anything_is_spent(written) -> None:
    other = {"chosen": "g", "rejected": "b"}
    preferences = read(written({"prompt": " ", **PAIR}, {"prompt": "p", **PAIR}, {"prompt": "", **other}))
    assert len(list(preferences.records())) == 3
    assert "2 records: the prompt is empty" in "\n".join(preferences.report.lines())


CONVERSATION = [user("Say 1"), assistant("It's 1")]
OTHER = [user("Say 1"), assistant("no")]


@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        repr,
        lambda turns: "[" + "\n ".join(map(repr, turns)) + "]",  # as NumPy writes an array
        lambda turns: json.dumps({"messages": turns}),
    ],
    ids=["JSON", "Python", "NumPy", "an object"],
)
@pytest.mark.parametrize("prompt", [{}, {"prompt": "Say 1"}])
def test_a_conversation_written_as_text_is_one(written, write: Any, prompt: Row) -> None:
    (record,) = records(written({**prompt, "chosen": write(CONVERSATION), "rejected": write(OTHER)}))
    assert (record.prompt, record.completions) == ("Say 1", ("It's 1", "no"))


def test_a_conversation_written_as_text_that_cannot_be_read_is_refused(written) -> None:
    text = "array([{'role': 'user', 'content': 'Say 1'}], dtype=object)"
    assert "neither JSON nor Python" in refusal(written({"prompt": "p", "chosen": text, "rejected": text}))
    rows = [{"prompt": f"p{n}", "chosen": "good", "rejected": "bad"} for n in range(3)]
    late = {"prompt": "p", "chosen": json.dumps(CONVERSATION), "rejected": "x"}
    assert "x.jsonl:4: completion 1 is a conversation written as text" in refusal(written(*rows, late))


def test_an_answer_in_json_is_an_answer(written) -> None:
    row = {"prompt": "p", "chosen": '[{"role": "admin", "content": "x"}]', "rejected": '{"a": 1}'}
    assert records(written(row))[0].completions == (row["chosen"], row["rejected"])


def test_lists_that_numpy_writes_without_commas_are_lists(written) -> None:
    row = {"prompt": "p", "responses": "['one' 'two'\n 'three']", "ratings": "[1. 2. 3.]"}
    (record,) = records(written(row))
    assert (record.completions, record.ratings) == (("one", "two", "three"), (1.0, 2.0, 3.0))


def versus(*verdicts: Any, names: tuple[str, str] = ("response_a", "response_b"), field: str = "preference") -> list[Row]:
    return [{"prompt": f"p{n}", names[0]: f"x{n}", names[1]: f"y{n}", field: v} for n, v in enumerate(verdicts)]


A, B, TIE, BAD = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.0, 0.0)


@pytest.mark.parametrize(
    ("verdicts", "ratings"),
    [
        (("a", "b", "tie"), (A, B, TIE)),
        (("A", "B", "Tie"), (A, B, TIE)),
        (("model_a", "model_b", "both_bad"), (A, B, BAD)),
        (("left", "right"), (A, B)),
        (("first", "second"), (A, B)),
        (("response_a", "response_b"), (A, B)),
        (("Response 1", "Response 2", "neither"), (A, B, BAD)),
        (("response 0", "response 1"), (A, B)),
        (("[[A]]", "[[B]]", "[[C]]"), (A, B, TIE)),
        (("A>B", "B>A", "A=B", "A<B", "B>>A"), (A, B, TIE, B, B)),
        (("A-is-clearly-better", "B-is-slightly-better", "equal"), (A, B, TIE)),
        ((1, 2), (A, B)),
        (("1", "2"), (A, B)),
        ((0, 1), (A, B)),
        ((True, False), (A, B)),
        (("true", "false"), (A, B)),
        (("x0", "y1"), (A, B)),
        ((None, "", "a"), ((None, None), (None, None), A)),
    ],
)
def test_a_verdict_is_read_by_its_values(written, verdicts: tuple[Any, ...], ratings: tuple[Any, ...]) -> None:
    path = written(*versus(*verdicts))
    assert tuple(r.ratings for r in records(path)) == ratings
    by_hand = FieldNames(completion=("response_a", "response_b"), verdict="preference")
    assert tuple(r.ratings for r in records(path, fields=by_hand)) == ratings


@pytest.mark.parametrize(
    ("names", "field", "verdicts", "ratings", "said"),
    [
        (("output_1", "output_2"), "label", (1, 2), (A, B), "1 is taken as: the first is better"),
        (("output_1", "output_2"), "preference", (1.0, 1.75, 1.5, 0), (A, (0.25, 0.75), TIE, TIE), "0 is taken as: a tie"),
        (("response1", "response2"), "annotator1", (1, 2, 0), (A, B, TIE), "0 is taken as: a tie"),
        (("response_0", "response_1"), "label", (0, 1), (A, B), "0 is taken as: the first is better"),
        (("response_a", "response_b"), "label", (0, 1), (B, A), "if not so, say what they mean with `verdict_values`"),
        (("response_0", "response_1"), "better_response_id", (0, 1), (A, B), "0 is taken as: the first is better"),
        (("response_1", "response_2"), "preference_strength", (-2, 3, 0), ((2.0, 0.0), (0.0, 3.0), BAD), "-3 is taken as"),
        (("human_ref_A", "human_ref_B"), "labels", (1, 0), (A, B), "1 is taken as: the first is better"),
        (("answer1", "answer2"), "comparison", ("left", "right"), (A, B), "left is taken as: the first is better"),
    ],
)
def test_numbers_mean_what_the_names_and_values_say_and_it_is_said(
    written, names: tuple[str, str], field: str, verdicts: Any, ratings: Any, said: str
) -> None:
    preferences = read(written(*versus(*verdicts, names=names, field=field)))
    assert tuple(r.ratings for r in preferences.records()) == ratings
    assert said in preferences.format.description


@pytest.mark.parametrize(
    ("names", "verdicts"),
    [
        (("response_a", "response_b"), (0.8, 0.3)),  # the probability of which?
        (("response_a", "response_b"), (-1, 1)),
        (("response_1", "response_2"), (0, 1)),
        (("response_a", "response_b"), (0, 1, 2)),
        (("response_a", "response_b"), (1, 5)),
        (("response_a", "response_b"), (1, 1)),  # the first, or the second counted from 0?
    ],
)
def test_numbers_that_could_mean_the_opposite_are_asked_for(written, names: tuple[str, str], verdicts: Any) -> None:
    message = refusal(written(*versus(*verdicts, names=names)))
    assert "or the opposite" in message
    assert "`verdict_values`" in message


def test_the_meaning_of_values_is_given_by_hand_and_written_back_in_them(written, tmp_path: Path) -> None:
    path = written(*versus(0, 1, 2, 3))
    fields = FieldNames(
        completion=("response_a", "response_b"),
        verdict="preference",
        verdict_values=(("a", "1"), ("b", "0"), ("tie", "2"), ("both_bad", "3")),
    )
    found = records(path, fields=fields)
    assert [r.ratings for r in found] == [B, A, TIE, BAD]
    wanted = dict(zip((r.id for r in found), (BAD, TIE, A, B), strict=True))
    write_corrected(path, tmp_path / "y.jsonl", wanted, fields=fields)
    assert [json.loads(line)["preference"] for line in (tmp_path / "y.jsonl").read_text().splitlines()] == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("rows", "wanted", "after"),
    [
        (versus("model_a", field="winner"), BAD, "tie (bothbad)"),
        (versus("model_a", field="winner"), TIE, "tie"),
        (versus(1.0, 1.5, names=("output_1", "output_2")), TIE, 1.5),
        (versus(1, 2, names=("output_1", "output_2")), TIE, 1.5),
        (versus(1.3, 1.5, names=("output_1", "output_2")), (0.3, 0.7), 1.7),
        (versus(1, 0, 2, names=("response1", "response2"), field="annotator1"), TIE, 0),
        (versus("A>B", names=("response_A", "response_B"), field="label"), B, "B>A"),
        (versus("left", field="comparison"), B, "right"),
        (versus("1", "2"), B, "2"),
        (versus("response_a"), B, "response_b"),
        (versus(True, field="label"), B, False),
        (versus("x0"), B, "y0"),
        (versus("Response 1"), B, "Response 2"),
        (versus("both_bad", "model_a", field="winner"), A, "model_a"),
        (versus(None, "a"), B, "b"),
    ],
)
def test_a_new_verdict_is_written_as_the_file_writes_them(
    written, tmp_path: Path, rows: list[Row], wanted: Any, after: Any
) -> None:
    path = written(*rows)
    first = records(path)[0]
    report = write_corrected(path, tmp_path / "y.jsonl", {first.id: wanted})
    assert report.corrected == 1
    (field,) = [name for name in rows[0] if name not in ("prompt",) and not name.startswith(("resp", "outp"))]
    value = json.loads((tmp_path / "y.jsonl").read_text().splitlines()[0])[field]
    assert (value, type(value)) == (after, type(after))


@pytest.mark.parametrize("rows", [versus("left", "right"), versus(1, 2, names=("output_1", "output_2"), field="label")])
@pytest.mark.parametrize("wanted", [TIE, BAD])
def test_a_verdict_without_a_word_for_a_tie_keeps_its_row_and_names_it(
    written, tmp_path: Path, rows: list[Row], wanted: Any
) -> None:
    path = written(*rows)
    first = records(path)[0]
    report = write_corrected(path, tmp_path / "y.jsonl", {first.id: wanted})
    assert report.ties_kept == [first.id]
    assert (tmp_path / "y.jsonl").read_bytes() == path.read_bytes()


def test_a_pair_with_scores_beside_it_stays_a_pair_and_is_named(written, tmp_path: Path) -> None:
    path = written({"prompt": "p", **PAIR, "chosen_score": 9.0, "rejected_score": 3.5})
    (record,) = records(path)
    report = write_corrected(path, tmp_path / "y.jsonl", {record.id: (6.25, 6.25)})
    assert report.ties_kept == [record.id]
    after = json.loads((tmp_path / "y.jsonl").read_text())
    assert after == {"prompt": "p", **PAIR, "chosen_score": 6.25, "rejected_score": 6.25}
    assert write_corrected(path, tmp_path / "z.jsonl", {record.id: (6.25, 6.25)}, ties="drop").ties_dropped == [record.id]


RANKED = {"prompt": "p", "responses": ["x", "y", "z"]}


def test_ranks_are_told_from_ratings_and_written_back_as_ranks(written, tmp_path: Path) -> None:
    path = written({**RANKED, "rank": [1, 3, 2]})
    (record,) = records(path)
    assert record.ratings == (3.0, 1.0, 2.0)
    fields = FieldNames(completion=("responses",), rating=("rank",))
    assert records(path, fields=fields)[0].ratings == record.ratings
    write_corrected(path, tmp_path / "y.jsonl", {record.id: (1.0, 3.0, 2.0)})
    assert json.loads((tmp_path / "y.jsonl").read_text())["rank"] == [3, 1, 2]


def test_ranks_from_0_are_written_from_0(written, tmp_path: Path) -> None:
    row = {"context": [user("p")], "completions": [{"rank": n, "completion": [assistant(f"x{n}")]} for n in range(2)]}
    path = written(row)
    (record,) = records(path)
    assert record.ratings[0] > record.ratings[1]  # type: ignore[operator]
    write_corrected(path, tmp_path / "y.jsonl", {record.id: record.ratings[::-1]})
    assert [c["rank"] for c in json.loads((tmp_path / "y.jsonl").read_text())["completions"]] == [1, 0]


def test_numbers_that_may_be_ranks_are_asked_for_and_the_order_is_given_by_hand(written) -> None:
    path = written({**RANKED, "place": [1, 3, 2]})
    fields = {"completion": ("responses",), "rating": ("place",)}
    assert "`rating_order`" in refusal(path, fields=FieldNames(**fields))  # type: ignore[arg-type]
    for order, ratings in (("lower", (3.0, 1.0, 2.0)), ("higher", (1.0, 3.0, 2.0))):
        assert records(path, fields=FieldNames(**fields, order=order))[0].ratings == ratings  # type: ignore[arg-type]
    odd = written({**RANKED, "rank": [0.7, 0.1, 0.5]}, name="z.jsonl")
    assert "by its name these are ranks, by its values they are not" in refusal(odd)


@pytest.mark.parametrize(
    ("row", "ratings"),
    [
        ({**RANKED, "rewards": [1.5, -2, 0.1]}, (1.5, -2.0, 0.1)),
        ({"prompt": "p", "responses": [{"response": "x", "score": 9}, {"response": "y", "score": 2}]}, (9.0, 2.0)),
        ({"prompt": "p", "outputs": [{"text": "x", "reward": 0.2}, {"text": "y", "reward": -1}]}, (0.2, -1.0)),
        (
            {
                "prompt": "p",
                "answers": [{"answer": "x", "score": {"a": 1, "b": 3}}, {"answer": "y", "score": {"a": 5, "b": 5}}],
            },
            (2.0, 5.0),
        ),
        ({"prompt": "p", "chosen": ["x", "y"], "rejected": ["z"]}, (1.0, 1.0, 0.0)),
        ({**RANKED, "best": 1}, (0.0, 1.0, 0.0)),
        ({"prompt": "p", "response_1": "x", "response_2": "y", "score_1": 3, "score_2": 4.5}, (3.0, 4.5)),
        ({"prompt": "p", "response_a": "x", "response_b": "y", "response_a_rating": 3, "response_b_rating": 1}, (3.0, 1.0)),
        ({"question": "p", "response_j": "x", "response_k": "y"}, (1.0, 0.0)),
        (
            {
                "input": {"messages": [user("p")]},
                "preferred_output": [assistant("x")],
                "non_preferred_output": [assistant("y")],
            },
            (1.0, 0.0),
        ),
    ],
)
def test_a_label_is_found_under_its_usual_names(written, row: Row, ratings: tuple[float, ...]) -> None:
    assert records(written(row))[0].ratings == ratings


def test_the_steps_of_one_answer_are_no_rivals(written) -> None:
    row = {"prompt": "p", "completions": ["one", "two"], "labels": [True, False]}
    assert "stepwise" in refusal(written(row))
    fields = FieldNames(completion=("completions",), rating=("labels",))
    assert records(written(row), fields=fields)[0].ratings == (1.0, 0.0)


def test_conversations_that_share_no_beginning_are_refused_by_hand_too(written) -> None:
    row = {"win": [assistant("x")], "lose": [assistant("y")]}
    assert "there is no prompt" in refusal(written(row), fields=FieldNames(chosen="win", rejected="lose"))
    texts = {"win": "Q: p\nA: x", "lose": "Q: p\nA: y"}
    (record,) = records(written(texts), fields=FieldNames(chosen="win", rejected="lose"))
    assert (record.prompt, record.completions) == ("Q: p\nA: ", ("x", "y"))
    assert "no common beginning" in refusal(written({"chosen": "yes", "rejected": "no"}))


def test_a_chosen_answer_at_the_end_of_a_conversation_is_no_part_of_the_prompt(written, tmp_path: Path) -> None:
    row = {"messages": [user("p"), assistant("good")], "rejected_response": "bad"}
    path = written(row)
    for fields in (FieldNames(), FieldNames(chosen="messages", rejected="rejected_response")):
        (record,) = records(path, fields=fields)
        assert (record.prompt, record.completions) == ("p", ("good", "bad"))
        write_corrected(path, tmp_path / "y.jsonl", {record.id: (0.0, 1.0)}, fields=fields)
        after = json.loads((tmp_path / "y.jsonl").read_text())
        assert after == {"messages": [user("p"), assistant("bad")], "rejected_response": "good"}


def test_what_is_left_out_is_listed_once_with_counts(written) -> None:
    rows = [{"id": n, "prompt": f"p{n}", **PAIR, "feedback": "x" if n else "", "lang": "en", "idx": n} for n in range(50)]
    report = read(written(*rows)).check()
    assert report.left_out == {"feedback": 49, "lang": 50, "idx": 50 - 1 + 1}
    assert "Not read: 'feedback' (49 rows); ids and metadata: " in "\n".join(report.lines())
    item = {"response": "x", "score": 1, "principle": "p"}
    assert read(written({"prompt": "p", "responses": [item, item]})).check().left_out == {"responses.principle": 0}


def test_the_number_of_labels_and_one_record_as_it_is_read_are_said(written) -> None:
    report = read(written(*versus("a", None, "b"))).check()
    assert report.overview()[0] == "3 records, 2 with a label"
    assert report.overview()[1:] == ["The first as it is read: the prompt 'p0'", "  1: 'x0'", "  0: 'y0'"]
    unlabelled = read(written({"prompt": "p", "response_a": "x", "response_b": "y"})).check()
    assert "0 with a label: name its field with `rating_field` or `verdict_field`" in unlabelled.overview()[0]


def test_rows_that_no_other_row_shares_the_prompt_of_are_told_of_unpaired_data(written) -> None:
    for row in (
        {"messages": [user("p"), assistant("x")], "label": True},
        {"instruction": "p", "input": "", "output": "x", "kto_tag": False},
        {"prompt": "p", "completion": "x", "label": True},
    ):
        assert "unpaired KTO rows have no place on it" in refusal(written(row))


def test_answers_of_annotators_that_do_not_count_are_left_out(written) -> None:
    row = {
        "prompt": "p",
        "response_0": "x",
        "response_1": "y",
        "preference.responses": ["response_1", "response_0", "response_0"],
        "preference.responses.status": ["discarded", "submitted", "draft"],
        "preference.responses.users": ["u", "v", "w"],
        "preference.suggestion": "response_1",
    }
    assert records(written(row))[0].ratings == (1.0, 0.0)
    suggested = {**row, "preference.responses": None, "preference.responses.status": None}
    assert records(written(suggested))[0].ratings == (0.0, 1.0)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "chosen": [user("p"), assistant("good")], "rejected": "bad"},
        {"chosen": "good", "rejected": [user("p"), assistant("bad")]},
        {"prompt": "p", "chosen": [assistant("good")], "rejected": "bad"},
        {"prompt": "p", "chosen": assistant("good"), "rejected": assistant("bad")},
        {"messages": [user("p"), assistant("good")], "rejected_messages": [user("p"), assistant("bad")]},
        {"chosen": json.dumps([user("p"), assistant("good")]), "rejected": "bad"},
    ],
)
@pytest.mark.parametrize("container", ["jsonl", "csv"])
def test_a_conversation_and_a_text_are_a_pair_and_trade_places(tmp_path: Path, written, row: Row, container: str) -> None:
    path = written(row)
    if container == "csv":
        cells = [value if isinstance(value, str) else json.dumps(value) for value in row.values()]
        path = tmp_path / "x.csv"
        path.write_text("\n".join([",".join(row), ",".join('"' + c.replace('"', '""') + '"' for c in cells)]) + "\n")
    (record,) = records(path)
    assert (record.prompt, record.completions, record.ratings) == ("p", ("good", "bad"), (1.0, 0.0))
    output = tmp_path / f"y.{container}"
    write_corrected(path, output, {record.id: (0.0, 1.0)})
    assert records(output)[0].completions == ("bad", "good")


def test_what_is_given_by_hand_and_cannot_be_used_is_refused(written) -> None:
    path = written({"prompt": "p", **PAIR, "label": 1, "rank": 2})
    assert "`verdict_field`: the format trl" in refusal(path, fields=FieldNames(verdict="label"))
    assert "`verdict_values`: the format trl" in refusal(path, fields=FieldNames(verdict_values=(("a", "1"),)))
    assert "`rating_order`: the format trl" in refusal(path, fields=FieldNames(order="lower"))
    both = FieldNames(chosen="chosen", rejected="rejected", verdict="label")
    assert "are both the label" in refusal(path, fields=both)
    order = written({**RANKED, "ranking": [2, 0, 1]}, name="z.jsonl")
    assert "or their order" in refusal(order)


def test_a_rank_named_by_hand_is_a_rank_in_the_plain_format_too(written) -> None:
    path = written({"prompt": "p", "completions": [{"text": "x", "rank": 1}, {"text": "y", "rank": 2}]})
    assert records(path, fields=FieldNames(rating=("rank",)))[0].ratings == (2.0, 1.0)


@pytest.mark.parametrize(
    ("value", "ratings"),
    [
        (
            [
                {
                    "user_id": "u",
                    "value": [{"value": "response-1", "rank": 2}, {"value": "response-2", "rank": 1}],
                    "status": "submitted",
                }
            ],
            (1.0, 2.0),
        ),
        (
            {"user_id": ["u"], "value": [{"value": ["response-1", "response-2"], "rank": [2, 1]}], "status": ["submitted"]},
            (1.0, 2.0),
        ),
        ([{"user_id": "u", "value": 2, "status": "submitted"}], (0.0, 1.0)),
    ],
)
def test_argillas_first_version_is_read_and_written(written, tmp_path: Path, value: Any, ratings: tuple[float, float]) -> None:
    path = written({"prompt": "p", "response-1": "x", "response-2": "y", "question": value, "external_id": "e"})
    (record,) = records(path)
    assert record.ratings == ratings
    write_corrected(path, tmp_path / "y.jsonl", {record.id: ratings[::-1]})
    assert records(tmp_path / "y.jsonl")[0].ratings == ratings[::-1]


def test_unlabelled_rivals_get_a_verdict_where_a_reviewer_gives_one(written, tmp_path: Path) -> None:
    path = written(*({"prompt": f"p{n}", "response_1": "x", "response_2": "y"} for n in range(3)))
    first, second, _ = records(path)
    assert (first.ratings, read(path).format.description.rpartition("; ")[2]) == ((None, None), "there is no label")
    write_corrected(path, tmp_path / "y.jsonl", {first.id: (0.0, 1.0), second.id: (0.5, 0.5)})
    assert [r.ratings for r in records(tmp_path / "y.jsonl")] == [(0.0, 1.0), (0.5, 0.5), (None, None)]


def test_the_best_of_many_is_told_by_its_number_or_name(written) -> None:
    names = [f"response_{n}" for n in range(1, 13)]
    rows = [{"prompt": f"p{n}", **dict.fromkeys(names, "x"), "best": best} for n, best in enumerate((12, 1))]
    assert [r.ratings.index(1.0) for r in records(written(*rows))] == [11, 0]
    by_name = [{**row, "best": f"response_{row['best']}"} for row in rows]
    assert [r.ratings.index(1.0) for r in records(written(*by_name))] == [11, 0]


def test_a_verdict_of_nan_is_none(written) -> None:
    path = written(*versus(1.0, 2.0, names=("output_1", "output_2")))
    path.write_text(path.read_text().replace("2.0", "NaN"))
    assert [r.ratings for r in records(path)] == [A, (None, None)]


@pytest.mark.parametrize("seed", range(4))
def test_odd_values_are_refused_and_never_end_in_a_traceback(seed: int) -> None:
    """Values of the samples exchanged for odd ones: each row is a record, or refused as RowError or InputError."""
    from tests.formats.samples import SAMPLES, sample

    rnd = random.Random(seed)
    rows = [json.loads(line) for name in SAMPLES for line in sample(name).read_text().splitlines()]
    odd: list[Any] = [None, "", 0, 2, -1, 1.5, True, 10**30, float("nan"), [], {}, [None], ["x", "y"], [{}], [["x"]]]
    odd += ["tie", "[1, 2]", "{'a': 1}", "array([1])", [{"role": "user"}], {"value": "x", "rank": "z"}, {"messages": []}]

    def mutated(value: Any) -> Any:
        if isinstance(value, dict) and value and rnd.random() < 0.75:
            key = rnd.choice(list(value))
            return {**value, key: mutated(value[key])}
        if isinstance(value, list) and value and rnd.random() < 0.75:
            place = rnd.randrange(len(value))
            return [*value[:place], mutated(value[place]), *value[place + 1 :]]
        return rnd.choice(odd)

    for _ in range(250):
        row = mutated(rnd.choice(rows))
        if not isinstance(row, dict):
            continue
        for one in FORMATS:
            if not one.fits(row):
                continue
            try:
                fields = one.settle([row], FieldNames())
                draft = one.parse([row], fields)
                k = len(draft.completions)
                assert len(draft.ratings) in (0, k)
                for ratings in (range(k), [1.0] * k):
                    one.correct([row], draft, [float(r) for r in ratings], fields)
            except (RowError, InputError, TieCannotBeSaid):
                pass


def test_what_is_decided_for_single_records_is_counted(written) -> None:
    scored = {"prompt": "p", **PAIR, "chosen_score": 2, "rejected_score": 7}
    rows = [scored, {**scored, "prompt": "q"}, {**scored, "prompt": "r", "chosen_score": 9}, {**scored, "images": ["a.png"]}]
    lines = read(written(*rows)).check().lines()
    assert "3 records: 'chosen_score' is below 'rejected_score': both are taken in the pair's order" in lines
    assert any(line.startswith("1 record: pictures, sounds or files cannot be shown") for line in lines)


def test_a_list_that_python_wrote_into_a_cell_is_corrected_in_pythons_words(tmp_path: Path) -> None:
    cells = [repr([{"text": "it's x", "score": 5}, {"text": "y", "score": other}]).replace('"', '""') for other in (1, None)]
    lines = ["prompt,responses", *(f'p{n},"{cell}"' for n, cell in enumerate(cells))]
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    first, second = records(tmp_path / "x.csv")
    assert (first.completions, first.ratings, second.ratings) == (("it's x", "y"), (5.0, 1.0), (5.0, None))
    write_corrected(tmp_path / "x.csv", tmp_path / "y.csv", {first.id: (1.0, 5.0)})
    after = (tmp_path / "y.csv").read_text().splitlines()
    assert [r.ratings for r in records(tmp_path / "y.csv")] == [(1.0, 5.0), (5.0, None)]
    assert after[2] == lines[2]


def corrected(path: Path, ratings: tuple[float, ...]) -> list[Row]:
    """The file's rows after its first record got other ratings."""
    output = path.with_name(f"out-{path.name}")
    write_corrected(path, output, {records(path)[0].id: ratings})
    return [json.loads(line) for line in output.read_text().splitlines()]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("preferred", "dispreferred"),
        ("positive", "negative"),
        ("better", "worse"),
        ("winner", "loser"),
        ("Preferred", "Dispreferred"),
        ("pos_resp", "neg_resp"),
        ("response_good", "response_bad"),
        ("chosen_answer", "rejected_answer"),
    ],
)
def test_a_pair_is_told_by_the_words_for_better_and_worse_and_what_is_beside_goes_along(
    written: Any, better: str, worse: str
) -> None:
    row = {"prompt": "p", better: "yes", worse: "no", f"{better}_model": "m1", f"{worse}_model": "m2", "note": 1}
    path = written(row)
    (record,) = records(path)
    assert (record.completions, record.ratings, record.models) == (("yes", "no"), (1.0, 0.0), ("m1", "m2"))
    swapped = {**row, better: "no", worse: "yes", f"{better}_model": "m2", f"{worse}_model": "m1"}
    assert corrected(path, (0.0, 1.0)) == [swapped]


@pytest.mark.parametrize(
    "labels",
    [(1, -1), (True, False), ("Desirable", "Undesirable"), ("1", "-1"), (1.0, -1.0), (1, 0), ("GOOD", "BAD"), ("yes", "no")],
)
def test_a_kto_label_is_written_as_the_file_writes_its_labels(written: Any, labels: tuple[Any, Any]) -> None:
    good, bad = labels
    rows = [
        {"prompt": "p", "completion": "a", "label": good},
        {"prompt": "p", "completion": "b", "label": good},
        {"prompt": "q", "completion": "c", "label": bad},
        {"prompt": "q", "completion": "d", "label": good},
    ]
    after = corrected(written(*rows), (0.0, 1.0))
    assert [repr(row["label"]) for row in after] == [repr(label) for label in (bad, good, bad, good)]


def test_scored_completions_one_a_row_are_grouped_by_their_prompt(written: Any) -> None:
    rows = [
        {"question": "p", "answer": text, "reward": score, "model": text} for text, score in [("a", 0.5), ("b", -1), ("c", 2)]
    ]
    path = written(*rows, {"question": "q", "answer": "d", "reward": 1}, {"question": "q", "answer": "e", "reward": 0})
    first = records(path)[0]
    assert (first.completions, first.ratings, first.models) == (("a", "b", "c"), (0.5, -1.0, 2.0), ("a", "b", "c"))
    assert [row["reward"] for row in corrected(path, (0.5, 3.0, 2.0))] == [0.5, 3, 2, 1, 0]
    ranked = written(*({"prompt": "p", "response": text, "rank": n} for n, text in enumerate("abc", 1)), name="ranked.jsonl")
    assert records(ranked)[0].ratings == (3.0, 2.0, 1.0)
    assert [row["rank"] for row in corrected(ranked, (1.0, 2.0, 3.0))] == [3, 2, 1]
    assert "the lowest is the best" in str(read(ranked).format)


def test_a_verdict_on_a_tie_is_written_as_the_file_compares_others(written: Any) -> None:
    rows = [{"prompt": p, "response_A": "x", "response_B": "y", "label": v} for p, v in (("p", "A=B"), ("q", "B>A"))]
    assert [row["label"] for row in corrected(written(*rows), (1.0, 0.0))] == ["A>B", "B>A"]
    assert [row["label"] for row in corrected(written(*rows[::-1]), (0.5, 0.5))] == ["A=B", "A=B"]
    assert [row["label"] for row in corrected(written(rows[0], name="t.jsonl"), (0.0, 1.0))] == ["A<B"]


@pytest.mark.parametrize(("name", "ratings"), [("rank", (2.0, 1.0)), ("score", (1.0, 2.0)), ("reward", (1.0, 2.0))])
def test_a_label_of_another_name_is_read_in_a_list_that_looks_like_ours(
    written: Any, name: str, ratings: tuple[float, float]
) -> None:
    path = written({"prompt": "p", "completions": [{"text": "a", name: 1}, {"text": "b", name: 2}]})
    assert records(path)[0].ratings == ratings


def test_a_tie_is_written_as_the_convention_has_it_though_no_row_shows_one(written: Any) -> None:
    row = {"instruction": "p", "response1": "x", "response2": "y", "annotator1": 1, "annotator2": 2, "annotator3": 1}
    (after,) = corrected(written(row), (0.5, 0.5))
    assert after == {**row, "annotator1": 0, "annotator2": 0, "annotator3": 0}


@pytest.mark.parametrize("name", ["is_chosen", "preferred", "feedback", "accepted"])
def test_good_and_bad_completions_one_a_row_are_told_by_many_names(written: Any, name: str) -> None:
    words = ("thumbs_up", "thumbs_down") if name == "feedback" else (True, False)
    rows = [{"question": "p", "response": text, name: word} for text, word in zip("ab", words, strict=True)]
    assert records(written(*rows))[0].ratings == (1.0, 0.0)
    assert [row[name] for row in corrected(written(*rows), (0.0, 1.0))] == [*words[::-1]]
    assert "sort_by(.question)" in refusal(written(*rows, {**rows[0], "question": "q"}))


@pytest.mark.parametrize("name", ["chosen_idx", "best_response_index", "winner_index"])
def test_the_best_of_a_list_is_told_by_many_names(written: Any, name: str) -> None:
    rows = [{"prompt": f"p{n}", "responses": ["x", "y", "z"], name: n} for n in range(3)]
    assert [record.ratings for record in records(written(*rows))] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert corrected(written(*rows), (0.0, 0.0, 1.0))[0] == {**rows[0], name: 2}


def test_votes_beside_rival_answers_are_the_label(written: Any) -> None:
    assert records(written({"prompt": "p", "response_a": "x", "response_b": "y", "votes_a": 1, "votes_b": 4}))[0].ratings == (
        1,
        4,
    )
