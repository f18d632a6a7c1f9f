"""The store in use while the database fails: counts in memory, outcomes in the spool, the rest as it was."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import forks
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord, Joining
from modelperf_plugin.store.entries import CountedProblem, Entry, Recorded, Verdict
from modelperf_plugin.store.fallback.frozen import (
    FrozenABTests,
    FrozenAttachments,
    FrozenChanges,
    FrozenDemotions,
    FrozenMerged,
    FrozenWatchStates,
    Snapshot,
    SuspendedEditing,
    SuspendedEvents,
    SuspendedImports,
)
from modelperf_plugin.store.fallback.naming import named
from modelperf_plugin.store.fallback.own_spool import Spool
from modelperf_plugin.store.fallback.spool import spooled
from modelperf_plugin.store.roles import Span
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.decisions import SqliteDecisionLog
from modelperf_plugin.store.sqlite.file import MEMORY
from modelperf_plugin.store.sqlite.store import SqliteStore, open_sqlite
from modelperf_plugin.store.sqlite.tallies import SqliteTallies
from modelperf_plugin.store.store import Store
from modelperf_plugin.store.watches import Baseline, Faded
from modelperf_plugin.values import Durations, Outcome, Tally

SUMMARY_SECONDS: Final = 1.0
"""The summary is written at most this often."""
_MAX_DECISION_WRITES: Final = 10_000
_WRITES_PER_STEP: Final = 50
"""How many of them are moved at once: whoever records waits for that."""

_Write = tuple[list[DecisionRecord], list[DecisionOutcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InterimStore(Store):
    """A store in memory that begins with a snapshot and spools what it records."""

    connection: SqliteConnection
    outcomes: SpooledOutcomes
    decisions: InterimDecisionLog

    def finish(self) -> Notes:
        """Close, and return what is to be moved into the database besides the spool."""
        with self.connection.write_lock:
            problems = [] if self.connection.closed else self.problems.all()  # closed: it was interrupted before
            notes = Notes(self.decisions.writes, deque(problems))
            self.connection.close()
            return notes

    def close(self) -> None:
        """Leave the outcomes in the spool."""
        with self.connection.write_lock:
            if not self.connection.closed:
                self.outcomes.summarise()
                self.connection.close()


@dataclass(frozen=True)
class Notes:
    """What a stand-in kept besides outcomes."""

    writes: deque[_Write]
    problems: deque[CountedProblem]

    def replay(self, store: Store) -> bool:
        """Write a part into ``store``, and return whether that was the last one.

        What was not written when an error is raised stays here.
        """
        if self.writes:
            parts = list(islice(self.writes, _WRITES_PER_STEP))
            decisions = [each for written, _ in parts for each in written]
            store.decisions.write(decisions, [each for _, joined in parts for each in joined])
            for _ in parts:
                self.writes.popleft()
        elif self.problems:
            store.problems.add(self.problems[0])
            self.problems.popleft()
        return not self.writes and not self.problems


def prepare_interim() -> None:
    """Do what takes long when the first stand-in is opened."""
    open_sqlite(MEMORY).close()


def open_interim(path: str, snapshot: Snapshot, reason: str, spool: Spool) -> InterimStore:
    """Open a stand-in for the database at ``path``, which counts what is spooled and continues ``spool``."""
    memory = open_sqlite(MEMORY)
    memory.tallies.seed(snapshot.tallies, snapshot.later)
    return InterimStore(
        connection=memory.connection,
        outcomes=SpooledOutcomes(memory, spool, path),
        tallies=InterimTallies(memory.connection, snapshot),
        events=SuspendedEvents(snapshot, reason),
        changes=FrozenChanges(snapshot),
        demotions=FrozenDemotions(snapshot),
        watch_states=FrozenWatchStates(snapshot),
        decisions=InterimDecisionLog(memory.connection),
        unmatched=memory.unmatched,
        ab_tests=FrozenABTests(snapshot, reason),
        trends=memory.trends,
        choices=memory.choices,
        spending=memory.spending,
        served_models=memory.served_models,
        imports=SuspendedImports(reason),
        attachments=FrozenAttachments(snapshot, reason),
        merged=FrozenMerged(snapshot, reason),
        problems=memory.problems,
        maintenance=memory.maintenance,
        editing=SuspendedEditing(snapshot, reason),
    )


class SpooledOutcomes:
    """Counts outcomes in memory and spools them, under the lock of the store in memory."""

    def __init__(self, memory: SqliteStore, spool: Spool, path: str) -> None:
        self.spool = spool
        self._memory = memory
        self._verdicts: dict[str, Verdict] = {}
        self._waiting: dict[tuple[str, str], Tally] = {}
        self._summarise_at = 0.0
        for entry in [*(entry for _, batch in spooled(path) for entry in batch.entries), *spool.in_memory()]:
            with suppress(StoreError):
                self._remember(self._count([entry])[1])

    def record(self, entry: Entry, joining: Joining | None = None) -> Recorded:
        return self._record([named(entry, joining)])[0]  # the decision waits in memory

    def record_many(self, entries: Iterable[Entry]) -> int:
        return sum(map(bool, self._record(entries)))

    def verdicts_of(self, outcome_ids: Iterable[str]) -> dict[str, Verdict]:
        verdicts = self._verdicts
        return {outcome_id: verdicts[outcome_id] for outcome_id in outcome_ids if outcome_id in verdicts}

    def record_doubtful(self, entries: Iterable[Entry], receipt: str) -> list[Recorded]:
        """Do the same with outcomes of which nobody knows whether they are stored: in a batch of that id."""
        return self._record(entries, receipt)

    def _record(self, entries: Iterable[Entry], batch_id: str | None = None) -> list[Recorded]:
        """Spool outcomes; return what each of them changes, as far as is known."""
        with self._memory.connection.write_lock:
            self._memory.connection.ensure_open()
            recorded, new = self._count(entries)
            if new:
                revised = [each is Recorded.REVISED for each in recorded if each]
                self.spool.append(new, revised, batch_id=batch_id)
                self._remember(new)
            if time.monotonic() >= self._summarise_at:
                self.summarise()
            return recorded

    def spool_counted(self, entries: Iterable[Entry]) -> None:
        """Spool outcomes that are part of the snapshot."""
        with self._memory.connection.write_lock:
            for entry in entries:
                self._add_waiting(entry)
                self.spool.append([entry])

    def summarise(self) -> None:
        """Write the counts that wait, for people and other tools."""
        self._summarise_at = time.monotonic() + SUMMARY_SECONDS
        self.spool.summarise(self._waiting[pair] for pair in sorted(self._waiting))

    def _count(self, entries: Iterable[Entry]) -> tuple[list[Recorded], list[Entry]]:
        """Add outcomes to the tallies, all or none; return what each changes, and those that change anything."""
        entries = list(entries)
        verdicts: dict[str, Verdict] = {}
        recorded = []
        for entry in entries:
            outcome_id = entry.outcome.outcome_id
            known = None if outcome_id is None else verdicts.get(outcome_id, self._verdicts.get(outcome_id))
            revised = None if known is None else known.revised_by(entry)
            recorded.append(Recorded.NEW if known is None else Recorded.REVISED if revised else Recorded.NOTHING)
            if outcome_id is not None:
                verdicts[outcome_id] = revised or known or Verdict.of(entry)
        new = [entry for entry, each in zip(entries, recorded, strict=True) if each]
        with suppress(StoreError):  # an old SQLite cannot count them, and then only choices suffer
            self._memory.outcomes.record_many(new)
        for entry, each in zip(entries, recorded, strict=True):
            if each is Recorded.NEW:  # a later verdict is not in the summary
                self._add_waiting(entry)
        return recorded, new

    def _remember(self, entries: Iterable[Entry]) -> None:
        """Remember verdicts once they are spooled: until then the host may have to record them again."""
        for entry in entries:
            outcome_id = entry.outcome.outcome_id
            if outcome_id is not None:
                known = self._verdicts.get(outcome_id)
                self._verdicts[outcome_id] = (known and known.revised_by(entry)) or Verdict.of(entry)

    def _add_waiting(self, entry: Entry) -> None:
        pair = (entry.task_type, entry.model_id)
        tally = self._waiting.get(pair, Tally(*pair))
        self._waiting[pair] = tally.plus(entry.outcome, entry.ended_ms, later=bool(entry.tried))


class InterimTallies(SqliteTallies):
    """Counts in memory; what outcomes of a changed model weigh is not known there."""

    def __init__(self, connection: SqliteConnection, snapshot: Snapshot) -> None:
        super().__init__(connection)
        self._baselines = snapshot.baselines
        self._durations = snapshot.durations

    def faded(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        weights = super().faded(within, today, half_life_days)
        return {pair: weight for pair, weight in weights.items() if pair not in self._baselines}

    def durations(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Durations]:
        found = super().durations(within, today, half_life_days)
        for pair, before in self._durations.items():
            if within[0] <= pair[0] <= within[1]:
                found[pair] = found[pair].plus(before) if pair in found else before
        return found

    def baselines(self, within: Span | None = None) -> dict[tuple[str, str], Baseline]:
        if within is None:
            return self._baselines
        return {pair: baseline for pair, baseline in self._baselines.items() if within[0] <= pair[0] <= within[1]}


class InterimDecisionLog(SqliteDecisionLog):
    """Keeps the newest decisions in memory until they can be stored; a crash loses them."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection)
        self.writes: deque[_Write] = deque(maxlen=_MAX_DECISION_WRITES)
        """What was written."""
        forks.renew(self, InterimDecisionLog._begin_in_child)

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> list[DecisionOutcome]:
        decisions, outcomes = list(decisions), list(outcomes)
        joined = super().write(decisions, outcomes)
        self.writes.append((decisions, outcomes))
        return joined

    def report(self, decision_id: str, outcome: Outcome, given_ms: int) -> Recorded:  # noqa: ARG002 - the protocol's
        raise StoreError(f"the verdict on {decision_id} cannot wait for its decision while the database is not in use")

    def _begin_in_child(self) -> None:
        """Leave the decisions from before a fork to the parent."""
        self.writes.clear()
