"""Likeness to a reference answer: a real embedding model behind a real endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from argilla_admap.cli import main
from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.records import Turn
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import Scored, estimate, score
from tests.doubles.batch_server import Batches
from tests.doubles.batch_server import answer as _plain
from tests.doubles.embeddings_server import Embeddings, vector
from tests.scoring.small_data import record, stream

WATER = record(
    "water",
    "At what temperature does water boil?",
    ["Water boils at 100 degrees Celsius at sea level.", "I love my new red bicycle and ride it every day."],
    reference="At sea level water boils at 100 °C (212 °F).",
)
MOTOR = record(
    "motor",
    "Warum startet mein Auto nicht?",
    ["Wahrscheinlich ist die Batterie leer; lassen Sie sie prüfen.", "Paris ist die Hauptstadt von Frankreich."],
    reference="Oft ist die Autobatterie entladen.",
)
SKY = record(
    "sky",
    "为什么天空是蓝色的？",
    ["因为空气分子更多地散射蓝光。", "我昨天买了三个苹果。"],
    reference="大气散射蓝光多于红光，所以天空呈蓝色。",
)


def _options(embeddings: Embeddings, store: Path, **more: Any) -> ScoreOptions:
    extra = {"embedding_model": "use-m3", "embedding_base_url": embeddings.url} | more.pop("extra", {})
    return ScoreOptions(scorer="reference", store=store, extra=extra, **more)


def _column(scored: Scored, name: str) -> list[Any]:
    return scored.table().column(name).to_pylist()


def _with_judge(embeddings: Embeddings, batches: Batches, store: Path, **more: Any) -> ScoreOptions:
    return _options(embeddings, store, base_url=batches.url, models=("gpt-4o",), **more)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.mark.parametrize("one", [WATER, MOTOR, SKY], ids=["english", "german", "chinese"])
def test_an_answer_is_nearer_to_the_reference_than_another_topic(embeddings: Embeddings, tmp_path: Path, one: Any) -> None:
    [[good, bad]] = _column(score(stream([one]), _options(embeddings, tmp_path / "store")), "scores")
    assert -1 <= bad < good - 0.2
    assert good <= 1


def test_the_score_is_the_cosine_of_the_two_texts(embeddings: Embeddings, tmp_path: Path) -> None:
    [scores] = _column(score(stream([WATER]), _options(embeddings, tmp_path / "store")), "scores")
    expected = [np.dot(vector(text), vector(str(WATER.reference))) for text in WATER.completions]
    assert scores == pytest.approx(expected, abs=1e-3)


def test_one_reference_tells_no_variance(embeddings: Embeddings, tmp_path: Path) -> None:
    scored = score(stream([WATER]), _options(embeddings, tmp_path / "store"))
    assert _column(scored, "score_variances") == [[None, None]]
    assert _column(scored, "score_counts") == [[1, 1]]


def test_each_text_is_embedded_once_and_never_again(embeddings: Embeddings, tmp_path: Path) -> None:
    twins = [WATER, record("twin", WATER.prompt, WATER.completions, reference=WATER.reference)]
    # Over several batches of records that are in work at once.
    many = twins * 300
    first = score(stream(many), _options(embeddings, tmp_path / "store"))
    assert sorted(embeddings.texts) == sorted({*WATER.completions, str(WATER.reference)})
    before = embeddings.requests
    again = score(stream(many), _options(embeddings, tmp_path / "store"))
    assert embeddings.requests == before
    assert _column(again, "scores") == _column(first, "scores")


def test_the_estimate_asks_nobody_and_counts_what_is_missing(embeddings: Embeddings, tmp_path: Path) -> None:
    options = _options(embeddings, tmp_path / "store")
    before = estimate(stream([WATER, MOTOR]), options)
    assert embeddings.requests == 0
    assert before["requests"] == 1
    score(stream([WATER, MOTOR]), options)
    assert embeddings.requests == 1
    after = estimate(stream([WATER, MOTOR]), options)
    assert (after["requests"], after["cached"]) == (0, 6)


def test_without_a_reference_and_without_a_model_to_write_one_a_record_is_unscored(
    embeddings: Embeddings, tmp_path: Path
) -> None:
    bare = record("bare", "Why?", ["Because.", "Why not?"])
    scored = score(stream([WATER, bare]), _options(embeddings, tmp_path / "store"))
    assert _column(scored, "scores")[1] == [None, None]
    assert scored.summary["unscored"] == 2
    [error, _] = _column(scored, "errors")[1]
    assert "no reference answer" in error
    assert "OPENAI_API_KEY" in error


def test_the_judges_model_writes_one_reference_for_equal_prompts(
    embeddings: Embeddings, batches: Batches, tmp_path: Path
) -> None:
    data = [record(f"r{i}", "What is two and two?", [f"It is {i}.", f"Not {i}."]) for i in range(6)]
    options = _with_judge(embeddings, batches, tmp_path / "store")
    scored = score(stream(data), options)
    assert scored.summary["scored"] == 12
    assert sum(batches.paid_in_full.values()) == 1
    assert _column(scored, "reasons")[0][0].startswith("Compared with the judge's own answer")
    score(stream(data), options)
    assert sum(batches.paid_in_full.values()) == 1


def test_references_are_written_by_batches_too(embeddings: Embeddings, batches: Batches, tmp_path: Path) -> None:
    data = [record(f"r{i}", f"What is {i} and {i}?", [f"It is {i}.", f"Not {i}."]) for i in range(5)]
    scored = score(stream(data), _with_judge(embeddings, batches, tmp_path / "store", batch=True))
    assert scored.summary["scored"] == 10
    assert (sum(batches.paid.values()), sum(batches.paid_in_full.values())) == (5, 0)


def test_several_references_give_a_variance(embeddings: Embeddings, batches: Batches, tmp_path: Path) -> None:
    data = [record("r", "What is two and two?", ["Four.", "A fish."])]
    scored = score(stream(data), _with_judge(embeddings, batches, tmp_path / "store", samples=3))
    assert sum(batches.paid_in_full.values()) == 3
    assert _column(scored, "score_counts") == [[3, 3]]
    assert all(v is not None and v >= 0 for v in _column(scored, "score_variances")[0])


def test_a_reference_of_the_data_is_preferred_unless_told_otherwise(
    embeddings: Embeddings, batches: Batches, tmp_path: Path
) -> None:
    score(stream([WATER]), _with_judge(embeddings, batches, tmp_path / "store"))
    assert not batches.paid_in_full
    options = _with_judge(embeddings, batches, tmp_path / "store", extra={"reference_from": "judge"})
    score(stream([WATER]), options)
    assert sum(batches.paid_in_full.values()) == 1


def test_a_prompt_of_several_turns_is_put_to_the_writer_as_turns(
    embeddings: Embeddings, batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(batches, "answer", lambda body: asked.append(body) or _plain(body))  # type: ignore[func-returns-value]
    turns = [Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "Bye")]
    data = [record("r", "system: Be brief. ...", ["So long.", "No."], turns=turns)]
    score(stream(data), _with_judge(embeddings, batches, tmp_path / "store"))
    assert [message["role"] for message in asked[0]["messages"]][-4:] == ["system", "user", "assistant", "user"]
    assert asked[0]["messages"][-1]["content"] == "Bye"


def test_one_text_too_long_leaves_the_others_scored(embeddings: Embeddings, tmp_path: Path) -> None:
    long = record("long", "Tell me all", ["word " * 5000, "Short."], reference="Everything.")
    scored = score(stream([WATER, long, MOTOR]), _options(embeddings, tmp_path / "store"))
    assert scored.summary["unscored"] == 1
    assert "too long" in _column(scored, "errors")[1][0]


def test_a_server_that_takes_few_texts_at_once_gets_few(embeddings: Embeddings, tmp_path: Path) -> None:
    embeddings.most_inputs = 2
    assert score(stream([WATER, MOTOR, SKY]), _options(embeddings, tmp_path / "store")).summary["unscored"] == 0


def test_an_empty_completion_is_unscored_not_zero(embeddings: Embeddings, tmp_path: Path) -> None:
    blank = record("blank", "Say it", ["", "It."], reference="It.")
    scored = score(stream([blank]), _options(embeddings, tmp_path / "store"))
    [empty, same] = _column(scored, "scores")[0]
    assert empty is None
    assert same == pytest.approx(1.0, abs=1e-3)
    assert "empty" in _column(scored, "errors")[0][0]


def test_an_overloaded_endpoint_is_asked_again(embeddings: Embeddings, tmp_path: Path) -> None:
    embeddings.faults = [429, 503]
    assert score(stream([WATER]), _options(embeddings, tmp_path / "store")).summary["unscored"] == 0


def test_texts_that_many_batches_share_are_embedded_once(embeddings: Embeddings, tmp_path: Path) -> None:
    embeddings.embed = lambda text: (float(len(text)), 1.0)
    data = [
        record(f"r{i}", f"Question {i}", [f"Text {i % 7}", f"Text {i % 5}"], reference=f"Text {i % 11}") for i in range(900)
    ]
    scored = score(stream(data), _options(embeddings, tmp_path / "store"))
    assert scored.summary["unscored"] == 0
    assert sorted(embeddings.texts) == sorted({f"Text {i}" for i in range(11)})


def test_a_refused_key_names_the_option(embeddings: Embeddings, tmp_path: Path) -> None:
    embeddings.key = "another"
    with pytest.raises(JudgeRefused, match="`embedding_base_url`"):
        score(stream([WATER]), _options(embeddings, tmp_path / "store"))


def test_without_any_endpoint_the_scorer_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        score(stream([WATER]), ScoreOptions(scorer="reference", store=tmp_path / "store"))


def test_the_file_says_how_it_was_scored(embeddings: Embeddings, tmp_path: Path) -> None:
    scored = score(stream([WATER]), _options(embeddings, tmp_path / "store"))
    [facts] = scored.info["score"]["judges"]
    assert facts["embedding_model"] == "use-m3"
    assert facts["range"] == [-1.0, 1.0]
    assert facts["references"] == {"data": 1}


def test_the_command_line_takes_the_scorers_options(
    embeddings: Embeddings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "data.jsonl"
    completions = [{"text": text} for text in WATER.completions]
    row = {"id": "water", "prompt": WATER.prompt, "completions": completions, "reference": WATER.reference}
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    words = ["score", str(file), "-o", str(tmp_path / "scored.parquet"), "--scorer", "reference", "--json"]
    words += ["--embedding-model", "use-m3", "--embedding-base-url", embeddings.url, "--store", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["scored"] == 2
