"""The README's figures are those that the benchmarks kept."""

from __future__ import annotations

import json

from tests.bench.__main__ import table
from tests.bench.results import FOLDER
from tests.test_readme import section


def test_the_readme_s_table_is_made_from_what_was_kept() -> None:
    kept = json.loads((FOLDER / "overview.json").read_text(encoding="utf-8"))
    assert table(kept["figures"]) in section("Large data")
