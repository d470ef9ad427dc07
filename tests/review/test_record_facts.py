"""What a pull keeps of every record: held as columns, and the same as it was given."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from argilla_admap.review.argilla.argilla_api import _Ids
from argilla_admap.review.pull.record_facts import FactColumns, RecordFacts

FULL = RecordFacts(0.25, "contested likely_wrong", True, "suspect", 0.5, "high_var", "web", "ann", "m1 m2", 120, "What is it?")
EMPTY = RecordFacts(None, "", False, None, None, None, None, None, None)


def test_facts_come_back_as_they_were_given_and_an_id_is_kept_once() -> None:
    kept = FactColumns()
    for name, facts in (("a", FULL), ("b", EMPTY), ("c", FULL._replace(source="books", audit=0.0)), ("a", EMPTY)):
        kept.add(name, facts)
    assert dict(kept) == {"a": FULL, "b": EMPTY, "c": FULL._replace(source="books", audit=0.0)}
    assert (len(kept), "b" in kept, "d" in kept) == (3, True, False)
    with pytest.raises(KeyError):
        kept["d"]


def test_the_frame_has_a_row_a_record_and_says_what_there_is_not() -> None:
    kept = FactColumns()
    kept.add("a", EMPTY)
    kept.add("b", FULL)
    frame = kept.frame()
    assert list(frame.columns) == ["id", *RecordFacts._fields]
    assert frame.isna().sum(axis=1).tolist() == [7, 0]
    assert frame.iloc[1].tolist() == ["b", *FULL]
    assert (frame["p_wrong"].dtype, frame["labelled"].dtype) == (float, bool)
    assert FactColumns().frame().empty


def test_somebody_elses_metadata_of_any_kind_are_kept() -> None:
    odd: Any = ["web", "books"]
    kept = FactColumns()
    kept.add("a", EMPTY._replace(source=odd, audit="a word"))  # type: ignore[arg-type]
    kept.add("b", EMPTY._replace(source=odd))
    assert (kept["a"].source, kept["a"].audit, kept.frame()["source"].tolist()) == (odd, None, [odd, odd])


def test_ids_are_new_once() -> None:
    draw = random.Random(7)
    ids = [os.urandom(16) for _ in range(300)] + [b"\0" * 16, b"\0" * 15 + b"a", b"a" + b"\0" * 15]
    seen: set[bytes] = set()
    met = _Ids()
    for _ in range(200):
        page = draw.sample(ids, draw.randrange(30))
        assert met.add(page) == [one not in seen for one in page]
        seen.update(page)
        assert len(met) == len(seen)
