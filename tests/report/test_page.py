"""The page's file: what is in it, how large it is, and that no text of a data set is markup in it."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from argilla_admap.errors import InputError
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.reporting.page import BLOCK_ROWS, RecordLink, region_lines, size_bound, write_page
from argilla_admap.tables import RecordStream
from tests.browser.hostile import HOSTILE
from tests.report.maps import made_up_rows, map_of


def read_page(path: Path) -> tuple[dict[str, Any], dict[str, bytes], str]:
    """The manifest, the unpacked blocks by name, and the text of a page."""
    text = path.read_text(encoding="utf-8")
    manifest = re.search(r'<script type="application/json" id="manifest">(.*?)</script>', text, re.DOTALL)
    assert manifest
    blocks = dict(re.findall(r'<script type="text/plain" id="([^"]+)">([^<]*)</script>', text))
    return json.loads(manifest[1]), {name: zlib.decompress(base64.b64decode(data)) for name, data in blocks.items()}, text


def column(manifest: dict[str, Any], blocks: dict[str, bytes], name: str) -> np.ndarray[Any, Any]:
    """A column of the page, as the browser unpacks it."""
    kind = np.dtype(manifest["columns"][name])
    planes = np.frombuffer(blocks[f"c-{name}"], np.uint8).reshape(kind.itemsize, -1)
    return np.ascontiguousarray(planes.T).view(kind).ravel()


def test_the_page_holds_every_number_of_the_map_in_the_order_of_doubt(tmp_path: Path) -> None:
    data_map = map_of(made_up_rows(5000, k=4))
    written = write_page(data_map, tmp_path / "map.html")
    manifest, blocks, _ = read_page(tmp_path / "map.html")
    frame = data_map.frame.sort_values("p_wrong", ascending=False, kind="stable", na_position="last")
    assert manifest["n"] == written.drawn == 5000
    ids = [name for number in range(-(-5000 // BLOCK_ROWS)) for name in json.loads(blocks[f"i-{number}"])]
    by_id = frame.set_index("id").loc[ids]
    np.testing.assert_allclose(column(manifest, blocks, "mean"), by_id["mean"], rtol=1e-6)
    np.testing.assert_allclose(column(manifest, blocks, "variance"), by_id["variance"], rtol=1e-6, atol=1e-9)
    doubt = np.cumsum(column(manifest, blocks, "p_wrong"), dtype=np.uint16) / 65534
    np.testing.assert_allclose(doubt, by_id["p_wrong"], atol=1e-5)
    assert (np.diff(doubt) <= 0).all()
    regions = np.array(["", "high_var", "high_avg", "low_avg"])[column(manifest, blocks, "region")]
    assert regions.tolist() == by_id["region"].tolist()
    flags = column(manifest, blocks, "flags")
    for bit, flag in enumerate(manifest["flags"]):
        assert ((flags >> bit) & 1).tolist() == [int(flag in value) for value in by_id["flags"]]
    assert [manifest["sources"][code] for code in column(manifest, blocks, "source")] == by_id["source"].tolist()
    manifest["columns"] |= {"scores": "float32", "ratings": "float32"}
    np.testing.assert_allclose(column(manifest, blocks, "scores"), np.concatenate(by_id["scores"].tolist()), rtol=1e-6)
    np.testing.assert_allclose(column(manifest, blocks, "ratings"), np.concatenate(by_id["ratings"].tolist()), rtol=1e-6)


def test_records_without_a_place_are_counted_and_not_drawn(tmp_path: Path) -> None:
    rows = made_up_rows(40)
    for row in rows[:5]:
        row["completions"][0]["scores"] = []
    written = write_page(map_of(rows), tmp_path / "map.html")
    assert (written.records, written.drawn) == (40, 35)
    assert "35 have a place" in " ".join(figure.note for figure in written.figures)


def test_hostile_text_never_becomes_markup_of_the_page(tmp_path: Path) -> None:
    rows = made_up_rows(len(HOSTILE), k=3)
    for row, (name, text) in zip(rows, HOSTILE.items(), strict=True):
        clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        row |= {"id": f"{name} {clean}"[:300], "prompt": clean, "source": clean[:200]}
        for completion in row["completions"]:
            completion |= {"text": clean, "model": clean[:500]}
    write_page(map_of(rows), tmp_path / "hostile.html", title="</title><script>alert(1)</script>")
    write_page(map_of(made_up_rows(len(HOSTILE), k=3)), tmp_path / "plain.html")
    assert elements(tmp_path / "hostile.html") == elements(tmp_path / "plain.html")
    text = (tmp_path / "hostile.html").read_text(encoding="utf-8")
    for part in ("<iframe", "<svg", "<img", "\u2028", "\x00", "<script>alert"):
        assert part not in text


def elements(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Every element of a page with the names of its attributes, as a parser of HTML sees them."""
    found: list[tuple[str, tuple[str, ...]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, tuple(name for name, _ in attrs)))

    Reader().feed(path.read_text(encoding="utf-8"))
    return found


def test_the_policy_lets_the_page_load_nothing_and_run_only_its_own_script(tmp_path: Path) -> None:
    write_page(map_of(made_up_rows(20)), tmp_path / "map.html")
    text = (tmp_path / "map.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)


def test_the_same_map_gives_the_same_file(tmp_path: Path) -> None:
    data_map = map_of(made_up_rows(300))
    for name in ("a.html", "b.html"):
        write_page(data_map, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.mark.parametrize("records", [60_000, 250_000])
def test_the_file_keeps_below_its_bound(tmp_path: Path, records: int) -> None:
    """Ids that cannot be compressed, scores of all digits and long texts: the worst that a map can be."""
    written = write_page(heavy_map(records), tmp_path / "map.html")
    bound = size_bound(records)
    assert written.bytes <= bound
    assert written.drawn == records
    assert written.texts >= 128
    # The bound is made use of: what is left goes to texts.
    assert written.bytes > 0.9 * bound


def test_the_bound_is_three_megabytes_at_sixty_thousand_and_forty_at_a_million() -> None:
    assert size_bound(60_000) == 3_000_000
    assert size_bound(1_000_000) == 40_000_000


def heavy_map(n: int) -> DataMap:
    """A map made without its diagnosis, from random numbers."""
    from argilla_admap.records import MAP_SCHEMA

    rng = np.random.default_rng(1)
    lists = pa.array(np.arange(0, 4 * n + 1, 4, dtype=np.int32))
    words = pa.array(rng.integers(0, 9000, (2000, 60)).astype(str).tolist())
    texts: Any = pa.array([" ".join(word) for word in words.to_pylist()])
    numbers = {
        "mean": rng.uniform(1, 10, n),
        "variance": rng.gamma(1, 1, n),
        "region_confidence": rng.random(n),
        "agreement": rng.uniform(-1, 1, n),
        "p_wrong": rng.random(n),
        "contested": rng.random(n),
    }
    columns: dict[str, Any] = {name: pa.array(values) for name, values in numbers.items()}
    columns["k"] = pa.array(np.full(n, 4, np.int32))
    columns |= {
        "id": pa.array([rng.bytes(16).hex() for _ in range(n)]),
        "prompt": texts.take(pa.array(rng.integers(0, 2000, n))),
        "completions": pa.ListArray.from_arrays(lists, texts.take(pa.array(rng.integers(0, 2000, 4 * n)))),
        "scores": pa.ListArray.from_arrays(lists, pa.array(rng.uniform(1, 10, 4 * n))),
        "ratings": pa.ListArray.from_arrays(lists, pa.array(rng.uniform(1, 10, 4 * n))),
        "source": pa.array(rng.choice(["a", "b", "c"], n)),
        "region": pa.array(rng.choice(["high_var", "high_avg", "low_avg"], n)),
        "flags": pa.array([["boundary"]] * n, pa.list_(pa.string())),
    }
    table = pa.table(
        [columns.get(f.name, pa.nulls(n, f.type)) for f in MAP_SCHEMA],
        schema=pa.schema([f.with_nullable(True) for f in MAP_SCHEMA]),
    )
    stream = RecordStream.from_table(table, {"thresholds": {"variance": 1.0, "mean": 6.0}})
    return DataMap(stream, stream.info)


def test_the_figures_say_regions_errors_flags_and_the_lean_of_a_region_to_a_source(tmp_path: Path) -> None:
    rows = made_up_rows(900)
    for row in rows:
        good = np.mean([completion["scores"][0] for completion in row["completions"]]) > 6
        row["source"] = "good" if good else "poor"
    figures = {figure.label: figure for figure in write_page(map_of(rows), tmp_path / "map.html").figures}
    assert figures["records"].value == "900"
    assert {"high variance", "high average", "low average", "label errors, estimated", "flag: likely wrong"} <= set(figures)
    assert float(figures["region and source: Cramér's V"].value) > 0.4
    assert "within each source" in figures["region and source: Cramér's V"].note


def test_the_link_stands_in_the_page_and_holds_no_markup(tmp_path: Path) -> None:
    link = RecordLink(page="http://127.0.0.1:6900/dataset/x/annotation-mode", dataset="me/</script>", search="admap")
    write_page(map_of(made_up_rows(20)), tmp_path / "map.html", link=link)
    manifest, _, text = read_page(tmp_path / "map.html")
    assert manifest["link"] == {"page": link.page, "dataset": "me/</script>", "search": "admap"}
    assert "me/</script>" not in text


def test_a_map_of_unscored_data_is_refused_with_what_to_do(tmp_path: Path) -> None:
    rows = made_up_rows(10)
    for row in rows:
        for completion in row["completions"]:
            completion["scores"] = []
    with pytest.raises(InputError, match="no record has two scored completions"):
        write_page(map_of(rows), tmp_path / "map.html")
    assert not list(tmp_path.iterdir())


def test_thresholds_of_zero_and_of_many_strata_are_drawn() -> None:
    assert region_lines({"thresholds": {"variance": 0.0, "mean": 0}}) == [{"name": "", "variance": 0.0, "mean": 0.0}]
    strata = {"a": {"variance": 1.0, "mean": 2.0}, "b": {"variance": 3.0, "mean": 4.0}}
    assert [line["name"] for line in region_lines({"thresholds": strata})] == ["a", "b"]
    assert [line["mean"] for line in region_lines({"thresholds": {"variance": 9.0, "mean": 9.0}, "strata": strata})] == [
        2.0,
        4.0,
    ]
    assert region_lines({"thresholds": None}) == region_lines({}) == []
