"""A table of outcomes in another program's database: read in place, without waiting for it."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from contextlib import suppress
from typing import Final

from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.attached.reading import explain, open_read_only, to_tallies
from modelperf_plugin.exchange.attached.shapes import Shape, recognise
from modelperf_plugin.store import Attached
from modelperf_plugin.store.attached import TalliesByTaskType
from modelperf_plugin.store.forks import watch
from modelperf_plugin.values import Tally, combine

logger = logging.getLogger("modelperf_plugin")

CHOICE_SECONDS: Final = 0.005
"""If reading the whole table takes longer, a thread does it, and a choice reads new rows only."""
FIRST_READ_SECONDS: Final = 0.05
"""Time limit of the first read, before a thread takes over."""
RETRY_SECONDS: Final = 0.1
REST_FACTOR: Final = 20
"""How long the thread pauses, as a multiple of its reading time."""

_Sums = dict[tuple[str, str], Tally]


class AttachedTable:
    """The tallies of one table. Any thread may call any method; none raises, and only ``wait`` may take long.

    While the database is missing, locked or of an unknown shape, the tallies read last stay in force.
    """

    def __init__(self, attached: Attached, *, level: int = logging.WARNING) -> None:
        """Take the table, and the level at which problems are logged; nothing is opened yet."""
        self.attached = attached
        self._level = level
        self.problem: str | None = None
        """Why the table cannot be read, in one sentence; None if it can."""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.shape: Shape | None = None
        """How the table is read; None if unknown so far."""
        self._schema = -1
        self._version: int | None = None
        self._sums: _Sums = {}
        self._last_row = 0
        self._tallies: TalliesByTaskType = {}
        self._seconds: float | None = None
        self._retry_at = 0.0
        self._thread: threading.Thread | None = None
        self._next_thread_at = 0.0
        self._stale = False
        self._stopped = threading.Event()
        watch(self)

    def tallies(self) -> TalliesByTaskType:
        """Return the tallies as of now, or as read last; the same object as long as nothing changes."""
        if self._lock.acquire(blocking=False):  # another thread is reading: do not wait for it
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self._tallies

    def wait(self, seconds: float) -> None:
        """Wait until the whole table is read, for reports; a choice never waits."""
        self.tallies()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
            self.tallies()

    def close(self) -> None:
        self.before_fork()
        self.after_fork()

    def before_fork(self) -> None:
        """Close the connection, stop the thread, and hold the lock."""
        self._stopped.set()
        while True:
            self._lock.acquire()
            thread = self._thread
            if thread is None or not thread.is_alive() or thread is threading.current_thread():
                break
            self._lock.release()
            thread.join(0.01)
        self._disconnect()
        self._thread = None

    def after_fork(self) -> None:
        self._stopped.clear()
        self._lock.release()

    def _refresh(self) -> None:
        now = time.monotonic()
        if self.problem is not None and now < self._retry_at:
            return
        try:
            connection = self._connect()
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._read(connection)
                self._version = version
            elif self._stale:
                self._start_thread()
            if self.problem is not None:
                logger.info("%s can be read again", self.attached.path)
            self.problem = None
        except (StoreError, sqlite3.Error, OSError) as error:
            self._on_failure(error, now)

    def _on_failure(self, error: Exception, now: float) -> None:
        self._retry_at = now + RETRY_SECONDS
        self._version = None
        problem = f"{self.attached.path} {explain(error)}"
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            self._disconnect()
        if problem != self.problem:
            self.problem = problem
            effect = "the counts read last stay in force" if self._sums else "it is not counted"
            logger.log(self._level, "%s; %s", problem, effect)

    def _connect(self) -> sqlite3.Connection:
        """Return the connection; a new one if the file was replaced."""
        status = os.stat(self.attached.path)  # noqa: PTH116 - on the hot path
        file = (status.st_dev, status.st_ino)
        if self._connection is not None and file == self._file:
            return self._connection
        self._disconnect()
        self._file, self._version, self._seconds, self._last_row, self.shape = file, None, None, 0, None
        self._connection = open_read_only(self.attached.path)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, connection: sqlite3.Connection) -> None:
        """Read the whole table if that is quick, else its new rows."""
        shape = self._recognise(connection)
        started = time.monotonic()
        if self._seconds is None or self._seconds <= CHOICE_SECONDS or not shape.has_row_ids:
            limit = FIRST_READ_SECONDS if self._seconds is None else 4 * CHOICE_SECONDS
            result = self._query(connection, shape, started + limit)
            if result is not None:
                self._set_sums(*result)
                self._seconds = time.monotonic() - started
                return
            self._seconds = limit
        elif self._last_row:
            self._read_new(connection, shape, started + 4 * CHOICE_SECONDS)
        self._start_thread()

    def _recognise(self, connection: sqlite3.Connection) -> Shape:
        """Return how to read the table; recognise it again after a change of the schema."""
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        if self.shape is None or schema != self._schema:
            self.shape = None
            self.shape = recognise(connection, self.attached.name, self.attached.columns)
            self._schema = schema
        return self.shape

    def _read_new(self, connection: sqlite3.Connection, shape: Shape, deadline: float) -> None:
        """Add the rows after the last one read; the thread notices changed and deleted rows."""
        result = self._query(connection, shape, deadline, after=self._last_row)
        if result is not None and result[0]:
            sums = dict(self._sums)
            for pair, tally in result[0].items():
                sums[pair] = combine(sums[pair], tally) if pair in sums else tally
            self._set_sums(sums, result[1])

    def _query(
        self, connection: sqlite3.Connection, shape: Shape, deadline: float, after: int = 0
    ) -> tuple[_Sums, int] | None:
        """Return the sums of the rows after ``after``, and the last row; None at the deadline or before a fork."""

        def is_over() -> bool:
            return time.monotonic() > deadline or self._stopped.is_set()

        connection.set_progress_handler(is_over, 10_000)
        connection.execute("BEGIN")
        try:
            if not shape.has_row_ids:
                return to_tallies(connection.execute(shape.statement("sums")).fetchall()), 0
            (newest,) = connection.execute(shape.statement("newest")).fetchone()
            rows = connection.execute(shape.statement("sums", "rowid > ? AND rowid <= ?"), (after, newest)).fetchall()
            return to_tallies(rows), newest
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return None
            raise
        finally:
            connection.set_progress_handler(None, 0)
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")

    def _set_sums(self, sums: _Sums, last_row: int) -> None:
        self._last_row = last_row
        if sums == self._sums:
            return
        self._sums = sums
        tallies: dict[str, dict[str, Tally]] = {}
        for (task_type, model_id), tally in sums.items():
            tallies.setdefault(task_type, {})[model_id] = tally
        before = self._tallies
        self._tallies = {
            task_type: before[task_type] if before.get(task_type) == models else models
            for task_type, models in tallies.items()
        }

    def _start_thread(self) -> None:
        self._stale = self._thread is not None or time.monotonic() < self._next_thread_at
        if self._stale or self._stopped.is_set():
            return
        self._thread = threading.Thread(target=self._read_in_thread, name="modelperf-attached", daemon=True)
        self._thread.start()

    def _read_in_thread(self) -> None:
        """Read the whole table on a separate connection."""
        started = time.monotonic()
        result = None
        shape = self.shape
        with suppress(StoreError, sqlite3.Error, OSError):
            connection = open_read_only(self.attached.path)
            try:
                result = None if shape is None else self._query(connection, shape, float("inf"))
            finally:
                connection.close()
        if self._stopped.is_set():
            return
        with self._lock:
            if result is not None:
                self._set_sums(*result)
                self._seconds = time.monotonic() - started
            self._version = None  # there may be new rows: read again
            self._next_thread_at = time.monotonic() + REST_FACTOR * (time.monotonic() - started)
            self._thread = None
