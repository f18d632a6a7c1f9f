"""Tallies kept in memory, so that a choice does not read them from the database each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from modelperf_plugin.store.entries import Entry
from modelperf_plugin.values import UNKNOWN_TRIED, LaterTries, Tally, Tried

MAX_TALLIES: Final = 1500
"""Approximate number of tallies that are kept: more would cost memory, and time in each garbage collection."""
SETS_PER_TALLY: Final = 16
"""So many sets of failed models count as one tally, so that task types with later tries have room as well."""
MAX_FRESH_OUTCOMES: Final = 32
"""Up to this many outcomes are added to cached tallies one by one; beyond it, reading them again is faster."""


class Counts(NamedTuple):
    """The counts of one task type, by model. Callers keep what they were given, so nothing in it changes."""

    tallies: Mapping[str, Tally]
    later: Mapping[str, Mapping[Tried, LaterTries]]
    """The part of them that are later tries, by what had failed before, where that is known."""

    @property
    def size(self) -> int:
        """How many tallies there are; sets, of which there are many more, are small and count little."""
        return len(self.tallies) + sum(map(len, self.later.values())) // SETS_PER_TALLY

    def plus(self, entry: Entry) -> Counts:
        """Return these counts plus an outcome."""
        task_type, model_id, outcome, ended_ms, tried = entry
        tally = self.tallies.get(model_id) or Tally(task_type, model_id)
        tallies = {**self.tallies, model_id: tally.plus(outcome, ended_ms, later=bool(tried))}
        if not tried or tried == UNKNOWN_TRIED or not (outcome.success or outcome.blame == "model"):
            return Counts(tallies, self.later)
        sets = self.later.get(model_id, {})
        tries = sets.get(tried, LaterTries()).plus(outcome)
        return Counts(tallies, {**self.later, model_id: {**sets, tried: tries}})


NO_COUNTS: Final = Counts({}, {})


class TallyCache:
    """Counts by task type, as they were at one version of the database.

    Own outcomes carry the cache forward; writes of other connections, revealed by SQLite's ``data_version``, clear it.
    The contents change only under the write lock.
    """

    __slots__ = (
        "added",
        "before",
        "by_task_type",
        "cleared",
        "doubtful",
        "fresh",
        "others_version",
        "read_version",
        "room",
    )

    def __init__(self) -> None:
        self.by_task_type: dict[str, Counts] = {}
        self.before: dict[str, Counts] = {}
        """What it held before it was cleared."""
        self.added = 0
        """How many committed outcomes it was told of."""
        self.cleared = 0
        """How often it was cleared."""
        self.room = MAX_TALLIES
        """How many more tallies may be kept; not exact, because outcomes may add pairs."""
        self.fresh: list[Entry] = []
        """Committed outcomes that are not in the cached counts yet."""
        self.doubtful = False
        """Whether a change of the file or of the cache has begun; under the write lock, that it was interrupted."""
        self.read_version: int | None = 0
        """``data_version`` as seen by the reading connection; None if the cache is newer."""
        self.others_version = 0
        """The same as seen by the writing connection, which its own commits do not change."""

    def add(self, entry: Entry) -> None:
        """Take in a committed outcome."""
        self.added += 1
        if len(self.fresh) >= MAX_FRESH_OUTCOMES:
            self.clear()
        if self.by_task_type:
            self.fresh.append(entry)

    def keep(self, task_type: str, counts: Counts) -> None:
        """Keep counts that were read; if there is no room, forget the others."""
        self.room -= counts.size
        if self.room < 0:
            self.by_task_type, self.room = {}, MAX_TALLIES - counts.size
        self.by_task_type[task_type] = counts

    def clear(self) -> None:
        """Forget everything."""
        self.cleared += 1
        self.before, self.by_task_type, self.fresh = self.by_task_type or self.before, {}, []
        self.room = MAX_TALLIES

    def absorb(self) -> None:
        """Add the fresh outcomes to the cached counts; forget everything if that is in doubt."""
        if self.doubtful:
            self.clear()
        self.doubtful = True
        by_task_type, fresh, self.fresh = self.by_task_type, self.fresh, []
        for entry in fresh:
            counts = by_task_type.get(entry.task_type)
            if counts is not None:
                by_task_type[entry.task_type] = counts.plus(entry)
        self.doubtful = False
