"""`regions_only`: the regions of the whole map, from the scores alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import argilla_admap as admap
from argilla_admap.errors import InputError
from argilla_admap.tables import write_parquet
from tests.mapping.test_pieces import records


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stream = records(10**9, 3000)
    path = tmp_path_factory.mktemp("alone") / "scored.parquet"
    write_parquet(path, stream.batches(), stream.schema)
    return path


@pytest.mark.parametrize("options", [{}, {"between": True}, {"stratify": "source"}, {"thresholds": (0.5, 3.0)}], ids=str)
def test_regions_alone_are_those_of_the_map(options, scored, tmp_path):
    whole = admap.map(scored, **options)
    alone = admap.map(scored, tmp_path / "places.parquet", regions_only=True, **options)
    written = pq.read_table(tmp_path / "places.parquet")
    for name in ("id", "region", "k"):
        assert written.column(name).equals(whole.numbers.column(name))
    for name in ("mean", "variance"):
        np.testing.assert_allclose(written.column(name).to_numpy(), whole.numbers.column(name).to_numpy(), rtol=0, atol=1e-9)
    for name in ("records", "mapped", "regions", "thresholds", "boundary_ties"):
        assert alone.summary[name] == whole.summary[name]


def test_what_is_no_file_of_scores_is_read_all_the_same(tmp_path):
    rows = [
        {"id": str(i), "prompt": f"p{i}", "completions": [{"text": "a", "scores": [i]}, {"text": "b", "scores": [i % 3]}]}
        for i in range(20)
    ]
    assert admap.map(admap.read(rows), regions_only=True).summary["regions"] == admap.map(admap.read(rows)).summary["regions"]


@pytest.mark.parametrize("options", [{"length_control": "all"}, {"answers": {}}], ids=str)
def test_what_needs_texts_does_not_go_with_it(options, scored):
    with pytest.raises(InputError, match="needs texts"):
        admap.map(scored, regions_only=True, **options)


def test_a_map_of_regions_alone_is_no_map_to_push(scored, tmp_path):
    admap.map(scored, tmp_path / "places.parquet", regions_only=True)
    with pytest.raises(InputError, match="not a map"):
        admap.DataMap.read(tmp_path / "places.parquet")
