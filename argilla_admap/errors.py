"""What can go wrong, as one tree.

::

    AdmapError                 exit code 1; the root: ``except AdmapError`` catches all that we raise
    ├── InputError             exit code 2; a file, a row, an option or a value that cannot be used
    ├── ScoringError           exit code 1; the judge cannot be asked at all
    │   ├── JudgeRefused       authentication, quota, an unknown model: asking again will not help
    │   └── BudgetExhausted    ``max_cost`` would be passed by the next call
    ├── ArgillaError           exit code 1; the Argilla server cannot be reached or says no
    │   └── UnknownDataset     exit code 2; no data set or workspace there has the name that was given
    └── ServerError            exit code 1; the embedded server, or a program that it needs

Each message says what, where, which value, and what to do next. Errors of libraries are translated at the boundary
(``raise InputError(...) from exc``), so that no traceback reaches a user of the command line. A message never holds a key or
a password.
"""

from __future__ import annotations

__all__ = [
    "AdmapError",
    "ArgillaError",
    "BudgetExhausted",
    "InputError",
    "JudgeRefused",
    "ScoringError",
    "ServerError",
    "UnknownDataset",
]


class AdmapError(Exception):
    """The root of all errors that this package raises on purpose."""

    exit_code = 1


class InputError(AdmapError):
    """A file, a row, an option or a value that cannot be used; nothing was written or spent."""

    exit_code = 2


class ScoringError(AdmapError):
    """The judge cannot be asked."""


class JudgeRefused(ScoringError):
    """The judge's server refused for a reason that asking again will not mend."""


class BudgetExhausted(ScoringError):
    """The next call could pass ``max_cost``."""


class ArgillaError(AdmapError):
    """The Argilla server cannot be reached, or refused."""


class UnknownDataset(ArgillaError):
    """No data set, or no workspace, of the server has the name that was given, or several have it."""

    exit_code = 2


class ServerError(AdmapError):
    """The embedded server could not be started, stopped or found."""
