"""The reasons for P(wrong) in words and numbers, so that a person can disagree. No word of the data set's own is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.mapping.checks.detectors import Findings
from argilla_admap.mapping.data.arrays import Bools, Floats, Ints
from argilla_admap.mapping.data.observations import Observations
from argilla_admap.mapping.wrong.diagnosis import Diagnosis
from argilla_admap.records import letter

__all__ = ["Evidence"]

#: Weights of less than this, in log-odds, are not worth a sentence.
WORTH_SAYING = 0.1
#: Of less than this "a little", of more than the other "strongly": odds of 2 and of 8 to 1.
LITTLE, STRONG = float(np.log(2.0)), float(np.log(8.0))
#: Log-odds beyond which the number is not told: scores alone cannot prove more, since a judge may be wrong altogether.
MOST_TOLD = float(np.log(30.0))
UNPLACED = "It has no place on the map: fewer than two of its completions are scored."
_KINDS = {
    "model": "Which models wrote them speaks",
    "other records": "The other records of this prompt speak",
    "style": "Length and form of the texts speak",
    "words": "The words of the texts speak",
}
_FOUND = {
    "impossible_value": "The rating of completion {} is outside the scale of all others.",
    "opposite_duplicate": "The same two completions of this prompt, or of one like it, have the opposite label elsewhere.",
    "contradiction": "The other records of this prompt, or of one like it, order the completions the other way.",
    "identical_completions": "Completion {} is word for word another one, rated differently.",
    "empty": "Completion {} is empty.",
    "truncated": "Completion {} stops inside a sentence or a block of code.",
    "wrong_language": "Completion {} is in another language than the prompt or its rivals.",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sentences are made of; rendered a batch at a time, since the sentences of all records are large."""

    seen: Observations
    diagnosis: Diagnosis
    findings: Findings
    placed: Bools

    def column(self, start: int, stop: int) -> pa.Array[Any]:
        """The sentences of records start..stop, a list of strings each; what was found on the record's face comes first."""
        n = stop - start
        sentences = [self._finding(name, start, stop) for name in self.findings.records]
        sentences.append(_where(~self.placed[start:stop], pa.scalar(UNPLACED)))
        sentences += self._pair(start, stop)
        # Column by column to row by row, without the nulls.
        flat: Any = pa.concat_arrays([s.cast(pa.string()) for s in sentences])
        order: Any = pa.array(np.arange(n * len(sentences)).reshape(len(sentences), n).T.reshape(-1))
        flat = flat.take(order)
        said = np.asarray(flat.is_valid()).reshape(n, len(sentences))
        ends: Any = pa.array(np.concatenate([[0], np.cumsum(said.sum(axis=1))]).astype(np.int32))
        return pa.ListArray.from_arrays(ends, flat.drop_null())

    def _finding(self, name: str, start: int, stop: int) -> Any:
        mask = self.findings.records[name][start:stop]
        if name not in self.findings.completions:
            return _where(mask, pa.scalar(_FOUND[name]))
        first, last = self.seen.offsets[start], self.seen.offsets[stop]
        flat = self.findings.completions[name][first:last]
        owner = np.repeat(np.arange(stop - start), self.seen.sizes[start:stop])
        which = np.zeros(stop - start, np.int64)
        hits = np.flatnonzero(flat)[::-1]
        which[owner[hits]] = hits + first - self.seen.offsets[start + owner[hits]]
        before, after = _FOUND[name].split("{}")
        return _where(mask, _joined(before, _letters(which), after))

    def _pair(self, start: int, stop: int) -> list[Any]:
        """The pair in dispute: what the label says, what each kind of evidence says, and how much."""
        if self.diagnosis.mixture is None:
            return []
        above, below = self.diagnosis.above[start:stop], self.diagnosis.below[start:stop]
        known = above >= 0
        up, down = _letters(above), _letters(below)
        parts = {name: values[start:stop] for name, values in self.diagnosis.contributions.items()}
        total = np.sum(list(parts.values()), axis=0)
        against = known & (total > 0)
        odds = _number(np.exp(np.minimum(np.abs(total), MOST_TOLD)), 0, at_least=1)
        more = _where_else(np.abs(total) > MOST_TOLD, "more than ", "about ")
        headline = _joined(
            "The label has ", down, " above ", up, "; the evidence has ", up, " above ", down, ", ", more, odds, " to 1."
        )
        support = _joined("The evidence has ", down, " above ", up, " as the label does, ", more, odds, " to 1.")
        sentences = [_where(against, headline), _where(known & ~against, support)]
        for name, values in parts.items():
            worth = known & (np.abs(values) >= WORTH_SAYING)
            strength = np.abs(values)
            how = _where_else(strength >= STRONG, " strongly", _where_else(strength < LITTLE, " a little", ""))
            side = _where_else(values > 0, " against the label (", " for the label (")
            scores = self._scores(name, start, stop, up, down, above, below, known) if name.startswith("judge") else None
            said = _KINDS.get(name, name) if scores is None else scores
            weight = _number(values, 1, signed=True)
            sentences.append(_where(worth, _joined(said, how, side, weight, ").")))
        sentences.append(self._noise(above, below, known, start, stop))
        return sentences

    def _scores(self, name: str, start: int, stop: int, up: Any, down: Any, above: Ints, below: Ints, known: Bools) -> Any:
        scores = self.seen.scores if name == "judge" else self.seen.other_scores[name.removeprefix("judge ")]
        begin = self.seen.offsets[start:stop]
        values = [scores[np.where(known, begin + place, 0)] for place in (above, below)]
        given = [_where_else(np.isfinite(v), _number(v, 1), "no score") for v in values]
        who = "The judge" if name == "judge" else "Another judge"
        return _joined(who, " gives ", up, " ", given[0], " and ", down, " ", given[1], ", which speaks")

    def _noise(self, above: Ints, below: Ints, known: Bools, start: int, stop: int) -> Any:
        """Whether the judge's repeated samples could have come out the other way."""
        errors = self.seen.error_variances()
        begin = self.seen.offsets[start:stop]
        first, second = np.where(known, begin + above, 0), np.where(known, begin + below, 0)
        spread = np.sqrt(errors[first] + errors[second])
        difference = np.abs(self.seen.scores[first] - self.seen.scores[second])
        with np.errstate(invalid="ignore"):
            unsure = known & (spread > 0) & (difference < 2 * spread) & (self.seen.sample_counts[first] > 1)
        told = _joined(
            "The judge's samples vary: their difference of ", _number(difference, 1), " is good to ± ", _number(spread, 1), "."
        )
        return _where(unsure, told)


def _letters(places: Ints) -> Any:
    names: Any = pa.array([letter(place) for place in range(int(places.max(initial=0)) + 1)])
    at: Any = pa.array(np.maximum(places, 0))
    return names.take(at)


def _number(values: Floats, digits: int, *, signed: bool = False, at_least: float = 0) -> Any:
    rounded = np.round(np.nan_to_num(np.asarray(values, np.float64)), digits)
    rounded = np.where(np.abs(rounded) < at_least, at_least, rounded)
    text: Any = pc.cast(pa.array(rounded if digits else rounded.astype(np.int64)), pa.string())
    # Arrow writes 2.0 as "2" in some versions and as "2.0" in others.
    text = pc.replace_substring_regex(text, r"\.0$", "")
    return _joined(_where_else(rounded > 0, "+", ""), text) if signed else text


def _joined(*parts: Any) -> Any:
    length = next(len(p) for p in parts if not isinstance(p, str))
    columns: list[Any] = [pa.repeat(p, length) if isinstance(p, str) else p for p in parts]
    return pc.binary_join_element_wise(*columns, "", null_handling="emit_null")


def _where(mask: Bools, text: Any) -> Any:
    return pc.if_else(pa.array(mask), text, pa.scalar(None, pa.string()))


def _where_else(mask: Bools, yes: Any, no: Any) -> Any:
    return pc.if_else(pa.array(mask), yes, no)
