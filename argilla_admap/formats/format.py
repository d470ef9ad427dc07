"""What a format is: rows of somebody's file to a draft of a record, and a new label back to edits of those rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from argilla_admap.records import Turn

__all__ = [
    "Copy",
    "Draft",
    "Edit",
    "FieldNames",
    "Format",
    "Path",
    "Put",
    "Row",
    "RowError",
    "RowFormat",
    "Swap",
    "TieCannotBeSaid",
    "places_of",
]

#: One row of a file, as its container gives it.
Row = Mapping[str, Any]
#: Where a value stands in a row: keys and list positions from the row inwards.
Path = tuple[str | int, ...]


class RowError(Exception):
    """A row cannot be used; the message says which value and what was expected. The reader adds file and line."""


class TieCannotBeSaid(Exception):
    """The format has no way to write that completions are equally good, or equally bad.

    Attributes:
        edits: what of it can be written: ratings beside a pair become equal, and the pair stays a pair.
    """

    def __init__(self, edits: Sequence[Edit] = ()) -> None:
        super().__init__()
        self.edits = list(edits)


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Names of a row's fields, given by hand. Dots go inwards (``meta.uid``) and through lists (``completions.response``).

    Attributes:
        prompt: the prompt, a text or a list of messages; several are joined in their order.
        completion: one list field, or one field for each completion.
        chosen: the better completion of a pair.
        rejected: the worse one.
        rating: one list field, or one field for each completion; for formats that know their completions, the rating's field.
        order: whether the ``higher`` or the ``lower`` rating is the better; None: told from the field's name and values.
        verdict: one field that says which completion is better.
        verdict_values: what its values mean, as pairs of ``a``, ``b``, ..., ``tie`` or ``both_bad`` and a value.
        id: the record's id.
        source: where the record is from, for stratifying.
        annotator: who gave the label.
        scales: of `rows.verdict_scale`, what a format settled for its verdicts by the first rows; not given by hand.
    """

    prompt: str | tuple[str, ...] | None = ()
    completion: tuple[str, ...] = ()
    chosen: str | None = None
    rejected: str | None = None
    rating: tuple[str, ...] = ()
    order: str | None = None
    verdict: str | None = None
    verdict_values: tuple[tuple[str, str], ...] = ()
    id: str | None = None
    source: str | None = None
    annotator: str | None = None
    scales: tuple[Any, ...] = ()

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompt's fields."""
        return (self.prompt,) if isinstance(self.prompt, str) else tuple(self.prompt or ())

    @property
    def says_the_texts(self) -> bool:
        """Whether the texts' fields are named, so that no format needs to be recognised."""
        return bool(self.prompts or self.completion or self.chosen or self.rejected)


@dataclass(slots=True)
class Draft:
    """A record before it has its final id. The tuples that are not empty have one length, K.

    `places` names for each completion the places that hold its rating, in the row (of a group: with the row's position in
    front); a correction is written there. `ranked`: ranks stand there, the lowest is the best. `remarks`: what was decided for
    this record and a person should know; the same words in each such record.
    """

    prompt: str
    completions: tuple[str, ...]
    ratings: tuple[float | None, ...] = ()
    places: tuple[tuple[Path, ...], ...] = ()
    ranked: bool = False
    turns: tuple[Turn, ...] = ()
    models: tuple[str | None, ...] = ()
    samples: tuple[tuple[float | None, ...], ...] = ()
    reasons: tuple[str | None, ...] = ()
    id: str | None = None
    source: str | None = None
    annotator: str | None = None
    judge: str | None = None
    reference: str | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Put:
    """Sets one value; all else in the row stays."""

    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Swap:
    """Exchanges two values as they are written."""

    first: Path
    second: Path


@dataclass(frozen=True, slots=True)
class Copy:
    """Writes at one place what stands at another."""

    source: Path
    target: Path


Edit = Put | Swap | Copy


def places_of(edit: Edit) -> tuple[Path, ...]:
    """All places that the edit reads or writes."""
    if isinstance(edit, Swap):
        return edit.first, edit.second
    return (edit.source, edit.target) if isinstance(edit, Copy) else (edit.path,)


class Format(ABC):
    """A way of writing preference data. One instance serves all files: it keeps no state.

    Attributes:
        name: its name, for the parameter `format`.
        takes: in plain words, what is taken for what.
    """

    name: ClassVar[str]
    takes: ClassVar[str]

    @abstractmethod
    def fits(self, row: Row) -> bool:
        """Whether the row looks like this format; cheap, and never raises."""

    @abstractmethod
    def parse(self, rows: Sequence[Row], fields: FieldNames) -> Draft:
        """The record that the rows hold. Raises RowError."""

    @abstractmethod
    def correct(
        self, rows: Sequence[Row], draft: Draft, ratings: Sequence[float | None], fields: FieldNames
    ) -> list[list[Edit]]:
        """The edits of each row that make `parse` give the order of `ratings` (null: leave that one as it is).

        Raises:
            TieCannotBeSaid: two equal ratings in a format that only knows better and worse.
        """

    def settle(self, sample: Sequence[Row], fields: FieldNames) -> FieldNames:
        """The field names to use for the whole file, after a look at its first rows."""
        return fields

    def describe(self, fields: FieldNames) -> str:
        """In plain words, what is taken for what."""
        return self.takes

    def group_key(self, row: Row) -> Hashable | None:
        """Consecutive rows of one key hold one record; None: each row is a record."""
        return None


class RowFormat(Format):
    """A format that holds one record a row."""

    @abstractmethod
    def parse_row(self, row: Row, fields: FieldNames) -> Draft:
        """The record that the row holds. Raises RowError."""

    @abstractmethod
    def correct_row(self, row: Row, draft: Draft, ratings: Sequence[float | None], fields: FieldNames) -> list[Edit]:
        """The edits of the row; see `correct`."""

    def parse(self, rows: Sequence[Row], fields: FieldNames) -> Draft:
        return self.parse_row(rows[0], fields)

    def correct(
        self, rows: Sequence[Row], draft: Draft, ratings: Sequence[float | None], fields: FieldNames
    ) -> list[list[Edit]]:
        return [self.correct_row(rows[0], draft, ratings, fields)]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The format in which a source is read, and the field names that were settled for it."""

    format: Format
    fields: FieldNames = field(default_factory=FieldNames)

    @property
    def name(self) -> str:
        return self.format.name

    @property
    def description(self) -> str:
        return self.format.describe(self.fields)

    def __str__(self) -> str:
        return f"{self.name} ({self.description})"
