"""A ranking that the SDK was given as an ordered list: the server keeps it without ranks, best first."""

from __future__ import annotations

import pytest

from argilla_admap.errors import InputError
from argilla_admap.review.dataset.adapters import External

NAMES = ("generation_1", "generation_2", "generation_3")
ADAPTER = External("instruction", NAMES, ranking={"ranking": {name: place for place, name in enumerate(NAMES)}})


def test_the_order_is_the_label_where_no_rank_is_written() -> None:
    order = [{"value": name, "rank": None} for name in ("generation_1", "generation_3", "generation_2")]
    ranked = [{"value": "generation_2", "rank": 3}, {"value": "generation_1", "rank": 1}, {"value": "generation_3", "rank": 2}]
    expected = {"rating_a": 3, "rating_b": 1, "rating_c": 2}
    assert ADAPTER.answer({"ranking": order}) == ADAPTER.answer({"ranking": ranked}) == expected


def test_a_ranking_of_which_some_have_no_rank_is_refused() -> None:
    half = [{"value": name, "rank": None if name == "generation_3" else 1} for name in NAMES]
    with pytest.raises(InputError, match="does not rank each completion"):
        ADAPTER.answer({"ranking": half})
