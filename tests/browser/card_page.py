"""A page of review cards without Argilla: the card's own small test page.

Each card stands in a frame that is filled as Argilla 2.8 fills it: the record pasted by two plain text replacements, its style
sheets and its theme copied by a script. Look at it:

    python -m tests.browser.card_page > cards.html
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from argilla_admap.records import Record, Turn
from argilla_admap.review.dataset import card, layout

EXAMPLES = Path(card.__file__).parents[1] / "example_data" / "llmbar_pairs_gpt4.jsonl.gz"

_PAGE = """<!doctype html><html data-theme="%(theme)s"><meta charset="utf-8"><title>Review cards</title>
<style>
body { margin: 16px; background: %(paper)s; font: 14px sans-serif }
.card { width: %(width)s; margin: 0 0 16px; padding: 16px; border: 1px solid #8883; border-radius: 10px; background: %(field)s }
iframe { width: 100%%; border: 0; display: block }
#answer { position: fixed; right: 4px; bottom: 4px; width: 40px }
</style>
<div id="cards"></div><input id="answer" aria-label="answer"><script>
const records = %(records)s, card = %(template)s;
const copies = `<script>
if (parent) {
  const head = document.getElementsByTagName("head")[0];
  for (const style of parent.document.getElementsByTagName("style")) head.appendChild(style.cloneNode(true));
  const theme = parent.document.getElementsByTagName("html")[0].getAttribute("data-theme");
  document.getElementsByTagName("html")[0].setAttribute("data-theme", theme);
}
<\\/script>
<style>
  body {
    background-color: var(--bg-field);
  }
</style>
`;
for (const given of records) {
  const box = document.createElement("div"), frame = document.createElement("iframe");
  box.className = "card";
  frame.srcdoc = copies + "\\n<script>\\n  const record = #RECORD_OBJECT#;\\n<\\/script>\\n#TEMPLATE#\\n"
    .replace("#RECORD_OBJECT#", JSON.stringify(given)).replace("#TEMPLATE#", card);
  frame.onload = () => { frame.style.height = frame.contentWindow.document.documentElement.scrollHeight + "px"; };
  box.append(frame);
  document.getElementById("cards").append(box);
}
</script></html>"""


def page_of_cards(
    fields: Sequence[Mapping[str, Any]], template: str, *, theme: str = "light", width: str = "796px", **record: Any
) -> str:
    """The page, as HTML: a card for each of `fields` (see `layout.record_fields`)."""
    given = [{"id": f"0000-{i}", "dataset_id": "d1", "status": "pending", "fields": f, **record} for i, f in enumerate(fields)]
    dark = theme == "dark"
    return _PAGE % {
        "theme": theme,
        "width": width,
        "paper": "#16191d" if dark else "#fafafa",
        "field": "#1f2226" if dark else "#fdfdfd",
        "records": _script(given),
        "template": _script(template),
    }


def _script(value: Any) -> str:
    return json.dumps(value).replace("<", "\\u003c")


def read_examples(path: Path = EXAMPLES, *, limit: int | None = None) -> tuple[list[Record], list[dict[str, Any]]]:
    """Records of the plain format with the columns that a map gives them, worked out here in the simplest way."""
    records, rows = [], []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in list(file)[:limit]:
            given = json.loads(line)
            done = given["completions"]
            prompt = given["prompt"]
            turns = () if isinstance(prompt, str) else tuple(Turn(t["role"], t["content"]) for t in prompt)
            samples = [[s for s in c.get("scores") or [] if s is not None] for c in done]
            records.append(
                Record(
                    id=str(given["id"]),
                    prompt=prompt if isinstance(prompt, str) else prompt[-1]["content"],
                    completions=tuple(c["text"] for c in done),
                    models=tuple(c.get("model") for c in done),
                    ratings=tuple(c.get("rating") for c in done),
                    samples=tuple(tuple(s) for s in samples),
                    reasons=tuple(c.get("reason") for c in done),
                    turns=turns,
                    judge=given.get("judge"),
                )
            )
            scores = [float(np.mean(s)) if s else None for s in samples]
            known = [s for s in scores if s is not None]
            margin = (scores[0] or 0) - (scores[1] or 0)
            label = (done[0].get("rating") or 0) - (done[1].get("rating") or 0)
            rows.append(
                {
                    "scores": scores,
                    "score_variances": [float(np.var(s)) if len(s) > 1 else None for s in samples],
                    "score_counts": [len(s) for s in samples],
                    "mean": float(np.mean(known)) if known else None,
                    "variance": float(np.var(known)) if len(known) > 1 else None,
                    "p_wrong": float(1 / (1 + np.exp(np.sign(label) * margin * 0.9))) if label else None,
                    "judges": given.get("judge"),
                    "flags": [],
                    "evidence": [],
                }
            )
    return records, rows


def small_map(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The small map of `rows`, with the regions' thresholds at thirds."""
    mean = np.array([np.nan if r["mean"] is None else r["mean"] for r in rows])
    variance = np.array([np.nan if r["variance"] is None else r["variance"] for r in rows])
    edge = float(np.nanquantile(variance, 2 / 3))
    middle = float(np.nanmedian(mean[variance < edge])) if (variance < edge).any() else float(np.nanmedian(mean))
    for row in rows:
        if row["variance"] is not None:
            region = "high_var" if row["variance"] >= edge else "high_avg" if row["mean"] >= middle else "low_avg"
            row["region"] = region
    return card.map_info(mean, variance, thresholds={"variance": edge, "mean": middle})


if __name__ == "__main__":
    examples, columns = read_examples(limit=200)
    info = small_map(columns)
    cards = [layout.record_fields(r, row, blind=False) for r, row in zip(examples[:12], columns, strict=False)]
    sys.stdout.write(page_of_cards(cards, card.template(info)))
