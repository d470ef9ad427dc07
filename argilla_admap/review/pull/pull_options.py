"""What a pull is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from argilla_admap.errors import InputError
from argilla_admap.formats.format import FieldNames
from argilla_admap.review.pull.resolve import RULES

__all__ = ["PullOptions"]


@dataclass(frozen=True, slots=True)
class PullOptions:
    """How to take the answers in, and what to write.

    Attributes:
        workspace: where the data set's address does not name it.
        resolve: how to settle several reviewers' answers: ``majority``, ``unanimous``, ``latest`` or ``dawid-skene``.
        adjudicators: usernames whose answers outweigh all others'. Those who were asked to decide a conflict do, there.
        rating_question: the question about the label, in an external data set where it is not recognised.
        fields: names of the original's fields, or else of an external data set's, where they are not recognised.
        output: the file or new folder to write, whole or absent, or ``hf:ORG/NAME[:SPLIT]``.
        original: the data that were pushed: written again with only the corrected rows changed. Without it the records are
            written from Argilla's own.
        original_format: its format, where it is not recognised.
        split: of an original with several splits, the one that was pushed, or ``all``.
        format: another format to write.
        on_error: of the original's bad rows, ``stop`` or ``skip``.
        changes: a file that gets a line of JSON a change.
        reviewed_only: write only records with a submitted answer.
        soft: add columns that say how probably the chosen completion is the better one.
        ties: ``keep``, or ``drop`` the records that reviewers find equally good or equally bad. Kept ones are written where the
            format can express them; in a pair, the better side stays.
        dry_run: count, and write nothing, neither here nor on Argilla.

    Raises:
        InputError: a value that cannot be used.
    """

    workspace: str | None = None
    resolve: str = "majority"
    adjudicators: tuple[str, ...] = ()
    rating_question: str | None = None
    fields: FieldNames | None = None
    output: str | None = None
    original: str | None = None
    original_format: str | None = None
    split: str | None = None
    format: str | None = None
    on_error: str = "stop"
    changes: str | None = None
    reviewed_only: bool = False
    soft: bool = False
    ties: str = "keep"
    dry_run: bool = False

    def __post_init__(self) -> None:
        for option, known in (("resolve", tuple(RULES)), ("on_error", ("stop", "skip")), ("ties", ("keep", "drop"))):
            value = getattr(self, option)
            if value not in known:
                raise InputError(f"{value!r} is none of {', '.join(known)}", option=option)
        for path in (self.output, self.changes):
            if path is not None and not path.startswith("hf:") and not (folder := Path(path).resolve().parent).is_dir():
                raise InputError(f"{path}: there is no folder {folder}", hint="make it, or name another place")
        for other in (self.original, self.output):
            if self.changes is not None and other is not None and Path(self.changes).resolve() == Path(other).resolve():
                raise InputError(
                    f"{self.changes} would overwrite another file of this command",
                    option="changes",
                    hint="give it a name of its own",
                )

    def only(self, what: str, *names: str) -> dict[str, Any]:
        """The options of these names, for what takes no others.

        Raises:
            InputError: another one was given.
        """
        for one in fields(self):
            if one.name not in names and getattr(self, one.name) not in (one.default, FieldNames()):
                raise InputError(f"this has no meaning with `{what}`", option=one.name, hint="leave one of them out")
        return {name: getattr(self, name) for name in names}
