"""The card of a data set: what is in it, who checked its labels, and how many may still be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from argilla_admap.formats.written_rows import WRITABLE
from argilla_admap.records import printable

__all__ = ["CardFacts", "data_card"]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says beside the format.

    Attributes:
        title: of the data set.
        records: how many it is made of.
        checked: labels that people checked; None where that is not known.
        by: reviewer -> how many records each answered.
        changed: labels that people changed.
        conflicts: records whose reviewers contradict each other; their labels stay.
        errors_left: estimated wrong labels, with the ends of a 95% interval where they are known; of None, only these ends
            are known.
        sentences: what else to say, such as how the records were selected.
    """

    title: str
    records: int
    checked: int | None = None
    by: Mapping[str, int] = field(default_factory=dict)
    changed: int = 0
    conflicts: int = 0
    errors_left: tuple[float | None, float | None, float | None] | None = None
    sentences: tuple[str, ...] = ()


def data_card(facts: CardFacts, rows: int, format: str) -> str:
    """The card in Markdown, with the Hub's head."""

    head = ["---", "tags:", "- preference", "- argilla", f"- {'kto' if 'kto' in format else 'dpo'}", "---"]
    lines = [
        f"# {_plain(facts.title)}",
        "",
        f"{rows:,} rows of {facts.records:,} preference records, in the format `{format}`, which is read by "
        f"{WRITABLE[format].readers}.",
        "",
        "## Labels",
        "",
    ]
    if facts.checked is None:
        lines.append("- No label of these records is known to have been checked by people.")
    else:
        share = f" ({facts.checked / facts.records:.0%})" if facts.records else ""
        lines.append(f"- Checked by people: {facts.checked:,} of {facts.records:,} labels{share}.")
        lines += [f"  - {_plain(name)}: {count:,}" for name, count in sorted(facts.by.items(), key=lambda one: -one[1])]
        lines.append(f"- Changed: {facts.changed:,}.")
        if facts.conflicts:
            lines.append(f"- Reviewers contradict each other: {facts.conflicts:,}; these labels are as they were.")
    if facts.errors_left is not None:
        value, low, high = facts.errors_left
        interval = f"{low:,.0f} to {high:,.0f}" if low is not None and high is not None else ""
        if value is None:
            lines.append(f"- Wrong labels left: {interval}; too few records drawn at random were checked to know more.")
        else:
            known = f"95% interval {interval}" if interval else "by P(wrong) alone; an interval is not known without a review"
            lines.append(f"- Wrong labels left, estimated: {value:,.0f}, {known}.")
    else:
        lines.append("- How many labels are still wrong is not known.")
    return "\n".join([*head, *lines, *(f"- {_plain(sentence)}" for sentence in facts.sentences), ""])


def _plain(text: str) -> str:
    """One line that Markdown and HTML leave as it is."""
    escaped = "".join(f"&#{ord(c)};" if c in "<>&[]`*|#\\" else c for c in printable(text))
    return " ".join(escaped.split())
