"""The map as one HTML file that opens offline: numbers of every record, texts of those most in doubt.

The file's size is bounded: 3 MB at 60,000 records, growing in proportion to 40 MB at a million. Coordinates, P(wrong),
region, flags, source and id of every record come first; scores and labels next; what is left of the bound goes to the first
words of prompts and completions, the records most in doubt first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from argilla_admap.errors import InputError
from argilla_admap.mapping.data_map import DataMap
from argilla_admap.mapping.regions.coordinates import REGION_TITLES
from argilla_admap.mapping.regions.record_flags import FLAG_TITLES
from argilla_admap.records import printable
from argilla_admap.reporting.points import Points, gather_points
from argilla_admap.reporting.review_words import review_panel
from argilla_admap.reporting.words import OUTCOMES, Figure, headline, map_figures, next_step, outcome_figures
from argilla_admap.tables import Spool, atomic_path

__all__ = ["MOST_POINTS", "DataBlock", "PageReport", "RecordLink", "embed_json", "pack_array", "region_lines", "write_page"]

#: The browser packs a record's place and index into 53 bits, 21 of them for the index.
MOST_POINTS = 2**21
#: Records in one block of ids, and in one of texts; a block is unpacked when one of its records is looked at.
BLOCK_ROWS = 2048
TEXT_ROWS = 128
#: Columns of which the page shows the first words.
_READ = ("prompt", "completions", "models", "evidence")
_PROMPT_CHARS = 200
_COMPLETION_CHARS = 160
_MOST_COMPLETIONS = 12
_REASON_CHARS = 240
_MOST_REASONS = 4
_MOST_SOURCES = 400
_LEVEL = 6
_SCRIPTS = ("decode.js", "places.js", "scene.js", "axes.js", "record.js", "panels.js", "review.js", "selection.js", "start.js")


@dataclass(frozen=True, slots=True)
class RecordLink:
    """How the page finds a record in Argilla: by its numbers, and by its id where the review card shows it.

    Attributes:
        page: address of the data set's page, without a query.
        dataset: what the page calls the data set.
        search: the field whose text holds the ids; None where there is none.
    """

    page: str
    dataset: str
    search: str | None = None


@dataclass(frozen=True, slots=True)
class PageReport:
    """What was written: records drawn, records with texts, bytes of the file."""

    records: int
    drawn: int
    texts: int
    bytes: int
    figures: tuple[Figure, ...] = field(default=(), repr=False)


def size_bound(records: int) -> int:
    """The most bytes of a page by its number of records: 3 MB at 60,000, 40 MB at a million, 1.5 MB at least."""
    return int(max(1.5e6, 3e6 + (records - 60_000) * (37e6 / 940_000)))


def write_page(
    data_map: DataMap,
    output: str | os.PathLike[str],
    *,
    title: str = "Alignment data map",
    link: RecordLink | None = None,
    figures: Sequence[Figure] = (),
    name: str = "the map",
    outcomes: Mapping[str, str] | None = None,
    status: Mapping[str, Any] | None = None,
) -> PageReport:
    """Writes the page.

    Args:
        output: the HTML file; whole or absent.
        link: how a record is found in Argilla; without it the page offers to copy the id.
        figures: more lines beside the map's own (of the judge's bias).
        name: what an error calls the map.
        outcomes: record id -> how its review ended: confirmed, corrected, conflict or unclear.
        status: the JSON answer of `admap status`; with it the page gets a panel of the review.
    Raises:
        InputError: no record has a place on the map, or `output` cannot be written.
    """
    points = gather_points(data_map)
    order = _most_doubtful_first(points)
    drawn = len(order)
    if not drawn:
        raise InputError(f"{name}: no record has two scored completions, so none has a place on the map", hint="score the data")
    reviews = _review_codes(points, outcomes or {})
    words = (*map_figures(points), *outcome_figures(points, reviews), *figures)
    blocks, columns = _number_blocks(points, order, reviews)
    blocks += _id_blocks(points, order)
    room = size_bound(drawn) - sum(map(len, blocks)) - 120_000
    value_blocks, valued = _value_blocks(points, order, room // 2)
    blocks += value_blocks
    room -= sum(map(len, value_blocks))
    text_blocks = _text_blocks(data_map, points, order, room)
    blocks += text_blocks
    texts = min(drawn, len(text_blocks) * TEXT_ROWS)
    manifest = {
        "n": drawn,
        "records": len(points),
        "title": title,
        "headline": headline(points),
        "columns": columns,
        "block": BLOCK_ROWS,
        "textBlock": TEXT_ROWS,
        "texts": texts,
        "valued": valued,
        "flags": list(points.flag_names),
        "flagTitles": FLAG_TITLES,
        "regionNames": ["no region", *REGION_TITLES.values()],
        "regionTerms": ["", *REGION_TITLES],
        "reviewNames": ["not reviewed", *OUTCOMES.values()],
        "next": next_step(points, reviews, pushed=link is not None),
        "sources": _source_names(points),
        "thresholds": region_lines(points.info),
        "figures": [asdict(figure) for figure in words],
        "link": asdict(link) if link else None,
        "review": review_panel(status) if status else None,
    }
    with atomic_path(output) as temporary:
        with temporary.open("wb") as file:
            file.writelines(_assemble(manifest, blocks))
        size = temporary.stat().st_size
    return PageReport(records=len(points), drawn=drawn, texts=texts, bytes=size, figures=words)


def _most_doubtful_first(points: Points) -> npt.NDArray[np.int64]:
    """Mapped records by P(wrong) down, then contested down, then as they stand in the file."""
    places = np.flatnonzero(points.mapped)
    doubt = np.nan_to_num(points.numbers["p_wrong"][places], nan=-1.0)
    split = np.nan_to_num(points.numbers["contested"][places], nan=-1.0)
    return places[np.lexsort((-split, -doubt))][:MOST_POINTS]


def _fractions(values: npt.NDArray[np.float64], steps: int) -> npt.NDArray[Any]:
    """0..1 in `steps` whole steps; steps + 1 means "none"."""
    kind = np.uint16 if steps > 255 else np.uint8
    return np.where(np.isfinite(values), np.rint(np.clip(values, 0, 1) * steps), steps + 1).astype(kind)


def _review_codes(points: Points, outcomes: Mapping[str, str]) -> npt.NDArray[np.uint8]:
    """Shape (n,): 0 where there is no answer, else 1 + the place of the outcome in `OUTCOMES`."""
    ids = pa.array(list(outcomes), pa.string())
    places = {outcome: code for code, outcome in enumerate(OUTCOMES, 1)}
    codes = np.array([0, *map(places.__getitem__, outcomes.values())], np.uint8)
    at: Any = pc.index_in(points.ids, ids)
    found: npt.NDArray[np.uint8] = codes[pc.fill_null(at, -1).to_numpy() + 1]
    return found


def _number_blocks(
    points: Points, order: npt.NDArray[np.int64], reviews: npt.NDArray[np.uint8]
) -> tuple[list[DataBlock], dict[str, str]]:
    numbers = {key: values[order] for key, values in points.numbers.items()}
    doubt = _fractions(numbers["p_wrong"], 65_534)
    arrays: dict[str, npt.NDArray[Any]] = {
        "mean": numbers["mean"].astype(np.float32),
        "variance": numbers["variance"].astype(np.float32),
        # In order already: the differences are tiny and compress well.
        "p_wrong": np.diff(doubt, prepend=doubt.dtype.type(0)),
        "contested": _fractions(numbers["contested"], 254),
        "agreement": _fractions((numbers["agreement"] + 1) / 2, 254),
        "confidence": _fractions(numbers["region_confidence"], 254),
        "region": points.region[order],
        "review": reviews[order],
        "flags": points.flags[order],
        "source": np.minimum(points.source[order], _MOST_SOURCES).astype(np.uint16),
        "k": np.minimum(points.k[order], 65_535).astype(np.uint16),
    }
    return [pack_array(f"c-{key}", values) for key, values in arrays.items()], {
        key: str(values.dtype) for key, values in arrays.items()
    }


def _id_blocks(points: Points, order: npt.NDArray[np.int64]) -> list[DataBlock]:
    ids = points.ids.take(order)
    return [
        pack_json(f"i-{start // BLOCK_ROWS}", [printable(value or "") for value in ids.slice(start, BLOCK_ROWS).to_pylist()])
        for start in range(0, len(order), BLOCK_ROWS)
    ]


def _value_blocks(points: Points, order: npt.NDArray[np.int64], room: int) -> tuple[list[DataBlock], int]:
    """Scores and ratings of as many records as there is room for, those most in doubt first; and how many that is."""
    ends = np.cumsum(points.k)
    valued = len(order)
    while valued:
        chosen = order[:valued]
        k = points.k[chosen]
        # The positions of the chosen records' values, one after the other.
        positions = np.arange(k.sum()) + np.repeat(ends[chosen] - np.cumsum(k), k)
        blocks = [
            pack_array("c-scores", points.scores[positions].astype(np.float32)),
            pack_array("c-ratings", points.ratings[positions].astype(np.float32)),
        ]
        size = sum(map(len, blocks))
        if size <= room:
            return blocks, valued
        valued = min(int(valued * max(room, 0) / size * 0.95), valued - 1)
    return [], 0


def _text_blocks(data_map: DataMap, points: Points, order: npt.NDArray[np.int64], room: int) -> list[DataBlock]:
    """First words of prompts and completions, the records most in doubt first, until the room is used up."""
    # A record's words take 60 bytes or more, so no more records are held than can fit.
    wanted = min(len(order), max(room, 0) // 60)
    rank = np.full(len(points), -1, np.int64)
    rank[order[:wanted]] = np.arange(wanted)
    spool, kept = Spool[bytes](), np.zeros(wanted, np.int64)
    names = [name for name in data_map.schema.names if name in _READ]
    start = 0
    for batch in data_map.stream().columns(names):
        here = rank[start : start + batch.num_rows]
        start += batch.num_rows
        chosen = np.flatnonzero(here >= 0)
        if len(chosen):
            for place, row in zip(here[chosen].tolist(), _first_words(batch.take(chosen)), strict=True):
                kept[place] = len(spool)
                spool.add(orjson.dumps(row))
    blocks = []
    for first in range(0, wanted, TEXT_ROWS):
        rows = [orjson.Fragment(spool[index]) for index in kept[first : first + TEXT_ROWS].tolist()]
        block = pack_json(f"t-{first // TEXT_ROWS}", rows)
        room -= len(block)
        if room < 0:
            break
        blocks.append(block)
    return blocks


def _first_words(batch: pa.RecordBatch) -> list[Any]:
    """[prompt, [completion, ...], [model, ...], [reason, ...]] of each row, cut."""
    prompts = pc.utf8_slice_codeunits(batch.column("prompt"), 0, _PROMPT_CHARS).to_pylist()
    lists: Any = batch.column("completions")
    texts = pc.utf8_slice_codeunits(lists.flatten(), 0, _COMPLETION_CHARS).to_pylist()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_pylist()
    has_models = "models" in batch.schema.names
    models = batch.column("models").to_pylist() if has_models else [None] * batch.num_rows
    has_reasons = "evidence" in batch.schema.names
    reasons = batch.column("evidence").to_pylist() if has_reasons else [None] * batch.num_rows
    rows = []
    start = 0
    for prompt, length, named, why in zip(prompts, lengths, models, reasons, strict=True):
        shown = [printable(text or "") for text in texts[start : start + min(length, _MOST_COMPLETIONS)]]
        names = [printable(m or "")[:60] for m in named[:_MOST_COMPLETIONS]] if named and any(named) else []
        reasons_shown = [printable(reason)[:_REASON_CHARS] for reason in (why or ())[:_MOST_REASONS] if reason]
        rows.append([printable(prompt or ""), shown, names, reasons_shown])
        start += length
    return rows


def _source_names(points: Points) -> list[str]:
    names = [printable(name)[:120] for name in points.source_names]
    return (
        names if len(names) <= _MOST_SOURCES else [*names[:_MOST_SOURCES], f"(the other {len(names) - _MOST_SOURCES} sources)"]
    )


def region_lines(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The region lines: one pair for the whole, or one for each stratum."""
    found = info.get("strata") or info.get("thresholds")
    if not isinstance(found, Mapping):
        return []
    pairs = {"": found} if "variance" in found else found
    return [
        {"name": str(name), "variance": float(pair["variance"]), "mean": float(pair["mean"])}
        for name, pair in pairs.items()
        if isinstance(pair, Mapping) and all(isinstance(pair.get(key), (int, float)) for key in ("variance", "mean"))
    ]


def _assemble(manifest: Mapping[str, Any], blocks: Sequence[DataBlock]) -> Iterator[bytes]:
    """The template with the data put in, piece by piece; what was put in is never searched for a marker."""
    folder = resources.files(__package__) / "assets"
    style = (folder / "page.css").read_bytes()
    script = b"".join((folder / name).read_bytes() for name in _SCRIPTS)
    script = b'"use strict";\n(() => {\n' + script + b"})();\n"
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts: dict[bytes, Iterable[bytes]] = {
        b"policy": (policy.encode(),),
        b"style": (style,),
        b"manifest": (embed_json(manifest),),
        b"blocks": (block.element() for block in blocks),
        b"script": (script,),
    }
    for place, piece in enumerate((folder / "page.html").read_bytes().split(b"@@")):
        yield from parts[piece] if place % 2 else (piece,)


def _digest(text: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text).digest()).decode()


@dataclass(frozen=True, slots=True)
class DataBlock:
    """Data in the page: base64 of a zlib stream, so that no text of a data set can be read as markup."""

    name: str
    data: bytes

    def __len__(self) -> int:
        return len(self.data)

    def element(self) -> bytes:
        """Its `<script type="text/plain">`."""
        return b'<script type="text/plain" id="' + self.name.encode() + b'">' + self.data + b"</script>\n"


def pack_array(name: str, values: npt.NDArray[Any]) -> DataBlock:
    """The array's bytes, little-endian, all first bytes, then all second ones, ...: that compresses to a third less."""
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    planes = plain.view(np.uint8).reshape(-1, plain.dtype.itemsize).T
    return DataBlock(name, base64.b64encode(zlib.compress(planes.tobytes(), _LEVEL)))


def pack_json(name: str, value: Any) -> DataBlock:
    """JSON in a block."""
    return DataBlock(name, base64.b64encode(zlib.compress(orjson.dumps(value), _LEVEL)))


def embed_json(value: Mapping[str, Any]) -> bytes:
    """JSON that can stand inside a `<script type="application/json">`: ASCII, and nothing that ends or opens a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()
