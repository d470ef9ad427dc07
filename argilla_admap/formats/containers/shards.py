"""A source's name to its shards: a file, a folder of shards, a saved data set, the hub, standard input."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from argilla_admap.errors import InputError
from argilla_admap.formats.containers.csv_rows import CsvFile
from argilla_admap.formats.containers.json_rows import json_shard
from argilla_admap.formats.containers.opening import EXTENSIONS, Shard, container_of, spooled_stdin
from argilla_admap.formats.containers.parquet_rows import ArrowFile, HubDataset, ParquetFile

__all__ = ["SavedDataset", "open_source", "shard_of"]


def open_source(source: str | os.PathLike[str], *, whole: bool = True) -> list[Shard]:
    """The shards of a source, in order.

    Args:
        source: a file, a folder, ``hf:ORG/NAME[:SPLIT]``, or ``-`` for JSON Lines on standard input.
        whole: False where only the first rows will be asked for: then a data set of the hub is streamed, not fetched.

    Raises:
        InputError: there is nothing there, or nothing that can be read.
    """
    words = os.fspath(source)
    if not words:
        raise InputError("the input's name is empty; give a file, a folder, hf:ORG/NAME or argilla:DATASET")
    if words == "-":
        return [json_shard(spooled_stdin(), "jsonl", "standard input")]
    if words.startswith("hf:"):
        # The rest may be a folder's path; a split's name has no slash.
        name, colon, split = words[3:].rpartition(":")
        if not colon or "/" in split:
            name, split = words[3:], "train"
        if not name:
            raise InputError(f"{words}: names no data set, expected hf:ORG/NAME or hf:ORG/NAME:SPLIT")
        return [HubDataset(name, split, whole=whole)]
    path = Path(words)
    if path.is_dir():
        return list(_folder(path))
    if not path.exists():
        raise InputError(f"{path}: there is no such file; check the path, or write hf:ORG/NAME for a data set of the hub")
    return [shard_of(path)]


def shard_of(path: Path, name: str | None = None) -> Shard:
    """One file as a shard. Raises InputError for a name whose extension tells no container."""
    container = container_of(path)
    if container == "parquet":
        return ParquetFile(path, name)
    if container == "arrow":
        return ArrowFile(path, name)
    return CsvFile(path, name) if container == "csv" else json_shard(path, container, name)


def _folder(path: Path) -> list[Shard]:
    if (path / "state.json").is_file():
        return SavedDataset(path).shards
    if (path / "dataset_dict.json").is_file():
        splits = _json(path / "dataset_dict.json", "splits")
        if len(splits) == 1 or "train" in splits:
            return _folder(path / ("train" if "train" in splits else splits[0]))
        raise InputError(f"{path}: has the splits {', '.join(splits)}; name one, for example {path / splits[0]}")
    files = sorted(
        p for p in path.rglob("*") if p.is_file() and not any(part.startswith((".", "_")) for part in p.relative_to(path).parts)
    )
    of: Callable[[Path], str] = lambda p: next((s for s in map(str.lower, p.suffixes[-2:]) if s in EXTENSIONS), "")  # noqa: E731  # local and once
    kinds = sorted({of(p) for p in files} - {""})
    # Data sets carry small JSON files about themselves: they are no shards.
    if len(kinds) > 1 and ".json" in kinds:
        kinds.remove(".json")
    if not kinds:
        raise InputError(f"{path}: no file in this folder can be read, expected one of {', '.join(EXTENSIONS)}")
    if len(kinds) > 1:
        raise InputError(f"{path}: holds files of several kinds ({', '.join(kinds)}); name one file, or a folder with one kind")
    return [shard_of(p) for p in files if of(p) == kinds[0]]


class SavedDataset:
    """A folder of `datasets.save_to_disk`. Its `shards` are the Arrow files that its state names."""

    def __init__(self, path: Path) -> None:
        files = [str(f.get("filename")) for f in _json(path / "state.json", "_data_files")]
        self.shards: list[Shard] = [ArrowFile(path / Path(f).name) for f in files]
        if not self.shards:
            raise InputError(f"{path}: the saved data set has no data files; save it again")


def _json(path: Path, key: str) -> list[Any]:
    try:
        value = orjson.loads(path.read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path}: cannot be read as a saved data set's state ({exc}); save the data set again") from exc
    if not isinstance(value, list):
        raise InputError(f"{path}: {key!r} is no list; save the data set again")
    return value
