"""The figures in words: what a person reads of a map's summary."""

from __future__ import annotations

from typing import Any

import pytest

from argilla_admap.mapping.data_map import build_map
from argilla_admap.reporting.points import gather_points
from argilla_admap.reporting.words import diagnosis_sentences, headline, map_figures, noise_sentence, refusal_sentence
from tests.mapping.plain import scored_stream
from tests.report.maps import made_up_rows


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        (
            {"noise_rate": 0.0213, "noise_interval": [0.004, 0.058]},
            "About 2.1% of the labels are probably wrong (90% interval: 0.4% to 5.8%).",
        ),
        (
            {"noise_rate": 0.0004, "noise_interval": [0.0, 0.005]},
            "Hardly any of the labels are wrong (90% interval: 0.0% to 0.5%).",
        ),
        ({"noise_rate": None, "noise_interval": None}, None),
        ({}, None),
    ],
)
def test_the_noise_rate_is_never_told_without_its_interval(summary: dict[str, Any], words: str | None) -> None:
    assert noise_sentence(summary) == words


def test_the_rate_of_an_old_map_says_that_its_interval_is_missing() -> None:
    assert "without an interval" in str(noise_sentence({"noise_rate": 0.1}))


def test_a_refusal_is_told_in_words_with_what_holds_all_the_same() -> None:
    assert refusal_sentence({"refusal": None}) is None
    told = str(refusal_sentence({"refusal": "is one of the two scales upside down?"}))
    assert told.startswith("No P(wrong): is one of the two scales upside down? The queue likely-wrong is empty;")
    assert str(refusal_sentence({"refusal": "too few"})).startswith("No P(wrong): too few. The queue")


def test_the_report_tells_rate_interval_sources_and_findings() -> None:
    rows = made_up_rows(400, k=3)
    rows[0]["completions"][0]["text"] = " "
    data_map = build_map(scored_stream(rows))
    points = gather_points(data_map)
    figures = {figure.label: figure for figure in map_figures(points)}
    low, high = data_map.summary["noise_interval"]
    assert figures["label errors, estimated"].note.startswith(f"90% interval: {low:.1%} to {high:.1%}; fitted")
    assert f"90% interval: {low:.1%} to {high:.1%}" in headline(points)
    for part in data_map.summary["noise_by_source"]:
        told = figures[f"label errors: {part['source']}"]
        assert told.value == f"{part['noise_rate']:.1%}"
        assert f"{part['records']:,} records" in told.note
    assert figures["found: an empty completion"].value == "1"


def test_what_is_said_of_the_labels_ends_with_what_to_mind() -> None:
    summary = {"noise_rate": 0.1, "noise_interval": [0.05, 0.2], "refusal": None, "warnings": ["this", "that"]}
    assert diagnosis_sentences(summary)[1:] == ["Note: this.", "Note: that."]


def test_the_reports_refusal_is_the_maps() -> None:
    rows = made_up_rows(60, k=2)
    for row in rows:
        for completion in row["completions"]:
            completion["rating"] = None
    points = gather_points(build_map(scored_stream(rows)))
    figures = {figure.label: figure for figure in map_figures(points)}
    assert "label errors, estimated" not in figures
    assert figures["P(wrong)"].note.startswith("the records carry no ratings")
    assert headline(points) == "60 records; no P(wrong): the records carry no ratings: there is no label to doubt."
