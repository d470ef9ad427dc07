"""How fast the report's page is at a million records: made, opened, moved. Prints the figures.

Usage: python -m tests.bench.report_page [records] [k]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from playwright.sync_api import Page, sync_playwright

from argilla_admap.mapping.data_map import DataMap
from argilla_admap.mapping.regions.coordinates import REGIONS, fit_thresholds
from argilla_admap.records import MAP_SCHEMA
from argilla_admap.reporting.page import write_page
from argilla_admap.tables import write_parquet
from tests.doubles.browser import ARGUMENTS, CHROMIUM, PICTURES


def write_map(path: Path, n: int, k: int) -> None:
    """A map of made-up scores, with ids that cannot be compressed."""
    rng = np.random.default_rng(1)
    scores = np.clip(rng.beta(5, 2.5, (n, 1)) * 9 + 1 + rng.normal(0, rng.gamma(2, 0.6, (n, 1)), (n, k)), 1, 10).round(1)
    mean, variance = scores.mean(axis=1), scores.var(axis=1)
    thresholds, _ = fit_thresholds(variance, mean)
    region = np.where(variance >= thresholds.variance, 0, np.where(mean >= thresholds.mean, 1, 2))
    words = np.array(["map", "judge", "label", "river", "answer", "table", "code", "story", "sort", "list", "prompt"])
    texts: Any = pa.array([" ".join(row) for row in words[rng.integers(0, len(words), (4000, 40))]])
    ratings = rng.permuted(np.tile(np.arange(k, dtype=float), (n, 1)), axis=1)
    lists = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32))
    columns = {
        "id": pa.array([rng.bytes(16).hex() for _ in range(n)]),
        "prompt": texts.take(pa.array(rng.integers(0, 4000, n))),
        "completions": pa.ListArray.from_arrays(lists, texts.take(pa.array(rng.integers(0, 4000, n * k)))),
        "scores": pa.ListArray.from_arrays(lists, pa.array(scores.ravel())),
        "ratings": pa.ListArray.from_arrays(lists, pa.array(ratings.ravel())),
        "source": pa.array(rng.choice(["sharegpt", "ultrachat", "flan", "evol_instruct"], n)),
        "mean": pa.array(mean),
        "variance": pa.array(variance),
        "region": pa.array([REGIONS[code] for code in region]),
        "region_confidence": pa.array(rng.random(n)),
        "agreement": pa.array(rng.uniform(-1, 1, n)),
        "p_wrong": pa.array(rng.beta(0.4, 4, n)),
        "flags": pa.array([["likely_wrong"] if value else [] for value in rng.random(n) < 0.05], pa.list_(pa.string())),
    }
    schema = pa.schema([f.with_nullable(True) for f in MAP_SCHEMA])
    table = pa.table([columns.get(f.name, pa.nulls(n, f.type)) for f in schema], schema=schema)
    write_parquet(path, table.to_batches(max_chunksize=1024), schema, {"thresholds": thresholds.as_json(), "summary": {}})


def frames(page: Page, act: Callable[[], None]) -> str:
    """Frames a second while something is done, and the slowest of them."""
    page.evaluate(
        """() => { window.times = []; window.running = true; let last = performance.now();
          const tick = (now) => { times.push(now - last); last = now; if (running) requestAnimationFrame(tick); };
          requestAnimationFrame(tick); }"""
    )
    act()
    times = sorted(page.evaluate("(() => { running = false; return times; })()")[1:])
    most = times[int(len(times) * 0.95)]
    return f"{1000 * len(times) / sum(times):.0f} frames a second, 95 in 100 within {most:.0f} ms, slowest {times[-1]:.0f} ms"


def drag(page: Page) -> None:
    page.mouse.move(600, 400)
    page.mouse.down()
    for i in range(90):
        page.mouse.move(600 + 4 * (i % 30), 400 + i % 20)
    page.mouse.up()


def zoom(page: Page, steps: int) -> None:
    page.mouse.move(500, 330)
    for _ in range(abs(steps)):
        page.mouse.wheel(0, -120 if steps > 0 else 120)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    k = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.parquet"
        write_map(path, n, k)
        began = time.perf_counter()
        written = write_page(DataMap.read(path), path.with_suffix(".html"))
        seconds, memory = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{n:,} records of {k} completions: written in {seconds:.1f} s, {written.bytes / 1e6:.1f} MB,")
        print(f"  texts of {written.texts:,} records; peak memory {memory:.2f} GB, the making of the map included")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(path.with_suffix(".html").as_uri())
            page.wait_for_selector("html[data-ready=yes]", state="attached")
            drawn = page.evaluate("performance.getEntriesByName('admap-drawn')[0].startTime")
            print(f"  the map is drawn {drawn / 1000:.2f} s after the file is opened")
            page.wait_for_timeout(800)
            PICTURES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(PICTURES / "report-million-far.png"))
            print(f"  moved as a whole:     {frames(page, lambda: drag(page))}")
            print(f"  zoomed in:            {frames(page, lambda: zoom(page, 10))}")
            print(f"  moved near:           {frames(page, lambda: drag(page))}")
            page.wait_for_timeout(800)
            page.screenshot(path=str(PICTURES / "report-million-near.png"))
            page.click("#zoom-home")
            began = time.perf_counter()
            page.locator("#region-boxes input").first.click()
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            print(f"  a filter is drawn after {(time.perf_counter() - began) * 1000:.0f} ms")
            browser.close()


if __name__ == "__main__":
    main()
