"""The connections to a PostgreSQL database, for any thread at any time, and what happens to them at a fork."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import psycopg

from modelperf_plugin.errors import StoreBusyError, StoreError
from modelperf_plugin.store import forks
from modelperf_plugin.store.deadline import BUSY_SECONDS, remaining
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.local import local_read
from modelperf_plugin.store.postgres.connecting import Connector, PatientConnection
from modelperf_plugin.store.postgres.following import Follower
from modelperf_plugin.store.postgres.local_counts import Covered
from modelperf_plugin.store.postgres.migrating import migrate, refuse_older
from modelperf_plugin.store.postgres.pool import Pool
from modelperf_plugin.store.postgres.reading import Statement, at_once, bound, read_counts
from modelperf_plugin.store.postgres.receipts import DoubtError, is_answered, receipt_id
from modelperf_plugin.store.tally_cache import Counts
from modelperf_plugin.store.urls import without_secrets

_T = TypeVar("_T")

_FOLD: Final[Statement] = ("SELECT fold_some()", ())
_END_SECONDS: Final = 1.0
"""How long closing waits for the thread that follows."""


class PostgresConnection:
    """The connections of one store; see :class:`~modelperf_plugin.store.roles.Connection`.

    The roles share this object. Each call uses one connection for one statement, which is a transaction of its own, or
    for one transaction.
    """

    is_remote: bool = True
    """True: choices do not wait for the network."""
    degraded: str | None = None
    """None: failures are raised here."""
    busy: bool = False
    """False: outcomes do not wait here, but fail."""
    note: str | None = None
    """What the answers do not include, if anything."""
    has_unreadable_rows: bool = False
    """False: PostgreSQL stores no text that cannot be read."""

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "normal",
        patience: float = BUSY_SECONDS,
        longest: float = math.inf,
        read_only: bool = False,
        connector: Connector | None = None,
    ) -> None:
        """Connect to the database at ``url``, creating the tables if need be.

        Args:
            url: as libpq understands it; the tables are in the first schema of its ``search_path``.
            durability: what a committed transaction survives.
            patience: for how many seconds a call may wait for others, all its waits together.
            longest: for how many seconds a statement may run, or a server be silent, at most; at least one.
            read_only: whether nothing is created or written.
            connector: opens the connections; one that has tried before may have some ready.

        Raises:
            StoreError: it cannot be used; the message says why.
        """
        self.location = without_secrets(url)
        """The URL without password, for messages."""
        self.read_only = read_only
        """Whether it was opened for reading only."""
        self.patience = patience
        self.durability: Durability = durability
        """What a committed transaction should survive."""
        self.closed = False
        self._connector = connector or Connector(url, self.location)
        self._owns_connector = connector is None
        self._pool = Pool(
            self._connector, self.location, self.ensure_open, durability=durability, patience=patience, longest=longest,
            read_only=read_only,
        )  # fmt: skip
        self.follower = Follower(self.location, self._pool.open_apart)
        """Knows what choices ask."""
        try:
            self._pool.use(lambda connection: (refuse_older if read_only else migrate)(connection, self.location))
        except BaseException:
            self.closed = True
            self._pool.close()
            if self._owns_connector:
                self._connector.close()
            raise
        forks.renew(self, PostgresConnection._begin_again)

    @property
    def behind(self) -> float | None:
        """For how many seconds nothing could be read of what others record."""
        return self.follower.behind

    def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query; a single mapping among ``parameters`` binds them by name."""
        read = local_read()
        if read is not None:
            self.ensure_open()
            return self.follower.ask(read, statement, parameters)
        return self._learnt(lambda connection: _rows(connection, statement, parameters), statement, parameters)

    def fold(self) -> None:
        """Number and add up what was recorded before, unless the store is open for reading only."""
        if not self.read_only and local_read() is None:
            self._folded()

    def fetch_folded(self, statement: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query that needs to see everything recorded before among the events.

        On a store that is open for reading only it sees what others have folded.

        Raises:
            StoreBusyError: so much was recorded that it takes longer; the next call goes on.
        """
        if self.read_only or local_read() is not None:
            return self.fetch(statement, *parameters)
        started = time.monotonic()
        (rows,) = self._folded((statement, parameters))
        self.follower.learn(statement, parameters, rows, started)
        return rows

    def counts(self, task_type: str) -> Counts:
        """Return the counts of a task type, with every outcome recorded before; the same object if nothing changes."""
        read = local_read()
        self.ensure_open()
        if read is not None:
            return self.follower.counts_of(read, task_type)
        counts = self.follower.counts

        def fetch(connection: PatientConnection) -> Counts:
            noted, started = counts.noted, time.monotonic()
            found, sent, _ = read_counts(connection, [task_type], counts.senders)
            if found[task_type].tallies:  # a host may ask about any number of unknown task types
                counts.put(found, Covered(noted, sent), started)
            return found[task_type]

        found = self._pool.use(fetch)
        kept = counts.of(task_type, wanted=False)
        return found if kept is None or kept.counts != found else kept.counts

    def call(self, statement: str, *parameters: Any) -> Any:
        """Return the only row of a statement that writes, which is a transaction of its own."""
        row = self.call_aside(statement, *parameters)
        self.follower.void()
        return row

    def call_aside(self, statement: str, *parameters: Any) -> Any:
        """Do the same with a statement that changes nothing on which choices depend."""
        self.refuse_read_only()
        return self._pool.use(lambda connection: _rows(connection, statement, parameters))[0]

    def call_once(self, entries: Sequence[Entry], statement: str, *parameters: Any) -> Any:
        """Do the same with a statement that records outcomes, and whose first two parameters are a receipt."""
        return self.once(
            entries,
            lambda connection, sent: _rows(connection, statement, (connection.sender, sent, *parameters))[0],
        )

    def once(self, entries: Sequence[Entry], record: Callable[[PatientConnection, int], _T], receipts: int = 1) -> _T:
        """Return what ``record(connection, sent)`` returns, which records outcomes in one transaction with receipts.

        If the connection breaks, so that nobody knows whether the transaction was executed, the error has the receipt:
        a batch of that id is ingested only if it was not, and then it never will be. Of several ``receipts``, so that
        there can be as many batches, ``sent`` is the last one and the error has the first one.
        """
        self.refuse_read_only()

        def execute(connection: PatientConnection) -> _T:
            connection.rename_if_due()
            first = connection.sent + 1
            connection.sent += receipts
            try:
                recorded = record(connection, connection.sent)
            except psycopg.OperationalError as error:
                if not is_answered(error, connection):
                    connection.close()  # a later statement would pass for this one
                    raise DoubtError(receipt_id(connection.sender, first)) from error
                raise
            connection.remember(entries)
            self.follower.counts.note((connection.sender, connection.sent), entries)
            return recorded

        return self._pool.use(execute)

    def execute(self, statement: str, *parameters: Any) -> int:
        """Execute a statement that writes, as a transaction of its own; return how many rows it has changed."""
        self.refuse_read_only()
        rows = self._pool.use(lambda connection: connection.execute(statement.encode(), bound(parameters)).rowcount)
        self.follower.void()
        return rows

    def write(self, action: Callable[[psycopg.Connection], _T]) -> _T:
        """Return what ``action`` returns, called in a transaction: committed afterwards, or rolled back if it raises.

        It is called again if the transaction has to give way to another one.
        """
        self.refuse_read_only()

        def transact(connection: psycopg.Connection) -> _T:
            with connection.transaction():
                return action(connection)

        found = self._pool.use(transact)
        self.follower.void()
        return found

    def restore_by(self, restore: Callable[[PatientConnection, PatientConnection], None]) -> None:
        """Have ``restore`` write by a connection what the server has lost that another one has written."""
        self._pool.restore = restore

    def read(self, action: Callable[[psycopg.Connection], _T]) -> _T:
        """Return what ``action`` returns, called in a transaction that sees the database as of one moment."""

        def transact(connection: psycopg.Connection) -> _T:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                return action(connection)

        return self._pool.use(transact)

    def refuse_read_only(self) -> None:
        """Raise StoreError if the store was opened for reading only."""
        if self.read_only:
            self.ensure_open()
            raise StoreError(f"{self.location} was opened for reading only")

    def ensure_open(self) -> None:
        """Raise StoreError if the store is closed."""
        if self.closed:
            raise StoreError(f"the store {self.location} is closed")

    def close(self) -> None:
        """Close the connections; closing twice is fine, and any other call afterwards is a StoreError."""
        self.closed = True
        self.follower.close(_END_SECONDS)
        self._pool.close()
        if self._owns_connector:
            self._connector.close()

    def _folded(self, *statements: Statement) -> list[list[Any]]:
        """Return the rows of statements once everything is folded that was recorded before, in short transactions."""
        seconds = remaining(self.patience)
        deadline = time.monotonic() + seconds
        while True:
            folding, *answers = self._pool.use(lambda connection: at_once(connection, [_FOLD, *statements]))
            if folding == [(True,)]:
                return answers
            if time.monotonic() >= deadline:
                raise StoreBusyError(f"{self.location} is still adding up what was recorded after {seconds:g} s")

    def _learnt(
        self, read: Callable[[PatientConnection], list[Any]], statement: str, parameters: Sequence[Any]
    ) -> list[Any]:
        """Return the rows that ``read`` returns, which choices use from now on, too."""
        started = time.monotonic()
        rows = self._pool.use(read)
        self.follower.learn(statement, parameters, rows, started)
        return rows

    def _begin_again(self) -> None:
        """Continue in a forked child, where the connections and the outcomes under way are the parent's."""
        self._pool.abandon()


def _rows(connection: psycopg.Connection, statement: str, parameters: Sequence[Any]) -> list[Any]:
    return connection.execute(statement.encode(), bound(parameters)).fetchall()
