"""A run holds Python's collector of cycles back, and leaves it as it found it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from argilla_admap.scoring.run import rare_garbage_collection


@pytest.fixture(autouse=True)
def own_threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_runs_side_by_side_leave_the_threshold_as_it_was() -> None:
    gc.set_threshold(701, 11, 12)
    first, second = rare_garbage_collection(), rare_garbage_collection()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] > 10_000
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (701, 11, 12)


@pytest.mark.parametrize("chosen", [0, 1_000_000])
def test_a_threshold_that_is_off_or_higher_stays(chosen: int) -> None:
    gc.set_threshold(chosen, 11, 12)
    with rare_garbage_collection():
        assert gc.get_threshold()[0] == chosen


def test_a_run_that_fails_puts_it_back() -> None:
    gc.set_threshold(701, 11, 12)
    with pytest.raises(ValueError, match="failed"), rare_garbage_collection():
        raise ValueError("failed")
    assert gc.get_threshold() == (701, 11, 12)
