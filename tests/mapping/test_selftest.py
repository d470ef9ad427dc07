"""Planted errors, and the two commands as a user runs them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from argilla_admap.cli.mapping.map_command import command as map_command
from argilla_admap.cli.mapping.selftest_command import command as selftest_command
from argilla_admap.errors import InputError
from argilla_admap.mapping.analysis.selftest import calibration_error, rank_quality, selftest
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.records import MAP_FIELDS
from argilla_admap.tables import read_stream, write_parquet
from tests.mapping.plain import DATA, LLMBAR, load, scored_stream


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    path = tmp_path_factory.mktemp("scored") / "scored.parquet"
    stream = scored_stream(load(LLMBAR))
    write_parquet(path, stream.batches(), stream.schema, stream.info)
    return path


def test_planted_errors_are_found_and_told_with_an_interval():
    stream = scored_stream(load(DATA / "wildbench_numbers.jsonl.gz"))
    answer = selftest(stream, rounds=2).answer
    assert answer["planted"] == round(0.1 * answer["records"])
    assert answer["auroc"] > 0.95
    assert answer["average_precision"] > 0.8
    assert answer["ece"] < 0.05
    first = answer["first_read"]
    assert first["low"] <= first["wrong"] <= first["high"] <= 100
    low, high = answer["interval"]["auroc"]
    assert low <= answer["auroc"] <= high


def test_the_same_seed_plants_the_same_errors_in_whatever_order_the_rows_come():
    rows = load(LLMBAR)[:100]
    first = selftest(scored_stream(rows), rounds=1, seed=3).answer
    second = selftest(scored_stream(rows[::-1]), rounds=1, seed=3).answer
    other = selftest(scored_stream(rows), rounds=1, seed=4).answer
    assert first["auroc"] == pytest.approx(second["auroc"], abs=1e-6)
    assert first["auroc"] != other["auroc"]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"kind": "typo"}, "swap, permutation, x10"), ({"rate": 0.9}, "at most 0.45"), ({"rounds": 0}, "1 or more")],
)
def test_a_wrong_option_is_named(options, words):
    with pytest.raises(InputError, match=words):
        selftest(scored_stream(load(LLMBAR)[:30]), **options)


def test_without_scores_or_labels_there_is_nothing_to_plant_in():
    rows = load(DATA / "prometheus_k4_gpt4_3samples.jsonl.gz")
    with pytest.raises(InputError, match="carry no ratings"):
        selftest(scored_stream(rows))


def test_rank_quality_and_calibration_agree_with_scikit_learn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    bad = rng.random(400) < 0.2
    p = np.round(np.clip(0.4 * bad + 0.6 * rng.random(400), 0, 1), 1)
    weight = rng.random(400)
    told = rank_quality(p.astype(np.float64), bad, weight)
    assert told["auroc"] == pytest.approx(roc_auc_score(bad, p, sample_weight=weight))
    assert told["average_precision"] == pytest.approx(average_precision_score(bad, p, sample_weight=weight))
    assert calibration_error(np.full(10, 0.3), np.arange(10) < 3) == pytest.approx(0)
    assert calibration_error(np.full(10, 0.9), np.arange(10) < 3) == pytest.approx(0.6)


def test_admap_map_writes_the_contracts_columns_and_says_so(scored, tmp_path):
    output = tmp_path / "map.parquet"
    result = CliRunner().invoke(map_command, [str(scored), "-o", str(output), "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["records"] == answer["mapped"] == 201
    assert sum(answer["regions"].values()) == 201
    assert set(answer["thresholds"]) == {"variance", "mean"}
    assert answer["output"] == str(output)
    stream = read_stream(output)
    assert {f.name for f in MAP_FIELDS} <= set(stream.schema.names)
    assert stream.info["thresholds"] == answer["thresholds"]
    assert stream.info["flag_rules"]["likely_wrong"]
    data_map = DataMap.read(output)
    assert data_map.summary["flags"] == answer["flags"]
    assert data_map.frame["flags"].map(lambda f: "likely_wrong" in f).sum() == answer["flags"]["likely_wrong"]


def test_mapping_a_map_again_changes_nothing(scored, tmp_path):
    once, twice = tmp_path / "once.parquet", tmp_path / "twice.parquet"
    CliRunner().invoke(map_command, [str(scored), "-o", str(once)])
    CliRunner().invoke(map_command, [str(once), "-o", str(twice)])
    assert read_stream(once).table().equals(read_stream(twice).table())
    assert read_stream(once).info == read_stream(twice).info


def test_a_dry_run_writes_nothing(scored, tmp_path):
    output = tmp_path / "map.parquet"
    result = CliRunner().invoke(map_command, [str(scored), "-o", str(output), "--dry-run", "--json"])
    assert json.loads(result.stdout)["output"] is None
    assert not output.exists()


def test_thresholds_are_two_numbers_or_a_map(scored, tmp_path):
    run = CliRunner()
    result = run.invoke(map_command, [str(scored), "--dry-run", "--json", "--thresholds", "1.5,6"])
    assert json.loads(result.stdout)["thresholds"] == {"variance": 1.5, "mean": 6}
    result = run.invoke(map_command, [str(scored), "--dry-run", "--thresholds", str(scored)])
    assert isinstance(result.exception, InputError)
    assert "not a map" in str(result.exception)


def test_admap_selftest_prints_the_contracts_fields(scored):
    result = CliRunner().invoke(selftest_command, [str(scored), "--json", "--rounds", "1"])
    assert {"planted", "auroc", "average_precision", "precision_at_k", "ece"} <= set(json.loads(result.stdout))
    shown = CliRunner().invoke(selftest_command, [str(scored), "--rounds", "1"])
    assert "you read, about" in shown.stderr
