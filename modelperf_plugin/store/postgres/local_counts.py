"""The tallies of task types, kept at hand: as read from the database, with what this process has recorded since."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from threading import RLock
from typing import Final, NamedTuple

from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.tally_cache import MAX_TALLIES, Counts

FOLLOW_SECONDS: Final = 60.0
"""How long the tallies of a task type are read again that no choice has asked for."""
_OWN_SECONDS: Final = 30.0
"""How long an own outcome is remembered: whatever begins to be read later includes it."""
_MAX_SENDERS: Final = 32
"""Of how many connections it is read how far they have come: of more than a store has open."""
_NEVER: Final = float("-inf")

Receipt = tuple[str, int]
"""A connection and the number of its statement; see ``receipts``."""


class Covered(NamedTuple):
    """Which of this process's outcomes are part of what was read."""

    noted: int
    """Those that were noted before: so many."""
    sent: Mapping[str, int]
    """Of the others those with a receipt: by connection, up to this number."""

    def includes(self, noted: int, receipt: Receipt) -> bool:
        """Return whether the outcomes that were noted as this one, and have this receipt, are part of it."""
        sender, sent = receipt
        return noted <= self.noted or sent <= self.sent.get(sender, 0)


class KeptCounts:
    """The counts of one task type."""

    __slots__ = ("counts", "covered", "read_at", "void_at", "wanted_at")

    def __init__(self, counts: Counts, covered: Covered, read_at: float) -> None:
        self.counts = counts
        self.covered = covered
        self.read_at = read_at
        """When they were read, on the monotonic clock."""
        self.void_at = self.wanted_at = _NEVER
        """When something has changed them that only the database knows, and when a choice has asked for them."""

    def is_current(self, since: float) -> bool:
        """Return whether they hold, and were read after a moment."""
        return self.read_at >= since and self.read_at > self.void_at


class LocalCounts:
    """Counts by task type. Any thread may call any method.

    Callers keep what they were given, so nothing in it changes, and counts that are equal stay the same object.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._kept: dict[str, KeptCounts] = {}
        self._own: deque[tuple[int, float, Receipt, Sequence[Entry]]] = deque()
        """The outcomes noted last, which counts to come may be without."""
        self.noted = 0
        """How many statements with outcomes were noted."""
        self.senders: dict[str, None] = {}
        """The connections that have sent them, the last one last: each takes another name once in a while."""
        self.asked: dict[str, None] = {}
        """The task types that a choice waits for."""
        self.revision = 0
        """How often counts were found to have changed by what others recorded."""

    def of(self, task_type: str, *, wanted: bool = True) -> KeptCounts | None:
        """Return the counts of a task type, which a choice has ``wanted``; None if there are none at hand."""
        kept = self._kept.get(task_type)
        if kept is not None and wanted:
            kept.wanted_at = time.monotonic()
        return kept

    def ask(self, task_type: str) -> None:
        """Have the counts of a task type read next."""
        self.asked[task_type] = None

    def followed(self) -> list[str]:
        """Return the task types to be read: those that choices wait for, or have asked for within the last minute."""
        since = time.monotonic() - FOLLOW_SECONDS
        asked, self.asked = self.asked, {}
        wanted = [name for name, kept in list(self._kept.items()) if kept.wanted_at >= since]
        return list(dict.fromkeys([*asked, *wanted]))

    def note(self, receipt: Receipt, entries: Sequence[Entry]) -> None:
        """Add outcomes that the statement with a receipt has recorded."""
        now = time.monotonic()
        with self._lock:
            self.noted += 1
            self.senders.pop(receipt[0], None)
            self.senders[receipt[0]] = None
            if len(self.senders) > _MAX_SENDERS:
                del self.senders[next(iter(self.senders))]
            self._own.append((self.noted, now, receipt, entries))
            while self._own[0][1] < now - _OWN_SECONDS:
                self._own.popleft()
            for entry in entries:
                kept = self._kept.get(entry.task_type)
                if kept is not None and not kept.covered.includes(self.noted, receipt):
                    kept.counts = kept.counts.plus(entry)

    def void(self, task_types: Iterable[str]) -> None:
        """Note that something else than a new outcome has changed counts, so that they must be read."""
        now = time.monotonic()
        for task_type in task_types:
            kept = self._kept.get(task_type)
            if kept is not None:
                kept.void_at = now

    def put(self, read: Mapping[str, Counts], covered: Covered, read_at: float) -> None:
        """Keep counts that were read at one moment, unless newer ones are kept."""
        with self._lock:
            for task_type, counts in read.items():
                kept = self._kept.get(task_type)
                if kept is not None and kept.read_at > read_at:
                    continue
                counts = self._with_own(task_type, counts, covered)  # noqa: PLW2901
                if kept is None:
                    self._kept[task_type] = KeptCounts(counts, covered, read_at)
                    continue
                if kept.counts != counts:
                    kept.counts = counts
                    self.revision += 1
                kept.covered, kept.read_at = covered, read_at
            if sum(1 + kept.counts.size for kept in self._kept.values()) > MAX_TALLIES:
                self._kept = {name: self._kept[name] for name in read}

    def _with_own(self, task_type: str, counts: Counts, covered: Covered) -> Counts:
        """Return counts with the own outcomes that they are without."""
        missing: list[Entry] = []
        for noted, _, receipt, entries in reversed(self._own):
            if noted <= covered.noted:
                break
            if not covered.includes(noted, receipt):
                missing.extend(each for each in entries if each.task_type == task_type)
        for entry in reversed(missing):
            counts = counts.plus(entry)
        return counts
