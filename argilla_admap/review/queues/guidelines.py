"""The guidelines of a data set as the reviewers' home: the queues with their counts, the map, how to decide, the keys."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argilla_admap.records import letter
from argilla_admap.review.dataset.layout import ReviewLayout
from argilla_admap.review.queues.map_svg import map_svg

__all__ = ["BEGIN", "END", "LIMIT", "QueueLine", "merge_guidelines", "render_guidelines", "room_beside"]

#: Argilla takes no longer guidelines than this, in characters.
LIMIT = 10_000
BEGIN = "<!-- admap writes from here -->"
END = "<!-- to here; all text outside these two marks is kept -->"

_ESCAPES = {"&": "&amp;", "<": "&lt;", **{mark: f"\\{mark}" for mark in "\\|[]`*_~"}}
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue in the guidelines.

    Attributes:
        title: its name for people.
        why: what is in it and why to look, in words.
        count: records in it.
        url: one record at a time.
        bulk_url: ten at a time; the second link is left out where it is empty.
    """

    title: str
    why: str
    count: int
    url: str
    bulk_url: str = ""


def render_guidelines(
    layout: ReviewLayout,
    queues: Sequence[QueueLine],
    *,
    map_info: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    room: int = LIMIT,
) -> str:
    """Our part of the guidelines, in Markdown, between its two marks.

    Args:
        layout: a blind review gets neutral words, and neither map nor figures.
        queues: in the order in which to work.
        map_info: of :func:`argilla_admap.review.dataset.card.map_info`.
        summary: ``records``, ``judge`` and ``reviewed``, where known.
        room: the characters that it may take. Where it would take more, the map goes first, then the second links, then
            the reasons, then the queues from the last.
    """
    picture = "" if layout.blind or not map_info or not map_info.get("n") else _map(map_info)
    lines = list(queues)
    for with_map, with_bulk, with_why in ((True, True, True), (False, True, True), (False, False, True), (False, False, False)):
        text = _render(layout, lines, picture if with_map else "", summary or {}, bulk=with_bulk, why=with_why)
        if len(text) <= room:
            return text
    while lines and len(text) > room:
        lines.pop()
        text = _render(layout, lines, "", summary or {}, bulk=False, why=False)
    return text


def _render(
    layout: ReviewLayout, queues: Sequence[QueueLine], picture: str, summary: Mapping[str, Any], *, bulk: bool, why: bool
) -> str:
    parts = [BEGIN, *_opening(layout, summary), _queues(queues, bulk=bulk, why=why)]
    if picture:
        parts += ["## The map", picture, _MAP_WORDS]
    parts += ["## How to decide", _decide(layout), "## Keys", _keys(layout), END]
    return "\n\n".join(parts)


def _opening(layout: ReviewLayout, summary: Mapping[str, Any]) -> list[str]:
    if layout.blind:
        return [
            "# Blind review",
            "The completions stand in a shuffled order, without their labels, scores and models, so that nothing sways you. "
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
        "a minute of reading mends most.",
    ]


def _queues(queues: Sequence[QueueLine], *, bulk: bool, why: bool) -> str:
    # A list, not a table: Argilla's tables have no padding and break words, and this is read in a narrow column.
    rows = []
    for queue in queues:
        title = _plain(queue.title)
        row = f"- **[{title}]({_relative(queue.url)})**" if queue.count else f"- {title}"
        row += f": {queue.count:,} record{'' if queue.count == 1 else 's'}"
        if bulk and queue.count > 1 and queue.bulk_url:
            row += f", [ten at once]({_relative(queue.bulk_url)})"
        rows.append(f"{row}<br>{_plain(queue.why)}" if why else row)
    return "\n".join(rows)


def _relative(url: str) -> str:
    """The link as the page resolves it under any address, where it leads into the page; spaces and brackets encoded."""
    found = re.search(r"(?:^|/)(dataset/[^/?#]+/annotation-mode.*)", url)
    return (found.group(1) if found else url).replace(" ", "%20").replace("(", "%28").replace(")", "%29")


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line; without what turns the direction of the text behind it."""
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
            "**A** or **B**: one of them serves better. **Tie**: no difference that matters. **Both bad**: neither should be "
            "learnt from.",
        ]
    else:
        low, high = (layout.scale[0], layout.scale[-1]) if layout.scale else (1, 5)
        last = letter(layout.k[1] - 1)
        lines = [
            "Read the prompt, then all completions: what does the prompt ask for, and how well does each one give it?",
            f"Rate each from {low} (useless) to {high} (nothing to wish for), **A** to **{last}**. Equal ratings are fine.",
        ]
        if layout.k[0] != layout.k[1]:
            lines.append("Some records have fewer completions: leave the questions about those that are not there.")
    if layout.blind:
        lines.append("Length and tone are not quality. When in doubt between two, a tie is an answer too.")
    else:
        lines += [
            "The judge's verdict is an opinion. Judges like long and fluent texts, and miss wrong facts and ignored "
            "instructions: the records here are those where judge and label differ, and either may be right.",
            "*Is the data set's label wrong?* may be left out; your answer above it decides what happens to the label. "
            + (
                "The same as the label: it stays. The opposite: it is turned round. A tie: both count alike."
                if layout.kind == "pair"
                else "Your ratings take the place of the label's."
            ),
        ]
    lines.append("Nothing changes in the data before the corrected file is written; an answer can be changed until then.")
    return "\n".join(f"- {line}" for line in lines)


def _keys(layout: ReviewLayout) -> str:
    if layout.kind == "pair":
        answers = "**1** A, **2** B, **3** tie, **4** both bad"
    else:
        low, high = (layout.scale[0], layout.scale[-1]) if layout.scale else (1, 5)
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


def _theirs(text: str) -> tuple[str, str]:
    """What stands before and after our part; all of it before, where there is no part of ours."""
    begin = text.find(BEGIN)
    end = text.find(END, begin) if begin >= 0 else -1
    return (text, "") if end < 0 else (text[:begin], text[end + len(END) :])
