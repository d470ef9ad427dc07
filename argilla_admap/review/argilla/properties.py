"""What a record carries on Argilla beside its texts: each metadata property and the vector, defined once.

The layout makes them, push fills them, queues filter on them; a name, a type or a title of one of them stands nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "BY_COLUMN",
    "HIDDEN_KEY",
    "HIDDEN_KEY_TITLE",
    "HIDDEN_PART",
    "MIXED",
    "ORIGINS",
    "POSITION",
    "POSITION_TITLE",
    "PROPERTIES",
    "STALE",
    "TEXTS",
    "TEXTS_TITLE",
    "Kind",
    "Property",
    "decode_term",
    "encode_term",
]

Kind = Literal["float", "terms"]

#: The vector of a record's place on the map, for "find similar".
POSITION = "admap_position"
POSITION_TITLE = "Place on the map"
#: The vector of its texts, for "more like this"; it holds nothing that a blind review hides.
TEXTS = "admap_text"
TEXTS_TITLE = "Words of prompt and completions"

#: The value of `queue` in the records of the mixed sample, whatever part they play there.
MIXED = "mixed"

#: Of a blind review: the key, as the only value that this property, which annotators do not see, offers (no record has it),
#: and the encrypted part of each record, in metadata without a property, which the index does not hold.
HIDDEN_KEY = "admap_seal"
HIDDEN_KEY_TITLE = "Key of what blind records hide"
HIDDEN_PART = "admap_sealed"

#: Answers to other completions than those that a record has now, as JSON: id of the response -> when it was given. In metadata
#: without a property too.
STALE = "admap_stale"


@dataclass(frozen=True, slots=True)
class Property:
    """A metadata property on Argilla.

    Attributes:
        column: the map's column (or what push or pull compute) that it holds.
        kind: Argilla's type. Argilla's index keeps a float as float32.
        title: as the page's filter list shows it.
        low, high: where its values lie, ends included. A link into the page needs both ends of a range.
        always: made with every data set; the others only where they are used.
        neutral: tells nothing about a record, so that annotators may filter by it in a blind review too.
    """

    column: str
    kind: Kind
    title: str
    low: float = 0.0
    high: float = 1.0
    always: bool = True
    neutral: bool = False

    @property
    def name(self) -> str:
        """The property's name on Argilla."""
        return f"admap_{self.column}"

    def request(self, *, blind: bool) -> dict[str, Any]:
        """The request that makes the property. Without options or ends: the server would ignore a later change of them."""
        return {
            "name": self.name,
            "title": self.title,
            "settings": {"type": self.kind},
            "visible_for_annotators": self.neutral or not blind,
        }


#: All of them. Each value costs the server about a millisecond a record, so there are few.
PROPERTIES: tuple[Property, ...] = (
    Property("mean", "float", "Mean score", -1e9, 1e9),
    Property("variance", "float", "Variance of the scores", 0.0, 1e15),
    Property("p_wrong", "float", "P(label is wrong)"),
    # Of records whose own answer P(wrong) has learned from: what estimates rest on, since an answer must not confirm itself.
    Property("p_wrong_unread", "float", "P(label is wrong) without its answer", always=False),
    Property("agreement", "float", "Agreement of label and judge", -1.0, 1.0),
    Property("region", "terms", "Region of the map"),
    Property("flags", "terms", "Flags"),
    Property("issues", "terms", "Found without a judge", always=False),
    # The ratings as JSON: what pull compares an answer with; a blind review's fields must not hold them.
    Property("label", "terms", "Label before the review"),
    # The record's id in the map, where an external data set has another.
    Property("id", "terms", "Id in the map", always=False),
    # The map's completion at each place there, as JSON, where an external data set has another order.
    Property("order", "terms", "Order of the completions", always=False),
    # Where a record comes from, as `encode_term` writes it: wrong labels come in heaps.
    Property("source", "terms", "Source", always=False),
    Property("annotator", "terms", "Annotator", always=False),
    Property("models", "terms", "Models compared", always=False),
    Property("sample", "terms", "Part of the mixed sample", always=False),
    Property("queue", "terms", "Queue", always=False, neutral=True),
    # The random number of the record, of the records drawn into the random sample: these are answered in its order.
    Property("audit", "float", "Random sample", always=False, neutral=True),
    Property("reviewer", "terms", "Assigned to", always=False, neutral=True),
    Property("review", "terms", "Outcome of the review", always=False),
    Property("adjudicate", "terms", "For adjudication by", always=False, neutral=True),
    # As JSON, noted with the outcome: a later push renews the others.
    Property("judged", "terms", "What the map said at its review", always=False),
)

#: Those that say where a record comes from.
ORIGINS = ("source", "annotator", "models")

BY_COLUMN: dict[str, Property] = {prop.column: prop for prop in PROPERTIES}

_UNSAFE = re.compile(r"^[ -]|__|_$|[^A-Za-z0-9_ -]")
_ENCODED = re.compile(r"__([0-9a-f]+)_")


def encode_term(value: str) -> str:
    """A value as a term that a link can carry: what it cannot is written as ``__``, the character's number in hex, ``_``."""
    return _UNSAFE.sub(lambda found: "".join(f"__{ord(character):x}_" for character in found[0]), value)


def decode_term(term: str) -> str:
    """The value that `encode_term` wrote."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), term)
