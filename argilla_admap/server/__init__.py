"""An Argilla of one's own, without docker: `argilla_admap.server.start()`, `stop`, `status`, `env`, `backup`, `restore`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argilla_admap.server.data_copy import Backup
    from argilla_admap.server.launcher import Connection, ServerStatus

__all__ = ["backup", "env", "restore", "start", "status", "stop"]

_Place = str | os.PathLike[str] | None


def start(data_dir: _Place = None, port: int | None = None, say: Callable[[str], None] | None = None) -> Connection:
    """Starts the server of a folder, or repairs and finds the one that runs; see `launcher.start`."""
    from argilla_admap.server import launcher

    return launcher.start(data_dir, port, say)


def stop(data_dir: _Place = None, say: Callable[[str], None] | None = None) -> bool:
    """Stops the server of a folder; all data stays. Whether anything ran."""
    from argilla_admap.server import launcher

    return launcher.stop(data_dir, say)


def status(data_dir: _Place = None) -> ServerStatus:
    """How the server of a folder stands; changes nothing."""
    from argilla_admap.server import launcher

    return launcher.status(data_dir)


def backup(
    folder: str | os.PathLike[str],
    data_dir: _Place = None,
    say: Callable[[str], None] | None = None,
    *,
    dry_run: bool = False,
) -> Backup:
    """Copies the server's data into a new folder, also while it runs; see `data_copy.backup`."""
    from argilla_admap.server import data_copy

    return data_copy.backup(folder, data_dir, say, dry_run=dry_run)


def restore(
    folder: str | os.PathLike[str],
    data_dir: _Place = None,
    say: Callable[[str], None] | None = None,
    *,
    dry_run: bool = False,
) -> Backup:
    """Puts a backup in the place of the stopped server's data; see `data_copy.restore`."""
    from argilla_admap.server import data_copy

    return data_copy.restore(folder, data_dir, say, dry_run=dry_run)


def env(data_dir: _Place = None) -> dict[str, str]:
    """What a shell and its programs need to reach the running server, by the names of the environment's variables.

    Raises:
        ServerError: no server runs in the folder.
    """
    from argilla_admap.errors import ServerError
    from argilla_admap.server import launcher

    found = launcher.find(data_dir)
    if found is None:
        raise ServerError(f"no server runs in {launcher.status(data_dir).data_dir}", hint="start it with `admap server start`")
    return {
        "ARGILLA_API_URL": found.url,
        "ARGILLA_API_KEY": found.api_key,
        "ARGILLA_USERNAME": found.username,
        "ARGILLA_PASSWORD": found.password,
    }
