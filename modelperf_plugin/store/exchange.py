"""Values for imports, attached databases and merged experience."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from modelperf_plugin.values import Tally, Tried, from_milliseconds

EventRow = tuple[int, int, int, int, int, int, str | None, int | None, int | None, Tried]
"""A validated outcome of a batch: pair id, end (ms since the Unix epoch), success, timeout, tokens, nano-dollars,
error kind, duration (ms), score (millionths), the models that had failed before."""


class ImportRecord(NamedTuple):
    """A source that was imported up to a position."""

    import_id: int
    kind: str
    """``json``, ``csv``, ``jsonl``, ``parquet``, ``modelperf``, ``litellm`` or ``llm``."""
    source: str
    """The path, for messages."""
    digest: str
    """SHA-256 of everything up to the position, in hexadecimal digits."""
    position: int
    """In bytes (text files) or rows. Of sums that are imported in steps, negative until the last one: -1 after none."""
    outcomes: int
    rejected: int
    """Lines that were not valid."""
    begun_ms: int
    latest_ms: int
    """Begin of the import and last read, in milliseconds since the Unix epoch."""
    archived: str | None
    """The path of the archive, if the file was archived."""

    @property
    def is_complete(self) -> bool:
        """Whether no step of it is missing."""
        return self.position >= 0

    @property
    def latest(self) -> datetime:
        """The last read, in UTC."""
        return from_milliseconds(self.latest_ms)

    def as_dict(self) -> dict[str, Any]:
        """Return the import as plain JSON values."""
        begun = from_milliseconds(self.begun_ms).isoformat()
        return {"id": self.import_id, "kind": self.kind, "source": self.source, "outcomes": self.outcomes,
                "rejected": self.rejected, "begun": begun, "latest": self.latest.isoformat()}  # fmt: skip


class Step(NamedTuple):
    """The progress that a batch makes in an import."""

    kind: str
    source: str
    digest: str
    position: int
    """Digest and position after the batch."""
    from_position: int
    """The position before the batch."""
    rejected: int
    """Lines of the batch that were not valid."""
    at_ms: int
    """Now, in milliseconds since the Unix epoch."""
    import_id: int | None = None
    """The import to continue; None to begin one."""
    newest: int = 0
    """To begin one: the newest import when the source was looked up and not found."""


class Sums(NamedTuple):
    """Counts and sums of one (task type, model) without single outcomes."""

    task_type: str
    model_id: str
    successes: int
    failures: int
    timeouts: int = 0
    tokens: int = 0
    cost_nano_usd: int = 0
    last_used_ms: int | None = None


class Attached(NamedTuple):
    """A table of another program's database that counts as evidence."""

    path: str
    name: str
    """Of the table or view."""
    columns: Mapping[str, str]
    """From our column names to theirs; empty if the table's shape is recognised."""
    attached_ms: int


class Merged(NamedTuple):
    """A source of merged experience: another project."""

    merged_id: int
    name: str
    origin: str | None
    """The id of the other store; None if the file has none."""
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""
    strength: float
    """How many own outcomes a pair counts as, at most."""
    merged_ms: int
    pairs: int
    outcomes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the source as plain JSON values."""
        merged = from_milliseconds(self.merged_ms).isoformat()
        return {"name": self.name, "origin": self.origin, "strength": self.strength, "merged": merged,
                "pairs": self.pairs, "outcomes": self.outcomes}  # fmt: skip


class Prior(NamedTuple):
    """The tally of another project for one (task type, model)."""

    tally: Tally
    """Not part of the store's own counts."""
    source: str
    """The name of the merged source."""
    strength: float
    """How many own outcomes it counts as, at most."""
