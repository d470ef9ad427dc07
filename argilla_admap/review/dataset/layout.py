"""What the review page holds: fields, questions and their order, for the open and the blind review.

The open layout shows the label and the scores, and asks what becomes of the label. The blind one shows texts only, in an order
that a seed of the record's id shuffles with the data set's key, and asks about the sides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from argilla_admap.errors import InputError
from argilla_admap.records import Record, letter
from argilla_admap.review.argilla.argilla_api import RemoteDataset
from argilla_admap.review.argilla.cipher import key_of, shuffled
from argilla_admap.review.dataset import card
from argilla_admap.review.dataset.answers import BETTER, DEFAULT_SCALE, LABEL_WRONG, RatingScale, question_rating

if TYPE_CHECKING:
    import argilla as rg

__all__ = [
    "NOTE",
    "TITLE",
    "ReviewLayout",
    "build_settings",
    "managed_layout",
    "record_fields",
    "record_title",
    "scale_is_kept",
    "shown_order",
]

#: What a pair's reviewers are asked, by key: about the label, or which side; both where only some records have a label.
OF_LABEL = ("keep", "flip", "tie", "both_bad")
OF_SIDES = ("a", "b", "tie", "both_bad")
OF_BOTH = (*OF_LABEL, "a", "b")
_WORDS = {
    "keep": "Keep the label",
    "flip": "Flip it",
    "tie": "Tie",
    "both_bad": "Both bad",
    "a": "A is better",
    "b": "B is better",
}
NOTE = "note"
TITLE = "admap_title"
#: An id of these characters is printed as it is; any other by its hash.
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,59}")


@dataclass(frozen=True, slots=True)
class ReviewLayout:
    """How one data set asks its reviewers.

    Attributes:
        kind: `pair` asks which of two is better, `ratings` asks a rating of each completion.
        blind: texts only, shuffled.
        k: the smallest and the largest number of completions.
        scale: of the rating questions.
        key: of a blind data set, where it shuffles with it: earlier versions did not.
        choices: of a pair's question, by key: by default the sides where the layout is blind, else what to do with the label.
    """

    kind: Literal["pair", "ratings"]
    blind: bool
    k: tuple[int, int]
    scale: RatingScale = DEFAULT_SCALE
    key: str | None = field(default=None, repr=False)
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "pair" and not self.choices:
            object.__setattr__(self, "choices", OF_SIDES if self.blind else OF_LABEL)

    @property
    def bulk_safe(self) -> bool:
        """Whether one answer to many records at once means the same on each: no side, which stands here or there, is asked."""
        return self.kind == "pair" and not {"a", "b"} & set(self.choices)

    def info(self) -> dict[str, Any]:
        """What is kept with the data set, beside its questions, to recognise the layout again."""
        found: dict[str, Any] = {"kind": self.kind, "blind": self.blind, "k": list(self.k)}
        return {**found, "ratings": [self.scale.low, self.scale.high]} if self.kind == "ratings" else found


def managed_layout(dataset: RemoteDataset) -> ReviewLayout | None:
    """The layout of a data set that we made; None for any other, whatever its names are."""
    if not any(f["name"] == card.FIELD and f["settings"].get("type") == "custom" for f in dataset.fields):
        return None
    questions = {str(question["name"]): question["settings"] for question in dataset.questions}
    stored = dataset.info.get("layout") or {}
    blind = bool(stored.get("blind", LABEL_WRONG not in questions))
    key = key_of(dataset) if stored.get("keyed") else None
    if BETTER in questions:
        offered = tuple(str(option["value"]) for option in questions[BETTER].get("options") or ())
        return ReviewLayout("pair", blind, (2, 2), key=key, choices=offered)
    rated = sum(1 for name in questions if name.startswith("rating_"))
    if rated < 2 or not all(question_rating(i) in questions for i in range(rated)):
        return None
    low, high = stored.get("k", (2, rated))
    scale = RatingScale.identity([int(option["value"]) for option in questions[question_rating(0)]["options"]])
    if "ratings" in stored:
        scale = RatingScale(scale.asked, float(stored["ratings"][0]), float(stored["ratings"][1]))
    return ReviewLayout("ratings", blind, (int(low), int(high)), scale, key)


def scale_is_kept(dataset: RemoteDataset) -> bool:
    """Whether the data set says what its rating questions mean on the data's scale: earlier versions did not."""
    return "ratings" in (dataset.info.get("layout") or {})


def build_settings(
    layout: ReviewLayout, *, client: rg.Argilla | None = None, map_info: Mapping[str, Any] | None = None
) -> rg.Settings:
    """Fields and questions of a data set that we make; its metadata are in :mod:`argilla_admap.review.argilla.properties`.

    Args:
        layout: what to ask.
        client: the connection that the settings belong to; without one Argilla opens its default.
        map_info: the small map in the card, of :func:`argilla_admap.review.dataset.card.map_info`;
            of a blind review the scale alone.

    Raises:
        InputError: fewer than two completions.
    """
    import argilla as rg

    if layout.k[0] < 2:
        raise InputError(f"a review needs at least 2 completions a record, got {layout.k[0]}")
    return rg.Settings(
        fields=[
            # First, because Argilla's list of similar records names a record by its first field.
            rg.TextField(TITLE, title="Record", use_markdown=False, required=True, client=client),
            rg.CustomField(
                card.FIELD,
                title="Blind review" if layout.blind else "Review",
                template=card.template(map_info, blind=layout.blind),
                advanced_mode=True,
                required=True,
                _client=client,
            ),
        ],
        questions=list(_questions(layout, client)),
        allow_extra_metadata=True,
    )


def _questions(layout: ReviewLayout, client: rg.Argilla | None) -> Iterable[Any]:
    import argilla as rg

    if layout.kind == "pair":
        options = {choice: _WORDS[choice] for choice in layout.choices}
        titles = {OF_LABEL: "What becomes of the label?", OF_BOTH: "What becomes of the label, or which is better without one?"}
        title = titles.get(layout.choices, "Which completion is better?")
        # All of them stand on the page: an option that is folded away has no key.
        yield rg.LabelQuestion(BETTER, labels=options, title=title, required=True, visible_labels=len(options), client=client)
    else:
        for index in range(layout.k[1]):
            name = letter(index)
            yield rg.RatingQuestion(
                question_rating(index),
                values=list(layout.scale.asked),
                title=f"How good is {name}?" if index < layout.k[0] else f"How good is {name}, if there is one?",
                required=index < layout.k[0],
                client=client,
            )
    yield rg.TextQuestion(NOTE, title="Note", required=False, client=client)


def shown_order(record_id: str, k: int, *, blind: bool, key: str | None = None) -> tuple[int, ...]:
    """The record's own completion behind each place on the page: place 0 shows completion ``order[0]``.

    The open layout keeps the record's order. The blind one shuffles by a hash of the id and the key.
    """
    return shuffled(record_id, k, key) if blind else tuple(range(k))


def record_title(record_id: str, *, blind: bool, key: str | None = None) -> str:
    """A short name of the record for Argilla's own text field, which is not safe: letters, digits and ``_.:-`` only."""
    if not blind and _PLAIN_ID.fullmatch(record_id):
        return record_id
    return hashlib.blake2b(record_id.encode("utf-8", "surrogatepass"), digest_size=4, key=bytes.fromhex(key or "")).hexdigest()


def record_fields(
    record: Record,
    row: Mapping[str, Any],
    *,
    blind: bool,
    revealed: bool | None = None,
    order: tuple[int, ...] | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    """The values of the two fields of one record.

    Args:
        record: its texts.
        row: its columns of the map, by their names; lists have one value a completion.
        blind: in the blind layout's order.
        revealed: whether label, scores, models and reasons are in it; by default in the open layout only. True in a blind
            layout is for records whose review is completed.
        order: which completion to show at each place; by default the layout's.
        key: of the blind data set.
    """
    order = order or shown_order(record.id, len(record.completions), blind=blind, key=key)
    shown = not blind if revealed is None else revealed
    return {
        TITLE: record_title(record.id, blind=blind, key=key),
        card.FIELD: card.card_value(record, row, order, revealed=shown),
    }
