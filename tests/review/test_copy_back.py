"""Answers of a review copy go home, in their reviewers' names, and replace nobody's."""

from __future__ import annotations

from typing import Any

import argilla as rg
import pytest

from argilla_admap.errors import InputError
from argilla_admap.pipeline import pull, push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.argilla.cipher import key_of
from argilla_admap.review.dataset.layout import shown_order
from argilla_admap.review.pull.copy_back import CopiedBack
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote, work_of_people


def theirs(client: Any, workspace: str, questions: list[Any], rows: list[dict[str, Any]], *, ids: bool) -> None:
    names = ("prompt", "response_1", "response_2")
    settings = rg.Settings(fields=[rg.TextField(name) for name in names], questions=questions)
    made = rg.Dataset(name="theirs", workspace=workspace, settings=settings, client=client).create()
    made.records.log(
        [
            # They hold the completions in the other order.
            rg.Record(
                fields=dict(zip(names, (r["prompt"], *r["completions"][::-1]), strict=True)), **({"id": r["id"]} if ids else {})
            )
            for r in rows
        ]
    )


@pytest.mark.parametrize("ids", [True, False])
def test_answers_go_home_in_the_order_that_the_data_set_has(
    argilla_client: Any, workspace: str, annotator: Any, ids: bool
) -> None:
    rows = [row(f"r{i}") for i in range(4)]
    theirs(
        argilla_client, workspace, [rg.LabelQuestion("preference", labels=["response_1", "response_2", "tie"])], rows, ids=ids
    )
    api = Api(argilla_client)
    there = {item["fields"]["prompt"]: item for item in records(api, remote(api, workspace, "theirs")).values()}
    push(data_map(rows), "theirs", argilla_client, workspace=workspace, copy_to="copy", blind=True)
    copied = remote(api, workspace, "copy")
    copy = records(api, copied)
    # On r0 the annotator has said something there already; on r3 they find both bad, which cannot be said there.
    answer(annotator.client, there[rows[0]["prompt"]]["id"], {"preference": "tie"}, "draft")
    for name in ("r0", "r1", "r2"):
        first = shown_order(name, 2, blind=True, key=key_of(copied)).index(0)
        answer(annotator.client, copy[name]["id"], {"better": "ab"[first]})
    answer(argilla_client, copy["r1"]["id"], {"better": "tie"})
    answer(argilla_client, copy["r2"]["id"], {"better": "tie"}, "draft")
    answer(annotator.client, copy["r3"]["id"], {"better": "both_bad"})
    before = records(api, remote(api, workspace, "theirs"))
    assert pull("copy", argilla_client, workspace=workspace, home=True, dry_run=True).answers == 3
    assert records(api, remote(api, workspace, "theirs")) == before
    sent = pull("copy", argilla_client, workspace=workspace, home=True)
    assert sent == CopiedBack(f"{workspace}/theirs", answers=3, present=1, unfit=1, unmatched=0)
    after = {item["fields"]["prompt"]: item for item in records(api, remote(api, workspace, "theirs")).values()}
    said = {
        r["id"]: {answer["user_id"]: answer["values"]["preference"]["value"] for answer in after[r["prompt"]]["responses"]}
        for r in rows
    }
    me = str(argilla_client.me.id)
    assert said == {
        "r0": {annotator.id: "tie"},
        "r1": {annotator.id: "response_2", me: "tie"},
        "r2": {annotator.id: "response_2"},
        "r3": {},
    }
    done = records(api, remote(api, workspace, "theirs"))
    assert pull("copy", argilla_client, workspace=workspace, home=True).answers == 0
    assert work_of_people(records(api, remote(api, workspace, "theirs"))) == work_of_people(done)


def test_a_question_of_ranks_or_ratings_takes_the_answers_too(argilla_client: Any, workspace: str) -> None:
    rows = [row("r0")]
    ranking = rg.RankingQuestion("ranking", values=["response_1", "response_2"])
    theirs(argilla_client, workspace, [ranking, rg.TextQuestion("why", required=False)], rows, ids=True)
    push(data_map(rows), "theirs", argilla_client, workspace=workspace, copy_to="copy")
    api = Api(argilla_client)
    (copied,) = records(api, remote(api, workspace, "copy")).values()
    answer(argilla_client, copied["id"], {"better": "a"})
    assert pull("copy", argilla_client, workspace=workspace, home=True).answers == 1
    (home,) = records(api, remote(api, workspace, "theirs")).values()
    ranks = {item["value"]: item["rank"] for item in home["responses"][0]["values"]["ranking"]["value"]}
    assert ranks == {"response_1": 2, "response_2": 1}


def test_what_is_no_copy_has_no_home(argilla_client: Any, workspace: str) -> None:
    push(data_map([row("r0")]), "ours", argilla_client, workspace=workspace)
    with pytest.raises(InputError, match="no review copy"):
        pull("ours", argilla_client, workspace=workspace, home=True)
    with pytest.raises(InputError, match="no meaning with `home`"):
        pull("ours", argilla_client, workspace=workspace, home=True, ties="drop")
