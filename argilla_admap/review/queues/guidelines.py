"""The guidelines of a data set as the reviewers' overview: the queues with their counts, the map, how to decide, the keys."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from argilla_admap.records import letter
from argilla_admap.review.dataset.layout import OF_BOTH, OF_SIDES, ReviewLayout
from argilla_admap.review.queues.queues import QueueCount

__all__ = ["BEGIN", "END", "LIMIT", "map_svg", "merge_guidelines", "render_guidelines", "room_beside", "shown_counts"]

#: Argilla takes no longer guidelines than this, in characters.
LIMIT = 10_000
BEGIN = "<!-- admap writes from here -->"
END = "<!-- to here; all text outside these two marks is kept -->"

_ESCAPES = {"&": "&amp;", "<": "&lt;", **{mark: f"\\{mark}" for mark in "\\|[]`*_~"}}
_LONGEST_NAME = 120

# The picture of the map: shades, and its measures in pixels.
_LEVELS = 5
_CELL = 9
_LEFT, _TOP, _BOTTOM = 22, 4, 16


def render_guidelines(
    layout: ReviewLayout,
    queues: Sequence[QueueCount],
    *,
    map_info: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    at: datetime | None = None,
    room: int = LIMIT,
) -> str:
    """Our part of the guidelines, in Markdown, between its two marks.

    Args:
        layout: a blind review gets neutral words, and neither map nor figures.
        queues: in the order in which to work.
        map_info: of :func:`argilla_admap.review.dataset.card.map_info`.
        summary: ``records``, ``judge`` and ``reviewed``, where known.
        at: when the queues were counted.
        room: the characters that it may take. Where it would take more, the map goes first, then the second links, then
            the reasons, then the queues from the last.
    """
    picture = "" if layout.blind or not map_info or not map_info.get("n") else _map(map_info)
    lines = list(queues)
    facts = {**(summary or {}), "at": at}
    for with_map, with_bulk, with_why in ((True, True, True), (False, True, True), (False, False, True), (False, False, False)):
        text = _render(layout, lines, picture if with_map else "", facts, bulk=with_bulk, why=with_why)
        if len(text) <= room:
            return text
    while lines and len(text) > room:
        lines.pop()
        text = _render(layout, lines, "", facts, bulk=False, why=False)
    return text


def _render(
    layout: ReviewLayout, queues: Sequence[QueueCount], picture: str, summary: Mapping[str, Any], *, bulk: bool, why: bool
) -> str:
    parts = [BEGIN, *_opening(layout, summary), _queues(queues, bulk=bulk, why=why)]
    if summary.get("at"):
        parts.append(f"Counted on {summary['at']:%d %B %Y at %H:%M} UTC; the line on top of each record counts anew.")
    if picture:
        parts += ["## The map", picture, _MAP_WORDS]
    parts += ["## How to decide", _decide(layout), "## Keys", _keys(layout), END]
    return "\n\n".join(parts)


def _opening(layout: ReviewLayout, summary: Mapping[str, Any]) -> list[str]:
    if layout.blind:
        return [
            "# Blind review",
            "The completions are shown in a shuffled order, without labels, scores and models, so that nothing sways you. "
            "A queue tells nothing about its records either.",
        ]
    facts = []
    if summary.get("records"):
        facts.append(f"{int(summary['records']):,} records")
    if summary.get("judge"):
        facts.append(f"scored by {_plain(_short(str(summary['judge'])))}")
    if summary.get("reviewed"):
        facts.append(f"{int(summary['reviewed']):,} reviewed")
    line = ", ".join(facts)
    return [
        "# Where to start",
        (f"{line[0].upper()}{line[1:]}. " if line else "") + "Work from the top: each queue opens with the records in which "
        "a minute of reading corrects most.",
    ]


def _queues(queues: Sequence[QueueCount], *, bulk: bool, why: bool) -> str:
    # A list, not a table: Argilla's tables have no padding and break words, and this is read in a narrow column.
    rows = []
    for queue in queues:
        title = _plain(queue.queue.title)
        row = f"- **[{title}]({_relative(queue.url)})**" if queue.count else f"- {title}"
        row += f": {queue.count:,} record{'' if queue.count == 1 else 's'}"
        if bulk and queue.bulk_url and queue.count > 1:
            row += f", [ten at once]({_relative(queue.bulk_url)})"
        rows.append(f"{row}<br>{_plain(queue.queue.why)}" if why else row)
    return "\n".join(rows)


def _relative(url: str) -> str:
    """The link as the page resolves it under any address, where it leads into the page; spaces and brackets encoded."""
    found = re.search(r"(?:^|/)(dataset/[^/?#]+/annotation-mode.*)", url)
    return (found.group(1) if found else url).replace(" ", "%20").replace("(", "%28").replace(")", "%29")


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line, without marks that change the direction of what follows."""
    shown = "".join(" " if character.isspace() else character for character in text)
    return "".join(_ESCAPES.get(character, character) for character in shown if character == " " or character.isprintable())


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "\u2026"


def _map(map_info: Mapping[str, Any]) -> str:
    return f"![The map: {map_info['n']:,} records by mean score and spread of scores]({map_svg(map_info)})"


_MAP_WORDS = (
    "Each square is a place on the map; the stronger its colour, the more records. *High average*: the judge likes all "
    "completions. "
    "*Low average*: it likes none. *High variance*: it likes some and not others, so the label matters most there. "
    "The same map stands on each record: a click on one of its squares opens the records there."
)


def _decide(layout: ReviewLayout) -> str:
    if layout.kind == "pair":
        lines = [
            "Read the prompt, then both completions: what does the prompt ask for, and which one gives it?",
            *(
                ["**Keep the label**: the completion that it prefers is better. **Flip it**: the other one is."]
                if "keep" in layout.choices
                else []
            ),
            *(["**A** or **B**: that one is better."] if layout.choices == OF_SIDES else []),
            *(["**A** or **B** is for the records that have no label to keep or flip."] if layout.choices == OF_BOTH else []),
            "**Tie**: no difference that matters. **Both bad**: neither should be learned from.",
        ]
    else:
        low, high = layout.scale.asked[0], layout.scale.asked[-1]
        last = letter(layout.k[1] - 1)
        lines = [
            "Read the prompt, then all completions: what does the prompt ask for, and how well does each one give it?",
            f"Rate each from {low} (useless) to {high} (perfect), **A** to **{last}**. Equal ratings are fine.",
        ]
        if not layout.scale.is_identity:
            lines.append(f"The data have ratings of their own: {layout.scale.words()}.")
        if layout.k[0] != layout.k[1]:
            lines.append("Some records have fewer completions: leave the questions about those that are not there.")
    if layout.blind:
        lines.append("Length and tone are not quality. When in doubt between two, a tie is an answer too.")
    else:
        lines += [
            "The judge's verdict is an opinion. Judges like long and fluent texts, and miss wrong facts and ignored "
            "instructions: the records here are those where judge and label differ, and either may be right.",
        ]
        if layout.kind == "ratings":
            lines.append(
                "The ratings start from the label's: **Enter** alone says that their order is fine. Ratings that put the "
                "completions in another order replace the label's; others leave it as it is."
            )
    lines.append("Nothing changes in the data before the corrected file is written; an answer can be changed until then.")
    return "\n".join(f"- {line}" for line in lines)


_SHORT = {"keep": "keep", "flip": "flip", "tie": "tie", "both_bad": "both bad", "a": "A", "b": "B"}


def _keys(layout: ReviewLayout) -> str:
    if layout.kind == "pair":
        answers = ", ".join(f"**{key}** {_SHORT[choice]}" for key, choice in enumerate(layout.choices, 1))
    else:
        low, high = layout.scale.asked[0], layout.scale.asked[-1]
        ten = "" if high < 10 else ", **1 0** at once is ten" + ("" if low == 0 else ", **0** too")
        answers = (
            f"**{low}** to **{min(high, 9)}** rate one completion after the other{ten}; the one that is asked about is framed. "
            "**↑** and **↓** go from question to question"
        )
    return (
        f"{answers}. **Enter** submits and goes on, **Backspace** discards, **Ctrl S** saves a draft, **←** and **→** go back "
        "and forth. **D** marks the differences between the texts, **F** unfolds them, **Page ↓** and **Page ↑** scroll."
    )


def room_beside(existing: str | None) -> int:
    """The characters that our part may take beside what people wrote into the guidelines."""
    before, after = _theirs(existing or "")
    theirs = before + after
    return LIMIT - len(theirs) - (2 if theirs.strip() else 0)


def merge_guidelines(existing: str | None, ours: str) -> str:
    """The guidelines with our part in them, and every character that a person wrote kept.

    Our part replaces the one between our marks; where there is none, it goes before the person's text. Where both together
    would be longer than :data:`LIMIT`, the guidelines stay as they are: nothing of a person's text is cut.
    """
    text = existing or ""
    before, after = _theirs(text)
    if before + after != text:
        merged = before + ours + after
    elif text.strip():
        merged = f"{ours}\n\n{text}"
    else:
        merged = ours
    return merged if len(merged) <= LIMIT else text


def shown_counts(existing: str | None) -> list[int] | None:
    """How many records our part of the guidelines tells of each queue, in their order; None: it has no part of ours."""
    text = existing or ""
    begin, end = text.find(BEGIN), text.find(END)
    if not 0 <= begin < end:
        return None
    return [int(found.replace(",", "")) for found in re.findall(r"^- .*?: ([\d,]+) records?\b", text[begin:end], re.MULTILINE)]


def _theirs(text: str) -> tuple[str, str]:
    """What stands before and after our part; all of it before, where there is no part of ours."""
    begin = text.find(BEGIN)
    end = text.find(END, begin) if begin >= 0 else -1
    return (text, "") if end < 0 else (text[:begin], text[end + len(END) :])


def map_svg(info: Mapping[str, Any]) -> str:
    """A data URI with the map of :func:`argilla_admap.review.dataset.card.map_info` as SVG.

    Its colours are readable on a light and on a dark page. Cells of one row and one shade are drawn as one stroke, so that
    the whole takes about 3,000 characters.
    """
    nx, ny = info["nx"], info["ny"]
    width, height = nx * _CELL, ny * _CELL
    most = math.sqrt(max(info["cells"]))
    paths = [""] * _LEVELS
    for row in range(ny):
        line = info["cells"][row * nx : (row + 1) * nx]
        shades = [min(_LEVELS - 1, int(math.sqrt(count) / most * _LEVELS)) if count else -1 for count in line]
        column = 0
        while column < nx:
            end = column + 1
            while end < nx and shades[end] == shades[column]:
                end += 1
            if shades[column] >= 0:
                paths[shades[column]] += f"M{column} {ny - row - 1}h{end - column}v1H{column}z"
            column = end
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width + _LEFT + 4}' height='{height + _TOP + _BOTTOM}' "
        "font-family='sans-serif' font-size='10' fill='#777'>",
        f"<g transform='translate({_LEFT} {_TOP})'><g transform='scale({_CELL})' fill='#5b60d6'>",
        *(f"<path d='{path}' opacity='{0.28 + 0.18 * level:.2f}'/>" for level, path in enumerate(paths) if path),
        f"</g><path d='M0 0h{width}v{height}H0z' fill='none' stroke='#999'/>",
    ]
    if info.get("variance") is not None:
        edge = round(min(1, math.sqrt(max(0, info["variance"])) / info["x1"]) * width)
        across = ""
        if info.get("mean") is not None:
            level = round((1 - (info["mean"] - info["y0"]) / (info["y1"] - info["y0"])) * height)
            across = f"M0 {level}H{edge}"
        parts.append(f"<path d='M{edge} 0v{height}{across}' stroke='#888' stroke-dasharray='3 3' fill='none'/>")
        parts.append(f"<text x='{width - 3}' y='11' text-anchor='end'>high variance</text>")
        if across and edge > 70:
            parts.append(f"<text x='3' y='11'>high average</text><text x='3' y='{height - 4}'>low average</text>")
    parts += [
        f"<text x='0' y='{height + 12}'>0</text>"
        f"<text x='{width / 2:g}' y='{height + 12}' text-anchor='middle'>spread of scores</text>"
        f"<text x='{width}' y='{height + 12}' text-anchor='end'>{info['x1']:.1f}</text>"
        f"<text x='-4' y='9' text-anchor='end'>{info['y1']:.3g}</text>"
        f"<text x='-4' y='{height}' text-anchor='end'>{info['y0']:.3g}</text>"
        f"<text transform='translate(-8 {height / 2:g})rotate(-90)' text-anchor='middle'>mean</text>",
        "</g></svg>",
    ]
    return "data:image/svg+xml," + quote("".join(parts), safe="=:/;,.-+!*'")
