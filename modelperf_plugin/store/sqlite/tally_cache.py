"""Tallies kept in memory, so that a choice does not read them from SQLite each time."""

from __future__ import annotations

from typing import Final

from modelperf_plugin.store.entries import Entry
from modelperf_plugin.values import Tally

MAX_FRESH_OUTCOMES: Final = 32
"""Up to this many outcomes are added to cached tallies one by one; beyond it, reading them again is faster."""


class TallyCache:
    """Tallies by task type and model, as they were at one version of the database.

    Own outcomes carry the cache forward; writes of other connections, revealed by SQLite's ``data_version``, clear it.
    The contents change only under the write lock.
    """

    __slots__ = ("by_task_type", "fresh", "others_version", "read_version")

    def __init__(self) -> None:
        self.by_task_type: dict[str, dict[str, Tally]] = {}
        self.fresh: list[Entry] = []
        """Committed outcomes that are not in the cached tallies yet."""
        self.read_version = self.others_version = 0
        """``data_version`` as seen by the reading and by the writing connection."""

    def add(self, entry: Entry) -> None:
        """Take in a committed outcome."""
        if len(self.fresh) >= MAX_FRESH_OUTCOMES:
            self.clear()
        if self.by_task_type:
            self.fresh.append(entry)

    def clear(self) -> None:
        """Forget everything."""
        self.by_task_type.clear()
        self.fresh.clear()

    def absorb(self) -> None:
        """Add the fresh outcomes to the cached tallies."""
        fresh, self.fresh = self.fresh, []
        for task_type in {entry.task_type for entry in fresh} & self.by_task_type.keys():
            # a copy: callers keep reading the mapping that they were given
            tallies = self.by_task_type[task_type] = self.by_task_type[task_type].copy()
            for entry in fresh:
                if entry.task_type == task_type:
                    tally = tallies.get(entry.model_id) or Tally(task_type, entry.model_id)
                    tallies[entry.model_id] = tally.plus(entry.outcome, entry.ended_ms)
