"""Files as they are found in the wild: what is read is what they say, and where that is not known, it is asked or said."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames
from argilla_admap.formats.registry import Preferences, read
from argilla_admap.formats.writeback.corrected import write_corrected

Ratings = tuple[float | None, ...]


def opened(folder: Path, rows: list[dict[str, Any]], **options: Any) -> Preferences:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(path, **options)


def ratings(folder: Path, rows: list[dict[str, Any]], **options: Any) -> list[Ratings]:
    return [record.ratings for record in opened(folder, rows, **options).records()]


def refusal(folder: Path, rows: list[dict[str, Any]], **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        opened(folder, rows, **options).check()
    return str(caught.value)


def rivals(field: str, *values: object) -> list[dict[str, Any]]:
    return [{"prompt": f"p{n}", "response_a": "x", "response_b": "y", field: value} for n, value in enumerate(values)]


def test_a_list_that_shares_one_out_is_no_list_of_annotators(tmp_path: Path) -> None:
    # Read as two annotators who disagree, every row would be a tie.
    assert ratings(tmp_path, rivals("label", [1, 0], [0, 1], [0.5, 0.5])) == [(1, 0), (0, 1), (0.5, 0.5)]
    named = FieldNames(completion=("response_a", "response_b"), verdict="which")
    assert ratings(tmp_path, rivals("which", [0.9, 0.1], [0.2, 0.8]), fields=named) == [(0.9, 0.1), (0.2, 0.8)]
    texts = [{"prompt": "p", "responses": ["x", "y", "z"], "label": [0, 0, 1]}]
    assert ratings(tmp_path, texts, fields=FieldNames(verdict="label")) == [(0, 0, 1)]


def test_annotators_who_agree_are_still_annotators(tmp_path: Path) -> None:
    assert ratings(tmp_path, rivals("preference", ["a", "a"], ["b", "a"])) == [(1, 0), (0.5, 0.5)]
    counted = [{"prompt": "p", "response_0": "x", "response_1": "y", "choice": votes} for votes in ([1, 1], [0, 1])]
    assert ratings(tmp_path, counted) == [(0, 1), (0.5, 0.5)]


def test_a_share_is_written_back_as_a_share(tmp_path: Path) -> None:
    (record, _) = opened(tmp_path, rivals("label", [1, 0], [0, 1])).records()
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {record.id: (0, 1)})
    before, after = ((tmp_path / name).read_text() for name in ("x.jsonl", "y.jsonl"))
    assert after == before.replace("[1, 0]", "[0, 1]")


def test_a_strength_without_a_sign_is_asked_for(tmp_path: Path) -> None:
    rows = rivals("overall_preference", 1, 4, 7)
    assert "say what they mean with `verdict_values`" in refusal(tmp_path, rows)
    given = FieldNames(verdict="overall_preference", verdict_values=(("a", "1"), ("b", "7")))
    assert ratings(tmp_path, rows, fields=given) == [(1, 0), (0.5, 0.5), (0, 1)]
    assert ratings(tmp_path, rivals("overall_preference", -1, 3)) == [(1, 0), (0, 3)]


@pytest.mark.parametrize("name", ["loss", "mean_perplexity", "errors"])
def test_which_end_of_a_loss_is_best_is_asked_for(tmp_path: Path, name: str) -> None:
    rows = [{"prompt": "p", "responses": ["x", "y"], name: [3.5, 0.25]}]
    assert "`rating_order`: lower or higher" in refusal(tmp_path, rows, fields=FieldNames(rating=(name,)))
    ((first, second),) = ratings(tmp_path, rows, fields=FieldNames(rating=(name,), order="lower"))
    assert (first or 0) < (second or 0)


def test_numbers_of_an_arenas_winner_are_said(tmp_path: Path) -> None:
    preferences = opened(tmp_path, rivals("winner", 0, 1))
    assert [record.ratings for record in preferences.records()] == [(1, 0), (0, 1)]
    assert "0 is taken as: the first is better" in preferences.format.description
    assert "if not so" in preferences.format.description


def say(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("turn", "completions"),
    [(1, ("a1", "b1")), (2, ("assistant: a1\n\nuser: q2\n\nassistant: a2", "assistant: b1\n\nuser: q2\n\nassistant: b2"))],
)
def test_a_verdict_on_the_first_answer_is_read_with_the_first_answer(
    tmp_path: Path, turn: int, completions: tuple[str, str]
) -> None:
    sides = {"conversation_a": say("q", "a1", "q2", "a2"), "conversation_b": say("q", "b1", "q2", "b2")}
    preferences = opened(tmp_path, [{"winner": "model_a", "turn": turn, **sides}])
    (record,) = preferences.records()
    assert (record.prompt, record.completions, record.ratings) == ("q", completions, (1, 0))
    assert any("'turn' says which answer was judged" in line for line in preferences.report.lines()) == (turn == 1)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [("Another one", True), ("q", False), ("<s>[INST] q [/INST]", False), ("  q\n", False), ("", False)],
)
def test_a_prompt_that_the_conversations_do_not_have_is_said(tmp_path: Path, prompt: str, said: bool) -> None:
    preferences = opened(tmp_path, [{"prompt": prompt, "chosen": say("q", "x"), "rejected": say("q", "y")}])
    assert [record.prompt for record in preferences.records()] == ["q"]
    assert any("'prompt' is another text than the messages" in line for line in preferences.report.lines()) == said


def test_answers_in_objects_are_refused_with_what_to_name(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "response_a": {"content": "x"}, "response_b": {"content": "y"}, "winner": "a"}]
    assert "with `completion_field`, as in response_a.content" in refusal(tmp_path, rows)
    named = FieldNames(completion=("response_a.content", "response_b.content"), verdict="winner")
    assert ratings(tmp_path, rows, fields=named) == [(1, 0)]


def test_older_fields_of_ms_swift_and_votes_of_stack_exchange_are_known(tmp_path: Path) -> None:
    swift = {"system": "s", "query": "q", "response": "x", "rejected_response": "y", "history": [["q0", "a0"]]}
    (record,) = opened(tmp_path, [swift]).records()
    assert [turn.content for turn in record.turns] == ["s", "q0", "a0", "q"]
    assert (record.completions, record.ratings) == (("x", "y"), (1, 0))
    votes = {"question": "q", "answers": [{"text": "x", "pm_score": 0}, {"text": "y", "pm_score": 4}]}
    assert ratings(tmp_path, [votes]) == [(0, 4)]


@pytest.mark.parametrize("beginning", ["sep=;\r\n", "\ufeffsep=;\r\n", ""])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_csv_of_a_spreadsheet_is_read_and_keeps_its_bytes(tmp_path: Path, beginning: str, delimiter: str) -> None:
    content = f'{beginning.replace(";", delimiter)}prompt;chosen;rejected\r\n"p; 1";x, y;z\r\np2;v;w\r\n'.replace(
        ";", delimiter
    )
    (tmp_path / "x.csv").write_bytes(content.encode())
    first, second = read(tmp_path / "x.csv").records()
    assert (first.prompt, first.completions) == (f"p{delimiter} 1", ("x, y", "z"))
    write_corrected(tmp_path / "x.csv", tmp_path / "y.csv", {second.id: (0, 1)})
    assert (tmp_path / "y.csv").read_bytes().decode() == content.replace(f"v{delimiter}w", f"w{delimiter}v")


def test_a_decimal_comma_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("question;answer_1;answer_2;rating_1;rating_2\nq;x;y;4,5;2,0\n")
    with pytest.raises(InputError, match=r"row 1: the rating is text \('4,5'\): write the number without a comma"):
        read(tmp_path / "x.csv").check()


@pytest.mark.parametrize(
    ("lists", "hint"),
    [(([1, 0, 0], [0, 1, 0], [0, 0, 1]), "fields of their own"), (([1, 2], [2, 1]), "name it with `rating_field`")],
)
def test_lists_that_no_annotators_gave_are_asked_about(tmp_path: Path, lists: tuple[list[int], ...], hint: str) -> None:
    # Read as annotators' verdicts, each row would say the same.
    rows = rivals("label", *lists)
    assert hint in refusal(tmp_path, rows)
    votes = FieldNames(verdict_values=(("a", "0"), ("b", "1"), ("tie", "2")))
    assert len(ratings(tmp_path, rows, fields=votes)) == len(rows)


def test_of_a_pair_beside_the_list_that_it_was_made_of_the_pair_is_read(tmp_path: Path) -> None:
    row = {"prompt": "p", "responses": ["x", "y"], "scores": [1, 3], "chosen": "y", "rejected": "x"}
    (record,) = opened(tmp_path, [row]).records()
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {record.id: (0, 1)})
    after = json.loads((tmp_path / "y.jsonl").read_text())
    assert (after["chosen"], after["rejected"]) == ("x", "y")


@pytest.mark.parametrize("response", ["x", "another"])
def test_the_answer_to_train_on_beside_a_pair_stays_the_chosen_one(tmp_path: Path, response: str) -> None:
    row = {"prompt": "p", "response": response, "chosen": "x", "rejected": "y"}
    (record,) = opened(tmp_path, [row]).records()
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {record.id: (0, 1)})
    after = json.loads((tmp_path / "y.jsonl").read_text())
    assert after == {"prompt": "p", "response": "y" if response == "x" else response, "chosen": "y", "rejected": "x"}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("names", [("conversation_a", "conversation_b"), ("messages_a", "messages_b")])
def test_arenas_name_and_nest_their_conversations_in_more_than_one_way(
    tmp_path: Path, names: tuple[str, str], wrapped: bool
) -> None:
    sides = {name: [[m] if wrapped else m for m in say("q", text)] for name, text in zip(names, "xy", strict=True)}
    (record,) = opened(tmp_path, [{"winner": "model_b", "turn": 1, **sides}]).records()
    assert (record.prompt, record.completions, record.ratings) == ("q", ("x", "y"), (0, 1))


def test_fields_within_a_text_that_holds_json_can_be_named(tmp_path: Path) -> None:
    rows = [{"text": json.dumps({"question": "q", "chosen": "x", "rejected": "y"}), "n": 1}]
    named = FieldNames(prompt="text.question", chosen="text.chosen", rejected="text.rejected")
    (record,) = opened(tmp_path, rows, fields=named).records()
    assert (record.prompt, record.completions) == ("q", ("x", "y"))
    write_corrected(tmp_path / "x.jsonl", tmp_path / "y.jsonl", {record.id: (0, 1)}, fields=named)
    after = json.loads((tmp_path / "y.jsonl").read_text())
    assert json.loads(after["text"]) == {"question": "q", "chosen": "y", "rejected": "x"}


def test_a_rating_that_nobody_named_is_not_missed(tmp_path: Path) -> None:
    rows = [{"instruction": "p", "completions": [{"response": t, "annotations": {"Rating": "5"}} for t in "xy"]}]
    preferences = opened(tmp_path, rows)
    assert [record.ratings for record in preferences.records()] == [(None, None)]
    assert any("'completions.annotations'" in line for line in preferences.report.lines())


def test_rows_of_empty_cells_are_no_records_and_stay(tmp_path: Path) -> None:
    content = "prompt,chosen,rejected\np1,x,y\n,,\np2,v,w\n , ,\n,,\n"
    (tmp_path / "x.csv").write_text(content)
    _, second = read(tmp_path / "x.csv").records()
    write_corrected(tmp_path / "x.csv", tmp_path / "y.csv", {second.id: (0, 1)})
    assert (tmp_path / "y.csv").read_text() == content.replace("v,w", "w,v")


def test_decimals_of_a_table_are_corrected(tmp_path: Path) -> None:
    scores = [[Decimal("1.50"), Decimal("4.25")]]
    pq.write_table(pa.table({"prompt": ["p"], "responses": [["x", "y"]], "scores": scores}), tmp_path / "x.parquet")
    (record,) = read(tmp_path / "x.parquet").records()
    write_corrected(tmp_path / "x.parquet", tmp_path / "y.parquet", {record.id: (4.25, 1.5)})
    after = pq.read_table(tmp_path / "y.parquet")
    assert after.schema == pq.read_schema(tmp_path / "x.parquet")
    assert after["scores"].to_pylist() == [scores[0][::-1]]


PAIR_ROW = '{"prompt": "p%d", "chosen": "a", "rejected": "b"}\n'


def folder_notes(folder: Path, *names: str) -> str:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(PAIR_ROW % number)
    report = read(folder).check()
    assert report.records == len(names)
    return "\n".join(report.notes)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("data/train-00000-of-00001.jsonl", "data/test-00000-of-00001.jsonl"),
            "several splits are read together: test (1 file), tr",
        ),
        (("train/a.jsonl", "train/b.jsonl", "validation/a.jsonl"), "train (2 files), validation (1 file)"),
        (("train-00000-of-00003.jsonl", "train-00002-of-00003.jsonl"), "of train 2 of its 3 files are here"),
        (("train-00000-of-00002-3f.jsonl", "train-00001-of-00002-9a.jsonl"), ""),
        (("train.jsonl", "trained.jsonl", "contest.jsonl"), ""),
    ],
)
def test_what_the_names_of_a_folders_files_tell_is_said(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    notes = folder_notes(tmp_path, *names)
    assert said in notes
    assert bool(notes) == bool(said)


def test_a_named_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="give - as the input's name"):
        read(tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    ("field", "values", "expected"),
    [
        ("winner_model_a", [1, 0], [(1, 0), (0, 1)]),
        ("prob_b", [0.75, 0.25], [(0.25, 0.75), (0.75, 0.25)]),
        ("is_left_better", ["1", "0"], [(1, 0), (0, 1)]),
    ],
)
def test_a_verdict_named_after_one_side_says_whether_it_is_that_one(
    tmp_path: Path, field: str, values: list[object], expected: list[Ratings]
) -> None:
    preferences = opened(tmp_path, rivals(field, *values), fields=FieldNames(verdict=field))
    assert [record.ratings for record in preferences.records()] == expected
    assert "if not so, say what they mean with `verdict_values`" in preferences.format.description


def test_a_verdict_named_after_both_sides_is_still_asked_about(tmp_path: Path) -> None:
    assert "say what they mean" in refusal(tmp_path, rivals("a_or_b", 0.75, 0.25), fields=FieldNames(verdict="a_or_b"))


def test_ranks_that_are_said_to_be_ratings_are_described_as_they_are_taken(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "answers": [{"answer": "x", "rank": 1}, {"answer": "y", "rank": 2}]}]
    by_itself = opened(tmp_path, rows)
    assert "the best has K" in by_itself.format.description
    said = opened(tmp_path, rows, fields=FieldNames(order="higher"))
    assert [record.ratings for record in said.records()] == [(1, 2)]
    assert said.format.description.endswith("the ratings are `rank`")
