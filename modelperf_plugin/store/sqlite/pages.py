"""Reading the pages of an SQLite file without SQLite: whatever of them is intact, whatever is not.

SQLite gives up a table at the first damaged page on the way to its rows. Here every page is judged by itself, so that
a row is lost only with its own page. The format is documented at https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

Value = int | float | str | bytes | None

MAGIC: Final = b"SQLite format 3\x00"
HEADER_BYTES: Final = 100
INDEX_INTERIOR: Final = 2
TABLE_INTERIOR: Final = 5
INDEX_LEAF: Final = 10
TABLE_LEAF: Final = 13
_INTERIOR: Final = {INDEX_INTERIOR, TABLE_INTERIOR}
_ENCODINGS: Final = {1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}
_PAGE_SIZES: Final = (2048, 4096, 1024, 8192, 512, 16384, 32768, 65536)
"""Ours first: it wins if several are as likely."""
_LEAST_USABLE: Final = 480
_SAMPLED_PAGES: Final = 400
_SCHEMA_PAGES: Final = 100
_NUMBER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_REAL: Final = 7
_FIRST_BLOB: Final = 12
_unpack_real: Final = struct.Struct(">d").unpack

TREE_ROOT: Final = 1
TREE_PAGE: Final = 5


class Cell(NamedTuple):
    """One row of a page."""

    row_id: int | None
    """None in an index or a table without row ids."""
    values: tuple[Value, ...]


class Node(NamedTuple):
    """One page of a tree."""

    kind: int
    children: tuple[int, ...]
    """The numbers of the pages below it, if it is an interior page."""
    offsets: tuple[int, ...]
    """Where its cells begin."""


class Image:
    """The pages of a file as they are after recovery from its log or journal.

    The header may be missing or wrong: then page size and encoding are inferred from the pages.
    """

    def __init__(
        self, content: bytes | mmap.mmap, recovered: Mapping[int, bytes], *, page_size: int | None = None
    ) -> None:
        """Read ``content``; ``recovered`` are the pages that replace or extend it."""
        self._content = content
        self._recovered = recovered
        first = recovered.get(1) or content[:HEADER_BYTES]
        self.header: bytes | None = first[:HEADER_BYTES] if first[: len(MAGIC)] == MAGIC else None
        """The header of the file, if it begins like one."""
        self.page_size, self.usable = (page_size, page_size) if page_size else self._layout()
        self.count = max(-(-len(content) // self.page_size), max(recovered, default=0))
        """The number of pages."""
        self._maps: dict[int, bool] = {}
        self.encoding = self._likely_encoding()
        self.is_mapped = self._header_number(52) > 0 if self.header else self._is_map(2)
        """Whether a pointer map tells the parent of each page (a file with ``auto_vacuum``)."""

    def page(self, number: int) -> bytes:
        """Return the content of a page; the last one may be cut."""
        recovered = self._recovered.get(number)
        if recovered is not None:
            return recovered
        start = (number - 1) * self.page_size
        return self._content[start : start + self.page_size]

    def node(self, number: int) -> Node | None:
        """Return a page as part of a tree; None if it is not one, or damaged."""
        if not 1 <= number <= self.count:
            return None
        return self._node(self.page(number), HEADER_BYTES if number == 1 else 0, self.usable)

    def cells(self, number: int) -> Iterator[Cell | None]:
        """Yield the rows of a page of a tree; None for each row that cannot be read."""
        node = self.node(number)
        if node is None or node.kind == TABLE_INTERIOR:
            return
        page = self.page(number)
        for offset in node.offsets:
            try:
                yield self._cell(page, node.kind, offset)
            except (ValueError, IndexError):
                yield None

    def parent(self, number: int) -> tuple[int, int]:
        """Return what the pointer map says of a page: its kind and its parent; zeros if it does not say."""
        if not self.is_mapped or number < 3:
            return 0, 0
        entries = self.usable // 5
        map_page = (number - 2) // (entries + 1) * (entries + 1) + 2
        if map_page == number or not self._is_map(map_page):
            return 0, 0
        return self._map_entry(map_page, number - map_page - 1)

    def _map_entry(self, map_page: int, position: int) -> tuple[int, int]:
        entry = self.page(map_page)[5 * position : 5 * position + 5]
        return int.from_bytes(entry[:1], "big"), int.from_bytes(entry[1:], "big")

    def _is_map(self, number: int) -> bool:
        """Return whether a page can be one of the pointer map."""
        if number not in self._maps:
            entries = min(self.usable // 5, self.count - number)
            found = [self._map_entry(number, position) for position in range(entries)]
            self._maps[number] = bool(found) and all(kind <= TREE_PAGE and parent < 2**31 for kind, parent in found)
        return self._maps[number]

    def free_pages(self) -> set[int]:
        """Return the pages on the list of unused ones, as far as it can be followed."""
        free: set[int] = set()
        trunk = self._header_number(32)
        while 1 < trunk <= self.count and trunk not in free:
            free.add(trunk)
            page = self.page(trunk)
            length = min(int.from_bytes(page[4:8], "big"), self.usable // 4 - 2)
            free.update(int.from_bytes(page[at : at + 4], "big") for at in range(8, 8 + 4 * length, 4))
            trunk = int.from_bytes(page[:4], "big")
        return free

    def _header_number(self, offset: int) -> int:
        return int.from_bytes(self.header[offset : offset + 4], "big") if self.header else 0

    def _likely_encoding(self) -> str:
        """Return the encoding in which some page at the beginning of the file lists a table, the header's if it can."""
        stated = _ENCODINGS.get(self._header_number(56), "utf-8")
        for self.encoding in (stated, *_ENCODINGS.values()):
            for number in range(1, min(self.count, _SCHEMA_PAGES) + 1):
                if any(cell is not None and cell.values[:1] == ("table",) for cell in self.cells(number)):
                    return self.encoding
        return stated

    def _layout(self) -> tuple[int, int]:
        """Return the size of the pages, and how much of it is in use: as in the header unless the pages deny it."""
        layouts = [(size, size) for size in _PAGE_SIZES]
        if self.header:
            size = int.from_bytes(self.header[16:18], "big")
            size = 65536 if size == 1 else size
            usable = size - self.header[20]
            if size in _PAGE_SIZES and usable >= _LEAST_USABLE:
                layouts.insert(0, (size, usable))
        return max(layouts, key=self._plausible_share)

    @property
    def is_plausible(self) -> bool:
        """Whether any page looks like one of a database."""
        return (
            self.header is not None or bool(self._recovered) or self._plausible_share((self.page_size, self.usable)) > 0
        )

    def _plausible_share(self, layout: tuple[int, int]) -> float:
        """Return the share of pages that look like pages of trees if they are of this size, and so much is in use."""
        size, usable = layout
        total = len(self._content) // size
        step = max(1, total // _SAMPLED_PAGES)
        hits = 0
        for number in range(2, total + 1, step):
            page = self._content[(number - 1) * size : number * size]
            node = self._node(page, 0, usable)
            # the first cell is written at the very end of what is in use
            if node is not None and node.offsets and _end_of_cell(page, node.kind, max(node.offsets), usable) == usable:
                hits += 1
        return hits * step / max(1, total)

    @staticmethod
    def _node(page: bytes, start: int, usable: int) -> Node | None:
        kind = page[start] if start < len(page) else 0
        if kind not in {INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF}:
            return None
        pointers = start + (12 if kind in _INTERIOR else 8)
        cells = int.from_bytes(page[start + 3 : start + 5], "big")
        if pointers + 2 * cells > usable:
            return None
        offsets = tuple(int.from_bytes(page[at : at + 2], "big") for at in range(pointers, pointers + 2 * cells, 2))
        if any(not pointers + 2 * cells <= offset < usable for offset in offsets):
            return None
        children: tuple[int, ...] = ()
        if kind in _INTERIOR:
            left = (int.from_bytes(page[offset : offset + 4], "big") for offset in offsets)
            children = (*left, int.from_bytes(page[start + 8 : start + 12], "big"))
        return Node(kind, children, offsets)

    def _cell(self, page: bytes, kind: int, offset: int) -> Cell:
        if kind == INDEX_INTERIOR:
            offset += 4
        size, offset = _varint(page, offset)
        row_id = None
        if kind == TABLE_LEAF:
            row_id, offset = _varint(page, offset)
        if size > self.count * self.page_size:
            raise ValueError("larger than the file")
        return Cell(row_id, _decode(self._payload(page, kind, offset, size), self.encoding))

    def _payload(self, page: bytes, kind: int, offset: int, size: int) -> bytes:
        local = _local_bytes(size, kind, self.usable)
        if local == size:
            return page[offset : offset + size]
        parts = [page[offset : offset + local]]
        left = size - local
        following = int.from_bytes(page[offset + local : offset + local + 4], "big")
        while left > 0:
            if not 1 < following <= self.count:
                raise ValueError("the chain is broken")
            part = self.page(following)
            parts.append(part[4 : min(self.usable, 4 + left)])
            left -= self.usable - 4
            following = int.from_bytes(part[:4], "big")
        return b"".join(parts)


def _local_bytes(size: int, kind: int, usable: int) -> int:
    """Return how many bytes of a payload are in the cell itself; the rest is in a chain of pages."""
    most = usable - 35 if kind == TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    return local if local <= most else least


def _end_of_cell(page: bytes, kind: int, offset: int, usable: int) -> int:
    """Return where a cell ends; 0 if it cannot be told."""
    try:
        if kind in _INTERIOR:
            offset += 4
        size, offset = _varint(page, offset)
        if kind == TABLE_INTERIOR:
            return offset
        if kind == TABLE_LEAF:
            _, offset = _varint(page, offset)
    except IndexError:
        return 0
    local = _local_bytes(size, kind, usable)
    return offset + local + (4 if local < size else 0)


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """Return the number at ``offset``, and where it ends."""
    byte = data[offset]
    if byte < 0x80:
        return byte, offset + 1
    value = 0
    for at in range(offset, offset + 8):
        byte = data[at]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + 1
    value = value << 8 | data[offset + 8]
    return value - (1 << 64) if value >> 63 else value, offset + 9


class _Plan(NamedTuple):
    """How to read the values of all records with the same header."""

    size: int
    """Of the whole record."""
    fields: tuple[tuple[int, int, int], ...]
    """The type of each value, where it begins and where it ends."""


def _decode(payload: bytes, encoding: str) -> tuple[Value, ...]:
    """Return the values of a record; raise ValueError unless it is consistent to the byte."""
    header = payload[0]
    if header > 0x7F:
        header, _ = _varint(payload, 0)
    plan = _plan(payload[:header])
    if not 0 < header <= len(payload) == plan.size:
        raise ValueError("the values do not fill the record")
    return tuple(
        [
            int.from_bytes(payload[start:end], "big", signed=True)
            if kind < _REAL and kind
            else _value(kind, payload[start:end], encoding)
            for kind, start, end in plan.fields
        ]
    )


@lru_cache(maxsize=1024)
def _plan(header: bytes) -> _Plan:
    _, at = _varint(header, 0)
    position = len(header)
    fields = []
    while at < len(header):
        kind, at = _varint(header, at)
        if kind < 0 or len(_NUMBER_BYTES) <= kind < _FIRST_BLOB:
            raise ValueError("there is no such type")
        end = position + (_NUMBER_BYTES[kind] if kind < _FIRST_BLOB else (kind - _FIRST_BLOB) // 2)
        fields.append((kind, position, end))
        position = end
    if at != len(header):
        raise ValueError("the header ends within a type")
    return _Plan(position, tuple(fields))


def _value(kind: int, raw: bytes, encoding: str) -> Value:
    """Return a value that is not stored as an integer."""
    if kind == 0:
        return None
    if kind >= _FIRST_BLOB:
        return raw.decode(encoding, "backslashreplace") if kind % 2 else raw
    if kind == _REAL:
        number: float = _unpack_real(raw)[0]
        return number
    return kind - 8
