"""The connections of one store: opened when they are needed, given deadlines, and replaced when they break."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Final, NoReturn, TypeVar

import psycopg
from psycopg import errors

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.store.deadline import remaining
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.local import least_seconds
from modelperf_plugin.store.postgres.connecting import Connector, PatientConnection
from modelperf_plugin.store.postgres.errors import translate
from modelperf_plugin.store.postgres.receipts import DoubtError, NoConnectionError, failed
from modelperf_plugin.store.postgres.sessions import limit, set_up
from modelperf_plugin.store.postgres.slots import Slot, Slots
from modelperf_plugin.values.locks import attempt

_T = TypeVar("_T")

_MAX_ATTEMPTS: Final = 5
"""How often a transaction is tried that gave way to another one (a deadlock), or found its connection closed."""
_LEAST_SECONDS: Final = 0.6
"""How long a statement may take even if its caller has less time: it is for the network, not for others that write."""
_SPARE_SECONDS: Final = 0.3
"""How much earlier than the caller the client gives up: to fall back takes some time, too."""
_MARGIN_SECONDS: Final = _SPARE_SECONDS + 0.1
"""How much earlier than the caller the server gives up."""


class Pool:
    """Lends connections. Any thread may call any method."""

    def __init__(
        self, connector: Connector, location: str, ensure_open: Callable[[], None], *, durability: Durability,
        patience: float, longest: float, read_only: bool,
    ) -> None:  # fmt: skip
        """Open connections by ``connector``; ``ensure_open`` raises StoreError once the store is closed."""
        self.location = location
        self.patience = patience
        self.restore: Callable[[PatientConnection, PatientConnection], None] | None = None
        """Writes by a connection what the server has lost that another one has written."""
        self._connector = connector
        self._ensure_open = ensure_open
        self._durability: Durability = durability
        self._longest = longest
        self._read_only = read_only
        self._slots = Slots(connector.note_closed)
        self._restoring = Lock()

    def close(self) -> None:
        """Close all connections; those that a thread uses, as soon as it is done."""
        self._slots.close()

    def abandon(self) -> None:
        """Give up the connections that this process was forked with."""
        self._slots.abandon()
        self._connector.abandon()
        self._restoring = Lock()

    def open_apart(self) -> PatientConnection:
        """Return a connection for the caller alone, of which each statement ends in time."""
        self._ensure_open()
        seconds = self._seconds(_LEAST_SECONDS)
        connection = self._connector.connect(seconds, 0.0)
        try:
            self._set_up(connection, seconds)
            limit(connection, seconds - _MARGIN_SECONDS, seconds - _MARGIN_SECONDS)
        except BaseException:
            connection.close()
            raise
        return connection

    def use(self, action: Callable[[PatientConnection], _T]) -> _T:
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
            raise failed(str(translate(error.cause, self.location, self.patience)), error.receipt) from error.cause
        self._ensure_open()
        raise translate(error, self.location, self.patience) from error

    def _ready(self, slot: Slot) -> PatientConnection:
        """Return the connection of a slot, opened if need be, with the deadlines of this call."""
        self._ensure_open()
        connection = slot.connection
        wait, seconds = remaining(self.patience), self._seconds(least_seconds(_LEAST_SECONDS))
        if connection is None or connection.is_lost:
            self._slots.drop(slot)
            try:
                connection = slot.connection = self._connector.connect(wait, self.patience)
            except psycopg.OperationalError as error:
                if self._slots.have_open:
                    raise NoConnectionError from error
                raise
            try:
                self._set_up(connection, seconds)
            except BaseException:
                self._slots.drop(slot)
                raise
        connection.silence = seconds - _SPARE_SECONDS
        limit(connection, wait, seconds - _MARGIN_SECONDS)
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

    def _seconds(self, least: float) -> float:
        """Return how long a statement of the caller may take, together with giving up."""
        return max(least + _MARGIN_SECONDS, min(remaining(math.inf), self._longest))

    def _set_up(self, connection: PatientConnection, seconds: float) -> None:
        connection.silence = seconds - _SPARE_SECONDS
        set_up(connection, self.location, durability=self._durability, read_only=self._read_only)
