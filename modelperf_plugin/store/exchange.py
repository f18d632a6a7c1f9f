"""What came from elsewhere: imports, attached databases, merged experience."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from modelperf_plugin.values import Tally, from_milliseconds

EventRow = tuple[int, int, int, int, int, int, str | None, int | None]
"""One outcome of a batch: the pair's id, when it ended (ms), success, timeout, tokens, nano-dollars, error kind,
duration (ms). Its values were checked before."""


class ImportRecord(NamedTuple):
    """A source that was imported, up to a position."""

    import_id: int
    kind: str
    """``json``, ``csv``, ``jsonl``, ``parquet``, ``modelperf``, ``litellm`` or ``llm``."""
    source: str
    """Where it was read from, for messages."""
    digest: str
    """SHA-256, in hexadecimal digits, of what was read up to the position."""
    position: int
    """How far it was read, in bytes (of a file of lines) or rows."""
    outcomes: int
    """Outcomes that it brought."""
    rejected: int
    """Lines that could not be used."""
    begun_ms: int
    latest_ms: int
    """When the import began, and when something was last read (milliseconds since the Unix epoch)."""
    archived: str | None
    """Where the file went when it was archived."""

    @property
    def latest(self) -> datetime:
        """When something was last read, in UTC."""
        return from_milliseconds(self.latest_ms)


class Step(NamedTuple):
    """How far a batch brings an import."""

    kind: str
    source: str
    digest: str
    position: int
    """Digest and position after the batch."""
    from_position: int
    """The position before it."""
    rejected: int
    """Lines of the batch that could not be used."""
    at_ms: int
    """Now, in milliseconds since the Unix epoch."""
    import_id: int | None = None
    """The import that goes on; None for one that begins."""
    newest: int = 0
    """For one that begins: the newest import that was looked at, to see that this source is not among them."""


class Sums(NamedTuple):
    """Counts and sums of one (task type, model) that came without single outcomes."""

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
    """The table or view."""
    columns: Mapping[str, str]
    """Which of its columns stands for which of ours; empty where the shape is recognised."""
    attached_ms: int


class Merged(NamedTuple):
    """Another project's experience."""

    merged_id: int
    name: str
    origin: str | None
    """What tells the other store from others; None if the file did not say."""
    digest: str
    """SHA-256 of the file, in hexadecimal digits."""
    strength: float
    """As how many outcomes of one's own a pair counts at most."""
    merged_ms: int
    pairs: int
    outcomes: int
    """How much there is in it."""

    def as_dict(self) -> dict[str, Any]:
        """Return the source as plain JSON values."""
        merged = from_milliseconds(self.merged_ms).isoformat()
        return {"name": self.name, "origin": self.origin, "strength": self.strength, "merged": merged,
                "pairs": self.pairs, "outcomes": self.outcomes}  # fmt: skip


class Prior(NamedTuple):
    """What another project counted of one (task type, model)."""

    tally: Tally
    """Its counts; no part of one's own."""
    source: str
    """The merged source it came from."""
    strength: float
    """As how many outcomes of one's own it counts at most."""
