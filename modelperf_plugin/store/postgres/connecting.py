"""Connecting to a PostgreSQL server, and talking to it: neither takes longer than the caller has time.

Names are looked up, routes are tried and handshakes are made by libpq, which blocks for as long as that takes. So a
thread does it, and a caller waits for the thread only as long as it wants to; the next caller gets what becomes of it.
"""

from __future__ import annotations

import math
import os
import time
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from secrets import token_hex
from threading import RLock
from typing import Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from modelperf_plugin.errors import StoreBusyError, StoreError, StoreFailedError
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.postgres.asking import ServerSilentError, readable

_T = TypeVar("_T")

SHORTEST_SECONDS: Final = 0.1
"""How long a call that must not wait for others waits for a new connection all the same."""
_SPARE_SECONDS: Final = 0.2
"""How much earlier than its caller a wait for a connection ends."""
_LOOK_SECONDS: Final = 0.02
"""How often a wait for an answer looks at the clock."""
_SETTLED_SECONDS: Final = 3.0
"""After this time a commit is on the disk of a server that lives: `wal_writer_delay` is 0.2 s."""
_RENAMED_AFTER: Final = 1_000
"""After so many statements a connection takes another name: as long as some old transaction is open, the server looks
through all versions of the rows that have its number. What somebody folds at that moment is not waited for: the names
are forgotten with those of connections that have ended."""
_RENAME: Final = """
WITH
    forgotten AS (DELETE FROM sender WHERE id = ANY(%(former)s)),
    forgotten_too AS (
        DELETE FROM folded_receipt WHERE sender IN (
            SELECT sender FROM folded_receipt
            WHERE sender IN (SELECT number_of_sender(id) FROM unnest(%(former)s::text[]) AS id)
            FOR UPDATE SKIP LOCKED
        )
    )
SELECT
    CASE WHEN NOT %(is_pooled)s::boolean THEN pg_try_advisory_lock(%(new)s::bigint) END,
    CASE WHEN NOT %(is_pooled)s::boolean THEN pg_advisory_unlock(%(old)s::bigint) END
"""
_DEFAULTS: Final = {
    "fallback_application_name": "modelperf", "connect_timeout": "10", "keepalives_idle": "30",
    "keepalives_interval": "10", "keepalives_count": "3",
}  # fmt: skip
"""Parameters that hold unless the URL has its own: a server that has vanished is noticed within a minute."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection that gives up if the server does not answer for too long; it must be closed then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.silence = math.inf
        """For how many seconds to wait for an answer of the server."""
        self.sender = token_hex(8)
        """What the database knows this connection by: a connection that takes its place has another name."""
        self.sent = 0
        """How many statements with a receipt were sent under this name."""
        self.unsettled: deque[tuple[float, str, int, Sequence[Entry]]] = deque()
        """The last outcomes that were committed: when, under which name, by which statement, and which."""
        self._former: list[str] = []
        """Earlier names that the database still knows."""
        self.numbers: dict[tuple[str, ...], int] = {}
        """What stands for pairs and for sets of models in the database, as far as this connection has used them.

        Others do not use them: they could be lost, if the server stops, without the other connections noticing.
        """
        self.prepared: set[bytes] = set()
        self.poll: Any = None
        self.is_pooled = False
        """Whether a pooler is in between, which may give every transaction another session."""
        self.timeouts = (-1, -1)
        """For how many milliseconds statements may wait for locks, and run."""
        self.settings = ""
        """What sets this for a transaction, if there is a pooler in between, and ``others`` in addition."""
        self.others = ""

    @property
    def sender_number(self) -> int:
        """The name as a number of 64 bits."""
        return _number_of(self.sender)

    @property
    def is_lost(self) -> bool:
        """Whether it is idle and cannot be used: what a server says unasked is, as a rule, its farewell."""
        return self.closed or readable(self, 0.0)

    def wait(self, gen: Generator[Any, Any, _T], *args: Any, **kwargs: Any) -> _T:
        """Consume a generator that operates on the connection; raise ServerSilentError if no answer comes in time."""
        if self.silence < math.inf:
            gen = self._until(gen, time.monotonic() + self.silence)
            kwargs.setdefault("interval", _LOOK_SECONDS)
        return super().wait(gen, *args, **kwargs)

    def _until(self, steps: Generator[Any, Any, _T], deadline: float) -> Generator[Any, Any, _T]:
        """Take the steps of an operation until it ends, or until nothing comes and the deadline is over."""
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= deadline:
                    self.silence = 0.0  # what follows, such as a rollback, need not wait as long again
                    raise ServerSilentError("the server does not answer")
                wanted = steps.send(ready)
        except StopIteration as end:
            value: _T = end.value
            return value

    def remember(self, entries: Sequence[Entry]) -> None:
        """Keep outcomes that the last statement has committed, until they are on the server's disk for sure.

        A commit need not wait for the disk. What was committed a while ago is there if the server still lives.
        """
        now, unsettled = time.monotonic(), self.unsettled
        while unsettled and unsettled[0][0] < now - _SETTLED_SECONDS:
            unsettled.popleft()
        unsettled.append((now, self.sender, self.sent, entries))

    def rename_if_due(self) -> None:
        """Take another name once in a while, between two statements, and let the database forget those from before."""
        if self.sent < _RENAMED_AFTER:
            return
        needed = {sender for _, sender, _, _ in self.unsettled}
        unneeded = [each for each in self._former if each not in needed]
        new = token_hex(8)
        numbers = {"new": _number_of(new), "old": self.sender_number}
        self.execute(_RENAME, {"former": unneeded, "is_pooled": self.is_pooled, **numbers})
        self._former = [*(each for each in self._former if each in needed), self.sender]
        self.sender, self.sent = new, 0

    def abandon(self) -> None:
        """Close a connection that the parent of this process uses, without a word to the server."""
        with suppress(OSError, psycopg.Error), Path(os.devnull).open("r+b", buffering=0) as nowhere:
            os.dup2(nowhere.fileno(), self.fileno())
        self.close()


def _number_of(sender: str) -> int:
    return int.from_bytes(bytes.fromhex(sender), signed=True)


class Connector:
    """Opens connections to one server. Any thread may call any method."""

    def __init__(self, url: str, location: str) -> None:
        """Take the URL as libpq knows it, and as it is shown.

        Raises:
            StoreError: it is not one.
        """
        self._location = location
        try:
            given = conninfo_to_dict(url)
        except (psycopg.Error, UnicodeError):  # whose message may quote a password
            raise StoreError(f"{location} is not a valid URL of a PostgreSQL database") from None
        self._parameters: dict[str, Any] = {**_DEFAULTS, **given, "client_encoding": "utf8"}
        self._left: deque[_Attempt] = deque()  # each change is one operation in C, whatever a signal handler does
        self._is_closed = False
        self.lost: deque[PatientConnection] = deque()
        """Closed connections with outcomes that the server may have lost, if it has stopped."""

    def note_closed(self, connection: PatientConnection) -> None:
        """Take note of a connection that broke, or is closed because another one did."""
        if connection.unsettled:
            self.lost.append(connection)

    def connect(self, seconds: float, patience: float) -> PatientConnection:
        """Return a new connection, after ``seconds`` at most; whoever has less time than ``patience`` may get none.

        Raises:
            StoreBusyError: there was no time to wait for it.
            StoreFailedError: the server does not answer.
            psycopg.Error: it cannot be had.
        """
        attempt = self._take() or _Attempt(self._open)
        try:
            attempt.start()
            if attempt.wait(max(seconds - _SPARE_SECONDS, SHORTEST_SECONDS)):
                return attempt.result()
        except BaseException:  # an interrupt, or there is no connection
            self._leave(attempt)
            raise
        self._leave(attempt)
        if seconds < patience:
            raise StoreBusyError(f"{self._location}: a connection is still being opened")
        raise StoreFailedError(f"{self._location} cannot be used: it has not answered within {seconds:g} s")

    def close(self) -> None:
        """Close what nobody has taken, now or once it is open."""
        self._is_closed = True
        while self._left:
            self._left.pop().discard()

    def abandon(self) -> None:
        """Give up what this process was forked with."""
        left, self._left = self._left, deque()
        self.lost.clear()  # they are the parent's
        for attempt in left:
            if attempt.connection is not None:
                attempt.connection.abandon()

    def _take(self) -> _Attempt | None:
        """Return an attempt that was left and is under way or has succeeded; forget what cannot be used."""
        with suppress(IndexError):
            while True:
                attempt = self._left.pop()
                if attempt.is_usable:
                    return attempt
                attempt.discard()
        return None

    def _leave(self, attempt: _Attempt) -> None:
        """Keep an attempt for the next caller."""
        self._left.append(attempt)
        if self._is_closed:
            self.close()

    def _open(self) -> PatientConnection:
        return PatientConnection.connect("", autocommit=True, **self._parameters)


class _Attempt:
    """One attempt to open a connection, in a thread of its own.

    The thread and the wait for it are functions in C: those in Python turn an interrupt into another error, or lose it.
    """

    connection: PatientConnection | None = None
    """What was opened and not handed over."""

    def __init__(self, open_one: Callable[[], PatientConnection]) -> None:
        self.is_done = False
        self._alarm: SimpleQueue[None] = SimpleQueue()
        self.error: BaseException | None = None
        self._open = open_one
        self._lock = RLock()  # a signal handler may close the store, too
        self._has_begun = self._is_discarded = False

    def start(self) -> None:
        """Begin, unless that was done; whoever is interrupted here may call it again."""
        if self._has_begun:
            return
        try:
            start_new_thread(self._run, ())
        except RuntimeError:  # the interpreter is shutting down, and starts no threads any more
            self._run()

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended, for up to ``seconds``; return whether it has."""
        if not self.is_done:
            with suppress(Empty):
                self._alarm.get(timeout=seconds)
        return self.is_done

    def result(self) -> PatientConnection:
        """Hand over the connection, or raise what was raised instead; no interrupt comes between its statements."""
        connection, self.connection = self.connection, None
        if connection is None:
            raise self.error or StoreFailedError("no connection was opened")
        return connection

    @property
    def is_usable(self) -> bool:
        """Whether there is a connection, or there may be one soon."""
        return not self.is_done or (self.connection is not None and not self.connection.is_lost)

    def discard(self) -> None:
        """Close the connection, now or once it is open."""
        with self._lock:
            self._is_discarded = True
            if self.connection is not None:
                self.connection.close()

    def __del__(self) -> None:
        """Close a connection that an interrupt has kept from its caller."""
        if self.connection is not None:
            self.connection.close()

    def _run(self) -> None:
        with self._lock:
            if self._has_begun:
                return
            self._has_begun = True
        try:
            connection = self._open()
            with self._lock:
                self.connection = connection
                if self._is_discarded:
                    connection.close()
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            self.error = error
        finally:
            self.is_done = True
            self._alarm.put(None)
