"""The pages in a write-ahead log or a rollback journal, read without SQLite.

A damaged frame costs its own pages only: each is checked against the checksum that the frame before it carries.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_LOG_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_LOG_MAGICS: Final = {0x377F0682: "<", 0x377F0683: ">"}
"""With the byte order of the checksums."""
_JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
_JOURNAL_HEADER_BYTES: Final = 28
_EVERY: Final = 200
"""The journal's checksum adds up every 200th byte."""


class Recovered(NamedTuple):
    """Pages of a log or journal."""

    pages: dict[int, bytes]
    page_size: int | None
    """None if there are no pages."""
    damaged: int = 0
    """How many frames could not be used."""


def read_log(path: Path) -> Recovered:
    """Return the committed pages in a write-ahead log; none if there is no log."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    order = _LOG_MAGICS.get(int.from_bytes(content[:4], "big"))
    if order is None or len(content) < _LOG_HEADER_BYTES:
        return Recovered({}, None)
    size = int.from_bytes(content[8:12], "big")
    if size & (size - 1) or not 512 <= size <= 65536:
        return Recovered({}, None)
    return _committed(content, size, order)


def _committed(content: bytes, size: int, order: str) -> Recovered:
    salt = content[16:24]
    pages: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    damaged = 0
    seed = content[24:32]
    for start in range(_LOG_HEADER_BYTES, len(content) - _FRAME_HEADER_BYTES - size + 1, _FRAME_HEADER_BYTES + size):
        head = content[start : start + _FRAME_HEADER_BYTES]
        if head[8:16] != salt:
            break  # from before the log was begun again
        page = content[start + _FRAME_HEADER_BYTES : start + _FRAME_HEADER_BYTES + size]
        if _log_checksum(head[:8] + page, order, seed) == head[16:24]:
            pending[int.from_bytes(head[:4], "big")] = page
        else:
            damaged += 1
        if head[4:8] != b"\0\0\0\0":
            pages.update(pending)
            pending.clear()
        seed = head[16:24]
    return Recovered(pages, size if pages else None, damaged)


def _log_checksum(data: bytes, order: str, seed: bytes) -> bytes:
    first, second = struct.unpack(">2I", seed)
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & 0xFFFFFFFF
        second = (second + words[at + 1] + first) & 0xFFFFFFFF
    return struct.pack(">2I", first, second)


def read_journal(path: Path) -> Recovered:
    """Return the pages as they were before the transaction that was interrupted; none if there was none."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if content[:8] != _JOURNAL_MAGIC or len(content) < _JOURNAL_HEADER_BYTES:
        return Recovered({}, None)
    sector, size = struct.unpack(">2I", content[20:28])
    if size & (size - 1) or not 512 <= size <= 65536 or not 32 <= sector <= 65536:
        return Recovered({}, None)
    pages: dict[int, bytes] = {}
    for number, page in _journal_records(content, sector, size):
        pages.setdefault(number, page)
    return Recovered(pages, size if pages else None)


def _journal_records(content: bytes, sector: int, size: int) -> Iterator[tuple[int, bytes]]:
    start = 0
    while content[start : start + 8] == _JOURNAL_MAGIC:
        records, nonce = struct.unpack(">2I", content[start + 8 : start + 16])
        at = start + sector
        if records in {0, 0xFFFFFFFF}:  # not noted yet: as many as there are
            records = (len(content) - at) // (size + 8)
        for _ in range(records):
            page, checksum = content[at + 4 : at + 4 + size], content[at + 4 + size : at + 8 + size]
            if len(checksum) < 4 or _journal_checksum(page, nonce) != int.from_bytes(checksum, "big"):
                return
            yield int.from_bytes(content[at : at + 4], "big"), page
            at += size + 8
        start = -(-at // sector) * sector


def _journal_checksum(page: bytes, nonce: int) -> int:
    return (nonce + sum(page[len(page) - _EVERY : 0 : -_EVERY])) & 0xFFFFFFFF
