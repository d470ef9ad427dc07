"""The random sample of a review: who is drawn, that it stays drawn, and that readers are led to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from argilla_admap.pipeline import push
from argilla_admap.review.argilla.argilla_api import Api
from argilla_admap.review.argilla.properties import decode_term, encode_term
from argilla_admap.review.push.payload import Payload, random_number
from argilla_admap.review.queues.queues import QUEUES
from tests.review.maps import data_map, many, row
from tests.review.test_push import records, remote


@pytest.fixture
def api(argilla_client: Any) -> Api:
    return Api(argilla_client)


def drawn(payload: Payload) -> set[str]:
    return {payload.ids[i] for i in range(len(payload)) if "admap_audit" in payload.metadata(i)}


def test_the_random_numbers_are_uniform_and_have_nothing_to_do_with_the_rows_order() -> None:
    numbers = np.array([random_number(f"record-{i}") for i in range(5000)])
    assert kstest(numbers, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(numbers, np.arange(5000))[0, 1]) < 0.05


def test_a_larger_sample_and_one_of_more_records_hold_the_smaller_one() -> None:
    rows = many(60)
    ten = drawn(Payload(data_map(rows), audit=10))
    assert len(ten) == 10
    assert ten == drawn(Payload(data_map(rows[::-1]), audit=10))
    assert ten < drawn(Payload(data_map(rows), audit=25))
    last = max(map(random_number, ten))
    assert ten == drawn(Payload(data_map(rows), drawn=last))  # a push that asks for none draws the same again
    more = drawn(Payload(data_map([*rows, *many(60, prefix="new")]), audit=10, drawn=last))
    assert ten < more
    assert len(drawn(Payload(data_map(rows), audit=1000))) == 60


@given(st.text(max_size=30))
def test_a_term_is_read_back_and_fits_into_a_link(value: str) -> None:
    term = encode_term(value)
    assert decode_term(term) == value
    assert all(c.isascii() and (c.isalnum() or c in "_ -") for c in term)


def test_a_push_draws_keeps_and_widens_the_sample(api: Api, workspace: str) -> None:
    rows = [row(f"r{i}", source=f"set {i % 2}.jsonl") for i in range(30)]
    made = push(data_map(rows), "review", api.client, workspace=workspace, audit=6)
    (queue,) = [queue for queue in made.queues if queue["name"] == "audit"]
    assert (queue["count"], queue["title"]) == (6, "Random sample")
    target = remote(api, workspace, "review")
    assert "Random sample" in (target.guidelines or "")
    found, _ = api.search(target, QUEUES["audit"].body())
    wanted = sorted((r["id"] for r in rows), key=random_number)
    assert [item["external_id"] for item in found] == wanted[:6]
    assert decode_term(found[0]["metadata"]["admap_source"]) == f"set {int(wanted[0][1:]) % 2}.jsonl"
    assert push(data_map(rows), "review", api.client, workspace=workspace).updated == 0
    assert push(data_map(rows), "review", api.client, workspace=workspace, audit=9).updated == 3
    assert {n for n, item in records(api, target).items() if "admap_audit" in item["metadata"]} == set(wanted[:9])
