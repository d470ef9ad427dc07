"""The guidelines of a data set as the reviewers' home: the queues with their counts, the map, how to decide, the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argilla_admap.review.layout import Layout

__all__ = ["LIMIT", "QueueLine", "merge_guidelines", "render_guidelines"]

#: Argilla takes no longer guidelines than this, in characters.
LIMIT = 10_000
BEGIN = "[//]: # (admap: written by admap, from here)"
END = "[//]: # (admap: to here; what stands outside is yours)"


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
    layout: Layout,
    queues: Sequence[QueueLine],
    *,
    map_info: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> str:
    """Our part of the guidelines, in Markdown, between its two marks; shorter than :data:`LIMIT`.

    Args:
        layout: a blind review gets neutral words, and neither map nor figures.
        queues: in the order in which to work.
        map_info: of :func:`argilla_admap.review.card.map_info`.
        summary: ``judge``, ``reviewed``, ``records``, where known.
    """
    judge = (summary or {}).get("judge")
    lines = [BEGIN, "", "# Blind review" if layout.blind else "# Review queues", ""]
    if not layout.blind and map_info:
        lines += [f"{map_info['n']:,} records on the map" + (f", scored by {judge}." if judge else "."), ""]
    lines += ["| Queue | Records | What is in it |", "|---|---:|---|"]
    for queue in queues:
        lines.append(f"| [{queue.title}]({queue.url}) | {queue.count:,} | {queue.why} |")
    return "\n".join([*lines, "", END])


def merge_guidelines(existing: str | None, ours: str) -> str:
    """The guidelines with our part in them, and every character that a person wrote kept.

    Our part replaces the one between our marks; where there is none, it goes before the person's text. Where both together
    are longer than :data:`LIMIT`, ours is left out rather than theirs cut.
    """
    text = existing or ""
    begin, end = text.find(BEGIN), text.find(END)
    if begin >= 0 and end > begin:
        merged = text[:begin] + ours + text[end + len(END) :]
    else:
        merged = f"{ours}\n\n{text}" if text.strip() else ours
    return merged if len(merged) <= LIMIT else text
