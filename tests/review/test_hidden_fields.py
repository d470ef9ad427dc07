"""What a blind record hides: sealed until its review is completed, then shown by the next pull."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.pipeline import pull, push
from argilla_admap.review.argilla import cipher
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.argilla.properties import HIDDEN_KEY, HIDDEN_PART
from argilla_admap.review.dataset import card, hidden_fields
from argilla_admap.review.pull.pull import mark_outcomes
from tests.review.maps import data_map, row
from tests.review.test_push import answer, records, remote

KEY = "0123456789abcdef" * 4
SECRET = "The judge found the first completion wrong."


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=8), st.text(max_size=200), max_size=4))
def test_what_is_sealed_opens_with_its_key_for_its_record_only(record_id: str, part: dict[str, str]) -> None:
    sealed = hidden_fields.encrypt_hidden(KEY, record_id, part)
    assert sealed == hidden_fields.encrypt_hidden(KEY, record_id, part)
    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert hidden_fields.decrypt_hidden(KEY, record_id, sealed) == part
    assert hidden_fields.decrypt_hidden(KEY, record_id + "x", sealed) is None
    assert hidden_fields.decrypt_hidden(cipher.new_key(), record_id, sealed) is None
    assert hidden_fields.decrypt_hidden(KEY, record_id, ("B" if sealed[0] == "A" else "A") + sealed[1:]) is None


@pytest.mark.parametrize("text", [None, 3, "", "A", "AAAA", "not base64 at all!", "é"])
def test_what_was_never_sealed_opens_as_nothing(text: Any) -> None:
    assert hidden_fields.decrypt_hidden(KEY, "r", text) is None


def test_equal_parts_of_two_records_do_not_look_equal() -> None:
    part = {"_r": [1.0, 0.0]}
    first, second = (hidden_fields.encrypt_hidden(KEY, name, part) for name in ("r1", "r2"))
    assert first[:20] != second[:20]
    assert first[22:40] != second[22:40]


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


def pushed(api: Api, workspace: str, **options: Any) -> dict[str, str]:
    rows = [row(f"r{i}", reasons=[SECRET, "Fine."], p_wrong=0.9 if i else 0.2) for i in range(4)]
    push(data_map(rows), "blind", api.client, workspace=workspace, blind=True, **options)
    return {name: item["id"] for name, item in records(api, remote(api, workspace, "blind")).items()}


def shown(api: Api, workspace: str) -> dict[str, bool]:
    """Of each record, whether its card holds the scores."""
    return {name: "_s" in item["fields"][card.FIELD] for name, item in records(api, remote(api, workspace, "blind")).items()}


def test_a_pull_shows_what_completed_records_hid_and_a_push_finds_nothing_to_do(api: Api, workspace: str) -> None:
    ids = pushed(api, workspace)
    before = records(api, remote(api, workspace, "blind"))["r1"]["fields"][card.FIELD]
    answer(api.client, ids["r1"], {"better": "b"})
    answer(api.client, ids["r2"], {"better": "b"}, "draft")
    result = pull("blind", api.client, workspace=workspace)
    assert not any(shown(api, workspace).values())  # reading alone changes nothing
    mark_outcomes(result, api)
    assert shown(api, workspace) == {"r0": False, "r1": True, "r2": False, "r3": False}
    item = records(api, remote(api, workspace, "blind"))["r1"]
    value = item["fields"][card.FIELD]
    assert {name: value[name] for name in before} == before
    assert SECRET in [card.decode(text) for text in value["_t"]]
    assert value["_d"]["_c"] == 0.9
    assert item["responses"][0]["status"] == "submitted"
    assert item["metadata"]["admap_review"] in ("corrected", "confirmed")

    rows = [row(f"r{i}", reasons=[SECRET, "Fine."], p_wrong=0.9 if i else 0.2) for i in range(4)]
    again = push(data_map(rows), "blind", api.client, workspace=workspace, blind=True)
    assert (again.added, again.updated) == (0, 0)


def test_a_record_that_waits_for_a_further_answer_hides_its_scores_again(api: Api, workspace: str, annotator: Any) -> None:
    ids = pushed(api, workspace)
    answer(api.client, ids["r1"], {"better": "b"})
    mark_outcomes(pull("blind", api.client, workspace=workspace), api)
    assert shown(api, workspace)["r1"]
    target = remote(api, workspace, "blind")
    api.update_dataset(target, distribution={"strategy": "overlap", "min_submitted": 2})
    # The worker counts the answers anew; a PUT does it at once.
    api.put_records(target, [{"id": ids["r1"], "metadata": records(api, target)["r1"]["metadata"]}])
    mark_outcomes(pull("blind", api.client, workspace=workspace), api)
    assert not shown(api, workspace)["r1"]
    answer(annotator.client, ids["r1"], {"better": "b"})
    mark_outcomes(pull("blind", api.client, workspace=workspace), api)
    assert shown(api, workspace)["r1"]


def test_an_annotator_gets_neither_the_key_nor_the_label_whatever_they_ask(api: Api, workspace: str, annotator: Any) -> None:
    ids = pushed(api, workspace)
    target = remote(api, workspace, "blind")
    key = cipher.key_of(target)
    assert key is not None
    http = annotator.client.http_client
    base = f"/api/v1/datasets/{target.id}"
    include = {"include": ["responses", "suggestions", "vectors"]}
    answers = [
        http.post(f"/api/v1/me/datasets/{target.id}/records/search", json={}, params=include),
        http.get(f"/api/v1/records/{ids['r1']}"),
        *(http.get(f"{base}{part}") for part in ("", "/fields", "/questions", "/vectors-settings", "/records", "/progress")),
        http.get(f"/api/v1/me/datasets/{target.id}/metadata-properties"),
        http.get(f"/api/v1/metadata-properties/{target.properties[HIDDEN_KEY]['id']}/metrics"),
        http.get(f"/api/v1/metadata-properties/{target.properties['admap_label']['id']}/metrics"),
        http.post(
            f"/api/v1/me/datasets/{target.id}/records/search",
            json={
                "filters": {
                    "and": [
                        {"type": "terms", "scope": {"entity": "metadata", "metadata_property": HIDDEN_KEY}, "values": ["x"]},
                    ]
                }
            },
        ),
    ]
    assert sum(found.is_success for found in answers) >= 7
    assert "thing number 1" in answers[0].text
    for found in answers:
        for hidden in (key, SECRET, "[1.0,0.0]", '"admap_p_wrong"', '"admap_label"', "model-0"):
            assert hidden not in found.text, (found.url, hidden)


def test_a_foreign_server_that_gives_a_whole_record_gives_its_sealed_part_only(api: Api, workspace: str) -> None:
    pushed(api, workspace)
    item = records(api, remote(api, workspace, "blind"))["r1"]
    sealed = item["metadata"].pop(HIDDEN_PART)
    assert SECRET not in orjson.dumps(item).decode()
    assert SECRET not in sealed


def test_an_open_review_has_no_key(api: Api, workspace: str) -> None:
    push(data_map([row("r0")]), "open", api.client, workspace=workspace)
    assert HIDDEN_KEY not in remote(api, workspace, "open").properties
    assert HIDDEN_PART not in records(api, remote(api, workspace, "open"))["r0"]["metadata"]
