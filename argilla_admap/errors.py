"""What can go wrong, as one tree.

::

    AdmapError                 exit code 1; the root: ``except AdmapError`` catches all that we raise
    ├── InputError             exit code 2; a file, a row, an option or a value that cannot be used
    │   └── DefaultModelGone   the default judge was shut down, or the endpoint does not have it, and no other was named
    ├── OutputError            exit code 1; a disk that is full or fails while a file is written
    ├── ScoringError           exit code 1; the judge cannot be asked at all
    │   └── JudgeRefused       authentication, quota, an unknown model: asking again will not help
    ├── ArgillaError           exit code 1; the Argilla server cannot be reached or says no
    │   └── UnknownDataset     exit code 2; no data set or workspace there has the name that was given
    └── ServerError            exit code 1; the embedded server, or a program that it needs

Each message says what, where and which value; `hint` says what to do next, and `option` names the parameter that was at
fault. Parameters are named as Python names them, in backticks (```max_cost```): a script reads them as they are, and the
command line, the one place that knows flags, prints the flag instead (:mod:`argilla_admap.cli.flags`).

Errors of libraries are translated at the boundary (``raise InputError(...) from exc``), so that no traceback reaches a user of
the command line. A message never holds a key or a password.
"""

from __future__ import annotations

import copyreg
from typing import Any

__all__ = [
    "AdmapError",
    "ArgillaError",
    "DefaultModelGone",
    "InputError",
    "JudgeRefused",
    "OutputError",
    "ScoringError",
    "ServerError",
    "UnknownDataset",
]


class AdmapError(Exception):
    """The root of all errors that this package raises on purpose.

    Args:
        message: what, where and which value; without an ending full stop.
        hint: what to do next, without an ending full stop: "name another column with `rating_field`".
        option: the Python name of the parameter whose value cannot be used, such as ``max_cost``.
    """

    exit_code = 1

    def __init__(self, message: str = "", *, hint: str = "", option: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.option = option

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors travel between processes with all that they hold; by default only the message would.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]  # as pickle calls it

    def __str__(self) -> str:
        named = f"`{self.option}`: {self.message}" if self.option else self.message
        return f"{named}; {self.hint}" if self.hint else named


class InputError(AdmapError):
    """A file, a row, an option or a value that cannot be used; nothing was written or spent."""

    exit_code = 2


class DefaultModelGone(InputError):
    """The default judge was shut down, or its endpoint does not have it; nothing was asked.

    Args:
        replacement: the model to name in its place; None: nobody says which.
    """

    def __init__(self, message: str, *, hint: str, replacement: str | None) -> None:
        super().__init__(message, hint=hint, option="models")
        self.replacement = replacement


class OutputError(AdmapError):
    """A disk that is full or fails while a file is written; the file is absent, or as it was before."""


class ScoringError(AdmapError):
    """The judge cannot be asked."""


class JudgeRefused(ScoringError):
    """The judge's server refused for a reason that asking again will not mend."""


class ArgillaError(AdmapError):
    """The Argilla server cannot be reached, or refused."""


class UnknownDataset(ArgillaError):
    """No data set, or no workspace, of the server has the name that was given, or several have it."""

    exit_code = 2


class ServerError(AdmapError):
    """The embedded server could not be started, stopped or found."""
