"""Rewards from servers in each dialect that they speak."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from argilla_admap.errors import InputError, JudgeRefused
from argilla_admap.records import Turn
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import Scored, estimate, score
from argilla_admap.scoring.scorers.reward_servers import REWARD_SERVERS
from tests.doubles.reward_server import Reward, reward
from tests.scoring.small_data import numbered, record, stream

MakeReward = Callable[..., Reward]
DATA = [
    record("a", "Name the planets", ["Mercury, Venus, the planets", "NO!!!", "Planets? Name them yourself"]),
    record("b", "为什么？", ["因为天气。", "不知道"]),
    record("c", "Same", ["twice", "twice"]),
]


def _options(server: Reward, store: Path, **extra: str) -> ScoreOptions:
    return ScoreOptions(scorer="reward", store=store, extra={"reward_url": server.url, **extra})


def _scores(scored: Scored) -> list[Any]:
    return scored.table().column("scores").to_pylist()


def _expected(records: list[Any] = DATA) -> list[list[Any]]:
    return [[pytest.approx(reward(one.prompt, text)) for text in one.completions] for one in records]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("dialect", [name for name in REWARD_SERVERS if name != "tei-rerank"])
def test_each_dialect_gives_the_raw_rewards(make_reward: MakeReward, tmp_path: Path, dialect: str) -> None:
    server = make_reward("bare")
    scored = score(stream(DATA), _options(server, tmp_path / "store", reward_dialect=dialect))
    assert _scores(scored) == _expected()
    assert set(server.paths) == {REWARD_SERVERS[dialect].path}


def test_tei_as_a_reranker_gives_the_raw_rewards(make_reward: MakeReward, tmp_path: Path) -> None:
    scored = score(stream(DATA), _options(make_reward("tei"), tmp_path / "store", reward_dialect="tei-rerank"))
    assert _scores(scored) == _expected()


@pytest.mark.parametrize(
    ("kind", "path"), [("vllm", "/classify"), ("tei", "/predict"), ("llama.cpp", "/v1/rerank"), ("bare", "/classify")]
)
def test_the_server_is_recognised(make_reward: MakeReward, tmp_path: Path, kind: str, path: str) -> None:
    server = make_reward(kind)
    scored = score(stream(DATA), _options(server, tmp_path / "store"))
    assert _scores(scored) == _expected()
    assert set(server.paths) == {path}


def test_a_vllm_server_that_only_pools_is_asked_for_that(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("vllm", without=("/classify",))
    assert _scores(score(stream(DATA), _options(server, tmp_path / "store"))) == _expected()
    assert server.paths["/pooling"] > server.paths["/classify"]


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/classify"])
def test_the_address_may_end_in_a_path(make_reward: MakeReward, tmp_path: Path, tail: str) -> None:
    server = make_reward("vllm")
    server.url += tail
    assert _scores(score(stream(DATA), _options(server, tmp_path / "store"))) == _expected()


def test_no_reward_is_asked_for_twice(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("vllm")
    first = score(stream(DATA), _options(server, tmp_path / "store"))
    of_data = {(one.prompt, text): 1 for one in DATA for text in one.completions}
    assert {pair: server.scored[pair] for pair in of_data} == of_data
    again = score(stream(DATA), _options(server, tmp_path / "store"))
    assert {pair: server.scored[pair] for pair in of_data} == of_data
    assert _scores(again) == _scores(first)
    assert (again.summary["requests"], again.summary["unscored"]) == (0, 0)


@pytest.mark.parametrize("kind", ["llama.cpp", "tei", "vllm"])
def test_completions_that_pairs_share_are_scored_once(make_reward: MakeReward, tmp_path: Path, kind: str) -> None:
    server = make_reward(kind)
    best = "Mercury, Venus, the planets"
    data = [record(f"p{i}", "Name the planets", [best, f"No {i}"][:: 1 if i % 2 else -1]) for i in range(150)]
    data += [record(f"q{i}", "Name the planets", [f"No {i % 3}", best, best]) for i in range(150)]
    assert _scores(score(stream(data), _options(server, tmp_path / "store"))) == _expected(data)
    assert server.scored["Name the planets", best] == 1
    assert {server.scored["Name the planets", f"No {i}"] for i in range(150)} == {1}


def test_a_share_of_a_request_that_another_process_had_answered_is_not_asked_again(
    make_reward: MakeReward, tmp_path: Path
) -> None:
    server = make_reward("llama.cpp")
    server.delay = 0.3
    data = [record(f"r{i}", "Name the planets", ["Mercury, the planets", f"No {i}"]) for i in range(2)]
    options = _options(server, tmp_path / "store")
    found: list[Any] = []
    threads = [threading.Thread(target=lambda i=i: found.append(_scores(score(stream(data[i:]), options)))) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found, key=len) == [_expected(data[1:]), _expected(data)]


def test_another_model_on_the_same_address_is_asked_anew(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("vllm")
    score(stream(DATA), _options(server, tmp_path / "store"))
    server.model = "org/another"
    score(stream(DATA), _options(server, tmp_path / "store"))
    assert server.scored[DATA[0].prompt, DATA[0].completions[0]] == 2


def test_a_prompt_of_turns_reaches_the_models_template_as_turns(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("vllm")
    turns = [Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "Bye")]
    score(stream([record("t", "rendered", ["So long.", "No."], turns=turns)]), _options(server, tmp_path / "store"))
    assert ("Hi\n\nHello\n\nBye", "So long.") in server.scored


def test_a_class_is_chosen_by_its_name_or_its_number(make_reward: MakeReward, tmp_path: Path) -> None:
    tei = make_reward("tei", labels=("good", "bad"))
    assert _scores(score(stream(DATA), _options(tei, tmp_path / "store", reward_label="good"))) == _expected()
    vllm = make_reward("vllm", labels=("good", "bad"))
    assert _scores(score(stream(DATA), _options(vllm, tmp_path / "store", reward_label="0"))) == _expected()


def test_several_classes_and_none_named_end_before_the_first_record(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("tei", labels=("good", "bad"))
    with pytest.raises(InputError, match="bad, good: say with `reward_label`"):
        score(stream(DATA), _options(server, tmp_path / "store"))
    assert not any(pair[0] == DATA[0].prompt for pair in server.scored)


def test_a_completion_too_long_leaves_its_siblings_scored(make_reward: MakeReward, tmp_path: Path) -> None:
    data = [record("long", "Tell me", ["Short.", "word " * 9000, "Also short."])]
    scored = score(stream(data), _options(make_reward("llama.cpp"), tmp_path / "store"))
    [[first, second, third]] = _scores(scored)
    assert second is None
    assert (first, third) == (pytest.approx(reward("Tell me", "Short.")), pytest.approx(reward("Tell me", "Also short.")))
    assert "too long" in scored.table().column("errors").to_pylist()[0][1]


def test_a_server_that_takes_fewer_texts_at_once_gets_fewer(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("tei")
    server.most_texts = 2
    data = [record("many", "Count", [f"{i} and {i}" for i in range(9)])]
    assert _scores(score(stream(data), _options(server, tmp_path / "store"))) == _expected(data)


def test_a_server_that_is_still_loading_is_waited_for(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("tei")
    server.faults = [429, 503]
    assert _scores(score(stream(DATA), _options(server, tmp_path / "store"))) == _expected()


def test_a_key_is_sent_where_one_is_set(make_reward: MakeReward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_reward("vllm", key="secret-key")
    with pytest.raises(JudgeRefused, match="401"):
        score(stream(DATA), _options(server, tmp_path / "store"))
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    assert score(stream(DATA), _options(server, tmp_path / "store")).summary["unscored"] == 0


def test_a_server_that_is_not_there_is_named(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("vllm")
    server.url = "http://127.0.0.1:9"
    with pytest.raises(JudgeRefused, match="`reward_url`"):
        score(stream(DATA), _options(server, tmp_path / "store"))


def test_a_chat_server_gives_no_reward_and_is_told_so(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("vllm", without=("/classify", "/pooling", "/score", "/v1/rerank", "/rerank"))
    with pytest.raises(JudgeRefused, match="gives no reward: /classify: 404"):
        score(stream(DATA), _options(server, tmp_path / "store"))


def test_neither_server_nor_model_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`reward_url`"):
        score(stream(DATA), ScoreOptions(scorer="reward", store=tmp_path / "store"))


def test_the_estimate_asks_nobody(make_reward: MakeReward, tmp_path: Path) -> None:
    server = make_reward("vllm")
    options = _options(server, tmp_path / "store")
    assert estimate(stream(numbered(10)), options)["requests"] == 20
    assert not server.paths
    score(stream(numbered(10)), options)
    assert estimate(stream(numbered(10)), options)["cached"] == 20


def test_the_file_says_which_model_gave_the_rewards(make_reward: MakeReward, tmp_path: Path) -> None:
    scored = score(stream(DATA), _options(make_reward("vllm"), tmp_path / "store"))
    [facts] = scored.info["score"]["judges"]
    assert (facts["model"], facts["dialect"]) == ("org/rm", "vllm-classify")
    assert scored.table().column("score_variances").to_pylist()[0] == [None, None, None]


def test_a_server_that_does_not_name_its_model_is_warned_about(make_reward: MakeReward, tmp_path: Path) -> None:
    said: list[str] = []
    score(stream(DATA), _options(make_reward("bare"), tmp_path / "store"), warn=said.append)
    assert any("`reward_model`" in words for words in said)
