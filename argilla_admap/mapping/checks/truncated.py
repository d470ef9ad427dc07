"""A long completion that ends inside a sentence or a block of code."""

from __future__ import annotations

from argilla_admap.mapping.checks.check import Check

__all__ = ["CHECK"]

CHECK = Check(
    name="truncated",
    title="a completion that is cut off",
    sentence="Completion {} stops inside a sentence or a block of code.",
    test=lambda given: given.seen.texts.truncated,
    rank=60,
)
