"""Files of the Batch API: requests on their way out, and lines of answers coming back."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from argilla_admap.scoring.client.protocol import decode
from argilla_admap.scoring.client.request import Request

__all__ = ["RequestFile", "read_line", "sweep"]

#: What the Batch API takes in one file.
MOST_REQUESTS = 50_000
#: A little under 200 MB, whichever megabyte is meant.
MOST_BYTES = 199_000_000


class RequestFile:
    """Requests on their way into one file: written to a draft, then closed under the name of its content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._draft = folder / f"draft-{os.getpid()}-{id(self):x}.part"
        self._file: Any = None
        self._bytes = 0
        #: Keys of the questions, and how often each was asked before.
        self.items: dict[bytes, int] = {}
        self.path = ""
        self.file = ""

    def full(self, question: Request) -> bool:
        """Whether this question wants another file."""
        return bool(self.items) and (
            len(self.items) >= MOST_REQUESTS
            or self._bytes + len(question.body()) + 200 > MOST_BYTES
            or question.path != self.path
        )

    def add(self, question: Request, tries: int, url: str) -> None:
        """Takes a question in, once."""
        key = question.keys[0]
        if key in self.items:
            return
        if self._file is None:
            self.path = question.path
            self._file = self._draft.open("wb")
            self._draft.chmod(0o600)
        line = b'{"custom_id":"%s","method":"POST","url":"%s","body":%s}\n' % (
            key.hex().encode(),
            url.encode(),
            question.body(),
        )
        self._file.write(line)
        self._bytes += len(line)
        self.items[key] = tries

    def close(self) -> tuple[str, str]:
        """Closes the file; returns the submission's name, which the same questions give again, and the file's own name."""
        self._file.close()
        digest = hashlib.blake2b(digest_size=16)
        for key, tries in sorted(self.items.items()):
            digest.update(key + bytes([tries]))
        name = digest.hexdigest()
        # Another process may have gathered the very same questions: its file must not be touched.
        self.file = f"{name}-{os.getpid()}.jsonl"
        self._draft.rename(self._folder / self.file)
        return name, self.file

    def leave_out(self, keys: set[bytes]) -> None:
        """Takes questions out again, of a file that was closed."""
        closed = self._folder / self.file
        marks = {key.hex().encode() for key in keys}
        with closed.open("rb") as lines, self._draft.open("wb") as kept:
            kept.writelines(line for line in lines if line[14:46] not in marks)
        closed.unlink()
        self.items = {key: tries for key, tries in self.items.items() if key not in keys}
        if not self.items:
            self._draft.unlink()

    def discard(self) -> None:
        """Removes what was gathered for nothing."""
        if self._file is not None:
            # What a full disk has refused is written once more here.
            with suppress(OSError):
                self._file.close()
            self._draft.unlink(missing_ok=True)


def read_line(line: bytes) -> tuple[bytes, int, bytes] | None:
    """Key, HTTP status and body of one line of an output or error file; None where it is none of ours."""
    try:
        found = decode(line)
        key = bytes.fromhex(found["custom_id"])
        response = found.get("response")
        if isinstance(response, dict):
            return key, int(response["status_code"]), orjson.dumps(response.get("body"))
        return key, 0, orjson.dumps({"error": found.get("error")})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def sweep(folder: Path, kept: set[str]) -> None:
    """Removes what killed processes left: all files but those of living processes and those to be kept."""
    for file in folder.glob("*-*.*"):
        if file.name in kept:
            continue
        try:
            # A draft and a closed file both hold the number of the process that wrote them.
            os.kill(int(file.name.split("-")[1].partition(".")[0]), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except (ValueError, PermissionError):
            continue
