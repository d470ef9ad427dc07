"""Whether a Parquet file can hold what it says: its footer, and the header of each page, before a page is unpacked.

Both are structs in Thrift's compact protocol, read as the format's specification has them
(https://github.com/apache/parquet-format): of the footer, a `FileMetaData`, the rows and where each column's pages stand; of a
`PageHeader` its fields 2 and 3, the page's bytes unpacked and packed. They are read here, since pyarrow ends the process where
statistics in a damaged footer do not fit together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import IO, Any, NamedTuple

from argilla_admap.formats.containers.compressed import MOST_UNPACKED

__all__ = ["UNPACKED_AT_LEAST", "Footer", "read_footer", "what_it_lies"]

#: Bytes to which any file may unpack.
UNPACKED_AT_LEAST = 2**26
#: Rows for each byte of a Parquet file, from a million on: a row has its own texts, and they take more than this.
_MOST_ROWS_A_BYTE, _ROWS_AT_LEAST = 10, 2**20
#: Bytes that the pages which are unpacked at once may take, one of each column: so many, or so many times the file's size.
_AT_ONCE, _AT_ONCE_TIMES = 2**27, 20
#: Bytes of a page's header, with the statistics that may stand in it; of a footer; and levels of structs and lists within them.
_LONGEST_HEADER, _LONGEST_FOOTER, _MOST_LEVELS = 2**20, 2**25, 16
_HEAD = 2**9


class _Chunk(NamedTuple):
    """The pages of one column in one row group."""

    start: int
    unpacked: int
    packed: int
    dictionary: int
    """About how many bytes its dictionary takes; 0: it has none."""


class Footer(NamedTuple):
    """What a Parquet file says that it holds."""

    rows: int
    groups: list[list[_Chunk]]

    @property
    def dictionaries(self) -> int:
        """About how many bytes the dictionaries of a row group take, of the group with the largest."""
        return max((sum(chunk.dictionary for chunk in group) for group in self.groups), default=0)


def read_footer(file: IO[bytes], size: int) -> Footer:
    """The footer of a Parquet file of `size` bytes. Raises ValueError where it cannot be read."""
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    if length > _LONGEST_FOOTER:
        raise ValueError(f"its footer has {length:,} bytes")
    file.seek(max(0, size - 8 - length))
    try:
        values = _Struct(file.read(length)).fields
        return Footer(_whole(values, 3), [list(map(_chunk, group[1])) for group in values[4]])
    except (IndexError, KeyError, TypeError) as exc:
        raise ValueError("its footer cannot be read") from exc


def _chunk(column: dict[int, Any]) -> _Chunk:
    values = column[3]
    unpacked, packed, data, dictionary = _whole(values, 6), _whole(values, 7), _whole(values, 9), int(values.get(11) or 0)
    head = max(data - dictionary, 0) if dictionary > 0 and packed else 0
    return _Chunk(
        # A row group without rows may have a dictionary and no data: it says 0 then.
        min((at for at in (data, dictionary) if at > 0), default=0),
        unpacked,
        packed,
        min(head * unpacked // packed, unpacked) if head else 0,
    )


def _whole(values: dict[int, Any], field: int) -> int:
    number = values[field]
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"its footer holds {number!r} as a size")
    return number


def what_it_lies(file: IO[bytes], size: int, footer: Footer) -> str:
    """What the file says that it holds and no honest file of its size does; empty where all can be true.

    Args:
        file: its bytes.
        size: how many they are.
        footer: what it says.

    Raises:
        ValueError: a page's header cannot be read.
    """
    if footer.rows > max(_ROWS_AT_LEAST, _MOST_ROWS_A_BYTE * size):
        return f"{footer.rows:,} rows in {size:,} bytes"
    for chunk in chain.from_iterable(footer.groups):
        if chunk.unpacked > UNPACKED_AT_LEAST + MOST_UNPACKED["zstd"] * chunk.packed:
            return f"{chunk.unpacked:,} bytes in {chunk.packed:,}"
    for group in footer.groups:
        at_once = 0
        for chunk in group:
            pages = list(_pages(file, size, chunk))
            # Some writers leave the headers out of the sum.
            if sum(pages) > 2 * chunk.unpacked + 2**20:
                return f"a column of {chunk.unpacked:,} bytes, in pages of {sum(pages):,}"
            at_once += max(pages, default=0)
        if at_once > max(_AT_ONCE, _AT_ONCE_TIMES * size):
            return f"pages of {at_once:,} bytes in {size:,}"
    return ""


def _pages(file: IO[bytes], size: int, chunk: _Chunk) -> Iterator[int]:
    """The bytes of each page of a column's chunk, unpacked."""
    at, end = chunk.start, chunk.start + chunk.packed
    while at < end:
        window = _HEAD
        while True:
            file.seek(at)
            content = file.read(window)
            try:
                header = _Struct(content)
                break
            except IndexError:
                if window >= _LONGEST_HEADER or len(content) < window:
                    raise ValueError(f"the page at byte {at:,} has no end to its header") from None
                window *= 8
        unpacked, packed = header.fields.get(2), header.fields.get(3)
        if not isinstance(unpacked, int) or not isinstance(packed, int) or unpacked < 0 or packed < 0:
            raise ValueError(f"the page at byte {at:,} does not say its size")
        if (after := at + header.at + packed) > size:
            # Arrow would take the memory for it before it reads.
            raise ValueError(f"the page at byte {at:,} ends at byte {after:,} of {size:,}")
        yield unpacked
        at = after


class _Struct:
    """A struct of Thrift's compact protocol: its whole numbers, lists and structs by their fields' numbers.

    Raises IndexError where the bytes end within it, ValueError where they are no struct.
    """

    def __init__(self, content: bytes) -> None:
        self._bytes = content
        self.at = 0
        self.fields = self._struct(0)

    def _byte(self) -> int:
        self.at += 1
        return self._bytes[self.at - 1]

    def _number(self) -> int:
        """A number in groups of seven bits, the lowest first."""
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 63:
                raise ValueError("a number does not end")

    def _signed(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)

    def _struct(self, level: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            step = head >> 4
            field = field + step if step else self._signed()
            fields[field] = self._value(head & 15, level)
        return fields

    def _value(self, kind: int, level: int) -> Any:
        """A value; None for what is no whole number, list or struct."""
        if level > _MOST_LEVELS:
            raise ValueError("too many levels")
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 8:  # bytes
            return self._skip(self._number())
        if kind == 12:
            return self._struct(level + 1)
        if kind in (9, 10):  # a list or a set
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._number()
            if head & 15 in (1, 2, 3):  # of a byte each
                return self._skip(count)
            return [self._value(head & 15, level + 1) for _ in range(count)]
        if kind == 3:
            return self._skip(1)
        if kind == 7:  # a double
            return self._skip(8)
        if kind not in (1, 2):  # true and false, which take no room
            raise ValueError(f"a value of kind {kind}")
        return None

    def _skip(self, count: int) -> None:
        if self.at + count > len(self._bytes):
            raise IndexError
        self.at += count
