"""How a review stands, in words and as the parts of the page's own panel: for the report page and the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.records import printable
from argilla_admap.reporting.words import Figure, share

__all__ = ["no_queue", "read_status", "review_figures", "review_panel"]

_NAME = 60
_TOTALS = {"label errors in the whole set": "estimated_errors", "label errors left unread": "remaining_errors"}


def read_status(path: Path) -> dict[str, Any]:
    """The JSON answer of `admap status` from a file.

    Raises:
        InputError: absent, or something else.
    """
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(review_panel(answer), allow_nan=False)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})", option="status") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        hint = "give the JSON answer of `admap status`, as it was printed"
        raise InputError(f"{path}: this is not what `admap status` answers", option="status", hint=hint) from exc
    found: dict[str, Any] = answer
    return found


def review_panel(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's panel of the review shows, as JSON values.

    Returns:
        ``advice``; ``figures``; ``reliability``: points with ``said``, ``corrected``, ``low``, ``high`` (0..1) and ``records``,
        where anything was read; ``judge``: a line for all records and for each group, with its share, interval and the four
        counts of the confusion; ``slices``: ``words``, a link or None, and in its place a ``note``.
    """
    judge = answer["judge"]
    points = [
        {**{key: _fraction(line[key]) for key in ("said", "corrected", "low", "high")}, "records": int(line["records"])}
        for line in judge["reliability"]
        if line["records"]
    ]
    return {
        "advice": printable(str(answer["advice"])),
        "figures": [asdict(figure) for figure in _standing(answer)],
        "reliability": points,
        "judge": [_judge_line(*line) for line in _judged(judge)],
        "slices": [
            {"words": printable(str(found["words"])), "url": _web(found["url"]), "note": no_queue(found)}
            for found in answer["slices"]
        ],
    }


def no_queue(found: Mapping[str, Any]) -> str:
    """Of a worse slice, why it has no queue, and the unread records to look up instead; empty where it has one."""
    if found["no_link"] is None:
        return ""
    unread = ", ".join(printable(str(one))[:_NAME] for one in found["unread"])
    return f"{found['no_link']}." + (f" Its unread records that are the likeliest to be wrong: {unread}." if unread else "")


def _fraction(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return min(1.0, max(0.0, number))


def _web(url: Any) -> str | None:
    """A link of the web; a file may name anything."""
    return url if isinstance(url, str) and url.startswith(("http://", "https://")) else None


def _judged(judge: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if judge["accuracy"] is not None:
        yield "all that was read", judge
    for field, lines in judge["by"].items():
        for line in lines:
            yield f"{field} {printable(str(line['value']))[:_NAME]}", line


def _judge_line(label: str, found: Mapping[str, Any]) -> dict[str, Any]:
    counts = found["confusion"]
    return {
        "label": label,
        "accuracy": f"{found['accuracy']:.0%}",
        "interval": f"{found['low']:.0%} to {found['high']:.0%}, {found['records']:,} records",
        "counts": [
            int(counts[sort][end]) for sort in ("against_the_label", "with_the_label") for end in ("corrected", "confirmed")
        ],
    }


def review_figures(answer: Mapping[str, Any]) -> list[Figure]:
    """How a review stands, from the JSON answer of `admap status`: for the command line."""
    return [
        *_standing(answer),
        *(_agreement(label, found, "") for label, found in _judged(answer["judge"]) if found is not answer["judge"]),
        *(Figure(f"worse than the rest: {found['field']}", found["value"], found["words"]) for found in answer["slices"]),
    ]


def _standing(answer: Mapping[str, Any]) -> list[Figure]:
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
    single = answer["single_reads"]
    if single["corrected"]:
        false = single["expected_false"]
        span = f"{false['low']:,.0f} to {false['high']:,.0f}"
        note = f"about {false['value']:,.0f} of them expected to change a right label ({span})"
        figures.append(Figure("corrections on one answer each", f"{single['corrected']:,} of {single['of']:,}", note))
    if answer["next_100"] is not None:
        figures.append(Figure("errors expected in the next 100", f"{answer['next_100']:,.0f}", "of the best queue"))
    if judge["accuracy"] is not None:
        figures.append(_agreement("judge agrees with people", judge, "of what was read"))
        if judge["random"]["accuracy"] is not None:
            figures.append(_agreement("of random records", judge["random"], "what holds for the whole set"))
    return figures


def _agreement(label: str, found: Mapping[str, Any], note: str) -> Figure:
    rest = f"{found['low']:.0%} to {found['high']:.0%}, {found['records']:,} records"
    return Figure(label, f"{found['accuracy']:.0%}", f"{rest}; {note}" if note else rest)
