"""A ranking that was suggested with the SDK as an ordered list: the server keeps it with null ranks, and it is the label."""

from __future__ import annotations

from typing import Any

import pytest

from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.dataset.adapters import adapter_for
from argilla_admap.review.dataset.server_record import ServerRecord

NAMES = ["generation_1", "generation_2", "generation_3"]
FIELDS = [{"name": name, "settings": {"type": "text"}} for name in ("instruction", *NAMES)]
QUESTION = {"id": "q", "name": "ranking", "settings": {"type": "ranking", "options": [{"value": name} for name in NAMES]}}
TARGET = RemoteDataset("1", "n", "w", "2", True, None, {}, 1, True, "http://argilla", FIELDS, [QUESTION])


def record(ranks: list[int | None], order: list[str]) -> ServerRecord:
    value = [{"value": name, "rank": rank} for name, rank in zip(order, ranks, strict=True)]
    fields = {"instruction": "Name a river.", "generation_1": "The Elbe.", "generation_2": "No.", "generation_3": "The Oder?"}
    item: dict[str, Any] = {
        "id": "1",
        "external_id": "r",
        "fields": fields,
        "suggestions": [{"question_id": "q", "value": value}],
    }
    return ServerRecord(item, adapter_for(TARGET))


@pytest.mark.parametrize(
    ("ranks", "order"),
    [
        ([None, None, None], ["generation_1", "generation_3", "generation_2"]),
        ([1, 3, 2], NAMES),
    ],
)
def test_the_order_is_the_label_the_best_first(ranks: list[int | None], order: list[str]) -> None:
    assert record(ranks, order).label == (3.0, 1.0, 2.0)


def test_a_ranking_with_some_ranks_missing_is_no_label() -> None:
    assert record([1, None, 2], NAMES).label == (None, None, None)
