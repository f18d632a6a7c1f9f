"""The SQLite store: one file, write-ahead log, safe for many threads and many processes."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import forks
from modelperf_plugin.store.decisions import (
    FORGOTTEN_AT_ONCE,
    DecisionOutcome,
    DecisionRecord,
    DecisionSummary,
    JoinedOutcome,
    LoggedDecision,
)
from modelperf_plugin.store.roles import CountedProblem, DroppedStep, Entry, Finding
from modelperf_plugin.store.sqlite import decisions as sqlite_decisions
from modelperf_plugin.store.sqlite.ab_tests import SqliteABTests
from modelperf_plugin.store.sqlite.exchange import SqliteExchange
from modelperf_plugin.store.sqlite.file import MEMORY, Durability, connect, translated
from modelperf_plugin.store.sqlite.health import examine
from modelperf_plugin.store.sqlite.rebuild import rebuild
from modelperf_plugin.store.sqlite.retention import SHRUNK_AT_ONCE, drop_step, shrink_step
from modelperf_plugin.store.sqlite.trends import SqliteTrends
from modelperf_plugin.store.sqlite.watches import SqliteMonitoring
from modelperf_plugin.store.sqlite.writer import SqliteWriting
from modelperf_plugin.values import Tally

logger = logging.getLogger("modelperf_plugin")


class SqliteStore(SqliteWriting):
    """Keeps outcomes in one SQLite file; see :class:`~modelperf_plugin.store.roles.Store` for the promises.

    One connection writes, under a lock; another reads, so that a choice never waits for a writer. Threads that find
    the lock taken stand in line, and whoever gets it next writes the outcomes of all of them in one transaction.

    The evidence of a task type is kept in memory after it was first read. It is carried forward by this store's own
    outcomes, and dropped when SQLite's ``data_version`` says that somebody else has written.
    """

    read_only: bool = False
    """Whether it was opened for reading only."""

    def __init__(self, path: str, *, durability: Durability = "normal") -> None:
        """Open the file at ``path`` (``":memory:"`` for none), creating it if need be.

        Raises:
            StoreError: it cannot be used; the message says why.
        """
        super().__init__(path, durability)
        # Lock order: _write_lock before _read_lock. In memory both are one lock, because there is one connection.
        self._read_lock = self._write_lock if path == MEMORY else threading.RLock()
        self._pid = os.getpid()
        self._connect()
        self.monitoring = SqliteMonitoring(self._fetch, self._executing)
        """What watches over models use."""
        self.ab_tests = SqliteABTests(self._fetch, self._executing)
        """What A/B tests use."""
        self.trends = SqliteTrends(self._fetch)
        """What is looked at over time."""
        self.exchange = SqliteExchange(self._fetch, self._exchanging)
        """What comes from elsewhere."""
        forks.watch(self)

    def _connect(self) -> None:
        self._connect_writer()
        try:
            with translated(self._path):
                self._reader = (
                    self._writer if self._path == MEMORY else connect(self._path, self._durability, read_only=True)
                )
        except BaseException:
            self._disconnect_writer()
            raise
        self._forget_evidence()
        self._look_up_version = self._reader.cursor().execute
        self._others_version = self._data_version(self._writer)
        self._read_version = self._data_version(self._reader)

    @property
    def location(self) -> str:
        """The path of the file."""
        return self._path

    @property
    def degraded(self) -> str | None:
        """None: what fails here is raised."""
        return None

    @property
    def closed(self) -> bool:
        """Whether it was closed, by its owner or because it could not be opened again after a fork."""
        return self._closed

    def take_over(self, batch_id: str, entries: Iterable[Entry]) -> int:
        """Write outcomes that waited elsewhere, all in one transaction; return how many were new.

        A batch that was taken over before changes nothing.
        """
        with self._writing():
            if self._writer.execute(self._sql["add_moved"], (batch_id,)).rowcount < 1:
                return 0
            self._forget_evidence()
            new = sum(self._write_once(entry) for entry in entries)
            self._writer.execute(self._sql["count_moved"], (new, batch_id))
            return new

    def stand_in(self, tallies: Sequence[Tally]) -> None:
        """Begin with what is known from elsewhere, as counts without events; for an empty store in memory."""
        with self._writing():
            self._forget_evidence()
            for statement in ("known_tally", "known_dropped", "known_daily"):
                self._writer.executemany(self._sql[statement], [tally._asdict() for tally in tallies])

    def evidence(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id, for reading only; models without outcomes are not in it."""
        try:
            with self._read_lock:
                version = self._look_up_version("PRAGMA data_version").fetchone()[0]
                if version == self._read_version and not self._fresh:
                    known = self._evidence.get(task_type)
                    if known is not None:
                        return known
            return self._refresh(task_type, version)
        except sqlite3.Error as error:
            self._raise(error)

    def tallies(self) -> list[Tally]:
        """Return the tallies of all task types, sorted by task type and model."""
        return [Tally._make(row) for row in self._read("all_tallies")]

    def log_decisions(self, made: Iterable[DecisionRecord], ended: Iterable[DecisionOutcome]) -> None:
        """Keep decisions, then join outcomes to these and to older ones, in one transaction."""
        with self._writing():
            sqlite_decisions.write(self._writer, self._sql, made, ended)

    def decision(self, decision_id: str) -> LoggedDecision | None:
        """Return a decision that was kept, or None."""
        return next(map(sqlite_decisions.restore, self._read("decision", decision_id)), None)

    def decisions_like(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        """Return decisions whose id starts with ``prefix``, by id."""
        return [sqlite_decisions.restore(row) for row in self._read("decisions_by_prefix", prefix, prefix, limit)]

    def decisions(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        """Return the newest decisions that were kept, newest first: of ``task_type``, made at ``since_ms`` or later."""
        since_ms = sqlite_decisions.LONG_AGO_MS if since_ms is None else since_ms
        rows = self._read("decisions", since_ms, task_type, task_type, limit)
        return [sqlite_decisions.restore(row) for row in rows]

    def logged_after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        """Return at most ``limit`` decisions kept after the one with ``number``, in the order of keeping."""
        return [(row[0], *sqlite_decisions.parts(row[1:])) for row in self._read("logged_after", number, limit)]

    def decision_summary(self, now_ms: int) -> DecisionSummary:
        """Return how many decisions were kept, have their outcome, wait for it, or are overdue at ``now_ms``."""
        since_ms = sqlite_decisions.overdue_since(now_ms)
        return sqlite_decisions.summarise(self._read("decision_summary", since_ms, since_ms))

    def forget_decisions(self, before_ms: int) -> int:
        """Forget the oldest decisions made before ``before_ms``, a thousand at most; return how many these were."""
        with self._writing():
            return self._writer.execute(self._sql["forget_decisions"], (before_ms, FORGOTTEN_AT_ONCE)).rowcount

    def add_problem(self, problem: CountedProblem) -> None:
        """Add a failure to those of its kind."""
        with self._writing():
            self._writer.execute(self._sql["add_problem"], problem)
            self._writer.execute(self._sql["trim_problems"])

    def problems(self) -> list[CountedProblem]:
        """Return the failures counted so far, newest first."""
        return [CountedProblem._make(row) for row in self._read("problems")]

    def clear_problems(self) -> None:
        """Forget the failures counted so far."""
        with self._writing():
            self._writer.execute(self._sql["clear_problems"])

    def check(self) -> list[Finding]:
        """Look at the health of the file; reads all of it."""
        with self._read_lock, translated(self._path):
            self._ensure_open()
            return examine(self._reader, self._path, self._sql)

    def rebuild(self) -> int:
        """Make tallies and roll-up what the events say, in one transaction; return how many pairs were wrong."""
        with self._writing():
            self._forget_evidence()
            return rebuild(self._writer)

    def drop_events(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        """Drop events that ended before ``before_ms`` among the next thousand after ``after_id``; tallies stay."""
        with self._writing():
            return drop_step(self._writer, self._sql, before_ms, after_id)

    def shrink(self, pages: int = SHRUNK_AT_ONCE) -> int:
        """Give at most ``pages`` unused pages back to the disk; return how many are left."""
        with self._alone():
            return shrink_step(self._writer, pages)

    def settle(self) -> None:
        """Bring what is in the write-ahead log into the file and shorten the log, as far as readers allow it."""
        with self._alone():
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go of the file; closing twice is fine, and any other call after it is a StoreError."""
        with self._write_lock, self._read_lock:
            self._closed = True
            self._forget_evidence()
            self._disconnect()

    def before_fork(self) -> None:
        """Take the locks and let go of the file.

        SQLite's own record of the locks that a process holds would go over to the child, but not the locks: also a
        connection that the child opens anew would trust it. So nothing may be open while a process forks.
        """
        self._write_lock.acquire()
        self._read_lock.acquire()
        if not self._closed and self._path != MEMORY:
            self._disconnect()

    def after_fork(self) -> None:
        """Open the file again, in the parent and in the child."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self._line.start_afresh()
        try:
            if not self._closed and self._path != MEMORY:
                self._connect()
        except StoreError:
            self._closed = True
            logger.exception("%s could not be opened again after a fork", self._path)
        finally:
            self._read_lock.release()
            self._write_lock.release()
            self._line.wake_first()

    def _disconnect(self) -> None:
        self._reader.close()
        self._disconnect_writer()

    def _refresh(self, task_type: str, version: int) -> Mapping[str, Tally]:
        """Bring the evidence in memory up to ``version`` of the reader, or read past it while a writer is busy.

        What is in memory changes only under the write lock: then no outcome of our own is between its commit and
        ``_carry_forward``, and none can be counted twice.
        """
        if not self._write_lock.acquire(blocking=self._reader is self._writer):
            return self._load(task_type)
        try:
            with self._read_lock:
                if version != self._read_version:
                    others = self._data_version(self._writer)
                    if others != self._others_version:
                        self._forget_evidence()
                        self._others_version = others
                    self._read_version = version
                self._add_fresh()
                known = self._evidence.get(task_type)
                if known is None:
                    known = self._evidence[task_type] = self._load(task_type)
                return known
        finally:
            self._write_lock.release()

    def _add_fresh(self) -> None:
        """Add what was recorded since to the evidence in memory."""
        fresh, self._fresh = self._fresh, []
        for task_type in {entry.task_type for entry in fresh} & self._evidence.keys():
            # a new mapping: whoever was handed the old one goes on reading what it was
            known = self._evidence[task_type] = self._evidence[task_type].copy()
            for each, model_id, outcome, ended_ms in fresh:
                if each == task_type:
                    tally = known.get(model_id) or Tally(task_type, model_id)
                    known[model_id] = tally.plus(outcome, ended_ms)

    def _load(self, task_type: str) -> dict[str, Tally]:
        return {row[1]: Tally._make(row) for row in self._read("tallies_of_task_type", task_type)}

    def _read(self, name: str, *parameters: Any) -> list[Any]:
        return self._fetch(self._sql[name], *parameters)

    def _fetch(self, statement: str, *parameters: Any) -> list[Any]:
        named = parameters[0] if parameters and isinstance(parameters[0], dict) else parameters
        with self._read_lock:
            try:
                return self._reader.execute(statement, named).fetchall()
            except sqlite3.Error as error:
                self._raise(error)

    @staticmethod
    def _data_version(connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        return version
