"""The audit trail: a line of CHANGES.jsonl for each reviewed record, and the changes of such a file to take back.

A line says who said what and when, which label that made of which, what the judge and the map said then, and, of a label that
was written into a file, how to take it back exactly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from argilla_admap.errors import InputError
from argilla_admap.formats.writeback.left_out import Gap, left_out_path, read_gaps
from argilla_admap.formats.writeback.matching import text_print
from argilla_admap.formats.writeback.patches import Patch
from argilla_admap.formats.writeback.undo import WrittenChange
from argilla_admap.review.argilla.properties import BY_COLUMN
from argilla_admap.review.pull.pull import PullResult
from argilla_admap.review.pull.reviews import Review, reviews_of

__all__ = ["ALREADY", "Changes", "audit_trail", "read_changes"]

#: The reason why a correction is not in the output, where an earlier pull wrote it.
ALREADY = "the original says so already"
_VIEW = ("mean", "variance", "agreement", "region", "flags")


def audit_trail(
    result: PullResult,
    *,
    not_written: Mapping[str, str] | None = None,
    conflicts: Sequence[str] = (),
    patches: Mapping[str, Sequence[Patch]] | None = None,
    ties_dropped: Sequence[str] = (),
    reviewed_only: bool = False,
    left_out_rows: str | None = None,
) -> Iterator[dict[str, Any]]:
    """A line for each reviewed record, in the order of the data set.

    ``id, before, after, reviewers, resolved_by, at, p_wrong, dataset``; ``outcome``: ``corrected``, ``confirmed``, ``conflict``
    (the reviewers contradict each other, or the original was changed since), ``unclear`` (no answer about the label) or
    ``not_written`` (with the reason under that name); ``votes``, each with what that answer alone would make of the label;
    ``notes`` by reviewer; ``judge``: scores and what the map said; ``map``: which one, pushed when (None in a data set of
    somebody else's); ``prints`` of the completions; ``rows``, where a label was written into a file: how to take it back;
    ``left_out``: ``ties`` where the record's own row was, ``unreviewed`` in every line where the unreviewed ones were;
    ``left_out_rows``: the name of the file with these rows, beside this one.
    Labels stand in the record's own order.

    Args:
        result: the answers.
        not_written: record id -> why its correction is not in the output.
        conflicts: ids of records that were changed in the original since they were pushed.
        patches: record id -> the rows that were written.
        ties_dropped: ids of records whose rows were left out.
        reviewed_only: the rows of all records that nobody reviewed were left out.
        left_out_rows: the file that holds them.
    """
    dropped = set(ties_dropped)
    reasons, beside, rows = not_written or {}, set(conflicts), patches or {}
    for review in reviews_of(result).records.values():
        reason = reasons.get(review.id)
        left_out = [*(["ties"] if review.id in dropped else []), *(["unreviewed"] if reviewed_only else [])]
        outcome = "conflict" if review.id in beside else "not_written" if reason is not None else review.outcome
        yield {
            **_line(result, review, outcome),
            "written": outcome == "corrected",
            **({"not_written": reason} if reason is not None else {}),
            **({"left_out": left_out, "left_out_rows": left_out_rows} if left_out else {}),
            "prints": [text_print(text) for text in review.completions],
            **({"rows": [patch.json() for patch in rows[review.id]]} if review.id in rows else {}),
        }


def _line(result: PullResult, review: Review, outcome: str) -> dict[str, Any]:
    noted = _noted(review)
    settled = review.after is not None
    by = "adjudicator" if review.id in result.adjudicated else result.resolve
    pushed = result.target.info.get("pushed") or {}
    return {
        "id": review.id,
        "outcome": outcome,
        "before": list(review.before),
        "after": list(review.before if review.after is None else review.after),
        "verdict": review.verdict,
        "reviewers": sorted({answer.reviewer for answer in review.answers}),
        "resolved_by": by if settled else None,
        "at": max((answer.at.isoformat() for answer in review.answers), default=None),
        "p_wrong": noted.get("p_wrong", review.p_wrong),
        "dataset": result.dataset,
        "votes": [
            {
                "reviewer": answer.reviewer,
                "answer": dict(answer.values),
                "label": None if answer.after is None else list(answer.after),
                "at": answer.at.isoformat(),
                "note": answer.note or None,
                "adjudicator": answer.user_id in result.adjudicated.get(review.id, ()),
            }
            for answer in review.answers
        ],
        "notes": {answer.reviewer: answer.note for answer in review.answers if answer.note},
        "judge": {
            "scores": list(result.found[review.id].scores),
            **{name: review.metadata.get(BY_COLUMN[name].name) for name in _VIEW},
        },
        "map": noted.get("map") or dict(pushed) or None,
    }


def _noted(review: Review) -> dict[str, Any]:
    """What the map said when the outcome was noted: a later push may have put another one in its place."""
    try:
        found = orjson.loads(review.metadata.get(BY_COLUMN["judged"].name) or "{}")
    except (ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


class Changes(NamedTuple):
    """What a file of changes says was written.

    Attributes:
        written: the corrections.
        others: lines that are none: confirmations, conflicts, what was not written.
        gaps: the rows that were left out.
    """

    written: list[WrittenChange]
    others: int
    gaps: list[Gap]


def read_changes(path: str | os.PathLike[str]) -> Changes:
    """A file of changes, and the rows that its pull left out.

    Raises:
        InputError: absent, or a line that is no change; or the pull left rows out and kept them nowhere.
    """
    name, found, others = os.fspath(path), [], 0
    ties, reviewed_only = 0, False
    beside = set()
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as exc:
        raise InputError(f"{name}: cannot be read ({exc.strerror})", option="undo") from exc
    for number, line in enumerate(lines, 1):
        try:
            given = orjson.loads(line)
            rows = tuple(map(Patch.from_json, given.get("rows") or ()))
            before, after = (tuple(None if x is None else float(x) for x in given[key]) for key in ("before", "after"))
            change = WrittenChange(str(given["id"]), before, after, tuple(map(str, given.get("prints") or ())), rows)
            left_out = tuple(given.get("left_out") or ())
            rows_file = given.get("left_out_rows")
        except (ValueError, TypeError, KeyError, AttributeError, InputError) as exc:
            raise InputError(f"{name}:{number}: no line of a file of changes ({exc})", option="undo") from exc
        if rows_file is None:
            ties, reviewed_only = ties + ("ties" in left_out), reviewed_only or "unreviewed" in left_out
        else:
            # A name, whatever else somebody wrote there: nothing elsewhere is opened.
            beside.add(Path(path).with_name(Path(str(rows_file)).name or "-"))
        written = bool(given.get("written", given.get("outcome", "corrected") == "corrected")) and before != after
        if written or rows:
            found.append(change)
        else:
            others += 1
    if ties or reviewed_only:
        gone = [f"{ties:,} records found equally good or bad"] if ties else []
        gone += ["all records that nobody had reviewed"] if reviewed_only else []
        raise InputError(
            f"{name}: this pull wrote another format without the records of {' and '.join(gone)}, which it kept nowhere",
            option="undo",
            hint="pull again without the changes you do not want: only an original written again gets left out rows back",
        )
    if len({change.id for change in found}) < len(found):
        raise InputError(f"{name}: holds two changes of one record; give the file of one pull", option="undo")
    if not lines and left_out_path(name).exists():
        # Of a review without an answer there is no line to name it.
        beside.add(left_out_path(name))
    return Changes(found, others, [gap for one in sorted(beside) for gap in read_gaps(one)])
