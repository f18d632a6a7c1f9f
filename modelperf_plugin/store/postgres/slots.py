"""The connections of a store: few, opened when they are needed, and each used by one thread at a time.

Not psycopg's pool: that opens connections in threads of its own, which a forked child does not have, and tells a caller
that none came in time but not why.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Final, TypeVar

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from modelperf_plugin.errors import ModelPerfError
from modelperf_plugin.store.postgres.connecting import PatientConnection
from modelperf_plugin.values.locks import attempt

_T = TypeVar("_T")

MAX_CONNECTIONS: Final = 8
"""How many connections a process has at most."""
_LOOK_SECONDS: Final = 0.01
"""How long a thread waits for one connection before it looks for another one."""


class Slot:
    """A place for one connection, and the lock that is held while a thread uses it."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.connection: PatientConnection | None = None
        self.is_doubtful = False
        """Whether a thread uses the connection, or an interrupt has ended that: nobody knows then what was sent."""

    def close(self) -> None:
        """Close the connection; the next user opens another one."""
        if self.connection is not None:
            self.connection.close()  # first: an interrupt leaves no open connection behind that nobody knows
            self.connection = None

    def abandon(self) -> None:
        """Close a connection that the parent of this process uses, without a word to the server."""
        if self.connection is not None:
            self.connection.abandon()
            self.close()

    @property
    def is_at_rest(self) -> bool:
        """Whether the connection can be used again."""
        if self.connection is None:
            return False
        server = self.connection.pgconn
        return server.transaction_status == TransactionStatus.IDLE and server.pipeline_status == PipelineStatus.OFF


class Slots:
    """The connections of one store. A thread gets the first free one, so that few are open unless many are needed."""

    def __init__(self, on_closed: Callable[[PatientConnection], None]) -> None:
        """Call ``on_closed`` with each connection that is about to be closed."""
        self._on_closed = on_closed
        self._slots = [Slot() for _ in range(MAX_CONNECTIONS)]
        self._are_closed = False

    @property
    def have_open(self) -> bool:
        """Whether any connection is open, as far as is known."""
        return any(slot.connection is not None for slot in self._slots)

    def use(self, action: Callable[[Slot], _T], seconds: float, *, open_ones: bool = False) -> tuple[_T] | None:
        """Return what ``action`` returns for a free slot; None if none is free within ``seconds``.

        With ``open_ones`` only slots count whose connection is open.
        A connection on which an interrupt has come, or on which a transaction is left over, is closed: what it says of
        itself, such as how many statements it has sent, need not be true.
        """
        found: list[_T] = []

        def run(slot: Slot) -> None:
            if slot.is_doubtful:
                self.drop(slot)
            try:
                slot.is_doubtful = True
                found.append(action(slot))
                slot.is_doubtful = False
            except (psycopg.Error, ModelPerfError, UnicodeError):  # others may stand for an interrupt
                slot.is_doubtful = False
                raise
            finally:
                if self._are_closed or slot.is_doubtful or not slot.is_at_rest:
                    self.drop(slot)

        slots = [slot for slot in self._slots if slot.connection is not None or not open_ones]
        for slot in slots:
            if attempt(slot.lock, lambda slot=slot: run(slot)):  # type: ignore[misc]
                return (found[0],)
        deadline = time.monotonic() + seconds
        while slots and (left := deadline - time.monotonic()) > 0:
            slot = random.choice(slots)
            if attempt(slot.lock, lambda slot=slot: run(slot), min(left, _LOOK_SECONDS)):  # type: ignore[misc]
                return (found[0],)
        return None

    def close(self) -> None:
        """Close all connections; those that a thread uses, as soon as it is done."""
        self._are_closed = True
        for slot in self._slots:
            attempt(slot.lock, partial(self.drop, slot))

    def drop(self, slot: Slot) -> None:
        """Close the connection of a slot."""
        if slot.connection is not None:
            self._on_closed(slot.connection)
        slot.close()

    def abandon(self) -> None:
        """Give up the connections that this process was forked with."""
        slots, self._slots = self._slots, [Slot() for _ in range(MAX_CONNECTIONS)]
        for slot in slots:
            slot.abandon()
