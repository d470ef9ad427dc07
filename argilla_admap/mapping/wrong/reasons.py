"""The reasons for P(wrong) in words and numbers, so that a person can disagree. They hold no words of the data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.mapping.data.arrays import Bools, Floats, Ints, choose_text, join_text, letters, offsets_of, text_where
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.diagnosis import Diagnosis

__all__ = ["Evidence"]

#: Smaller weights, in log-odds, get no sentence.
WORTH_SAYING = 0.1
#: Below the first "a little", from the second on "strongly": odds of 2 and of 8 to 1.
LITTLE, STRONG = float(np.log(2.0)), float(np.log(8.0))
#: Nearer to 0 or 1 no probability is stated.
CLOSE = 0.004
#: Numbers that are written in advance, at most.
MOST_NUMBERS = 4096
UNPLACED = "It has no place on the map: fewer than two of its completions are scored."
_KINDS = {
    "model": "The models that wrote them speak",
    "other records": "The other records of this prompt speak",
    "style": "Length and form of the texts speak",
    "words": "The words of the texts speak",
}


class Found(Protocol):
    """What the checks found."""

    def sentences(self, start: int, stop: int) -> list[Any]:
        """The sentences of records start..stop, an Arrow array for each check."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sentences of n records are made of; rendered a batch at a time, since the sentences of all records are large.

    Attributes:
        findings: what the checks found.
        placed: shape (n,), records with a place on the map.
        above, below, contributions: as in `Diagnosis`; no contributions where there is no P(wrong).
        scores: of the pair in dispute, by judge ("judge", "judge NAME"), shape (n, 2); NaN where absent.
        errors: shape (n, 2), variance of the first judge's scores of the two; NaN where unknown.
    """

    findings: Found
    placed: Bools
    above: Ints
    below: Ints
    contributions: dict[str, Floats]
    scores: dict[str, Floats]
    errors: Floats

    @classmethod
    def of(cls, seen: Observations, diagnosis: Diagnosis, findings: Found, placed: Bools) -> Evidence:
        """The evidence on some records, without their numbers."""
        if diagnosis.mixture is None:
            none = np.zeros(0, np.int64)
            return cls(findings, placed, none, none, {}, {}, np.zeros((0, 2)))
        above, below, known = diagnosis.above, diagnosis.below, diagnosis.above >= 0
        pair = np.stack([np.where(known, seen.offsets[:-1] + place, 0) for place in (above, below)], axis=1)
        scores = {"judge": seen.scores[pair], **{f"judge {name}": own[pair] for name, own in seen.other_scores.items()}}
        errors = seen.error_variances()[pair]
        return cls(findings, placed, above, below, diagnosis.contributions, scores, errors)

    def column(self, p_wrong: Floats, noise_rate: float | None, start: int, stop: int) -> pa.Array[Any]:
        """The sentences of records start..stop, a list of strings each; what the checks found comes first.

        Args:
            p_wrong: shape (stop - start,), people's answers included.
            noise_rate: of all records.
        """
        n = stop - start
        pair = self._pair(p_wrong, noise_rate or 0.0, start, stop) if self.contributions else []
        sentences = [*self.findings.sentences(start, stop), text_where(~self.placed[start:stop], UNPLACED), *pair]
        # Column by column to row by row, without the nulls.
        flat: Any = pa.concat_arrays([s.cast(pa.string()) for s in sentences])
        valid = np.asarray(flat.is_valid()).reshape(len(sentences), n).T
        row, sentence = np.nonzero(valid)
        ends: Any = pa.array(offsets_of(valid.sum(axis=1)).astype(np.int32))
        return pa.ListArray.from_arrays(ends, flat.take(pa.array(sentence * n + row)))

    def _pair(self, p_wrong: Floats, noise_rate: float, start: int, stop: int) -> list[Any]:
        """The pair in dispute: what the label says, what each kind of evidence says, and how much."""
        above, below = self.above[start:stop], self.below[start:stop]
        known = above >= 0
        up, down = letters(above), letters(below)
        parts = {name: values[start:stop] for name, values in self.contributions.items()}
        total = np.sum(list(parts.values()), axis=0)
        against = known & (total > 0)
        headline = join_text("The label has ", down, " above ", up, "; the evidence has ", up, " above ", down, ".")
        support = join_text("The evidence has ", down, " above ", up, " as the label does.")
        sentences = [
            text_where(against, headline),
            text_where(known & ~against, support),
            text_where(known & np.isfinite(p_wrong), _sum(total, p_wrong, noise_rate)),
        ]
        for name, values in parts.items():
            worth = known & (np.abs(values) >= WORTH_SAYING)
            strength = np.abs(values)
            how = choose_text(strength >= STRONG, " strongly", choose_text(strength < LITTLE, " a little", ""))
            side = choose_text(values > 0, " against the label (", " for the label (")
            scores = self._scores(name, start, stop, up, down) if name.startswith("judge") else None
            subject = _KINDS.get(name, name) if scores is None else scores
            weight = _number(values, 1, signed=True)
            sentences.append(text_where(worth, join_text(subject, how, side, weight, ").")))
        sentences.append(self._noise(known, start, stop))
        return sentences

    def _scores(self, name: str, start: int, stop: int, up: Any, down: Any) -> Any:
        given = [choose_text(np.isfinite(v), _number(v, 1), "no score") for v in self.scores[name][start:stop].T]
        who = "The judge" if name == "judge" else "Another judge"
        return join_text(who, " gives ", up, " ", given[0], " and ", down, " ", given[1], ", which speaks")

    def _noise(self, known: Bools, start: int, stop: int) -> Any:
        """Whether the judge's repeated samples could have come out the other way."""
        spread = np.sqrt(self.errors[start:stop].sum(axis=1))
        difference = np.abs(np.diff(self.scores["judge"][start:stop], axis=1)[:, 0])
        with np.errstate(invalid="ignore"):
            unsure = known & (spread > 0) & (difference < 2 * spread)
        sentence = join_text(
            "The judge's samples vary: their difference of ", _number(difference, 1), " is good to ± ", _number(spread, 1), "."
        )
        return text_where(unsure, sentence)


def _sum(total: Floats, p_wrong: Floats, noise_rate: float) -> Any:
    """What P(wrong) is made of, in log-odds to one decimal: it adds up as it is written."""
    rate = float(np.clip(noise_rate, CLOSE, 1 - CLOSE))
    p = np.clip(np.nan_to_num(p_wrong, nan=0.5), CLOSE, 1 - CLOSE)
    prior, end, evidence = (np.round(v, 1) for v in (np.log(rate / (1 - rate)), np.log(p / (1 - p)), total))
    first = np.full(len(total), prior)
    return join_text(
        f"The probability adds up, in log-odds: wrong labels are {rate:.0%} here, ",
        _number(first, 1, signed=True),
        "; the evidence, ",
        _number(evidence, 1, signed=True),
        "; how far such evidence can be trusted here, ",
        _number(end - prior - evidence, 1, signed=True),
        "; together ",
        _number(end, 1, signed=True),
        ", a probability of ",
        choose_text(p > 0.994, "above 0.99", choose_text(p < 0.006, "below 0.01", _number(p, 2))),
        ".",
    )


def _number(values: Floats, digits: int, *, signed: bool = False) -> Any:
    rounded = np.asarray(np.round(np.nan_to_num(np.asarray(values, np.float64)), digits) + 0.0, np.float64)  # no minus zero
    # Few numbers of so few digits are different: each is written once.
    whole = np.rint(rounded * 10**digits)
    low, high = whole.min(initial=0.0), whole.max(initial=0.0)
    if high - low < min(len(rounded), MOST_NUMBERS):
        numbers: Floats = np.arange(low, high + 1) / 10**digits
        return _written(numbers, signed=signed).take(pa.array((whole - low).astype(np.int64)))
    return _written(rounded, signed=signed)


def _written(numbers: Floats, *, signed: bool) -> Any:
    # Arrow writes 2.0 as "2" in some versions and as "2.0" in others.
    text: Any = pc.replace_substring_regex(pc.cast(pa.array(numbers), pa.string()), r"\.0$", "")
    return join_text(choose_text(numbers > 0, "+", ""), text) if signed else text
