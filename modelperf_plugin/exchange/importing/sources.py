"""The protocol of sources of histories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from modelperf_plugin.exchange.importing.rows import Record
from modelperf_plugin.store import ImportRecord

Numbered = tuple[int, Record | str]
"""The line of a record (or its number, from 1), and the record, or the reason why it is not usable."""


class SourceBatch(NamedTuple):
    """The next part of a source."""

    records: Sequence[Numbered]
    position: int
    """The position in the source after it."""
    digest: str
    """SHA-256 of everything up to the position, in hexadecimal digits."""


class Source(Protocol):
    """A file or database with outcomes. Used by one thread.

    The imported part is recognised by its content: the longest beginning whose digest is in the store. So a source can
    be renamed or moved, and a source that has grown continues where it ended.
    """

    kind: str
    """``csv``, ``jsonl`` …; sources of one kind share the unit of positions."""
    name: str
    """The name for messages."""
    size: int
    """The size, in the unit of ``done``; 0 if unknown."""

    @property
    def done(self) -> int:
        """The amount read so far."""

    def find(self, known: Sequence[ImportRecord]) -> ImportRecord | None:
        """Seek to the end of the longest imported beginning; return its import, or None at the start."""

    def batches(self) -> Iterator[SourceBatch]:
        """Yield the rest of the source; raise OutcomesFileError if it cannot be read, or is not such a source."""

    def close(self) -> None:
        """Release all resources."""
