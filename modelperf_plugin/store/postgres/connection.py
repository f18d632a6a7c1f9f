"""The connections to a PostgreSQL database, for any thread at any time, and what happens to them at a fork."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Final, NoReturn, TypeVar

import psycopg
from psycopg import errors

from modelperf_plugin.errors import StoreBusyError, StoreError, StoreFailedError
from modelperf_plugin.store import forks
from modelperf_plugin.store.deadline import BUSY_SECONDS, remaining
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.postgres.connecting import Connector, PatientConnection
from modelperf_plugin.store.postgres.errors import translate
from modelperf_plugin.store.postgres.migrating import migrate, refuse_older
from modelperf_plugin.store.postgres.own_outcomes import OwnOutcomes
from modelperf_plugin.store.postgres.receipts import DoubtError, NoConnectionError, is_answered, receipt_id
from modelperf_plugin.store.postgres.slots import Slot, Slots
from modelperf_plugin.store.urls import without_secrets
from modelperf_plugin.values.locks import attempt

_T = TypeVar("_T")
Parameters = Sequence[Any] | Mapping[str, Any]

_MAX_ATTEMPTS: Final = 5
"""How often a transaction is tried that gave way to another one (a deadlock), or found its connection closed."""
_LEAST_SECONDS: Final = 1.0
"""How long a statement may take even if its caller has less time: it is for the network, not for others that write."""
_SPARE_SECONDS: Final = 0.2
"""How much earlier than the caller the client gives up, and the server as much earlier than the client."""
_STEP_MS: Final = 100
"""Deadlines are rounded up to this, so that they seldom have to be set anew."""
_SETTINGS: Final = """
SELECT
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('default_transaction_read_only', %(read_only)s, false),
    set_config('synchronous_commit', CASE
        WHEN %(full)s THEN CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
            ELSE current_setting('synchronous_commit') END
        ELSE 'off'
    END, false),
    pg_is_in_recovery()
"""
_STANDBY: Final = (
    "{location} is a standby, which can only be read: name the primary, or all servers with "
    "target_session_attrs=read-write"
)


class PostgresConnection:
    """The connections of one store; see :class:`~modelperf_plugin.store.roles.Connection`.

    The roles share this object. Each call uses one connection for one statement, which is a transaction of its own, or
    for one transaction.
    """

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
        self.own = OwnOutcomes()
        self._longest = longest
        self._connector = connector or Connector(url, self.location)
        self._owns_connector = connector is None
        self._slots = Slots(self._connector.note_closed)
        self._restoring = Lock()
        self.restore: Callable[[PatientConnection, PatientConnection], None] | None = None
        """Writes by a connection what the server has lost that another one has written."""
        try:
            self._use(lambda connection: (refuse_older if read_only else migrate)(connection, self.location))
        except BaseException:
            self.closed = True
            self._slots.close()
            if self._owns_connector:
                self._connector.close()
            raise
        forks.renew(self, PostgresConnection._begin_again)

    def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query; a single mapping among ``parameters`` binds them by name."""
        return self._use(lambda connection: _rows(connection, statement, parameters))

    def fold(self) -> None:
        """Number and add up what was recorded before, unless the store is open for reading only."""
        if not self.read_only:
            self.fetch("SELECT fold()")

    def fetch_folded(self, statement: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query that needs to see everything recorded before among the events.

        On a store that is open for reading only it sees what others have folded.
        """
        if self.read_only:
            return self.fetch(statement, *parameters)

        return self._use(lambda connection: _fetch_folded(connection, statement, parameters))

    def call(self, statement: str, *parameters: Any) -> Any:
        """Return the only row of a statement that writes, which is a transaction of its own."""
        self.refuse_read_only()
        return self._use(lambda connection: _rows(connection, statement, parameters))[0]

    def call_once(self, entries: Sequence[Entry], statement: str, *parameters: Any) -> Any:
        """Do the same with a statement that records outcomes, and whose first two parameters are a receipt.

        If the connection breaks, so that nobody knows whether the statement was executed, the error has the receipt: a
        batch of that id is ingested only if it was not, and then it never will be.
        """
        self.refuse_read_only()

        def execute(connection: PatientConnection) -> list[Any]:
            connection.sent += 1
            receipt = connection.sender, connection.sent
            try:
                rows = _rows(connection, statement, (*receipt, *parameters))
            except psycopg.OperationalError as error:
                if not is_answered(error, connection):
                    raise DoubtError(receipt_id(*receipt)) from error
                raise
            connection.remember(entries)
            return rows

        return self._use(execute)[0]

    def execute(self, statement: str, *parameters: Any) -> int:
        """Execute a statement that writes, as a transaction of its own; return how many rows it has changed."""
        self.refuse_read_only()
        return self._use(lambda connection: connection.execute(statement, _bound(parameters)).rowcount)

    def write(self, action: Callable[[psycopg.Connection], _T]) -> _T:
        """Return what ``action`` returns, called in a transaction: committed afterwards, or rolled back if it raises.

        It is called again if the transaction has to give way to another one.
        """
        self.refuse_read_only()

        def transact(connection: psycopg.Connection) -> _T:
            with connection.transaction():
                return action(connection)

        return self._use(transact)

    def read(self, action: Callable[[psycopg.Connection], _T]) -> _T:
        """Return what ``action`` returns, called in a transaction that sees the database as of one moment."""

        def transact(connection: psycopg.Connection) -> _T:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                return action(connection)

        return self._use(transact)

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
        self._slots.close()
        if self._owns_connector:
            self._connector.close()

    def _begin_again(self) -> None:
        """Continue in a forked child, where the connections and the outcomes under way are the parent's."""
        self._slots.abandon()
        self._connector.abandon()
        self._restoring = Lock()
        self.own = OwnOutcomes()

    def _use(self, action: Callable[[PatientConnection], _T]) -> _T:
        """Return what ``action`` returns for a connection; the errors of psycopg are raised as StoreError."""
        seconds = remaining(self.patience)
        deadline = time.monotonic() + seconds
        for number in range(1, _MAX_ATTEMPTS + 1):
            try:
                found = self._on_any(lambda slot: action(self._ready(slot)), deadline)
            except (errors.DeadlockDetected, errors.SerializationFailure) as error:
                if number == _MAX_ATTEMPTS or time.monotonic() >= deadline:
                    self._fail(error)
            except (psycopg.Error, UnicodeError) as error:
                self._fail(error)
            else:
                if found is None:
                    raise StoreBusyError(f"other threads have kept {self.location} busy for more than {seconds:g} s")
                return found[0]
        raise AssertionError  # the last attempt returns or raises

    def _on_any(self, action: Callable[[Slot], _T], deadline: float) -> tuple[_T] | None:
        """Return what ``action`` returns for a free slot or, if the server accepts no more connections, an open one."""
        try:
            return self._slots.use(action, max(0.0, deadline - time.monotonic()))
        except NoConnectionError as error:
            found = self._slots.use(action, max(0.0, deadline - time.monotonic()), open_ones=True)
            if found is None and not self._slots.have_open:
                self._fail(error.cause)
            return found

    def _fail(self, error: Exception) -> NoReturn:
        if isinstance(error, DoubtError):  # also if the store was closed meanwhile
            failure = StoreFailedError(str(translate(error.cause, self.location, self.patience)))
            failure.receipt = error.receipt
            raise failure from error.cause
        self.ensure_open()
        raise translate(error, self.location, self.patience) from error

    def _ready(self, slot: Slot) -> PatientConnection:
        """Return the connection of a slot, opened if need be, with the deadlines of this call."""
        self.ensure_open()
        connection = slot.connection
        wait, seconds = remaining(self.patience), max(_LEAST_SECONDS, min(remaining(math.inf), self._longest))
        if connection is None or _is_lost(connection):
            self._slots.drop(slot)
            try:
                connection = slot.connection = self._connector.connect(wait, self.patience)
            except psycopg.OperationalError as error:
                if self._slots.have_open:
                    raise NoConnectionError from error
                raise
            try:
                self._set_up(connection, seconds - _SPARE_SECONDS)
            except BaseException:
                self._slots.drop(slot)
                raise
        connection.silence = seconds - _SPARE_SECONDS
        timeouts = f"{_rounded(wait)}, {0 if math.isinf(seconds) else _rounded(seconds - 2 * _SPARE_SECONDS)}"
        if timeouts != slot.timeouts:
            lock_ms, statement_ms = timeouts.split(", ")
            connection.execute(
                "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)",
                (lock_ms, statement_ms),
            )
            slot.timeouts = timeouts
        if self._connector.lost and self.restore is not None:
            self._restore(connection, wait)
        return connection

    def _restore(self, connection: PatientConnection, seconds: float) -> None:
        """Write again what the server may have lost, before anything else is written."""
        restore, lost = self.restore, self._connector.lost

        def run() -> None:
            while lost and restore is not None:
                restore(connection, lost[0])
                lost.popleft()

        if not attempt(self._restoring, run, max(seconds, _LEAST_SECONDS)):
            raise StoreBusyError(f"another thread restores what {self.location} has lost")

    def _set_up(self, connection: PatientConnection, silence: float) -> None:
        """Prepare a new connection; raise StoreFailedError if the server is a standby, and nothing can be written."""
        connection.silence = silence
        settings = {"read_only": "on" if self.read_only else "off", "full": self.durability == "full"}
        *_, is_standby = connection.execute(_SETTINGS, settings).fetchone() or (False,)
        if is_standby and not self.read_only:
            raise StoreFailedError(_STANDBY.format(location=self.location))


def _is_lost(connection: psycopg.Connection) -> bool:
    """Return whether an idle connection cannot be used: what a server says unasked is, as a rule, its farewell."""
    return connection.closed or bool(select.select([connection], [], [], 0)[0])


def _rows(connection: psycopg.Connection, statement: str, parameters: Sequence[Any]) -> list[Any]:
    return connection.execute(statement, _bound(parameters)).fetchall()


def _fetch_folded(connection: psycopg.Connection, statement: str, parameters: Sequence[Any]) -> list[Any]:
    """Fold and fetch in one round trip.

    An error is raised again outside of the pipeline: psycopg would write a line to the log if it passed through.
    """
    failure: psycopg.Error | None = None
    rows: list[Any] = []
    try:
        with connection.pipeline():
            try:
                connection.execute("SELECT fold()")
                rows = connection.execute(statement, _bound(parameters)).fetchall()
            except psycopg.Error as error:
                failure = error
    except psycopg.Error as error:
        raise failure or error from None
    if failure is not None:
        raise failure
    return rows


def _bound(parameters: Sequence[Any]) -> Parameters | None:
    if not parameters:
        return None
    first = parameters[0]
    return first if isinstance(first, dict) else parameters


def _rounded(seconds: float) -> int:
    """Return a deadline in milliseconds; 0 would mean that there is none."""
    return max(1, math.ceil(seconds * 1000 / _STEP_MS) * _STEP_MS)
