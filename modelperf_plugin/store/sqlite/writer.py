"""The writing half of an SQLite store."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Final, NoReturn

from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.store.lock import ProcessLock
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.roles import Entry
from modelperf_plugin.store.sqlite import bulk as sqlite_bulk
from modelperf_plugin.store.sqlite.commit_queue import Batch, Line, Ticket
from modelperf_plugin.store.sqlite.file import BUSY_SECONDS, Durability, lock_path, prepare, transaction, translate
from modelperf_plugin.values import NANO_USD, Tally

MOST_FRESH: Final = 32
"""So many outcomes at most are added to the evidence in memory one by one."""


class SqliteWriting:
    """One connection that writes, under a lock; threads and processes take turns.

    Threads that find the lock taken stand in line, and whoever gets it next writes the outcomes of all of them in one
    transaction. Processes take turns by a lock file, because SQLite's own way of waiting lets some of them starve.
    """

    def __init__(self, path: str, durability: Durability) -> None:
        self._path = path
        self._durability: Durability = durability
        self._sql = load_queries("sqlite")
        self._closed = False
        self._write_lock = threading.RLock()
        self._holder = 0
        """The thread that writes just now; 0 if none does."""
        self._line = Line()
        self._commit_seconds = 0.0
        self._processes = ProcessLock(None)
        self._evidence: dict[str, dict[str, Tally]] = {}
        self._fresh: list[Entry] = []
        """What was recorded and is not in ``_evidence`` yet."""

    def _connect_writer(self) -> None:
        self._writer = prepare(self._path, self._durability)
        self._execute = self._writer.cursor().execute
        self._processes = ProcessLock(lock_path(self._path))
        self._pair_ids: dict[tuple[str, str], int] = {}

    def _disconnect_writer(self) -> None:
        self._writer.close()
        self._processes.close()

    def record(self, entry: Entry) -> bool:
        """Write one outcome; return False if its ``outcome_id`` is known already and nothing was written."""
        if self._holder or self._line.crowded:
            return self._record_in_line(entry)
        try:
            with self._write_lock:
                self._holder = get_ident()
                try:
                    self._processes.acquire(BUSY_SECONDS)
                    new = self._write_once(entry)
                    if new:
                        self._carry_forward(entry)
                except BaseException:
                    self._forget_evidence()  # whether it was committed is not known
                    raise
                finally:
                    self._processes.release()
                    self._holder = 0
        except BaseException as error:  # noqa: BLE001 - raised again, in our words
            self._raise(error)
        finally:
            if self._line.crowded:
                self._line.wake_first()
        return new

    def record_many(self, entries: Iterable[Entry]) -> int:
        """Write many outcomes in one transaction; return how many were new."""
        entries = list(entries)  # whatever they come from must not keep a transaction waiting
        with self._writing():
            self._forget_evidence()
            return sqlite_bulk.write(self._writer, self._sql, entries, self._intern)

    def _record_in_line(self, entry: Entry) -> bool:
        """Write one outcome together with those of other threads: whoever gets the lock serves all who wait."""
        if self._holder == get_ident():
            raise StoreBusyError(f"{self._path} is just being written to by the code that was interrupted for this")
        ticket = Ticket(entry)
        deadline = time.monotonic() + BUSY_SECONDS
        self._line.join(ticket)
        try:
            while not ticket.served:
                if not self._holder:
                    self._serve(deadline - time.monotonic())
                elif not ticket.wait(deadline - time.monotonic()):
                    self._give_up(ticket)
                    deadline += BUSY_SECONDS  # it is just being written: that has an end of its own
        except BaseException as error:  # noqa: BLE001 - raised again, in our words
            self._line.leave(ticket)
            self._line.wake_first()
            self._raise(error)
        if ticket.error is not None:
            self._raise(ticket.error)
        return ticket.answer

    def _give_up(self, ticket: Ticket) -> None:
        if self._line.leave(ticket):
            raise StoreBusyError(_threads_are_busy(self._path))

    def _serve(self, seconds: float) -> None:
        """Write the outcomes of all who wait, if other processes let us within so many seconds."""
        try:
            with self._write_lock:
                self._holder = get_ident()
                try:
                    if self._line.waiting:  # or somebody else was quicker
                        self._line.gather(self._commit_seconds / 2)
                        self._processes.acquire(seconds)
                        started = time.monotonic()
                        self._write_batch(self._line.take())
                        self._commit_seconds = time.monotonic() - started
                finally:
                    self._processes.release()
                    self._line.done()
                    self._holder = 0
        finally:
            self._line.wake_first()

    def _write_batch(self, batch: Batch) -> None:
        try:
            self._execute("BEGIN IMMEDIATE")
            for ticket in batch.tickets:
                self._write_ticket(ticket)
            batch.complete = True
            self._execute("COMMIT")
            batch.committed = True
            for ticket in batch.tickets:
                if ticket.answer:
                    self._carry_forward(ticket.entry)
        except BaseException as error:
            self._forget_evidence()
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            elif batch.complete and not isinstance(error, sqlite3.Error):
                batch.committed = True  # it was interrupted, but after the commit
            if not isinstance(error, Exception):
                raise  # it was meant for this thread: others are written by the next
            if not batch.committed:
                for ticket in batch.tickets:
                    ticket.error = ticket.error or error

    def _write_ticket(self, ticket: Ticket) -> None:
        """Write one outcome of a batch; what is wrong with it is no concern of the others."""
        try:
            ticket.answer = self._write_once(ticket.entry)
        except Exception as error:
            if not self._writer.in_transaction:
                raise  # SQLite has given up all of it
            ticket.error = error

    def _write_once(self, entry: Entry) -> bool:
        """Write one outcome, in one statement, unless its id is known; return whether it was new."""
        task_type, model_id, outcome, ended_ms = entry
        row = (
            self._pair_ids.get((task_type, model_id)) or self._intern(task_type, model_id),
            ended_ms,
            1 if outcome.success else 0,  # sqlite3 asks for an adapter for every bool and None
            1 if outcome.timeout else 0,
            outcome.tokens_used,
            round(outcome.cost_usd * NANO_USD),
        )
        error_kind, duration, outcome_id = outcome.error_kind, outcome.duration_seconds, outcome.outcome_id
        if error_kind is None and duration is None and outcome_id is None:
            self._execute(self._sql["record"], row)
            return True
        detailed = (*row, error_kind, None if duration is None else round(duration * 1000))
        if outcome_id is None:
            self._execute(self._sql["record_detailed"], detailed)
            return True
        before = self._writer.total_changes
        self._execute(self._sql["record_once"], (*detailed, outcome_id))
        return self._writer.total_changes > before

    def _intern(self, task_type: str, model_id: str) -> int:
        pair = (task_type, model_id)
        found = self._writer.execute(self._sql["find_pair"], pair).fetchone()
        if found is None:
            self._writer.execute(self._sql["add_pair"], pair)
            found = self._writer.execute(self._sql["find_pair"], pair).fetchone()
        pair_id: int = found[0]
        if not self._writer.in_transaction:  # within one, a rollback may yet take the row away
            self._pair_ids[pair] = pair_id
        return pair_id

    def _carry_forward(self, entry: Entry) -> None:
        """Remember a committed outcome until somebody asks for evidence; the write lock is held."""
        if len(self._fresh) >= MOST_FRESH:
            self._forget_evidence()  # to read it again is quicker than to add up so many
        if self._evidence:
            self._fresh.append(entry)

    def _forget_evidence(self) -> None:
        self._evidence.clear()
        self._fresh.clear()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._wait_to_write()
        try:
            self._holder = get_ident()
            self._ensure_open()
            self._processes.acquire(BUSY_SECONDS)
            with transaction(self._writer):
                yield
        except BaseException as error:  # noqa: BLE001 - raised again, in our words
            self._forget_evidence()
            self._raise(error)
        finally:
            self._processes.release()
            self._holder = 0
            self._write_lock.release()
            self._line.wake_first()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the locks for statements that are transactions of their own."""
        self._wait_to_write()
        try:
            self._holder = get_ident()
            self._ensure_open()
            self._processes.acquire(BUSY_SECONDS)
            yield
        except BaseException as error:  # noqa: BLE001 - raised again, in our words
            self._raise(error)
        finally:
            self._processes.release()
            self._holder = 0
            self._write_lock.release()
            self._line.wake_first()

    def _wait_to_write(self) -> None:
        """Take the write lock; other threads of this process may hold it while they wait for other processes."""
        if not self._write_lock.acquire(timeout=BUSY_SECONDS):
            raise StoreBusyError(_threads_are_busy(self._path))

    @contextmanager
    def _executing(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        with self._writing():
            yield self._writer.execute

    @contextmanager
    def _exchanging(self) -> Iterator[sqlite3.Connection]:
        with self._writing():
            self._forget_evidence()
            yield self._writer

    def _ensure_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store {self._path} is closed")

    def _raise(self, error: BaseException) -> NoReturn:
        """Raise ``error`` in this package's words."""
        self._ensure_open()
        if isinstance(error, sqlite3.Error):
            raise translate(error, self._path) from error
        raise error


def _threads_are_busy(path: str) -> str:
    return f"other threads have kept {path} busy for more than {BUSY_SECONDS:g} s"
