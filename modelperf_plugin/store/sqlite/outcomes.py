"""Recording outcomes: one statement each, and one commit for all threads that wait."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Final, TypeVar

from modelperf_plugin.store.commit_queue import Ticket
from modelperf_plugin.store.deadline import remaining
from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.entries import Entry, Recorded, Verdict, decision_of
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite import bulk, revising
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.decisions import add_decisions
from modelperf_plugin.store.sqlite.file import begin, is_busy, retried
from modelperf_plugin.store.tried import text_of
from modelperf_plugin.values import NANO_USD, Tried
from modelperf_plugin.values.locks import attempt, entering

MAX_KNOWN_NUMBERS: Final = 100_000
"""Of how many pairs and of how many sets the numbers are kept in memory."""

_Key = TypeVar("_Key")


class SqliteOutcomes:
    """Records outcomes in an SQLite file; see :class:`~modelperf_plugin.store.roles.Outcomes`.

    Group commit: threads that find the lock taken queue up, and the thread that gets it next writes for all of them
    in one transaction.
    """

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")
        self._commit_seconds = 0.0

    def record(self, entry: Entry, joining: Joining | None = None) -> Recorded:
        connection = self._connection
        if connection.holder or connection.queue.crowded:
            return self._record_in_group(entry, joining)
        seconds = remaining(connection.patience)
        deadline = time.monotonic() + seconds
        cache = connection.cache
        lock: AbstractContextManager[object] = connection.write_lock
        if seconds < connection.patience:  # otherwise it lasts no longer than a thread that was quicker by an instant
            lock = entering(connection.write_lock, seconds, connection.refuse)
        try:
            with lock, connection.processes.released:
                connection.holder = get_ident()
                try:
                    connection.processes.acquire(deadline)
                    cache.doubtful = True
                    try:
                        new = self._write(entry) if joining is None else self._write_both(entry, joining, deadline)
                    except sqlite3.OperationalError as error:
                        if not is_busy(error):
                            raise
                        new = retried(lambda: self._write(entry), deadline)
                    if new:
                        cache.add(entry)
                    cache.doubtful = False
                finally:
                    connection.holder = 0
        except BaseException as error:  # noqa: BLE001 - raised again, translated
            connection.fail(error)
        finally:
            if connection.queue.crowded:
                connection.queue.wake_first()
        return new

    def record_many(self, entries: Iterable[Entry]) -> int:
        entries = list(entries)  # a slow iterable must not keep the transaction open

        def write(connection: sqlite3.Connection) -> int:
            self._connection.cache.clear()
            new, known = bulk.write(connection, self._sql, entries, self._intern, self._intern_tried)
            return new + sum(map(bool, map(self._write, known)))

        return self._connection.write(write)

    def known_ids(self, outcome_ids: Iterable[str]) -> set[str]:
        """Return which outcome ids are known; waits for no writer."""
        rows = self._connection.fetch(self._sql["known_outcome_keys"], json.dumps(list(outcome_ids)))
        return {outcome_id for (outcome_id,) in rows}

    def verdict_of(self, outcome_id: str) -> Verdict | None:
        """Return the verdict of a known outcome, as long as its event exists; waits for no writer."""
        connection = self._connection
        if connection.is_at_rest:
            connection.resume()
        try:
            with connection.read_lock:
                return revising.verdict_of(connection.reader, outcome_id)
        except sqlite3.Error as error:
            connection.fail(error)

    def verdicts_of(self, outcome_ids: Iterable[str]) -> dict[str, Verdict]:
        verdicts = {outcome_id: self.verdict_of(outcome_id) for outcome_id in self.known_ids(outcome_ids)}
        return {outcome_id: verdict for outcome_id, verdict in verdicts.items() if verdict is not None}

    def ingest_batch(self, batch_id: str, entries: Iterable[Entry]) -> int:
        """Write spooled outcomes in one transaction, unless the batch was ingested before; return how many were new."""

        def write(connection: sqlite3.Connection) -> int:
            if connection.execute(self._sql["add_moved"], (batch_id,)).rowcount < 1:
                return 0
            self._connection.cache.clear()
            new = sum(bool(self._write(entry, is_stamped=True)) for entry in entries)
            connection.execute(self._sql["count_moved"], (new, batch_id))
            return new

        return self._connection.write(write)

    def _record_in_group(self, entry: Entry, joining: Joining | None) -> Recorded:
        """Write one outcome together with those of other threads."""
        connection, queue = self._connection, self._connection.queue
        connection.refuse_interrupted()
        if connection.is_at_rest:
            connection.resume()
        seconds = remaining(connection.patience)
        deadline = time.monotonic() + seconds
        ticket = Ticket(entry, joining)
        try:
            queue.join(ticket)
            while not attempt(connection.write_lock, lambda: self._serve(deadline)) and not ticket.served:
                ticket.wait(deadline - time.monotonic())
                # if it is being written, that ends by itself
                if time.monotonic() >= deadline and not ticket.served and queue.leave(ticket):
                    connection.refuse(seconds)
        except BaseException as error:  # noqa: BLE001 - raised again, translated
            queue.leave(ticket)
            connection.fail(error)
        finally:
            queue.wake_first()
        if ticket.error is not None:
            connection.fail(ticket.error)
        return ticket.answer

    def _serve(self, deadline: float) -> None:
        """Write the outcomes of all waiting threads, under the write lock."""
        connection, queue = self._connection, self._connection.queue
        with connection.processes.released:
            connection.holder = get_ident()
            try:
                queue.done()
                if queue.waiting:
                    queue.gather(self._commit_seconds / 2)
                    connection.processes.acquire(deadline)
                    started = time.monotonic()
                    self._write_batch(deadline)
                    self._commit_seconds = time.monotonic() - started
            finally:
                connection.holder = 0
                queue.done()

    def _write_batch(self, deadline: float) -> None:
        """Write a batch in one transaction.

        Its tickets are taken when only the disk can still make them wait: until then each may give up.
        """
        connection = self._connection
        batch = None
        connection.cache.doubtful = True
        try:
            with connection.writer:  # commits or rolls back, in C
                begin(connection.writer, deadline)
                batch = connection.queue.take()
                for ticket in batch.tickets:
                    self._write_ticket(ticket)
                batch.complete = True
        except Exception as error:
            if batch is None:
                raise
            batch.complete = False
            for ticket in batch.tickets:
                ticket.error = ticket.error or error
            return
        for ticket in batch.tickets:
            if ticket.answer:
                connection.cache.add(ticket.entry)
            if ticket.joining is not None:
                ticket.joining.is_stored = ticket.has_joined
        connection.cache.doubtful = False

    def _write_ticket(self, ticket: Ticket) -> None:
        """Write one outcome of a batch; its failure does not concern the others."""
        try:
            ticket.answer, ticket.has_joined = self._write_joined(ticket.entry, ticket.joining)
        except Exception as error:
            if not self._connection.writer.in_transaction:
                raise  # SQLite has rolled back the whole batch
            ticket.error = error

    def _write_both(self, entry: Entry, joining: Joining, deadline: float) -> Recorded:
        """Write one outcome, to the log as well, in one transaction."""
        connection = self._connection
        if (entry.task_type, entry.model_id) not in connection.pair_ids:
            self._intern(entry.task_type, entry.model_id)
        if entry.tried and entry.tried not in connection.tried_ids:
            self._intern_tried(entry.tried)
        with connection.writer:  # commits or rolls back, in C
            begin(connection.writer, deadline)
            recorded, joining.is_stored = self._write_joined(entry, joining)
        return recorded

    def _write_joined(self, entry: Entry, joining: Joining | None) -> tuple[Recorded, bool]:
        """Write one outcome, and to the log if it is new, within a transaction; return whether the log has it."""
        if joining is None:
            return self._write(entry), False
        decision_id = joining.outcome.decision_id
        if joining.decision is None and entry.outcome.outcome_id is None:  # it may have been reported on
            completed = revising.complete(self._connection.writer, decision_id, entry)
            if completed is not None:
                self._connection.cache.clear()
                return completed, True
        recorded = self._write(entry, decision_id=decision_id)
        return recorded, recorded is Recorded.NEW and self._join(joining)

    def _join(self, joining: Joining) -> bool:
        """Write an outcome and its decision to the log, within its transaction; return False if only that fails."""
        writer = self._connection.writer
        decisions = [] if joining.decision is None else [joining.decision]

        def on_verdict() -> None:
            self._connection.cache.clear()
            joining.has_verdict = True

        try:
            joining.joined = add_decisions(writer, decisions, [joining.outcome], on_verdict, of_newest_event=True)
        except Exception:
            if not writer.in_transaction:
                raise  # SQLite has rolled back the outcome as well
            return False
        return True

    def _write(self, entry: Entry, *, decision_id: str | None = None, is_stamped: bool = False) -> Recorded:
        """Write one outcome, in one statement; one whose id is known may replace its verdict, in another one.

        Args:
            entry: the outcome.
            decision_id: its decision, if known.
            is_stamped: whether its time is that at which its verdict was given, and a later one counts more.
        """
        task_type, model_id, outcome, ended_ms, tried = entry
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
        score, wait, served = outcome.score, outcome.retry_after_seconds, outcome.served_model
        plain = error_kind is None and duration is None and score is None and wait is None and served is None
        if plain and outcome_id is None and not tried:
            connection.execute(self._sql["record"], row)
            return Recorded.NEW
        detailed = (
            *row, error_kind, None if duration is None else round(duration * 1000),
            None if score is None else outcome.score_millionths, None if wait is None else round(wait * 1000),
        )  # fmt: skip
        served = None if served == model_id else served
        if outcome_id is None and not tried and served is None:
            connection.execute(self._sql["record_detailed"], detailed)
            return Recorded.NEW
        of = None if outcome_id is None else decision_of(outcome_id)
        if of is not None:  # the outcome of that decision, whatever its own id
            given = outcome.success, outcome.score_millionths, ended_ms, is_stamped
            reported = revising.report(connection.writer, of, revising.Reported(*given))
            if reported is not None:
                connection.cache.clear()
                return reported
        tried_id = (connection.tried_ids.get(tried) or self._intern_tried(tried)) if tried else 0
        before = connection.writer.total_changes
        if served is not None:
            connection.execute(self._sql["record_served"], (*detailed, outcome_id, tried_id or None, served))
        elif tried:
            connection.execute(self._sql["record_later"], (*detailed, outcome_id, tried_id))
        else:
            connection.execute(self._sql["record_once"], (*detailed, outcome_id))
        if outcome_id is None or connection.writer.total_changes > before:
            return Recorded.NEW
        connection.cache.clear()
        return revising.revise(connection.writer, row[0], entry, decision_id, is_stamped=is_stamped)

    def _intern(self, task_type: str, model_id: str) -> int:
        """Return the number that stands for a pair, adding the pair if need be."""
        pair = (task_type, model_id)
        return self._find_or_add("pair", pair, self._connection.pair_ids, pair)

    def _intern_tried(self, tried: Tried) -> int:
        """Return the number that stands for a set of models that had failed, adding the set if need be."""
        return self._find_or_add("tried", (text_of(tried),), self._connection.tried_ids, tried)

    def _find_or_add(self, table: str, names: tuple[str, ...], known: dict[_Key, int], key: _Key) -> int:
        find, writer = self._sql[f"find_{table}"], self._connection.writer
        found = writer.execute(find, names).fetchone()
        if found is None:
            writer.execute(self._sql[f"add_{table}"], names)
            found = writer.execute(find, names).fetchone()
        number: int = found[0]
        if not writer.in_transaction:  # a rollback could remove the row again
            if len(known) >= MAX_KNOWN_NUMBERS:
                known.clear()
            known[key] = number
        return number


class ReadOnlyOutcomes:
    """Refuses to record: the file was opened for reading only."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection

    def record(self, entry: Entry, joining: Joining | None = None) -> Recorded:  # noqa: ARG002 - the protocol's
        """Raise StoreError."""
        return Recorded(self.record_many([entry]))

    def record_many(self, entries: Iterable[Entry]) -> int:  # noqa: ARG002 - the protocol's signature
        """Raise StoreError."""
        return self._connection.write(lambda _: 0)

    def verdicts_of(self, outcome_ids: Iterable[str]) -> dict[str, Verdict]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: no outcome is recorded that it would matter to."""
        return {}
