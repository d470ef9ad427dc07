"""Ids that are unique in what is read, and the duplicates and contradictions that come to light on the way."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from argilla_admap.formats.format import Draft
from argilla_admap.records import content_id

__all__ = ["HashSet", "Identities", "Named", "safe_id"]

#: Longer ids are cut: some databases index no more.
_LONGEST = 200
_MASK = 2**64 - 1
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


class HashSet:
    """A set of non-zero 64-bit numbers in about 16 bytes each: a tenth of what Python's own takes.

    The numbers must be hashes: their low bits choose the place.
    """

    def __init__(self) -> None:
        self._places = array("Q", bytes(8 * 1024))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, value: int) -> bool:
        places = self._places
        mask = len(places) - 1
        at = value & mask
        while places[at]:
            if places[at] == value:
                return True
            at = (at + 1) & mask
        return False

    def add(self, value: int) -> bool:
        """Adds the number; True where it was not there."""
        places = self._places
        mask = len(places) - 1
        at = value & mask
        while places[at]:
            if places[at] == value:
                return False
            at = (at + 1) & mask
        places[at] = value
        self._count += 1
        if self._count * 3 > len(places) * 2:
            self._grow()
        return True

    def _grow(self) -> None:
        old = self._places
        places = array("Q", bytes(16 * len(old)))
        mask = len(places) - 1
        for value in old:
            if value:
                at = value & mask
                while places[at]:
                    at = (at + 1) & mask
                places[at] = value
        self._places = places


@dataclass(frozen=True, slots=True)
class Named:
    """A draft's final id, and what it turned out to be.

    Attributes:
        id: unique, except that an exact duplicate has the id of its first.
        duplicate: same id, texts and label as an earlier record.
        contradicts: same texts as an earlier record with another label, whatever their order.
        shared: the data's id was an earlier record's of other texts, so that this one has a suffix.
    """

    id: str
    duplicate: bool = False
    contradicts: bool = False
    shared: bool = False


class Identities:
    """Gives each record of one pass its id.

    An id that is taken gets a suffix of ten hex digits: a hash of the record's own texts, and of its label too where the texts
    are those of an earlier record. Neither the place in the file, nor the correction of a label whose texts are in the data
    once, changes it. The memory is about 16 bytes a hash, four hashes a record.
    """

    def __init__(self) -> None:
        self._ids = HashSet()
        self._texts = HashSet()
        self._labelled = HashSet()
        self._exact = HashSet()

    def name(self, draft: Draft) -> Named:
        """The draft's id. Called once for each record, in the order of the data."""
        wanted = content_id(draft.prompt, draft.completions) if draft.id is None else safe_id(draft.id)
        ratings = draft.ratings or (None,) * len(draft.completions)
        # Python's own hashes are fast, and nothing of them leaves this pass. As numbers, -1 and -2 would have the same.
        exact = hash((wanted, draft.prompt, draft.completions, repr(ratings))) & _MASK or 1
        # A pair says the same whichever side comes first, so contradictions are sought without regard to the order.
        pairs = sorted(zip(draft.completions, map(repr, ratings), strict=True))
        texts = hash((draft.prompt, *(text for text, _ in pairs))) & _MASK or 1
        labelled = hash((texts, *(rating for _, rating in pairs))) & _MASK or 1
        if self._ids.add(hash(wanted) & _MASK or 1):
            self._exact.add(exact)
            return Named(wanted, contradicts=self._contradicts(texts, labelled))
        ids = [wanted, *_suffixed(wanted, draft, pairs)]
        for level, candidate in enumerate(ids):
            if (exact ^ level) in self._exact:
                return Named(candidate, duplicate=True)
        # The last is of all that tells the record from a duplicate, so it is free.
        level, candidate = next((n, c) for n, c in enumerate(ids) if n == 3 or (n and self._ids.add(hash(c) & _MASK or 1)))
        self._exact.add(exact ^ level)
        contradicts = self._contradicts(texts, labelled)
        return Named(candidate, contradicts=contradicts, shared=not contradicts)

    def _contradicts(self, texts: int, labelled: int) -> bool:
        new_label = self._labelled.add(labelled)
        return not self._texts.add(texts) and new_label


def _suffixed(wanted: str, draft: Draft, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The id with hashes of the texts in any order; of these and the label; of the texts in their order and the label."""
    texts = [draft.prompt, *(text for text, _ in pairs)]
    yield f"{wanted}-{_digest(*texts)}"
    yield f"{wanted}-{_digest(*texts, *(rating for _, rating in pairs))}"
    yield f"{wanted}-{_digest(draft.prompt, *draft.completions, repr(draft.ratings))}"
