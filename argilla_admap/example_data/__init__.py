"""The demo's data: real pairs with recorded GPT-4 scores, and known label errors planted into a copy of them."""

from __future__ import annotations

import gzip
import json
from importlib import resources
from pathlib import Path

import numpy as np

from argilla_admap.tables import atomic_path

__all__ = ["PLANTED_SHARE", "write_example"]

#: The share of the pairs whose label the demo flips.
PLANTED_SHARE = 0.1


def write_example(folder: Path, *, share: float = PLANTED_SHARE, seed: int = 0) -> tuple[Path, list[str]]:
    """Writes the example with flipped labels, and the list of what was flipped, into `folder`.

    The same call writes the same bytes, so that a second demo finds the records of the first.

    Args:
        folder: made when absent.
        share: of the pairs, 0 to 1, whose two ratings are exchanged.
        seed: of the choice.
    Returns:
        The path of the JSONL file, and the ids of the flipped pairs.
    """
    packed = resources.files(__package__).joinpath("llmbar_pairs_gpt4.jsonl.gz").read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(packed).decode().splitlines()]
    chosen = np.random.default_rng(seed).choice(len(rows), size=round(share * len(rows)), replace=False)
    flipped = [rows[position]["id"] for position in sorted(chosen)]
    for position in chosen:
        first, second = rows[position]["completions"]
        first["rating"], second["rating"] = second["rating"], first["rating"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "preferences.jsonl"
    _write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    _write(folder / "planted_errors.txt", "".join(f"{record_id}\n" for record_id in flipped))
    return path, flipped


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
