"""The store in use while the database fails: counts in memory, outcomes in the spool, the rest as it was."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import forks
from modelperf_plugin.store.decisions import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.fallback.frozen import (
    FrozenABTests,
    FrozenAttachments,
    FrozenChanges,
    FrozenDemotions,
    FrozenMerged,
    FrozenWatchStates,
    Snapshot,
    SuspendedEvents,
    SuspendedImports,
)
from modelperf_plugin.store.fallback.spool import Spool, spooled
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.decisions import SqliteDecisionLog
from modelperf_plugin.store.sqlite.file import MEMORY
from modelperf_plugin.store.sqlite.store import SqliteStore, open_sqlite
from modelperf_plugin.store.sqlite.tallies import SqliteTallies
from modelperf_plugin.store.store import Store
from modelperf_plugin.store.watches import Baseline, Faded
from modelperf_plugin.values import Tally

SUMMARY_SECONDS: Final = 1.0
"""The summary is written at most this often."""
_MAX_DECISION_WRITES: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InterimStore(Store):
    """A store in memory that begins with a snapshot and spools what it records."""

    connection: SqliteConnection
    outcomes: SpooledOutcomes
    decisions: InterimDecisionLog

    def replay(self, store: SqliteStore) -> int:
        """Move everything that waits into ``store``, each batch once, and close; return how many outcomes were new.

        Raises:
            StoreError: ``store`` does not work yet; what was not moved still waits.
        """
        with self.connection.write_lock:
            self.connection.ensure_open()
            new = self.outcomes.spool.ingest_into(store)
            self.decisions.replay(store)
            for problem in self.problems.all():
                store.problems.add(problem)
            self.connection.close()
            return new

    def close(self) -> None:
        """Leave the spool to the next process that can use the database."""
        with self.connection.write_lock:
            if not self.connection.closed:
                self.outcomes.release()
                self.connection.close()


def open_interim(path: str, snapshot: Snapshot, reason: str, *, sync: bool) -> InterimStore:
    """Open a stand-in for the database at ``path``; with ``sync`` outcomes are on the disk once acknowledged."""
    memory = open_sqlite(MEMORY)
    memory.tallies.seed(snapshot.tallies)
    spool = Spool(path, reason, sync=sync)
    return InterimStore(
        connection=memory.connection,
        outcomes=SpooledOutcomes(memory, spool, path),
        tallies=InterimTallies(memory.connection, snapshot),
        events=SuspendedEvents(snapshot),
        changes=FrozenChanges(snapshot),
        demotions=FrozenDemotions(snapshot),
        watch_states=FrozenWatchStates(snapshot),
        decisions=InterimDecisionLog(memory.connection),
        ab_tests=FrozenABTests(snapshot, reason),
        trends=memory.trends,
        imports=SuspendedImports(reason),
        attachments=FrozenAttachments(snapshot, reason),
        merged=FrozenMerged(snapshot, reason),
        problems=memory.problems,
        maintenance=memory.maintenance,
    )


class SpooledOutcomes:
    """Counts outcomes in memory and spools them, under the lock of the store in memory."""

    def __init__(self, memory: SqliteStore, spool: Spool, path: str) -> None:
        self.spool = spool
        self._memory = memory
        self._ids: set[str] = set()
        self._waiting: dict[tuple[str, str], Tally] = {}
        self._summarise_at = 0.0
        for entry in (entry for _, batch in spooled(path) for entry in batch.entries):
            with suppress(StoreError):
                self._count([entry])
        forks.renew(self, SpooledOutcomes._begin_in_child)

    def record(self, entry: Entry) -> bool:
        return self.record_many([entry]) == 1

    def record_many(self, entries: Iterable[Entry]) -> int:
        with self._memory.connection.write_lock:
            new = self._count(entries)
            for entry in new:
                self.spool.append(entry)
            if time.monotonic() >= self._summarise_at:
                self._summarise()
            return len(new)

    def spool_counted(self, entries: Iterable[Entry]) -> None:
        """Spool outcomes that are part of the snapshot."""
        with self._memory.connection.write_lock:
            for entry in entries:
                self._add_waiting(entry)
                self.spool.append(entry)

    def release(self) -> None:
        """Leave the spool to another process."""
        self._summarise()
        self.spool.release()

    def _count(self, entries: Iterable[Entry]) -> list[Entry]:
        """Add outcomes to the tallies, all or none; return the new ones."""
        ids: set[str] = set()
        new = []
        for entry in entries:
            outcome_id = entry.outcome.outcome_id
            if outcome_id is not None:
                if outcome_id in self._ids or outcome_id in ids:
                    continue
                ids.add(outcome_id)
            new.append(entry)
        self._memory.outcomes.record_many(new)
        self._ids |= ids
        for entry in new:
            self._add_waiting(entry)
        return new

    def _add_waiting(self, entry: Entry) -> None:
        pair = (entry.task_type, entry.model_id)
        self._waiting[pair] = self._waiting.get(pair, Tally(*pair)).plus(entry.outcome, entry.ended_ms)

    def _summarise(self) -> None:
        self._summarise_at = time.monotonic() + SUMMARY_SECONDS
        self.spool.summarise(self._waiting[pair] for pair in sorted(self._waiting))

    def _begin_in_child(self) -> None:
        self.spool.close_files()
        self.spool.begin()


class InterimTallies(SqliteTallies):
    """Counts in memory; what outcomes of a changed model weigh is not known there."""

    def __init__(self, connection: SqliteConnection, snapshot: Snapshot) -> None:
        super().__init__(connection)
        self._baselines = snapshot.baselines

    def faded(self, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        weights = super().faded(today, half_life_days)
        return {pair: weight for pair, weight in weights.items() if pair not in self._baselines}

    def baselines(self) -> dict[tuple[str, str], Baseline]:
        return self._baselines


class InterimDecisionLog(SqliteDecisionLog):
    """Keeps the newest decisions in memory until they can be stored; a crash loses them."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection)
        self._writes: deque[tuple[list[DecisionRecord], list[DecisionOutcome]]] = deque(maxlen=_MAX_DECISION_WRITES)
        forks.renew(self, InterimDecisionLog._begin_in_child)

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> None:
        decisions, outcomes = list(decisions), list(outcomes)
        super().write(decisions, outcomes)
        self._writes.append((decisions, outcomes))

    def replay(self, store: Store) -> None:
        """Write the decisions into ``store``."""
        for decisions, outcomes in self._writes:
            store.decisions.write(decisions, outcomes)

    def _begin_in_child(self) -> None:
        """Leave the decisions from before a fork to the parent."""
        self._writes.clear()
