"""How a review stands, with answers planted by several people on a real server, and the advice that follows from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from argilla_admap.cli.review.status_command import _show, command
from argilla_admap.commands import status
from argilla_admap.reporting.review_words import review_figures
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.status.status import _log_odds, advice
from tests.report.standing import STANDING
from tests.review.maps import row
from tests.review.test_pull import review
from tests.review.test_push import answer

_PLANTED = 9


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


def rows_with_errors(n: int = 60) -> list[dict[str, Any]]:
    """Every record of annotator-7 among the first ones is wrong, and P(wrong) sees most of them."""
    rows = []
    for i in range(n):
        wrong = i < _PLANTED
        rows.append(
            row(
                f"r{i}",
                source="annotator-7" if wrong or i % 20 == 19 else f"annotator-{i % 4}",
                p_wrong=0.9 if wrong and i != 3 else 0.04,
                agreement=-1.0 if wrong else 1.0,
                scores=[3.0, 8.0] if wrong else [8.0, 3.0],
                flags=["likely_wrong"] if wrong and i != 3 else [],
            )
        )
    return rows


def test_a_review_by_two_people(api: Api, workspace: str, make_annotator: Any) -> None:
    ann, bo = make_annotator(), make_annotator()
    rows = rows_with_errors()
    target, ids = review(api, workspace, rows, audit=30, reviewers=[ann.username, bo.username], overlap=2)
    sample = {item["external_id"] for item in api.search(target, {}, limit=100)[0] if "admap_audit" in item["metadata"]}
    assert len(sample) == 30
    read = sorted({*sample, *(f"r{i}" for i in range(_PLANTED))})
    for name in read:
        wrong = int(name[1:]) < _PLANTED
        answer(ann.client, ids[name], {"better": "b" if wrong else "a"})
        # Bo is wrong on one record: the two contradict each other there.
        answer(bo.client, ids[name], {"better": "b" if wrong or name == read[-1] else "a"})
    found = status("review", api.client, workspace=workspace).json()
    conflict = int(read[-1][1:]) >= _PLANTED
    assert (found["records"], found["reviewed"], found["corrected"]) == (60, len(read), _PLANTED)
    assert (found["conflicts"], found["confirmed"]) == (int(conflict), len(read) - _PLANTED - int(conflict))
    assert found["judge_accuracy"] == 1.0
    assert found["judge"]["confusion"]["against_the_label"] == {"corrected": _PLANTED - 1, "confirmed": 0}
    assert found["judge"]["confusion"]["with_the_label"]["corrected"] == 1
    assert found["random"] == {"drawn": 30, "read": 30}
    for name, truth in (("estimated_errors", _PLANTED), ("remaining_errors", 0)):
        assert found[name]["low"] <= truth <= found[name]["high"]
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    assert found["next_100"] < 5
    people = {line["name"]: line for line in found["reviewers"]}
    assert {name: line["answered"] for name, line in people.items()} == dict.fromkeys((ann.username, bo.username), len(read))
    assert all(line["accuracy_low"] <= line["accuracy"] <= line["accuracy_high"] for line in people.values())
    assert all(line["known_answers"]["known"] == 0 for line in people.values())
    (pair,) = found["agreement"]["pairs"]
    assert pair["name"] == " and ".join(sorted(people))
    # Each correction has two answers.
    assert found["single_reads"] == {"corrected": 0, "of": _PLANTED, "expected_false": {"value": 0, "low": 0, "high": 0}}
    assert (pair["level"], pair["records"], pair["alpha"] > 0.8) == ("nominal", len(read), True)
    assert found["agreement"]["all"][0]["alpha"] == pair["alpha"]
    assert {line["name"]: line["alpha"] for line in found["agreement"]["queues"]}["likely-wrong"] is None
    (worse,) = found["slices"]
    assert (worse["field"], worse["value"], worse["corrected"], worse["of"]) == ("source", "annotator-7", _PLANTED, _PLANTED)
    assert worse["words"].startswith("9 of the 9 corrected labels come from source annotator-7, which has 12 records")
    assert "metadata=admap_source.annotator-7" in worse["url"]
    assert worse["no_link"] is None
    assert set(worse["unread"]) == {f"r{i}" for i in (19, 39, 59)} - set(read)
    queues = {queue["name"]: queue for queue in found["queues"]}
    assert (queues["likely-wrong"]["reviewed"], queues["likely-wrong"]["corrected"]) == (_PLANTED - 1, _PLANTED - 1)
    assert (queues["audit"]["count"], queues["audit"]["reviewed"]) == (30, 30)
    assert found["advice"].startswith("Stop")
    assert any(figure.label == "judge agrees with people" and figure.value == "100%" for figure in review_figures(found))


def test_without_random_records_it_says_that_it_cannot_know(api: Api, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, ids = review(api, workspace, rows_with_errors())
    for i in (0, 1, 3, 30, 31):  # P(wrong) is high of the first two
        answer(api.client, ids[f"r{i}"], {"better": "b"})
    answer(api.client, ids["r2"], {"better": "a"})
    monkeypatch.setattr("argilla_admap.commands.connect", lambda client: api.client)
    run = CliRunner().invoke(command, [f"{workspace}/review", "--json"])
    found = json.loads(run.stdout)
    assert found["estimated_errors"]["value"] is found["remaining_errors"]["value"] is None
    assert (found["remaining_errors"]["low"], found["remaining_errors"]["high"]) == (0, 54)
    assert found["next_100"] == pytest.approx(5 * 0.9 + 49 * 0.04, abs=0.06)
    right = {name: found["reviewers"][0][f"accuracy{name}"] for name in ("", "_low", "_high")}
    odds = [p / (1 - p) for p in (0.9, 0.9, 0.04, 0.04, 0.04)]
    false = {name: sum(1 / (1 + odd * a / (1 - a)) for odd in odds) for name, a in right.items()}
    single = found["single_reads"]
    assert (single["corrected"], single["of"]) == (5, 5)
    expected = {"value": false[""], "low": false["_high"], "high": false["_low"]}
    assert single["expected_false"] == pytest.approx(expected, abs=0.051)
    warning = f"5 of the 5 corrections rest on one answer each; about {single['expected_false']['value']:.0f} of them"
    assert any(words.startswith(warning) for words in found["notes"])
    assert "cannot be known before 20 records of a random sample" in found["advice"]
    shown = CliRunner().invoke(command, [f"{workspace}/review"])
    assert shown.exit_code == 0
    assert "0 to 54" in shown.stdout
    assert "bounds only" in shown.stdout


def test_a_slice_that_the_page_cannot_filter_by_names_records_in_place_of_a_link(
    api: Api, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_with_errors()
    for i, r in enumerate(rows):
        r |= {"source": "one", "p_wrong": 0.3} | ({"prompt": "法国的首都是哪里?"} if i < 2 * _PLANTED else {})
    _, ids = review(api, workspace, rows)
    for i in {*range(60)} - {*range(_PLANTED, 2 * _PLANTED + 3)}:
        answer(api.client, ids[f"r{i}"], {"better": "b" if i < _PLANTED else "a"})
    found = status("review", api.client, workspace=workspace).json()
    worse = next(line for line in found["slices"] if line["field"] == "language")
    assert (worse["value"], worse["url"]) == ("Chinese", None)
    assert "cannot filter by language" in worse["no_link"]
    assert set(worse["unread"]) == {f"r{i}" for i in range(_PLANTED, 2 * _PLANTED)}
    monkeypatch.setattr("argilla_admap.commands.connect", lambda client: api.client)
    shown = CliRunner().invoke(command, [f"{workspace}/review"]).stdout
    assert "so this slice has no queue. Its unread records that are the likeliest to be wrong: r" in shown


@pytest.mark.parametrize(("drawn", "labels", "told"), [(0, 600, True), (19, 600, True), (20, 600, False), (0, 0, False)])
def test_the_command_that_draws_a_random_sample_is_told_where_there_is_none(
    drawn: int, labels: int, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing: dict[str, Any] = {"queues": [], "reviewers": [], "agreement": {}, "slices": []}
    random = {"drawn": drawn, "read": 0}
    _show({**STANDING, **nothing, "dataset": "a b/c", "labels": labels, "random": random})
    assert ("admap push MAP --dataset 'a b/c' --audit 50" in capsys.readouterr().out) == told


def standing(**changed: Any) -> dict[str, Any]:
    return {
        "labels": 1000,
        "remaining_errors": {"value": 40.0, "low": 20.0, "high": 70.0},
        "next_100": 30.0,
        "random": {"drawn": 100, "read": 100},
        **changed,
    }


@pytest.mark.parametrize(
    ("changed", "unread", "words"),
    [
        (
            {},
            800,
            "Go on: the next 100 of the best queue are expected to hold about 30 wrong labels; about 40 wrong ",
        ),
        ({"next_100": 1.2}, 800, "Stop: the next 100 of the best queue are expected to hold about 1 wrong label; about 40 "),
        ({"remaining_errors": {"value": 2.0, "low": 0.0, "high": 9.0}}, 800, "Stop: about 2 wrong labels are left among 800 "),
        ({"remaining_errors": {"value": 1.2, "low": 0.0, "high": 5.0}}, 800, "Stop: about 1 wrong label is left among 800 "),
        (
            {"next_100": 0.5},
            800,
            "Stop: the next 100 of the best queue are expected to hold hardly any wrong labels; about 40 ",
        ),
        ({}, 0, "Stop: every record has been read."),
        ({"labels": 0}, 0, "There is nothing to say"),
        (
            {"remaining_errors": {"value": None, "low": 0.0, "high": 800.0}},
            800,
            "Go on: the next 100 of the best queue are expected to hold about 30 wrong labels; how many errors are left "
            "cannot be known before 20 records of the queue Random sample have been read.",
        ),
        ({"remaining_errors": {"value": None, "low": 0.0, "high": 800.0}, "next_100": None}, 800, "Go on; how many errors "),
    ],
)
def test_the_advice_says_go_on_or_stop_and_why(changed: dict[str, Any], unread: int, words: str) -> None:
    assert advice(standing(**changed), unread).startswith(words)


def test_the_advice_tells_of_records_that_were_not_pushed() -> None:
    assert "among 1,000 unread records (95% interval: 20 to 70); 200 of these are not in the data set" in advice(
        standing(), 800, 200
    )
    assert advice(standing(), 0, 200).startswith(
        "Stop here, and push more of the map: about 40 wrong labels are left among 200"
    )


def test_a_chance_at_its_end_has_finite_odds() -> None:
    """P(wrong) is 0 or 1 where the evidence is overwhelming; what other people say still counts beside it."""
    assert _log_odds(0.5) == _log_odds(float("nan")) == 0.0
    assert -30 < _log_odds(0.0) < -20
    assert 20 < _log_odds(1.0) < 30
