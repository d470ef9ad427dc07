"""What `admap status` answers of a review of 60 records, for the tests of the report."""

from __future__ import annotations

from typing import Any

__all__ = ["STANDING"]


def _confusion(*counts: int) -> dict[str, dict[str, int]]:
    return {
        "against_the_label": {"corrected": counts[0], "confirmed": counts[1]},
        "with_the_label": {"corrected": counts[2], "confirmed": counts[3]},
    }


def _bin(number: int, records: int, said: float | None, corrected: float | None) -> dict[str, Any]:
    spread = {"low": max(0.0, (corrected or 0) - 0.1), "high": min(1.0, (corrected or 0.9) + 0.1)}
    return {"from": number / 10, "to": (number + 1) / 10, "records": records, "said": said, "corrected": corrected, **spread}


_BINS = {0: (48, 0.04, 1 / 48), 9: (12, 0.95, 0.75)}

STANDING: dict[str, Any] = {
    "dataset": "default/pairs",
    "advice": "Go on: the next 100 of the best queue are expected to hold about 30 wrong labels.",
    "records": 600,
    "reviewed": 60,
    "corrected": 10,
    "confirmed": 50,
    "conflicts": 0,
    "random": {"drawn": 40, "read": 40},
    "estimated_errors": {"value": 62.0, "low": 41.0, "high": 90.0},
    "remaining_errors": {"value": 52.0, "low": 31.0, "high": 80.0},
    "next_100": 30.0,
    "single_reads": {"corrected": 4, "of": 10, "expected_false": {"value": 1.2, "low": 0.4, "high": 2.5}},
    "judge": {
        "accuracy": 0.8,
        "low": 0.7,
        "high": 0.88,
        "records": 60,
        "random": {"accuracy": None, "low": 0.0, "high": 1.0, "records": 0},
        "confusion": _confusion(9, 3, 1, 47),
        "reliability": [_bin(number, *_BINS.get(number, (0, None, None))) for number in range(10)],
        "by": {
            "source": [
                {
                    "value": "<b>alpha",
                    "accuracy": 0.6,
                    "low": 0.4,
                    "high": 0.8,
                    "records": 20,
                    "confusion": _confusion(8, 0, 0, 12),
                }
            ]
        },
    },
    "slices": [
        {
            "field": "source",
            "value": "<b>alpha",
            "words": "8 of the 10 come from <b>alpha",
            "url": "https://argilla.example/x",
            "no_link": None,
            "unread": ["record-3"],
        },
        {
            "field": "prompts",
            "value": "sum",
            "words": "9 of the 10 come from prompts about sum",
            "url": "javascript:alert(1)",
            "no_link": "Argilla's page cannot filter by what prompts are about, so this slice has no queue",
            "unread": ["record-1", "record-7"],
        },
    ],
}
