"""Where histories come from: what every source offers to an import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from modelperf_plugin.exchange.importing.rows import Record
from modelperf_plugin.store import ImportRecord

Numbered = tuple[int, Record | str]
"""The line of a record (or its number, counted from 1), and the record, or what is wrong with it."""


class SourceBatch(NamedTuple):
    """The next part of a source."""

    records: Sequence[Numbered]
    position: int
    """How far the source was read after it."""
    digest: str
    """SHA-256 of everything up to there, in hexadecimal digits."""


class Source(Protocol):
    """A file or database with outcomes. Used by one thread.

    What was imported is known by its content: the longest beginning whose digest is noted in the store. So it does
    not matter what the source is called or where it lies, and one that has grown goes on where it had ended.
    """

    @property
    def kind(self) -> str:
        """``csv``, ``jsonl`` …: sources of one kind count their positions in the same way."""

    @property
    def name(self) -> str:
        """What it is called, for messages."""

    @property
    def size(self) -> int:
        """How large the source is, in the units of ``done``; 0 if that is not known."""

    @property
    def done(self) -> int:
        """How much of it was read."""

    def find(self, known: Sequence[ImportRecord]) -> ImportRecord | None:
        """Go to the end of the longest beginning that was imported; return that import, or None for the start."""

    def batches(self) -> Iterator[SourceBatch]:
        """Yield the source from there on.

        Raises:
            OutcomesFileError: it cannot be read, or is no such source.
        """

    def close(self) -> None:
        """Let go of it."""
