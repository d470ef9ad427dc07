"""How a review stands, in words: for the report page and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argilla_admap.records import printable
from argilla_admap.reporting.words import Figure, share

__all__ = ["review_figures"]

_NAME = 60
_TOTALS = {"label errors in the whole set": "estimated_errors", "label errors left unread": "remaining_errors"}


def review_figures(answer: Mapping[str, Any]) -> list[Figure]:
    """How a review stands, from the JSON answer of `admap status`: for the page and the command line."""
    judge, random = answer["judge"], answer["random"]
    figures = [
        Figure("records", f"{answer['records']:,}"),
        Figure("reviewed", f"{answer['reviewed']:,}", share(answer["reviewed"], answer["records"]) + " of the records"),
        Figure("corrected", f"{answer['corrected']:,}", share(answer["corrected"], answer["reviewed"]) + " of the reviewed"),
        Figure("confirmed", f"{answer['confirmed']:,}"),
        Figure("conflicts", f"{answer['conflicts']:,}", "their reviewers contradict each other" if answer["conflicts"] else ""),
        Figure("random records read", f"{random['read']:,}", "what the estimates below rest on"),
    ]
    for label, name in _TOTALS.items():
        found = answer[name]
        known = found["value"] is not None
        interval = f"{found['low']:,.0f} to {found['high']:,.0f}"
        figures.append(
            Figure(
                label,
                f"{found['value']:,.0f}" if known else interval,
                f"95% interval: {interval}" if known else "bounds only: too few random records were read to know more",
            )
        )
    if answer["next_100"] is not None:
        figures.append(Figure("errors expected in the next 100", f"{answer['next_100']:,.0f}", "of the best queue"))
    if judge["accuracy"] is not None:
        figures.append(_agreement("judge agrees with people", judge, "of what was read"))
        if judge["random"]["accuracy"] is not None:
            figures.append(_agreement("of random records", judge["random"], "what holds for the whole set"))
    for field, lines in judge["by"].items():
        figures += [_agreement(f"{field} {printable(line['value'])[:_NAME]}", line, "") for line in lines]
    figures += [Figure(f"worse than the rest: {found['field']}", found["value"], found["words"]) for found in answer["slices"]]
    return figures


def _agreement(label: str, found: Mapping[str, Any], note: str) -> Figure:
    rest = f"{found['low']:.0%} to {found['high']:.0%}, {found['records']:,} records"
    return Figure(label, f"{found['accuracy']:.0%}", f"{rest}; {note}" if note else rest)
