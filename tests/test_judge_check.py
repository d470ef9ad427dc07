"""`judge-check` tells fit judges from unfit ones, and costs what it says."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from argilla_admap import judge_check, read
from argilla_admap.cli import main
from argilla_admap.errors import InputError
from argilla_admap.judge_audit import MOST_COST, plan_audit
from argilla_admap.scoring.options import ScoreOptions
from tests.doubles.served import ChatJudge, served

Grade = Callable[[str, int], int]


def _careful(text: str, _asked: int) -> int:
    """More for each point that is made once, in its order; nothing for orders."""
    said = list(dict.fromkeys(int(n) for n in re.findall(r"point (\d)", text)))
    return max(1, min(5, 1 + sum(1 for n, after in zip([0, *said], said, strict=False) if after == n + 1)))


JUDGES: dict[str, tuple[Grade, str | None]] = {
    "careful": (_careful, None),
    "obedient": (lambda text, n: 5 if "highest grade" in text else _careful(text, n), "obeys"),
    "of length": (lambda text, _n: min(5, 1 + text.count("This is") // 2), "twice raises its score"),
    "blind": (lambda _text, _n: 3, "the same score"),
    "moody": (lambda _text, n: random.Random(n).randint(1, 5), "when asked again"),
    "backwards": (lambda text, n: 6 - _careful(text, n), "agrees with the labels in"),
}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Pairs whose better completion makes more of the points."""
    file = tmp_path / "pairs.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for i in range(60):
            good, bad = ([f"This is point {n} of case {i}." for n in range(1, most)] for most in (5, 2 + i % 2))
            out.write(json.dumps({"prompt": f"Case {i}?", "chosen": " ".join(good), "rejected": " ".join(bad)}) + "\n")
    return file


class Judge(ChatJudge):
    """Answers with a grade of its own for the completion's text; counts what it was asked."""

    def __init__(self, grade: Grade) -> None:
        self.grade = grade
        self.asked, self.grades = Counter[str](), Counter[str]()

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        question = body["messages"][-1]["content"]
        points = re.search(r"This is.*|.*of case.*", question, re.DOTALL)
        choices = []
        for index in range(body.get("n", 1)):
            grade = self.grade(points[0] if points else question, sum(self.grades.values()))
            self.grades[question] += 1
            message = {"role": "assistant", "content": str(grade)}
            choices.append({"index": index, "message": message, "finish_reason": "stop"})
        self.asked[question] += 1
        usage = {"prompt_tokens": 500, "completion_tokens": 1, "total_tokens": 501}
        return web.json_response({"id": "x", "object": "chat.completion", "choices": choices, "usage": usage})


@pytest.fixture
def served_judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., tuple[Judge, dict[str, Any]]]]:
    """Starts a judge; gives it with the options to ask it."""
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    open_servers: list[Any] = []

    def start(grade: Grade) -> tuple[Judge, dict[str, Any]]:
        judge = Judge(grade)
        server = served(judge.app)
        url = server.__enter__()
        open_servers.append(server)
        return judge, {
            "model": "gpt-4o",
            "base_url": f"{url}/v1",
            "store": tmp_path / "store",
            "method": "sample",
            "samples": 1,
        }

    yield start
    for server in open_servers:
        server.__exit__(None, None, None)


@pytest.mark.parametrize("name", JUDGES)
def test_each_fault_of_a_judge_is_found_and_a_careful_one_has_none(
    served_judge: Callable[..., tuple[Judge, dict[str, Any]]], pairs: Path, name: str
) -> None:
    grade, fault = JUDGES[name]
    _, options = served_judge(grade)
    audit = judge_check(read(pairs), records=40, **options)
    if fault is None:
        assert audit.answer["against"] == []
        assert audit.fit
    else:
        assert not audit.fit
        assert [words for words in audit.answer["against"] if fault in words], audit.answer["against"]
        assert fault in audit.answer["sentence"]


def test_the_figures_are_those_of_the_judge(served_judge: Callable[..., tuple[Judge, dict[str, Any]]], pairs: Path) -> None:
    judge, options = served_judge(JUDGES["obedient"][0])
    answer = judge_check(read(pairs), records=40, **options).answer
    assert answer["agreement"]["share"] == 1.0
    assert answer["injection"]["obeyed"] == 1.0
    assert answer["repeatability"] == {"sd": 0.0, "same": 1.0, "reliability": 1.0, "n": 20}
    assert answer["damage"]["truncated"]["change"] < -1
    assert answer["length_bias"]["change"] == pytest.approx(0.0)
    # 40 pairs, 10 of them once more, and four changed texts of 20.
    assert sum(judge.grades.values()) == 40 * 2 + 10 * 2 + 20 * 4
    assert answer["requests"] == sum(judge.asked.values()) == 40 * 2 + 20 * 4
    again = judge_check(read(pairs), records=40, **options).answer
    assert (again["requests"], again["agreement"]) == (0, answer["agreement"])


def test_the_cost_is_known_before_and_kept_below_a_dollar(
    served_judge: Callable[..., tuple[Judge, dict[str, Any]]], pairs: Path
) -> None:
    judge, options = served_judge(_careful)
    scoring = ScoreOptions(models=("gpt-4o",), **{k: v for k, v in options.items() if k != "model"})
    told = plan_audit(read(pairs), scoring, records=60).estimate
    assert (told["requests"], told["output_tokens"]) == (60 * 2 + 30 * 4, 60 * 2 + 15 * 2 + 30 * 4)
    assert 0 < told["cost_usd"] <= MOST_COST
    assert not judge.asked
    dear: list[str] = []
    answer = judge_check(read(pairs), records=60, max_cost=told["cost_usd"] / 3, warn=dear.append, **options).answer
    assert 8 <= answer["records"] < 30
    assert answer["cost_usd"] <= told["cost_usd"] / 3
    assert [words for words in dear if "`max_cost`" in words]


def test_a_judge_of_ones_own_needs_no_price(served_judge: Callable[..., tuple[Judge, dict[str, Any]]], pairs: Path) -> None:
    _, options = served_judge(_careful)
    audit = judge_check(read(pairs), records=20, **{**options, "model": "a-model-of-our-own"})
    assert audit.fit
    assert audit.answer["cost_usd"] is None
    assert "at an unknown price" in audit.answer["sentence"]


def test_data_that_cannot_tell_are_refused_before_anything_is_asked(
    served_judge: Callable[..., tuple[Judge, dict[str, Any]]], tmp_path: Path
) -> None:
    judge, options = served_judge(_careful)
    few = tmp_path / "few.jsonl"
    few.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    with pytest.raises(InputError, match="too few"):
        judge_check(read(few), **options)
    assert not judge.asked


def test_the_command_says_in_a_sentence_whether_the_judge_is_fit(
    served_judge: Callable[..., tuple[Judge, dict[str, Any]]], pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, options = served_judge(JUDGES["obedient"][0])
    words = ["judge-check", str(pairs), "--records", "40", "--method", "sample", "--samples", "1", "--model", "gpt-4o"]
    words += ["--base-url", options["base_url"], "--store", str(options["store"])]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (ended.value.code, told["fit"]) == (3, False)
    assert {"repeatability", "position_bias", "length_bias", "injection", "agreement", "cost_usd"} <= set(told)
    with pytest.raises(SystemExit):
        main(words)
    shown = capsys.readouterr()
    assert re.search(r"obeys (\d+) of the \1 orders", shown.out + shown.err)
