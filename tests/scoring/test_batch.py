"""Scoring by the Batch API: the same judgements at half price, whatever is stopped, dropped, expired or refused."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from argilla_admap.errors import JudgeRefused, ScoringError
from argilla_admap.scoring.batch import batch_files as batch_file
from argilla_admap.scoring.batch import batches as batches_module
from argilla_admap.scoring.batch.batch_api import BatchApi
from argilla_admap.scoring.batch.batches import BatchDispatcher
from argilla_admap.scoring.options import ScoreOptions
from argilla_admap.scoring.run import Scored, estimate, score
from tests.doubles.batch_server import Batches, answer
from tests.doubles.served import served
from tests.scoring.small_data import numbered, stream


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")


@pytest.fixture(autouse=True)
def _all_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    # The first question goes by itself where nothing is known: what is counted here is what goes by batches.
    monkeypatch.setattr(BatchDispatcher, "asks_later", False)


def _options(batches: Batches, store: Path, **more: Any) -> ScoreOptions:
    arguments: dict[str, Any] = {
        "models": ("gpt-4o",),
        "base_url": batches.url,
        "store": store,
        "batch": True,
        "method": "logprobs",
    }
    return ScoreOptions(**(arguments | more))


def _scores(scored: Scored) -> list[Any]:
    return scored.table().column("scores").to_pylist()


def test_batches_give_the_scores_of_single_calls_at_half_the_bill(batches: Batches, tmp_path: Path) -> None:
    data = stream(numbered(30))
    single = score(data, _options(batches, tmp_path / "single", batch=False))
    by_batch = score(data, _options(batches, tmp_path / "batch"))
    assert _scores(by_batch) == _scores(single)
    assert by_batch.summary["cost_usd"] == pytest.approx(single.summary["cost_usd"] / 2)
    assert by_batch.summary["requests"] == single.summary["requests"] == 60
    assert by_batch.summary["cached"] == 0
    assert len(batches.paid) == 60
    assert set(batches.paid.values()) == {1}


def test_a_later_run_without_batches_finds_all_judgements(batches: Batches, tmp_path: Path) -> None:
    score(stream(numbered(10)), _options(batches, tmp_path / "store"))
    later = score(stream(numbered(10)), _options(batches, tmp_path / "store", batch=False))
    assert (later.summary["requests"], later.summary["cached"]) == (0, 20)


def test_the_estimate_is_half_of_that_without_batches(batches: Batches, tmp_path: Path) -> None:
    full = estimate(stream(numbered(10)), _options(batches, tmp_path / "store", batch=False))
    half = estimate(stream(numbered(10)), _options(batches, tmp_path / "store"))
    assert half["requests"] == full["requests"]
    assert half["cost_usd"] == pytest.approx(full["cost_usd"] / 2, abs=1e-6)
    assert not batches.batches


def test_the_first_look_at_an_endpoint_asks_no_judgement_twice(batches: Batches, tmp_path: Path) -> None:
    score(stream(numbered(10)), _options(batches, tmp_path / "store", method="auto"))
    assert sum((batches.paid + batches.paid_in_full).values()) == 20


def test_several_samples_and_a_panel_go_by_batches(batches: Batches, tmp_path: Path) -> None:
    models = ("gpt-4o", "gpt-4o-mini")
    options = _options(batches, tmp_path / "store", models=models, method="sample", samples=3)
    scored = score(stream(numbered(5)), options)
    assert scored.summary["unscored"] == 0
    assert {"scores.gpt-4o", "scores.gpt-4o-mini"} <= set(scored.schema.names)
    assert {batch.status for batch in batches.batches.values()} == {"completed"}
    assert not batches.paid_in_full
    later = score(
        stream(numbered(5)), _options(batches, tmp_path / "store", models=models, method="sample", samples=3, batch=False)
    )
    assert later.summary["requests"] == 0


def test_reasons_come_by_batches(batches: Batches, tmp_path: Path) -> None:
    scored = score(stream(numbered(3)), _options(batches, tmp_path / "store", method="json", reasons=True, samples=1))
    assert scored.table().column("reasons").to_pylist()[0][0].startswith("It deserves")
    assert not batches.paid_in_full


def test_many_requests_are_split_into_files_of_what_the_api_takes(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_file, "MOST_REQUESTS", 25)
    batches.most_requests = 25
    scored = score(stream(numbered(40)), _options(batches, tmp_path / "store"))
    assert scored.summary["scored"] == 80
    assert len(batches.batches) == 4


def test_files_stay_under_the_byte_limit(batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_file, "MOST_BYTES", 60_000)
    batches.most_bytes = 60_000
    assert score(stream(numbered(40)), _options(batches, tmp_path / "store")).summary["scored"] == 80
    assert len(batches.batches) > 2


def test_what_expired_was_refused_for_its_pace_or_never_came_back_is_asked_again(batches: Batches, tmp_path: Path) -> None:
    batches.fail.update({"429": 5, "expire": 7, "drop": 3})
    scored = score(stream(numbered(20)), _options(batches, tmp_path / "store"))
    assert scored.summary["scored"] == 40
    assert sum(batches.paid.values()) == 40
    assert len(batches.batches) >= 2


def test_what_is_refused_for_good_is_unscored_with_its_reason_and_asked_once(batches: Batches, tmp_path: Path) -> None:
    batches.fail["400"] = 3
    scored = score(stream(numbered(20)), _options(batches, tmp_path / "store"))
    errors = [error for row in scored.table().column("errors").to_pylist() for error in row if error]
    assert len(errors) == scored.summary["unscored"] == 3
    assert all("refused with 400" in error for error in errors)
    assert len(batches.batches) == 1
    # The next run asks those three, and nothing else.
    again = score(stream(numbered(20)), _options(batches, tmp_path / "store"))
    assert (again.summary["requests"], again.summary["scored"]) == (3, 40)


def test_batches_that_always_expire_are_given_up_after_three(batches: Batches, tmp_path: Path) -> None:
    batches.always_expire = True
    scored = score(stream(numbered(3)), _options(batches, tmp_path / "store"))
    assert scored.summary["unscored"] == 6
    assert "3 batches" in scored.table().column("errors").to_pylist()[0][0]
    assert len(batches.batches) == 3


def test_a_batch_refused_while_too_much_is_enqueued_is_submitted_again(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_file, "MOST_REQUESTS", 20)
    batches.most_under_way = 20
    batches.seconds = 3  # the second batch comes while the first is under way, however slow the machine is
    said: list[str] = []
    scored = score(stream(numbered(20)), _options(batches, tmp_path / "store"), warn=said.append)
    assert scored.summary["scored"] == 40
    assert sum(batches.paid.values()) == 40
    assert any("Enqueued token limit" in words for words in said)


def test_a_batch_that_the_server_rejects_whole_ends_the_run_with_the_servers_words(batches: Batches, tmp_path: Path) -> None:
    batches.most_requests = 10
    with pytest.raises(ScoringError, match="too many requests"):
        score(stream(numbered(10)), _options(batches, tmp_path / "store"))


@pytest.mark.parametrize("lacks", ["files", "batches"])
def test_an_endpoint_without_batches_is_named_as_such(batches: Batches, tmp_path: Path, lacks: str) -> None:
    if lacks == "files":
        batches.takes_files = batches.lists = False
    else:
        batches.create_faults = ["404"]
    with pytest.raises(JudgeRefused, match="no Batch API; leave it out"):
        score(stream(numbered(3)), _options(batches, tmp_path / "store"))


def test_a_broken_connection_at_creation_makes_no_second_batch(batches: Batches, tmp_path: Path) -> None:
    batches.create_faults = ["drop"]
    batches.keep_metadata = False  # found by the file that it reads
    assert score(stream(numbered(10)), _options(batches, tmp_path / "store")).summary["scored"] == 20
    assert len(batches.batches) == 1


def test_where_batches_are_not_listed_a_broken_connection_stops_until_a_person_has_looked(
    batches: Batches, tmp_path: Path
) -> None:
    batches.create_faults, batches.lists = ["drop"], False
    options = _options(batches, tmp_path / "store")
    for _ in range(2):
        with pytest.raises(ScoringError, match="lists no batches") as raised:
            score(stream(numbered(3)), options)
    assert len(batches.batches) == 1
    [file] = (tmp_path / "store-batches").glob("*.jsonl")
    assert str(file) in str(raised.value)
    file.unlink()
    assert score(stream(numbered(3)), options).summary["scored"] == 6


def test_a_blocking_client_is_used_as_it_is(batches: Batches, tmp_path: Path) -> None:
    client = openai.OpenAI(api_key="k", base_url=batches.url)
    scored = score(stream(numbered(5)), _options(batches, tmp_path / "store", base_url=None), client=client)
    assert scored.summary["scored"] == 10
    assert set(batches.paid.values()) == {1}


def test_azures_requests_name_the_path_without_a_version() -> None:
    azure = openai.AsyncAzureOpenAI(api_key="k", azure_endpoint="https://example.openai.azure.com", api_version="2024-10-21")
    assert BatchApi(azure).url("/chat/completions") == "/chat/completions"
    assert BatchApi(openai.AsyncOpenAI(api_key="k")).url("/chat/completions") == "/v1/chat/completions"


def test_the_budget_is_kept_by_what_is_submitted(batches: Batches, tmp_path: Path) -> None:
    scored = score(stream(numbered(20)), _options(batches, tmp_path / "store", max_cost=0.02))
    assert 0 < scored.summary["scored"] < 40
    assert 0 < scored.summary["cost_usd"] <= 0.02
    assert "`max_cost`" in scored.summary["stopped"]


def test_a_budget_that_the_worst_case_would_pass_is_spent_in_a_few_batches(batches: Batches, tmp_path: Path) -> None:
    whole = score(stream(numbered(40)), _options(batches, tmp_path / "whole")).summary["cost_usd"]
    batches.batches.clear()
    run = score(stream(numbered(40)), _options(batches, tmp_path / "some", max_cost=0.8 * whole))
    assert 0.6 * whole < run.summary["cost_usd"] <= 0.8 * whole
    assert run.summary["stopped"]
    assert 1 < len(batches.batches) < 15


def test_a_batch_that_is_not_found_for_a_while_is_not_paid_again(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "_LOST_FOR", (0.0, 0.1, 0.2))
    batches.not_found = 2
    assert score(stream(numbered(10)), _options(batches, tmp_path / "s")).summary["scored"] == 20
    # It goes by the list where the batch itself is never found; and by asking again where there is no list.
    batches.not_found = 10_000
    assert score(stream(numbered(12)), _options(batches, tmp_path / "s")).summary["scored"] == 24
    batches.not_found, batches.lists = 2, False
    assert score(stream(numbered(14)), _options(batches, tmp_path / "s")).summary["scored"] == 28
    assert set(batches.paid.values()) == {1}


def test_a_download_that_a_killed_process_began_is_swept_up(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = [tmp_path / f"{'ab' * 16}-{ended.pid}.jsonl", tmp_path / f"{'ab' * 16}-{ended.pid}.file-xyz.part"]
    ours = tmp_path / f"{'cd' * 16}-{os.getpid()}.file-xyz.part"
    for file in (*left, ours):
        file.touch()
    batch_file.sweep(tmp_path, set())
    assert [file.exists() for file in (*left, ours)] == [False, False, True]


def test_a_download_that_breaks_off_is_made_again(batches: Batches, tmp_path: Path) -> None:
    batches.cut = 2
    assert score(stream(numbered(10)), _options(batches, tmp_path / "s")).summary["scored"] == 20
    assert set(batches.paid.values()) == {1}


def test_requests_are_private_on_disk_and_gone_when_answered(batches: Batches, tmp_path: Path) -> None:
    modes: list[int] = []
    folder = tmp_path / "store-batches"
    batches.hook = lambda event: modes.extend(file.stat().st_mode & 0o777 for file in folder.glob("*.jsonl"))
    score(stream(numbered(3)), _options(batches, tmp_path / "store"))
    assert modes
    assert set(modes) == {0o600}
    assert not list(folder.glob("*.jsonl"))
    assert not list(folder.glob("*.part"))


def test_what_killed_processes_left_on_disk_is_swept_up(batches: Batches, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = tmp_path / "store-batches"
    folder.mkdir()
    left = [folder / f"draft-{ended.pid}-7f.part", folder / f"0a1b-{ended.pid}.jsonl"]
    ours = folder / f"draft-{os.getpid()}-7f.part"
    for file in (*left, ours):
        file.touch()
    score(stream(numbered(2)), _options(batches, tmp_path / "store"))
    assert [file.exists() for file in (*left, ours)] == [False, False, True]


def _client(batches: Batches, store: Path, n: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.scoring.batch_client", batches.url, str(store), str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("moment", ["upload", "create", "retrieve", "content"])
def test_a_run_killed_at_any_moment_goes_on_and_pays_nothing_twice(batches: Batches, tmp_path: Path, moment: str) -> None:
    first = _client(batches, tmp_path / "store", 20)
    killed: list[str] = []

    def kill(event: str) -> None:
        if event == moment and not killed:
            killed.append(event)
            os.kill(first.pid, signal.SIGKILL)

    batches.hook = kill
    assert first.wait(60) == -signal.SIGKILL
    second = _client(batches, tmp_path / "store", 20)
    summary = json.loads(second.communicate(timeout=60)[0])
    assert summary["scored"] == 40
    assert set(batches.paid.values()) == {1}
    assert len(batches.batches) == 1


def test_a_run_killed_before_anything_was_sent_starts_anew(batches: Batches, tmp_path: Path) -> None:
    batches.create_faults = ["503"] * 3
    first = _client(batches, tmp_path / "store", 5)
    batches.hook = lambda event: os.kill(first.pid, signal.SIGKILL) if event == "upload" else None
    first.wait(60)
    batches.hook = lambda event: None
    for file in (tmp_path / "store-batches").glob("*.jsonl"):
        file.unlink()
    summary = json.loads(_client(batches, tmp_path / "store", 5).communicate(timeout=60)[0])
    assert summary["scored"] == 10
    assert set(batches.paid.values()) == {1}


@pytest.mark.parametrize("sizes", [(30, 40), (40, 40), (40, 30)])
def test_two_processes_on_one_store_pay_nothing_twice(batches: Batches, tmp_path: Path, sizes: tuple[int, int]) -> None:
    batches.seconds = 1.5
    clients = [_client(batches, tmp_path / "store", size) for size in sizes]
    summaries = [json.loads(client.communicate(timeout=120)[0]) for client in clients]
    assert [summary["scored"] for summary in summaries] == [2 * size for size in sizes]
    assert set(batches.paid.values()) == {1}
    assert len(batches.paid) == 80


def test_a_run_that_ends_leaves_the_answers_that_another_waits_for(batches: Batches, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ended: list[Any] = []

    def end_another(event: str) -> None:
        # While the first run takes its answers in, a second one on the same store starts and ends.
        if event == "content" and not ended:
            ended.append(None)
            thread = threading.Thread(target=lambda: ended.append(score(stream(numbered(1)), _options(batches, store)).summary))
            thread.start()

    batches.hook = end_another
    assert score(stream(numbered(20)), _options(batches, store)).summary["scored"] == 40
    deadline = time.monotonic() + 60
    while len(ended) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ended[1]["scored"] == 2
    assert set(batches.paid.values()) == {1}


def test_what_waits_at_another_endpoint_is_not_submitted_here(batches: Batches, tmp_path: Path) -> None:
    first = _client(batches, tmp_path / "store", 5)
    batches.hook = lambda event: os.kill(first.pid, signal.SIGKILL) if event == "create" else None
    first.wait(60)
    batches.hook = lambda event: None
    elsewhere = Batches()
    said: list[str] = []
    with served(elsewhere.app) as url:
        options = _options(batches, tmp_path / "store", base_url=f"{url}/v1")
        assert score(stream(numbered(6)), options, warn=said.append).summary["scored"] == 12
    # It is another judge: it is asked all, the person is told, and the first one's file is not sent to it.
    assert sum(elsewhere.paid.values()) == 12
    assert any("another model under that name" in words for words in said)
    assert score(stream(numbered(6)), _options(batches, tmp_path / "store")).summary["unscored"] == 0
    assert sum(batches.paid.values()) == 12


@pytest.fixture
def submitted(batches: Batches, tmp_path: Path) -> Path:
    """A store whose run was killed when it had submitted a batch of five records, which is not done."""
    batches.seconds = 1000
    first = _client(batches, tmp_path / "store", 5)
    batches.hook = lambda event: os.kill(first.pid, signal.SIGKILL) if event == "retrieve" else None
    first.wait(60)
    batches.hook = lambda event: None
    return tmp_path / "store"


def test_a_run_without_batches_leaves_alone_what_waits_in_one(batches: Batches, submitted: Path) -> None:
    said: list[str] = []
    scored = score(stream(numbered(7)), _options(batches, submitted, batch=False), warn=said.append)
    assert scored.summary["scored"] == 4
    assert sum(batches.paid_in_full.values()) == 4
    reasons = scored.table().column("errors").to_pylist()[0]
    assert "`batch`" in reasons[0]
    assert "`ask_waiting`" in reasons[0]
    assert any("10 judgements wait in batches" in words for words in said)

    batches.seconds = 0.3
    assert score(stream(numbered(7)), _options(batches, submitted)).summary["unscored"] == 0
    assert (batches.paid + batches.paid_in_full).most_common(1)[0][1] == 1


def test_a_run_without_batches_takes_in_what_an_ended_one_brought(batches: Batches, submitted: Path) -> None:
    batches.seconds = 0
    time.sleep(0.3)
    said: list[str] = []
    scored = score(stream(numbered(7)), _options(batches, submitted, batch=False), warn=said.append)
    assert (scored.summary["scored"], scored.summary["requests"]) == (14, 14)
    assert (sum(batches.paid.values()), sum(batches.paid_in_full.values())) == (10, 4)
    alone = score(stream(numbered(7)), _options(batches, submitted.with_name("other"), batch=False))
    assert _scores(scored) == _scores(alone)
    assert 0.6 < scored.summary["cost_usd"] / alone.summary["cost_usd"] < 0.7, "ten at half price, four at the full one"
    assert not [words for words in said if "batches" in words]
    assert score(stream(numbered(7)), _options(batches, submitted)).summary["cached"] == 14


def test_what_waits_in_a_batch_is_paid_twice_only_by_a_person_who_says_so(batches: Batches, submitted: Path) -> None:
    said: list[str] = []
    options = _options(batches, submitted, batch=False, ask_waiting=True)
    assert score(stream(numbered(5)), options, warn=said.append).summary["scored"] == 10
    assert sum(batches.paid_in_full.values()) == 10
    assert any("10 judgements wait in batches" in words and "twice" in words for words in said)


def test_an_endpoint_whose_batches_cannot_be_looked_at_is_asked_nothing_twice(batches: Batches, submitted: Path) -> None:
    batches.takes_files = batches.lists = False
    assert score(stream(numbered(7)), _options(batches, submitted, batch=False)).summary["scored"] == 4
    assert sum(batches.paid_in_full.values()) == 4


def _edited(batches: Batches, edit: Callable[[bytes], bytes]) -> None:
    """Edits the next file of answers before it is sent."""

    def once(event: str) -> None:
        if event == "content":
            batches.hook = lambda event: None
            batches.files |= {name: edit(body) for name, body in batches.files.items() if b'"response"' in body}

    batches.hook = once


def test_numbers_that_json_does_not_know_cost_no_answer(batches: Batches, tmp_path: Path) -> None:
    _edited(batches, lambda body: re.sub(rb'"logprob": -3\.\d+(?=[^]]*\]\}\])', b'"logprob": -Infinity', body))
    scored = score(stream(numbered(5)), _options(batches, tmp_path / "store"))
    assert scored.summary["scored"] == 10
    assert set(batches.paid.values()) == {1}


def test_answers_that_cannot_be_read_are_said_and_asked_again(batches: Batches, tmp_path: Path) -> None:
    deep = b'{"custom_id": "00", "response": {"status_code": 200, "body": %sNaN%s}}\n' % (b"[" * 100_000, b"]" * 100_000)
    _edited(batches, lambda body: deep + b"\n".join(body.split(b"\n")[1:]))
    said: list[str] = []
    scored = score(stream(numbered(5)), _options(batches, tmp_path / "store"), warn=said.append)
    assert scored.summary["scored"] == 10
    assert any("cannot be read and are asked again: 1" in words for words in said)
    assert sorted(batches.paid.values()) == [1] * 9 + [2]


def test_an_error_inside_of_an_answer_is_told_in_the_servers_words(batches: Batches, tmp_path: Path) -> None:
    def broken(body: bytes) -> bytes:
        lines = [json.loads(line) for line in body.splitlines()]
        for line in lines:
            line["response"]["body"] = {"error": {"message": "the region is out of capacity"}}
        return "".join(json.dumps(line) + "\n" for line in lines).encode()

    batches.hook = lambda event: batches.files.update(
        {name: broken(body) for name, body in batches.files.items() if event == "content" and b'"response"' in body}
    )
    scored = score(stream(numbered(1)), _options(batches, tmp_path / "store"))
    assert ["the region is out of capacity" in reason for reason in scored.summary["reasons"]] == [True]


def _without_grades(body: bytes) -> bytes:
    lines = [json.loads(line) for line in body.splitlines()]
    for line in lines:
        choice = line["response"]["body"]["choices"][0]
        choice["message"]["content"], choice["logprobs"] = "I think this answer is rather good.", None
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def test_a_judge_whose_first_batch_holds_no_grade_is_paid_for_no_second(batches: Batches, tmp_path: Path) -> None:
    batches.hook = lambda event: batches.files.update(
        {name: _without_grades(body) for name, body in batches.files.items() if event == "content" and b'"response"' in body}
    )
    for _ in range(2):
        with pytest.raises(JudgeRefused, match="none can be used"):
            score(stream(numbered(50)), _options(batches, tmp_path / "store"))
    assert set(batches.paid.values()) == {1}
    assert len(batches.batches) == 1


@pytest.mark.parametrize("method", ["auto", "sample", "json"])
def test_a_judge_without_grades_gets_no_batch(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(BatchDispatcher, "asks_later", True)

    def prose(body: dict[str, Any]) -> dict[str, Any]:
        found = answer(body)
        found["choices"][0] |= {"message": {"role": "assistant", "content": "It is rather good."}, "logprobs": None}
        return found

    monkeypatch.setattr(batches, "answer", prose)
    with pytest.raises(JudgeRefused, match="none can be used"):
        score(stream(numbered(50)), _options(batches, tmp_path / "store", method=method))
    assert not batches.batches
    assert sum(batches.paid_in_full.values()) < 12


def _one_choice(body: dict[str, Any]) -> str:
    return "Unsupported value: 'n' does not support 3 with this model." if body.get("n", 1) > 1 else ""


def _newer_name(body: dict[str, Any]) -> str:
    return "Unsupported parameter: 'max_tokens'; use 'max_completion_tokens' instead." if "max_tokens" in body else ""


def test_what_the_endpoint_refuses_is_found_out_before_a_batch_is_spent_on_it(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BatchDispatcher, "asks_later", True)
    batches.refuses = lambda body: _newer_name(body) or _one_choice(body)
    scored = score(stream(numbered(20)), _options(batches, tmp_path / "store", method="sample", guide="reference"))
    assert (scored.summary["scored"], scored.table().column("score_counts").to_pylist()[0]) == (40, [3, 3])
    # The references, then all samples at once: each a request of its own, none of them refused.
    assert [batch.counts["failed"] for batch in batches.batches.values()] == [0, 0]


def test_a_refusal_in_a_batch_is_learned_from_once_for_all(batches: Batches, tmp_path: Path) -> None:
    # The second refusal must not pass for answered by what the first one taught.
    batches.refuses = lambda body: _newer_name(body) or _one_choice(body)
    scored = score(stream(numbered(300)), _options(batches, tmp_path / "store", method="sample"))
    assert scored.summary["scored"] == 600
    assert [batch.counts["failed"] for batch in batches.batches.values()] == [600, 600, 0, 0]


def test_the_first_question_is_paid_in_full_and_once(batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchDispatcher, "asks_later", True)
    scored = score(stream(numbered(20)), _options(batches, tmp_path / "store"))
    assert (scored.summary["scored"], scored.summary["cached"]) == (40, 0)
    assert (sum(batches.paid_in_full.values()), len(batches.paid)) == (1, 39)


def test_what_batches_counted_is_known_to_the_next_estimate(
    batches: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thinking(body: dict[str, Any]) -> dict[str, Any]:
        found = answer(body)
        found["usage"]["completion_tokens"] = 500
        return found

    monkeypatch.setattr(batches, "answer", thinking)
    options = _options(batches, tmp_path / "store")
    score(stream(numbered(20)), options)
    told = estimate(stream(numbered(40)), options)
    assert told["output_tokens"] == 40 * 500
    assert any("about 500 tokens" in note for note in told["notes"])
    assert 0.5 < told["input_tokens"] / score(stream(numbered(40)), options).summary["input_tokens"] < 2
