"""Reads answers of the grammar of grades, and counts: `python -m tests.bench.grades [COUNT] [SEED]`.

A wrong score is a defect, whatever its share; one that was missed is a completion left unscored, with a reason.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from argilla_admap.scoring.client.failures import Unreadable
from argilla_admap.scoring.judging.grades import read_grade
from tests.bench.results import keep
from tests.scoring.grade_grammar import answers

__all__ = ["measure"]


def measure(count: int, seed: int = 0) -> tuple[Counter[str], list[tuple[str, int | None, int | None]]]:
    """Counts of ``right``, ``missed`` and ``wrong``, ``graded`` (answers with a grade), and what was missed or wrong."""
    counts: Counter[str] = Counter()
    unlike: list[tuple[str, int | None, int | None]] = []
    for answer, grade in answers(seed, count):
        found: int | None
        try:
            found = read_grade(answer).value
        except Unreadable:
            found = None
        kind = "right" if found == grade else "missed" if found is None else "wrong"
        counts[kind] += 1
        counts["graded"] += grade is not None
        if kind == "wrong" or (kind == "missed" and len(unlike) < 20):
            unlike.append((answer, grade, found))
    return counts, unlike


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    begun = time.perf_counter()
    counts, unlike = measure(count, seed)
    seconds = time.perf_counter() - begun
    for answer, grade, found in unlike:
        print(f"{'wrong' if found else 'missed'}: {answer!r} is {grade}, read as {found}")
    print(
        f"{count:,} answers, {counts['graded']:,} with a grade: {counts['wrong']} wrong, {counts['missed']:,} missed "
        f"({counts['missed'] / max(1, counts['graded']):.2%}), {seconds:.0f} s"
    )
    if count >= 50_000:
        keep(
            "grades",
            {"answers": count, "seed": seed, **{name: counts[name] for name in ("graded", "right", "missed", "wrong")}},
        )
    sys.exit(1 if counts["wrong"] else 0)


if __name__ == "__main__":
    main()
