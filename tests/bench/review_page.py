"""How fast the review page is, in the browser's own time: first card, next card, ten cards, four answers typed ahead.

Run it on an idle machine: ``python -m tests.bench.review_page`` starts a server of its own; with ADMAP_TEST_SERVER_DIR it takes
that one. Prints a line of JSON. The marks to hold: first card 1,500 ms, next card 300 ms after Enter, ten cards 3,000 ms.
A next card waits for the server to store the answer: `server` is that part, `page` the rest, which is ours and Argilla's.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

import argilla_admap as admap
from argilla_admap.example_data import write_example
from argilla_admap.review.argilla.argilla_api import connect
from argilla_admap.server import launcher
from tests.doubles.browser import ARGUMENTS, CHROMIUM, card_frames, sign_in

ANSWERS = 12
#: Waits until another record than the one named is drawn, and says when that was.
_NEXT = """async before => {
  for (;;) {
    const frame = document.querySelector("iframe"), inside = frame && frame.contentWindow;
    const drawn = inside && frame.contentDocument.querySelector("#admap .all");
    let id = null;
    try { id = drawn && inside.eval("record.id"); } catch (error) { id = null; }
    if (id && id !== before) return performance.now();
    await new Promise(requestAnimationFrame);
  }
}"""
#: From the answer's departure to its arrival, of the newest answer.
_SERVER = """() => performance.getEntriesByType("resource").filter(e => e.name.endsWith("/responses"))
  .map(e => e.duration).pop() || 0"""


def measure(page: Page, queue: str) -> dict[str, Any]:
    """The times of one queue, in milliseconds."""
    began = time.perf_counter()
    page.goto(queue)
    page.evaluate(_NEXT, None)
    found: dict[str, Any] = {"first_card": round((time.perf_counter() - began) * 1000)}
    whole, server = [], []
    for _ in range(ANSWERS):
        page.wait_for_timeout(1200)  # the strip has counted
        record = card_frames(page)[0].evaluate("record.id")
        page.keyboard.press("1")
        page.wait_for_timeout(120)
        page.evaluate("addEventListener('keydown', e => { if (e.key === 'Enter') window.enter = performance.now(); }, true)")
        page.keyboard.press("Enter")
        drawn = page.evaluate(_NEXT, record)
        whole.append(drawn - page.evaluate("window.enter"))
        server.append(page.evaluate(_SERVER))
    found["next_card"] = {"median": round(statistics.median(whole)), "most": round(max(whole))}
    found["server"] = round(statistics.median(server))
    found["page"] = round(statistics.median(w - s for w, s in zip(whole, server, strict=True)))
    page.wait_for_timeout(1500)
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.url) if r.method == "POST" and r.url.endswith("/responses") else None)
    began = time.perf_counter()
    for key in "12341234":
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        if len(sent) >= 4:
            break
    while len(set(sent)) < 4 and time.perf_counter() - began < 30:
        page.wait_for_timeout(20)
    found["four_typed_ahead"] = {"answers": len(set(sent)), "ms": round((time.perf_counter() - began) * 1000)}
    return found


def main() -> None:
    """Measures, and prints the figures."""
    kept = os.environ.get("ADMAP_TEST_SERVER_DIR")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        data_dir = Path(kept) if kept else Path(folder) / "server"
        server = (launcher.find(data_dir) if kept else None) or launcher.start(data_dir, report=lambda _: None)
        client = connect(server.url, server.api_key)
        path, _ = write_example(Path(folder))
        data_map = admap.build_map(admap.score(admap.read(path), scorer="existing"))
        seconds = {}
        for vectors in ("none", "hashed"):
            pushed = admap.push(data_map, dataset=f"bench-{uuid.uuid4().hex[:8]}", client=client, text_vectors=vectors)
            seconds[f"text_vectors_{vectors}"] = round(pushed.seconds, 2)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
        sign_in(page, server.url, server.username, server.password)
        queue = next(found for found in pushed.queues if found["name"] == "all")
        figures: dict[str, Any] = {"push_seconds": seconds, **measure(page, queue["url"])}
        began = time.perf_counter()
        page.goto(queue["bulk_url"])
        card_frames(page, 10)
        figures["ten_cards"] = round((time.perf_counter() - began) * 1000)
        sys.stdout.write(json.dumps(figures) + "\n")
        browser.close()
        if not kept:
            launcher.stop(data_dir)


if __name__ == "__main__":
    main()
