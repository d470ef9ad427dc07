"""What a data set holds already, in columns: each record comes out as it went in, and few bytes stay."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from argilla_admap.review.push.stored_records import StoredRecord, StoredRecords

_BYTES = st.binary(min_size=8, max_size=8)
_RECORDS = st.builds(
    StoredRecord,
    server_id=st.binary(min_size=16, max_size=16),
    letters=st.lists(_BYTES, max_size=4).map(tuple),
    fields=_BYTES,
    metadata=_BYTES,
    vector=_BYTES,
    others=st.none() | st.dictionaries(st.text(max_size=3), st.integers(), min_size=1, max_size=2),
    sample=st.none() | st.sampled_from(["suspect", "control", "unflagged"]),
    completed=st.booleans(),
    label=st.lists(st.none() | st.floats(allow_nan=False), max_size=4).map(tuple),
    answered=st.booleans(),
)


@given(st.dictionaries(st.text(max_size=4), _RECORDS, max_size=8), st.lists(st.text(max_size=4), max_size=4))
def test_each_record_is_found_by_its_external_id_as_it_was_added(given: dict[str, StoredRecord], others: list[str]) -> None:
    known = StoredRecords()
    for number, (name, record) in enumerate(given.items()):
        known.add(name, record)
        if number == 2:
            assert known.get(name) == record  # and more are added after a look
    asked = [*given, *(name for name in others if name not in given)]
    assert [known.at(int(row)) for row in known.rows(asked)] == [given.get(name) for name in asked]
    assert len(known) == len(given)


def test_of_a_record_some_150_bytes_are_kept() -> None:
    rng = np.random.default_rng(0)
    known = StoredRecords()
    tracemalloc.start()
    try:
        for number in range(20_000):
            one, two, fields, metadata, place = (rng.bytes(8) for _ in range(5))
            record = StoredRecord(rng.bytes(16), (one, two), fields, metadata, place, None, None, False, (1.0, 0.0), False)
            known.add(f"r{number}", record)
        assert known.rows(["r7", "r19999", "r20000"]).tolist() == [7, 19_999, -1]
        held = tracemalloc.get_traced_memory()[0] / 20_000
    finally:
        tracemalloc.stop()
    assert held < 160


def test_an_empty_data_set_knows_no_record() -> None:
    assert StoredRecords().rows(["a", "b"]).tolist() == [-1, -1]
    assert StoredRecords().get("a") is None
