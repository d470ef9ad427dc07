"""A rating far outside the scale of all others, such as a 1 multiplied by ten."""

from __future__ import annotations

from argilla_admap.mapping.checks.check import Check

__all__ = ["CHECK"]

CHECK = Check(
    name="impossible_value",
    title="a rating outside the scale",
    sentence="The rating of completion {} is outside the scale of all others.",
    test=lambda given: given.labels.impossible,
    rank=10,
)
