"""Tallies in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

from modelperf_plugin.store import forks
from modelperf_plugin.store.counted import later_of
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_tallies import ReadTallies
from modelperf_plugin.store.tally_cache import NO_COUNTS, Counts, TallyCache
from modelperf_plugin.store.watches import PastCosts
from modelperf_plugin.values import LaterTries, Tally, Tried, most_sets
from modelperf_plugin.values.locks import attempt

_Version = tuple[int, int]
"""How many events there are, and how often sums were corrected."""
_WAIT_SECONDS: Final = 0.005
"""How long a thread waits for another one that reads, before it reads for itself."""


class PostgresTallies(ReadTallies):
    """Keeps the counts of a task type in memory once they were read; one short query tells whether they still hold."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection
        self._lock = Lock()
        self._cache = TallyCache()
        self._version: _Version = (0, 0)
        self._is_settled = True
        """Whether none of this process's own outcomes was under way when that was found."""
        forks.renew(self, PostgresTallies._begin_again)

    def _begin_again(self) -> None:
        """Continue in a forked child: another thread of the parent may have held the lock."""
        self._lock, self._cache, self._is_settled = Lock(), TallyCache(), False

    @property
    def revision(self) -> object:
        return self._cache.cleared

    def of(self, task_type: str) -> Mapping[str, Tally]:
        return self._counts(task_type).tallies

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        return self._counts(task_type).later

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        self._connection.fold()
        return super().costs(task_type, today, half_life_days, since_ms)

    def _counts(self, task_type: str) -> Counts:
        found: list[Counts] = []
        attempt(self._lock, lambda: found.append(self._known(task_type)), _WAIT_SECONDS)
        return found[0] if found else self._load(task_type)

    def _known(self, task_type: str) -> Counts:
        """Return the counts of ``task_type``, under the lock: from the cache, if nothing else was recorded."""
        connection, cache, own = self._connection, self._cache, self._connection.own
        is_settled, recorded = not own.under_way, own.count
        events, corrected, is_complete = connection.call(self._sql["progress"])
        if not is_complete:  # somebody else is folding: what is in the queue must be added
            return self._load(task_type)
        is_settled = is_settled and not own.under_way and own.count == recorded
        self._catch_up((events, corrected), own.take(recorded), is_settled)
        counts = cache.by_task_type.get(task_type)
        if counts is None:
            counts = self._load_version(task_type)
            if counts.tallies:  # a host may ask about any number of unknown task types
                cache.keep(task_type, counts)
        return counts

    def _catch_up(self, version: _Version, new: Sequence[Entry] | None, is_settled: bool) -> None:
        """Bring the cache up to ``version``: by own outcomes, if these are all that is ``new``."""
        was, was_settled = self._version, self._is_settled
        self._version, self._is_settled = version, is_settled
        if version == was:
            return
        is_explained = new is not None and is_settled and was_settled
        if is_explained and new is not None and version == (was[0] + len(new), was[1]):
            self._cache.fresh = list(new)
            self._cache.absorb()
        else:
            self._cache.clear()

    def _load_version(self, task_type: str) -> Counts:
        """Return the counts of ``task_type``; if they are of a later version, whatever else is kept is forgotten."""
        rows = self._connection.fetch(self._sql["kept_tallies"], task_type)
        version: _Version = rows[0][:2]
        tallies = {row[3]: Tally._make(row[2:]) for row in rows if row[2] is not None}
        pairs = sum([1 for tally in tallies.values() if tally.later_successes or tally.later_failures])
        later = NO_COUNTS.later
        if pairs:
            wanted = {"task_type": task_type, "most": most_sets(pairs)}
            rows = self._connection.fetch(self._sql["kept_later"], wanted)
            if rows[0][:2] != version:
                return self._load_version(task_type)
            later = later_of(row[2:] for row in rows if row[2] is not None)
        if version != self._version:
            self._cache.clear()
            self._version, self._is_settled = version, False
        return Counts(tallies, later) if tallies else NO_COUNTS
