"""How a review stands, read once from a real server for all that learn from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from argilla_admap.pipeline import push, read_answers
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.pull.pull_options import PullOptions
from argilla_admap.review.pull.reviews import read_reviews
from tests.review.maps import data_map, row
from tests.review.test_pull import review
from tests.review.test_push import answer


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


def test_each_persons_answer_and_what_they_settle(api: Api, workspace: str, make_annotator: Any) -> None:
    ann, bo = make_annotator(), make_annotator()
    rows = [row("kept"), row("swapped", p_wrong=0.9), row("split"), row("even"), row("open", flags=["low_mean", "contested"])]
    _, ids = review(api, workspace, rows, overlap=2, reviewers=[ann.username, bo.username])
    for name, (first, second) in {"kept": "aa", "swapped": "bb", "split": "ab", "even": ("tie", "tie")}.items():
        answer(ann.client, ids[name], {"better": first, "note": f"{name}!"})
        answer(bo.client, ids[name], {"better": second})
    reviews = read_reviews("review", api.client, PullOptions(workspace=workspace))
    found = reviews.records
    assert {name: (one.outcome, one.verdict, one.before, one.after) for name, one in found.items()} == {
        "kept": ("confirmed", None, (1.0, 0.0), (1.0, 0.0)),
        "swapped": ("corrected", None, (1.0, 0.0), (0.0, 1.0)),
        "split": ("conflict", None, (1.0, 0.0), None),
        "even": ("corrected", "tie", (1.0, 0.0), (0.5, 0.5)),
    }
    assert [(one.reviewer, one.corrects, one.note) for one in found["split"].answers] == [
        (ann.username, False, "split!"),
        (bo.username, True, ""),
    ]
    assert {one.after for one in found["split"].answers} == {(1.0, 0.0), (0.0, 1.0)}
    assert found["swapped"].p_wrong == 0.9
    frame = reviews.frame.set_index("id")
    assert list(frame["corrected"].reindex(["kept", "swapped", "even"])) == [0.0, 1.0, 1.0]
    assert np.isnan(frame["corrected"].reindex(["split", "open"])).all()
    assert frame["flags"]["open"] == "contested low_mean"
    assert frame["labelled"].all()
    votes = {name: list(said.votes.values()) for name, said in read_answers(f"{workspace}/review", api.client).items()}
    assert votes == {"kept": [False, False], "swapped": [True, True], "split": [False, True], "even": []}
    # A map that learned from the answer says so, and estimates go on by what was thought without it.
    learned = [{**one, "p_wrong": 0.99, "p_wrong_unread": 0.4} if one["id"] == "swapped" else one for one in rows]
    push(data_map(learned), "review", api.client, workspace=workspace)
    again = read_reviews("review", api.client, PullOptions(workspace=workspace))
    assert again.records["swapped"].p_wrong == pytest.approx(0.4)
    assert again.result.outcomes == reviews.result.outcomes
    answers = reviews.answers
    assert len(answers) == 8
    assert set(answers["reviewer"]) == {ann.username, bo.username}
    assert list(answers.query("id == 'even'")["verdict"]) == ["tie", "tie"]


def test_a_blind_review_says_the_part_of_each_record_and_the_values_in_its_own_order(api: Api, workspace: str) -> None:
    rows = [row(f"r{i}", p_wrong=0.02, flags=["likely_wrong"] if i == 0 else []) for i in range(12)]
    _, ids = review(api, workspace, rows, blind=True)
    for record in ids.values():
        answer(api.client, record, {"better": "a"})
    reviews = read_reviews("review", api.client, PullOptions(workspace=workspace))
    assert reviews.frame["sample"].value_counts().to_dict() == {"control": 5, "unflagged": 6, "suspect": 1}
    assert {one.sample for one in reviews.records.values()} == {"control", "unflagged", "suspect"}
    for one in reviews.records.values():
        (said,) = one.answers
        assert said.corrects == (said.values["better"] == "b") == (one.outcome == "corrected")
