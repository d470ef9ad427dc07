"""A completion of white space only."""

from __future__ import annotations

from argilla_admap.mapping.checks.check import Check

__all__ = ["CHECK"]

CHECK = Check(
    name="empty",
    title="an empty completion",
    sentence="Completion {} is empty.",
    test=lambda given: given.seen.texts.empty,
    rank=50,
)
