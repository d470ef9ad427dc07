"""Which rows of a file a reviewed record is, though the file was edited, corrected or put in another order since it was read.

A record's id says it nearly always. It does not where several records of one id, or without ids of their own and with the same
texts, stood in the file: the first of them has the plain id, the others a suffix, and a row more or less gives another one the
plain id. So these are looked at together, and where it cannot be told which is which, nothing is written.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from argilla_admap.formats.format import Chosen
from argilla_admap.formats.ids import safe_id, suffixes, without_label
from argilla_admap.formats.registry import RecordRows
from argilla_admap.records import content_id, printable

__all__ = ["Label", "Matches", "RowMatcher", "SeenRecord", "label_of", "moved", "same_label", "text_print"]

Label = tuple[float | None, ...]

#: So many unknown records at the end of a file, and none before, are no additions: the data set was made with a limit.
_BEYOND_LIMIT = 10
_SUFFIXED = re.compile(r"(.*)-([0-9a-f]{10})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """A record as its reviewers saw it, completions in the record's own order.

    Attributes:
        label: its ratings when it was pushed.
        prompt: its prompt.
        completions: its texts; empty where they are not known to be those that the file holds.
        prints: of its texts, where these are not at hand: `text_print` of each.
    """

    label: Label
    prompt: str = ""
    completions: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()


def text_print(text: str) -> str:
    """A fingerprint of a text, whatever white space stands around it."""
    return hashlib.blake2b(_bare(text).encode(), digest_size=8).hexdigest()


def _bare(text: str) -> str:
    return printable(text).strip()


def same_label(first: Sequence[float | None], second: Sequence[float | None]) -> bool:
    """Whether two labels say the same; the least digits of a number do not count."""
    return len(first) == len(second) and all(
        a is b or (a is not None and b is not None and abs(a - b) <= 1e-6 * max(1.0, abs(a), abs(b)))
        for a, b in zip(first, second, strict=True)
    )


def label_of(record: RecordRows) -> Label:
    """The label that the file gives the record now."""
    return record.draft.ratings or (None,) * len(record.draft.completions)


@dataclass(slots=True)
class Matches:
    """What was found.

    Attributes:
        rows: record id -> its records in the file: one, or several where rows repeat each other.
        already: ids whose rows cannot be told from others, and all of these say what the answer says.
        unclear: ids whose rows cannot be told from others.
        absent: ids that the file does not hold.
    """

    rows: dict[str, list[RecordRows]] = field(default_factory=dict)
    already: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Group:
    """Records of the file, and reviewed ones, that share an id or, without one, their texts."""

    asked: list[str] = field(default_factory=list)
    records: list[tuple[int, RecordRows]] = field(default_factory=list)  # with their positions in the file

    def by_id(self) -> dict[str, list[RecordRows]]:
        found: dict[str, list[RecordRows]] = defaultdict(list)
        for _, record in self.records:
            found[record.id].append(record)
        return found

    def left(self, told: Mapping[str, list[RecordRows]]) -> list[RecordRows]:
        """The records that are none of those."""
        taken = {id(record) for same in told.values() for record in same}
        return [record for _, record in self.records if id(record) not in taken]


class RowMatcher:
    """Gathers the records of one pass that may be reviewed ones, and tells them apart at its end.

    Args:
        chosen: the file's format.
        answers: record id -> the label that holds now.
        seen: record id -> the record as its reviewers saw it.
        known: the ids of all records that were pushed; None where they are not known.
    """

    def __init__(
        self,
        chosen: Chosen,
        answers: Mapping[str, Sequence[float | None]],
        seen: Mapping[str, SeenRecord],
        known: Collection[str] | None,
    ) -> None:
        self._chosen = chosen
        self._answers = answers
        self._seen = seen
        # A view and no copy: of a million records that is large.
        self._known = known
        self._with_suffix: dict[str, set[str]] = defaultdict(set)
        for identity in () if known is None else chain(known, answers):
            if match := _SUFFIXED.fullmatch(identity):
                self._with_suffix[match[1]].add(identity)
        self._by_id: dict[str, _Group] = {}
        self._by_texts: dict[str, _Group] = {}
        for identity in answers:
            for base in _bases(identity):
                self._by_id.setdefault(base, _Group()).asked.append(identity)
            record = seen.get(identity)
            if record is not None and record.completions:
                self._by_texts.setdefault(_texts_id(record.prompt, record.completions), _Group()).asked.append(identity)
        #: Records so far; the place of the last known one; unknown ones, in all and before that place.
        self._count = self._last_known = self._unknown = self._unknown_before = 0

    def add(self, record: RecordRows) -> None:
        """Takes the next record of the file in."""
        self._count += 1
        group = self._group(record)
        if group is not None:
            group.records.append((self._count, record))
        if self._is_known(record.id):
            self._last_known, self._unknown_before = self._count, self._unknown
        else:
            self._unknown += 1

    def _is_known(self, identity: str) -> bool:
        return self._known is not None and (identity in self._known or identity in self._answers)

    def _group(self, record: RecordRows) -> _Group | None:
        draft = record.draft
        if draft.id is not None:
            return self._by_id.get(safe_id(draft.id))
        found = self._by_texts.get(_texts_id(draft.prompt, draft.completions))
        # Without the texts that the reviewers saw, a pair may still have been turned round since.
        return found or next((self._by_id[one] for one in _content_ids(record) if one in self._by_id), None)

    def matches(self) -> Matches:
        """Which records of the file each reviewed one is, after the last was added."""
        found = Matches()
        told: dict[int, dict[str, list[RecordRows]]] = {}
        for identity in self._answers:
            groups = [self._by_id[base] for base in _bases(identity)]
            seen = self._seen.get(identity)
            if seen is not None and seen.completions:
                groups.append(self._by_texts[_texts_id(seen.prompt, seen.completions)])
            group = next((one for one in groups if any(r.id == identity for _, r in one.records)), None)
            group = group or next((one for one in groups if one.records), None)
            if group is None:
                found.absent.append(identity)
                continue
            if id(group) not in told:
                told[id(group)] = self._tell_apart(group)
            if records := told[id(group)].get(identity):
                found.rows[identity] = records
            elif all(self._says(record, identity) for _, record in group.records):
                found.already.append(identity)
            elif any(self._fits(record, identity) for record in group.left(told[id(group)])):
                found.unclear.append(identity)
            else:
                found.absent.append(identity)
        return found

    def places(self, record: RecordRows, identity: str) -> tuple[int, ...] | None:
        """For each completion of the file's record, its place in the reviewed one; None where the texts are others."""
        k = len(record.draft.completions)
        seen = self._seen.get(identity)
        if seen is None or not (seen.completions or seen.prints):
            turned = record.draft.id is None and k == 2 and _content_ids(record)[1] in _bases(identity)
            return (1, 0) if turned else tuple(range(k))
        look = _bare if seen.completions else text_print
        own = [_bare(text) for text in seen.completions] or list(seen.prints)
        theirs = [look(text) for text in record.draft.completions]
        if sorted(own) != sorted(theirs):
            return None
        places: list[int] = []
        for text in theirs:
            places.append(next(i for i, mine in enumerate(own) if mine == text and i not in places))
        return tuple(places)

    def _tell_apart(self, group: _Group) -> dict[str, list[RecordRows]]:
        """For each pushed record of the group that can be told, its records in the file."""
        records = group.by_id()
        if self._known is None:
            turned = {one: same for same in records.values() for one in _content_ids(same[0]) if one in group.asked}
            return records if any(one in records for one in group.asked) or len(records) > 1 else turned
        pushed = self._pushed(group)
        if len(pushed) == len(records) == 1:
            return dict(zip(pushed, records.values(), strict=True))
        ends = {name: suffixes(r[0].draft, without_label(r[0].values, r[0].draft, self._chosen)) for name, r in records.items()}
        if set(records) == pushed:
            if self._may_be_corrected(group, records):
                return {}
            # One that says something else now may be another, from which it differed in the label alone.
            doubtful = {
                ends[one][0] for one in records if one.endswith(ends[one][1]) and self._is_changed(records[one][0], one)
            }
            return {one: same for one, same in records.items() if self._may_be(same[0], one, ends[one][0] in doubtful)}
        told: dict[str, list[RecordRows]] = {}
        doubtful = set()
        # All but the first of an id have a suffix: of their texts, or of all that they hold, where others have the texts too.
        for which in (1, 0):
            for identity in sorted(pushed - set(told)):
                match = _SUFFIXED.fullmatch(identity)
                same = [name for name in records if match and match[2] == ends[name][which]]
                if len(same) == 1 and self._may_be(records[same[0]][0], identity, ends[same[0]][0] in doubtful and not which):
                    told[identity] = records.pop(same[0])
                    if which and not self._is_as_seen(told[identity][0], identity):
                        # It may be another one of the same texts, from which this one differed in the label alone.
                        doubtful.add(ends[same[0]][0])
                elif same:
                    told[identity] = []
        left = pushed - set(told)
        if len(left) == 1:
            (last,) = left
            fitting = [name for name, same in records.items() if self._fits(same[0], last)]
            if len(fitting) > 1 and self._read_with_a_limit():
                read = {record.id for position, record in group.records if position <= self._last_known}
                fitting = [name for name in fitting if name in read]
            if len(fitting) == 1 and self._may_be(records[fitting[0]][0], last, ends[fitting[0]][0] in doubtful):
                told[last] = records[fitting[0]]
        return told

    def _may_be(self, record: RecordRows, identity: str, doubtful: bool) -> bool:
        """Whether to take the record for this one; where that is in doubt, only if nothing is written by it."""
        return not doubtful or identity not in self._answers or self._says(record, identity)

    def _is_changed(self, record: RecordRows, identity: str) -> bool:
        return identity in self._seen and not self._is_as_seen(record, identity)

    def _is_as_seen(self, record: RecordRows, identity: str) -> bool:
        seen = self._seen.get(identity)
        return seen is not None and same_label(label_of(record), moved(seen.label, self.places(record, identity)))

    def _read_with_a_limit(self) -> bool:
        """Whether the data set was made of the first records of the file: then those behind the last of them tell nothing."""
        return not self._unknown_before and self._unknown >= _BEYOND_LIMIT

    def _pushed(self, group: _Group) -> set[str]:
        """The ids of all pushed records of the group, those without an answer too."""
        bases = {base for one in group.asked for base in _bases(one)}
        for _, record in group.records:
            bases.update(_content_ids(record))
        return {base for base in bases if self._is_known(base)}.union(*(self._with_suffix.get(base, set()) for base in bases))

    def _may_be_corrected(self, group: _Group, records: Mapping[str, list[RecordRows]]) -> bool:
        """Whether the file may be one where corrections gave records without ids the ids of each other.

        Then its records do not say what their reviewers saw; or it would look the same after the corrections are written.
        """
        orders = {base for one in records for base in _bases(one) if base in records}
        reviewed = [one for one in records if one in self._seen and one in self._answers]
        if len(orders) < 2 or group.records[0][1].draft.id is not None:
            return False
        turned = {_bases(one)[-1] for one in reviewed if not self._says(records[one][0], one)}
        return len(turned) > 1 or any(self._is_changed(records[one][0], one) for one in reviewed)

    def _says(self, record: RecordRows, identity: str) -> bool:
        """Whether the file's record says what the answer says."""
        return same_label(label_of(record), moved(self._answers[identity], self.places(record, identity)))

    def _fits(self, record: RecordRows, identity: str) -> bool:
        """Whether the file's record has the texts that the reviewers saw."""
        return self.places(record, identity) is not None


def _bases(identity: str) -> tuple[str, ...]:
    """The id, and what it is without the suffix that it may have."""
    match = _SUFFIXED.fullmatch(identity)
    return (identity, match[1]) if match else (identity,)


def _texts_id(prompt: str, completions: Sequence[str]) -> str:
    return content_id(_bare(prompt), sorted(map(_bare, completions)))


def _content_ids(record: RecordRows) -> tuple[str, ...]:
    """The ids that a record without one has by its texts: as they stand, and of a pair the other way round."""
    draft = record.draft
    if draft.id is not None:
        return ()
    orders = [draft.completions, draft.completions[::-1]][: 2 if len(draft.completions) == 2 else 1]
    return tuple(content_id(draft.prompt, order) for order in orders)


def moved(label: Sequence[float | None], places: Sequence[int] | None) -> Label:
    """The label in the order of the file's record; empty where it does not fit."""
    return tuple(label[place] for place in places) if places is not None and len(places) == len(label) else ()
