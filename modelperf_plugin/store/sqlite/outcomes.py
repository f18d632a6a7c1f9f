"""Recording outcomes: one statement each, and one commit for all threads that wait."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from threading import get_ident

from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite import bulk
from modelperf_plugin.store.sqlite.commit_queue import CommitBatch, Ticket
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.file import BUSY_SECONDS
from modelperf_plugin.values import NANO_USD


class SqliteOutcomes:
    """Records outcomes in an SQLite file; see :class:`~modelperf_plugin.store.roles.Outcomes`.

    Group commit: threads that find the lock taken queue up, and the thread that gets it next writes for all of them
    in one transaction.
    """

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")
        self._commit_seconds = 0.0

    def record(self, entry: Entry) -> bool:
        connection = self._connection
        if connection.holder or connection.queue.crowded:
            return self._record_in_group(entry)
        try:
            with connection.write_lock:
                connection.holder = get_ident()
                try:
                    connection.processes.acquire(BUSY_SECONDS)
                    new = self._write(entry)
                    if new:
                        connection.cache.add(entry)
                except BaseException:
                    connection.cache.clear()  # it is unknown whether the outcome was committed
                    raise
                finally:
                    connection.processes.release()
                    connection.holder = 0
        except BaseException as error:  # noqa: BLE001 - raised again, translated
            connection.fail(error)
        finally:
            if connection.queue.crowded:
                connection.queue.wake_first()
        return new

    def record_many(self, entries: Iterable[Entry]) -> int:
        entries = list(entries)  # a slow iterable must not keep the transaction open
        with self._connection.writing() as connection:
            self._connection.cache.clear()
            return bulk.write(connection, self._sql, entries, self._intern)

    def ingest_batch(self, batch_id: str, entries: Iterable[Entry]) -> int:
        """Write spooled outcomes in one transaction, unless the batch was ingested before; return how many were new."""
        with self._connection.writing() as connection:
            if connection.execute(self._sql["add_moved"], (batch_id,)).rowcount < 1:
                return 0
            self._connection.cache.clear()
            new = sum(self._write(entry) for entry in entries)
            connection.execute(self._sql["count_moved"], (new, batch_id))
            return new

    def _record_in_group(self, entry: Entry) -> bool:
        """Write one outcome together with those of other threads."""
        connection, queue = self._connection, self._connection.queue
        if connection.holder == get_ident():
            raise StoreBusyError(f"{connection.location} is being written to by the code that was interrupted for this")
        ticket = Ticket(entry)
        deadline = time.monotonic() + BUSY_SECONDS
        queue.join(ticket)
        try:
            while not ticket.served:
                if not connection.holder:
                    self._serve(deadline - time.monotonic())
                elif not ticket.wait(deadline - time.monotonic()):
                    self._give_up(ticket)
                    deadline += BUSY_SECONDS  # it is being written, which ends by itself
        except BaseException as error:  # noqa: BLE001 - raised again, translated
            queue.leave(ticket)
            queue.wake_first()
            connection.fail(error)
        if ticket.error is not None:
            connection.fail(ticket.error)
        return ticket.answer

    def _give_up(self, ticket: Ticket) -> None:
        if self._connection.queue.leave(ticket):
            raise StoreBusyError(self._connection.busy_message)

    def _serve(self, seconds: float) -> None:
        """Write the outcomes of all waiting threads, if other processes let this one within ``seconds``."""
        connection, queue = self._connection, self._connection.queue
        try:
            with connection.write_lock:
                connection.holder = get_ident()
                try:
                    if queue.waiting:  # unless another thread was quicker
                        queue.gather(self._commit_seconds / 2)
                        connection.processes.acquire(seconds)
                        started = time.monotonic()
                        self._write_batch(queue.take())
                        self._commit_seconds = time.monotonic() - started
                finally:
                    connection.processes.release()
                    queue.done()
                    connection.holder = 0
        finally:
            queue.wake_first()

    def _write_batch(self, batch: CommitBatch) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for ticket in batch.tickets:
                self._write_ticket(ticket)
            batch.complete = True
            connection.execute("COMMIT")
            batch.committed = True
            for ticket in batch.tickets:
                if ticket.answer:
                    connection.cache.add(ticket.entry)
        except BaseException as error:
            connection.cache.clear()
            if connection.writer.in_transaction:
                connection.writer.execute("ROLLBACK")
            elif batch.complete and not isinstance(error, sqlite3.Error):
                batch.committed = True  # interrupted, but after the commit
            if not isinstance(error, Exception):
                raise  # meant for this thread: the next one writes for the others
            if not batch.committed:
                for ticket in batch.tickets:
                    ticket.error = ticket.error or error

    def _write_ticket(self, ticket: Ticket) -> None:
        """Write one outcome of a batch; its failure does not concern the others."""
        try:
            ticket.answer = self._write(ticket.entry)
        except Exception as error:
            if not self._connection.writer.in_transaction:
                raise  # SQLite has rolled back the whole batch
            ticket.error = error

    def _write(self, entry: Entry) -> bool:
        """Write one outcome, in one statement, unless its id is known; return whether it was new."""
        task_type, model_id, outcome, ended_ms = entry
        connection = self._connection
        row = (
            connection.pair_ids.get((task_type, model_id)) or self._intern(task_type, model_id),
            ended_ms,
            1 if outcome.success else 0,  # sqlite3 looks for an adapter for every bool and None
            1 if outcome.timeout else 0,
            outcome.tokens_used,
            round(outcome.cost_usd * NANO_USD),
        )
        error_kind, duration, outcome_id = outcome.error_kind, outcome.duration_seconds, outcome.outcome_id
        if error_kind is None and duration is None and outcome_id is None:
            connection.execute(self._sql["record"], row)
            return True
        detailed = (*row, error_kind, None if duration is None else round(duration * 1000))
        if outcome_id is None:
            connection.execute(self._sql["record_detailed"], detailed)
            return True
        before = connection.writer.total_changes
        connection.execute(self._sql["record_once"], (*detailed, outcome_id))
        return connection.writer.total_changes > before

    def _intern(self, task_type: str, model_id: str) -> int:
        """Return the number that stands for a pair, adding the pair if need be."""
        pair = (task_type, model_id)
        writer = self._connection.writer
        found = writer.execute(self._sql["find_pair"], pair).fetchone()
        if found is None:
            writer.execute(self._sql["add_pair"], pair)
            found = writer.execute(self._sql["find_pair"], pair).fetchone()
        pair_id: int = found[0]
        if not writer.in_transaction:  # a rollback could remove the row again
            self._connection.pair_ids[pair] = pair_id
        return pair_id


class ReadOnlyOutcomes:
    """Refuses to record: the file was opened for reading only."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection

    def record(self, entry: Entry) -> bool:
        """Raise StoreError."""
        return self.record_many([entry]) > 0

    def record_many(self, entries: Iterable[Entry]) -> int:  # noqa: ARG002 - the protocol's signature
        """Raise StoreError."""
        with self._connection.locked():
            raise StoreError(f"{self._connection.location} was opened for reading only")
