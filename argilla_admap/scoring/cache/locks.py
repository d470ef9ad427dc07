"""Locks on keys: two processes on one store never ask the same question at once.

A lock covers one byte of a file in a folder beside the store, at an offset taken from the key. The kernel holds it and releases
it when the process ends, however it ends: there is no lease to expire and no stale process id.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

__all__ = ["KeyLocks"]

# Locks of the open file, where the system has them (Linux): two runs in one process are kept apart too.
_OPEN_FILE_LOCK = getattr(fcntl, "F_OFD_SETLK", None) if struct.calcsize("l") == 8 else None

_FILES = 32


class KeyLocks:
    """KeyLocks on keys, for the processes that share the store at `path`."""

    def __init__(self, path: Path) -> None:
        # The folder's name is older than this class: processes of an earlier version lock here too.
        self._folder = Path(f"{path}-claims")
        self._files: list[int] = []
        #: False where the file system has no locks: two processes may then ask the same question.
        self.supported = True

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # The kernel walks a file's locks one by one: a thousand in one file cost ten times as much as in these.
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        self._files = [os.open(self._folder / f"{n:02d}", flags, 0o600) for n in range(_FILES)]

    def acquire(self, key: bytes) -> bool:
        """Whether the question is ours to ask now."""
        if not self.supported:
            return True
        try:
            if not self._files:
                self._open()
            self._lock(fcntl.F_WRLCK, key)
        except OSError as exc:
            if exc.errno in (errno.EAGAIN, errno.EACCES):
                return False
            self.supported = False
        return True

    def release(self, key: bytes) -> None:
        """Releases a key; its answer, if there is one, is in the store."""
        if self.supported and self._files:
            self._lock(fcntl.F_UNLCK, key)

    def _lock(self, kind: int, key: bytes) -> None:
        file, place = self._files[key[8] % _FILES], int.from_bytes(key[:8], "little") >> 2
        if _OPEN_FILE_LOCK is not None:
            fcntl.fcntl(file, _OPEN_FILE_LOCK, struct.pack("hhqqi", kind, os.SEEK_SET, place, 1, 0))
        elif kind == fcntl.F_UNLCK:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, place)
        else:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)

    def close(self) -> None:
        """Releases all keys."""
        for file in self._files:
            os.close(file)
