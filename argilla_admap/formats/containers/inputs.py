"""A source's name to its shards: a file, a folder of shards, a saved data set, the Hugging Face Hub, standard input."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.compressed import EXTENSIONS, container_of, no_such_file
from argilla_admap.formats.containers.csv_text import CsvShard
from argilla_admap.formats.containers.json_text import json_shard
from argilla_admap.formats.containers.shard import Shard
from argilla_admap.formats.containers.table_files import ArrowShard, HubShard, ParquetShard, hub_splits
from argilla_admap.tables import output_errors, temporary_folder

__all__ = ["open_source"]

#: A split's name in the path of a file.
_SPLIT = re.compile(r"(?<![a-z])(train|training|test|validation|valid|val|dev|eval)(?![a-z])")
#: One of several files, as the Hub names them, with or without a hash at the end.
_PART = re.compile(r"(.*?)-?([0-9]{5})-of-([0-9]{5})[^/]*")
_PIPE = "pipe JSON Lines into the command, or name a file"
_SAVE_AGAIN = "save the data set again"


def open_source(
    source: str | os.PathLike[str], *, split: str | None = None, whole: bool = True, empty: bool = False
) -> list[Shard]:
    """The shards of a source, in order.

    Args:
        source: a file, a folder, ``hf:ORG/NAME[:SPLIT]``, or ``-`` for JSON Lines on standard input.
        split: which split of a data set with several, or ``all``.
        whole: False where only the first rows will be asked for: then a data set of the Hub is streamed, not fetched.
        empty: a file of JSON without a row will do.

    Raises:
        InputError: there is nothing there, or nothing that can be read; or there are several splits, and none is named.
    """
    words = os.fspath(source)
    if not words:
        raise InputError("the input's name is empty", hint="give a file, a folder, hf:ORG/NAME or argilla:DATASET")
    if words.startswith("hf:"):
        # The rest may be a folder's path; a split's name has no slash.
        name, colon, named = words[3:].rpartition(":")
        if not colon or "/" in named:
            name, named = words[3:], split or ""
        if not name:
            raise InputError(f"{words}: names no data set, expected hf:ORG/NAME or hf:ORG/NAME:SPLIT")
        if split not in (None, named):
            raise InputError(f"{words} names another split", option="split", hint="leave one of the two out")
        splits = [named] if named not in ("", "all") else hub_splits(name)
        if not named and "train" in splits:
            others = ", ".join(one for one in splits if one != "train")
            note = f"of hf:{name} only the split train is read, not {others}; name one with `split`, or `split` all"
            return [HubShard(name, "train", whole=whole, note=note if others else "")]
        return [HubShard(name, one, whole=whole) for one in (splits if named else _asked(words, None, splits))]
    path = Path(words)
    if (path / "dataset_dict.json").is_file():
        splits = _asked(words, split, [str(name) for name in _json(path / "dataset_dict.json", "splits")])
        return [shard for one in splits for shard in _saved(path / one)]
    if split is not None:
        raise InputError(f"{words}: has no splits", option="split", hint="leave it out")
    if words == "-":
        return [json_shard(_spooled_stdin(), "jsonl", "standard input")]
    if path.is_dir():
        return _saved(path) if (path / "state.json").is_file() else _folder(path)
    if not path.exists():
        raise no_such_file(path)
    if not path.is_file():
        # It is gone through more than once.
        raise InputError(
            f"{path}: is no file that can be read again", hint="give - as the input's name for what is piped in, or name a file"
        )
    return [_file(path, empty)]


def _asked(name: str, split: str | None, splits: Sequence[str]) -> list[str]:
    """The splits to read. A part is never taken for the whole: of several, one must be named."""
    if split == "all" or (split is None and len(splits) == 1):
        return list(splits)
    if split in splits:
        return [str(split)]
    names = ", ".join(splits) or "none"
    if split is not None:
        raise InputError(f"{name}: there is no split {split!r}", option="split", hint=f"name one of {names}")
    raise InputError(f"{name}: has the splits {names}", hint="name one with `split`, or `split` all")


def _file(path: Path, empty: bool) -> Shard:
    container = container_of(path)
    if container in ("jsonl", "json"):
        return json_shard(path, container, empty=empty)
    kinds: dict[str, type[CsvShard | ParquetShard | ArrowShard]] = {
        "csv": CsvShard,
        "parquet": ParquetShard,
        "arrow": ArrowShard,
    }
    return kinds[container](path)


def _folder(path: Path) -> list[Shard]:
    files = sorted(
        p for p in path.rglob("*") if p.is_file() and not any(part.startswith((".", "_")) for part in p.relative_to(path).parts)
    )
    extensions = [next((s for s in map(str.lower, p.suffixes[-2:]) if s in EXTENSIONS), "") for p in files]
    kinds = sorted(set(extensions) - {""})
    # Data sets carry small JSON files about themselves: they are no shards.
    if len(kinds) > 1 and ".json" in kinds:
        kinds.remove(".json")
    if not kinds:
        raise InputError(f"{path}: no file in this folder can be read, expected one of {', '.join(EXTENSIONS)}")
    if len(kinds) > 1:
        raise InputError(
            f"{path}: holds files of several kinds ({', '.join(kinds)})", hint="name one file, or a folder with one kind"
        )
    # A part of many may hold no row: of its records all were left out, or it was a shard of none. Its note says so.
    taken = [p for p, extension in zip(files, extensions, strict=True) if extension == kinds[0]]
    shards = [_file(p, True) for p in taken]
    notes = (shards[0].note, _folder_note([p.relative_to(path).as_posix() for p in taken]))
    shards[0].note = "; ".join(filter(None, notes))
    return shards


def _folder_note(names: Sequence[str]) -> str:
    """What a user should know of a folder's files: that they are of several splits, or that some of a row are missing."""
    notes = []
    splits: dict[str, int] = {}
    rows: dict[tuple[str, int], set[int]] = {}
    for name in names:
        for split in dict.fromkeys(_SPLIT.findall(name.lower())):
            splits[split] = splits.get(split, 0) + 1
        if (part := _PART.fullmatch(name)) is not None:
            rows.setdefault((part[1], int(part[3])), set()).add(int(part[2]))
    if len(splits) > 1:
        found = ", ".join(f"{split} ({count} file{'s' * (count != 1)})" for split, count in splits.items())
        notes.append(f"the files of several splits are read together: {found}; to read one alone name its file or folder")
    for (beginning, of), there in rows.items():
        if len(there) < of:
            files = f"{len(there)} of its {of} files {'is' if len(there) == 1 else 'are'}"
            notes.append(f"of {beginning or 'the data set'} {files} here; what the others hold is not read")
    return "; ".join(notes)


def _saved(path: Path) -> list[Shard]:
    """The Arrow files that the state of a folder of `datasets.save_to_disk` names."""
    shards: list[Shard] = [
        ArrowShard(path / Path(str(f.get("filename"))).name) for f in _json(path / "state.json", "_data_files")
    ]
    if not shards:
        raise InputError(f"{path}: the saved data set has no data files", hint=_SAVE_AGAIN)
    return shards


def _json(path: Path, key: str) -> list[Any]:
    try:
        value = orjson.loads(path.read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path}: cannot be read as a saved data set's state ({exc})", hint=_SAVE_AGAIN) from exc
    if not isinstance(value, list):
        raise InputError(f"{path}: {key!r} is no list", hint=_SAVE_AGAIN)
    return value


def _spooled_stdin() -> Path:
    """Standard input in a temporary file, since it is gone through more than once. Raises InputError where there is none."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("-: standard input is a terminal", hint=_PIPE)
    until_the_end = ExitStack()
    # Registered before it is filled: an interrupted copy is removed too.
    atexit.register(until_the_end.close)
    path = until_the_end.enter_context(temporary_folder("admap-stdin")) / "stdin.jsonl"
    with output_errors(tempfile.gettempdir(), "name a folder with room in TMPDIR"), path.open("xb") as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        if not spool.tell():
            raise InputError("-: standard input is empty", hint=_PIPE)
    return path
