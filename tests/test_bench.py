"""The README's figures are those that the benchmarks kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import argilla_admap as admap
from argilla_admap.example_data import write_example
from tests.bench.__main__ import table
from tests.bench.results import kept
from tests.test_readme import section

#: What the README calls a row of the table of planted errors, in its order.
PLANTED = {
    "WildBench K=6, swap": "WildBench, six completions, GPT-4o | best and worst exchanged",
    "WildBench K=6, permutation": "the same | a careless annotator",
    "WildBench K=6, x10": "the same | a rating ten times too high",
    "WildBench K=4, swap": "WildBench, four completions | best and worst exchanged",
    "WildBench pairs, flip": "WildBench, pairs | flipped",
    "LLMBar pairs, flip": "LLMBar, pairs, GPT-4 | flipped",
}
#: What the README's table of costs says of options.
COSTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "`--together`": {"together": True},
    "`--batch`": {"batch": True},
    "`--reasons`": {"reasons": True},
    "`--guide reference`": {"guide": "reference"},
    "`--samples 3`": {"samples": 3},
}


def test_the_readme_s_table_is_made_from_what_was_kept() -> None:
    assert table(kept("overview")) in section("Large data")


def test_the_page_on_large_data_says_what_the_interrupted_push_measured() -> None:
    found = kept("interrupted_push")
    assert set(found["differ"].values()) == {found["sent_again"]} == {0}
    said = " ".join(admap.help("large-data").split())
    for words in ("{records:,} pairs", "{records_a_second:.0f} records a second", "the client computed {client_cpu:.0%}"):
        assert words.format(**found) in said


def test_the_readme_s_planted_errors_are_those_that_were_found() -> None:
    found = kept("detection")["table"]
    lines = section("What it finds, and what it does not").splitlines()
    rows = lines[lines.index("|---|---|---|---|---|---|") + 1 :][: len(PLANTED)]
    names = ("auroc", "average_precision", "precision_at_k", "auroc_cosine")
    said = [
        f"| {words} | {' | '.join(f'{found[row][name]:.3f}'.removeprefix('0') for name in names)} |"
        for row, words in PLANTED.items()
    ]
    assert rows == said


def test_the_readme_s_costs_are_what_a_dry_run_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-used")
    pairs, _ = write_example(tmp_path)
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| \$([\d.]+) \| \$([\d.]+) \|$", section("What it costs"), re.MULTILINE)
    for (how, requests, *dollars), (name, options) in zip(rows, COSTS.items(), strict=True):
        assert how.startswith(name)
        for model, said in zip(("gpt-4o", "gpt-4o-mini"), dollars, strict=True):
            asked = admap.score(pairs, model=model, dry_run=True, store=tmp_path / "store", **options)
            assert isinstance(asked, dict)
            assert (int(requests.replace(",", "")), float(said)) == (asked["requests"], round(asked["cost_usd"], 2))
