"""Ids that are unique in what is read, and the duplicates and contradictions that come to light on the way."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from argilla_admap.formats.format import Chosen, Copy, Draft, Path, Row, RowError, Swap, TieCannotBeSaid
from argilla_admap.formats.values import at
from argilla_admap.records import content_id

__all__ = ["Identities", "Identity", "canonical", "safe_id", "suffixes", "without_label"]

#: Longer ids are cut: some databases index no more.
_LONGEST = 200
# Control characters, line and paragraph separators, and the marks that turn the direction of text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def safe_id(original: str) -> str:
    """The id that a record gets for the id in its data: the same, where it can be shown, sent and written anywhere.

    An id with control characters or line ends, with spaces at its ends, or of more than 200 characters becomes its readable
    part and a hash of the whole. Anyone who holds the original id can compute it with this function.
    """
    if len(original) <= _LONGEST and original == original.strip() and not _UNSAFE.search(original):
        return original
    readable = _UNSAFE.sub("_", original).strip()[:120]
    return f"{readable}-{_digest(original)}"


def _digest(*parts: str) -> str:
    """Ten hex digits, the same on every machine and run."""
    digest = hashlib.blake2b(digest_size=5)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def canonical(value: object) -> str:
    """The value as JSON, the same for equal values; what JSON has no word for as its Python text."""
    try:
        return orjson.dumps(value, default=repr, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Lone surrogates, and whole numbers of more than 64 bits.
        return json.dumps(value, default=repr, sort_keys=True)


def without_label(rows: Sequence[Row], draft: Draft, chosen: Chosen) -> str:
    """All that the record's rows hold but its label, as JSON: the same before and after any correction of the label.

    The label is what the format's corrections write. Two values that a correction exchanges count without their order.
    """
    k = len(draft.completions)
    written: set[Path] = set()
    exchanged: set[tuple[Path, ...]] = set()
    # Of three orders, one at least changes each rating, and each way round of a pair is among them.
    for ratings in (range(1, k + 1), range(k, 0, -1), range(k + 1, 2 * k + 1)):
        try:
            edits = chosen.format.correct(rows, draft, [float(rating) for rating in ratings], chosen.fields)
        except (TieCannotBeSaid, RowError):
            continue
        for number, mine in enumerate(edits):
            for edit in mine:
                if isinstance(edit, Swap):
                    exchanged.add(tuple(sorted(((number, *edit.first), (number, *edit.second)), key=repr)))
                else:
                    written.add((number, *(edit.target if isinstance(edit, Copy) else edit.path)))
    label = written | {path for pair in exchanged for path in pair}

    def leaves(value: object, path: Path) -> Iterator[tuple[Path, Any]]:
        if path in label:
            return
        if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
            for step, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
                yield from leaves(inner, (*path, step))
        elif not any(place[: len(path)] == path for place in label):
            yield path, value

    sides = [sorted(canonical(at(rows, path)) for path in pair) for pair in sorted(exchanged, key=repr)]
    return canonical([list(leaves(rows, ())), sides])


def suffixes(draft: Draft, unlabelled: str) -> tuple[str, str]:
    """What tells the record from others of its id: a hash of its texts; one of its texts and all else but the label."""
    texts = [draft.prompt, *sorted(draft.completions)]
    return _digest(*texts), _digest(*texts, unlabelled)


@dataclass(frozen=True, slots=True)
class Identity:
    """A record's final id, and what the record turned out to be.

    Attributes:
        id: unique, except that an exact duplicate has the id of its first.
        duplicate: its rows are those of an earlier record.
        contradicts: same texts as an earlier record with another label, whatever their order.
        shared: the data's id was an earlier record's, so that this one has a suffix.
    """

    id: str
    duplicate: bool = False
    contradicts: bool = False
    shared: bool = False


class Identities:
    """Gives each record of one pass its id.

    An id that is taken gets a suffix of ten hex digits: a hash of the record's own texts; where those are the first's too, of
    the texts and all else in its rows but the label. Neither the place in the file nor a corrected label changes it. Only
    where nothing but the label differs does the label count too.

    Memory: about 200 bytes a record, in Python's hashes, which are fast and never leave this pass.
    """

    def __init__(self) -> None:
        #: Hash of an id -> its record's place in the arrays; hash of texts -> that of the record that had them first.
        self._ids: dict[int, int] = {}
        self._first: dict[int, int] = {}
        #: Hashes of each record's texts, of its id and rows, and of its label.
        self._texts, self._rows, self._labels = array("q"), array("q"), array("q")

    def name(self, draft: Draft, rows: str, unlabelled: Callable[[], str]) -> Identity:
        """The record's id. Called once for each record, in the order of the data.

        Args:
            draft: the record.
            rows: all that its rows hold, the same for rows that are equal (`canonical`).
            unlabelled: the same without the label (`without_label`); only called for an id that is taken.
        """
        wanted = content_id(draft.prompt, draft.completions) if draft.id is None else safe_id(draft.id)
        ratings = draft.ratings or (None,) * len(draft.completions)
        # A pair says the same whichever side comes first, so contradictions are sought without regard to the order. Ratings
        # are compared as text: Python hashes the numbers -1 and -2 alike.
        pairs = sorted(zip(draft.completions, map(repr, ratings), strict=True))
        texts = hash((draft.prompt, *(text for text, _ in pairs)))
        label = hash(tuple(pairs))

        def suffixed() -> Iterator[str]:
            yield wanted
            by_texts, by_rest = suffixes(draft, unlabelled())
            if self._texts[self._ids[hash(wanted)]] != texts:
                yield f"{wanted}-{by_texts}"
            yield f"{wanted}-{by_rest}"
            yield f"{wanted}-{_digest(by_rest, *(rating for _, rating in pairs))}"
            yield f"{wanted}-{_digest(wanted, rows)}"

        for candidate in suffixed():
            exact = hash((candidate, rows))
            place = self._ids.get(hash(candidate))
            if place is None:
                break
            if self._rows[place] == exact:
                return Identity(candidate, duplicate=True)
        place = self._ids[hash(candidate)] = len(self._texts)
        self._texts.append(texts)
        self._rows.append(exact)
        self._labels.append(label)
        contradicts = self._labels[self._first.setdefault(texts, place)] != label
        return Identity(candidate, contradicts=contradicts, shared=candidate != wanted and not contradicts)
