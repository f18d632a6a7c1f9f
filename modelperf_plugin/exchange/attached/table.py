"""Another program's table of outcomes as evidence: only read, never waited for, never copied."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.attached.reading import open_read_only, reason, summed
from modelperf_plugin.exchange.attached.shapes import Shape, recognise
from modelperf_plugin.store import Attached
from modelperf_plugin.store.forks import watch
from modelperf_plugin.values import Tally, combine

logger = logging.getLogger("modelperf_plugin")

CHOICE_SECONDS: Final = 0.005
"""A table that takes longer is read as a whole by a thread of its own; a choice reads what is new in it."""
FIRST_READ_SECONDS: Final = 0.05
"""The first read may take so long before a thread takes it over."""
RETRY_SECONDS: Final = 0.1
"""After a failure it is tried again so soon."""
REST_FACTOR: Final = 20
"""The thread rests for so many times as long as it reads."""

Tallies = Mapping[str, Mapping[str, Tally]]
"""By task type, then by model."""
_Sums = dict[tuple[str, str], Tally]
NOTHING: Final[Mapping[str, Tally]] = {}


class AttachedTable:
    """The outcomes of one table. Any thread may call any method; none ever raises, and none waits for long.

    While the database is missing, locked or of an unknown shape, what was read last goes on counting.
    """

    def __init__(self, attached: Attached, *, level: int = logging.WARNING) -> None:
        """Take what to read, and at which level problems are logged; nothing is opened yet."""
        self.attached = attached
        self._level = level
        self.problem: str | None = None
        """Why it cannot be read now, in one sentence."""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._shape: Shape | None = None
        self._schema = -1
        self._version: int | None = None
        self._sums: _Sums = {}
        self._upto = 0
        self._tallies: Tallies = {}
        self._seconds: float | None = None
        self._again_at = 0.0
        self._thread: threading.Thread | None = None
        self._thread_at = 0.0
        self._stale = False
        self._stopped = threading.Event()
        watch(self)

    @property
    def shape(self) -> Shape | None:
        """How it is read; None if that is not known yet."""
        return self._shape

    def tallies(self) -> Tallies:
        """Return what the table holds now, or held when it could be read last; the same object while it is the same."""
        if self._lock.acquire(blocking=False):  # a thread that comes while another looks goes on at once
            try:
                self._look()
            finally:
                self._lock.release()
        return self._tallies

    def wait(self, seconds: float) -> None:
        """Wait until the table was read as a whole, for a report; a host never does."""
        self.tallies()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
            self.tallies()

    def close(self) -> None:
        """Let go of the database."""
        self.before_fork()
        self.after_fork()

    def before_fork(self) -> None:
        """Be at rest: no connection is open, no thread reads."""
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
        """Go on."""
        self._stopped.clear()
        self._lock.release()

    def _look(self) -> None:
        now = time.monotonic()
        if self.problem is not None and now < self._again_at:
            return
        try:
            connection = self._connected()
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
            self._failed(error, now)

    def _failed(self, error: Exception, now: float) -> None:
        self._again_at = now + RETRY_SECONDS
        self._version = None
        problem = f"{self.attached.path} {reason(error)}"
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            self._disconnect()
        if problem != self.problem:
            self.problem = problem
            still = "what was read of it before goes on counting" if self._sums else "it does not count for now"
            logger.log(self._level, "%s; %s", problem, still)

    def _connected(self) -> sqlite3.Connection:
        """Return a connection for reading; a new one if the file is another now."""
        found = os.stat(self.attached.path)  # noqa: PTH116 - on the way of every choice
        file = (found.st_dev, found.st_ino)
        if self._connection is not None and file == self._file:
            return self._connection
        self._disconnect()
        self._file, self._version, self._seconds, self._upto, self._shape = file, None, None, 0, None
        self._connection = open_read_only(self.attached.path)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, connection: sqlite3.Connection) -> None:
        """Read the table as a whole if that is quick, else what is new in it."""
        shape = self._recognised(connection)
        started = time.monotonic()
        if self._seconds is None or self._seconds <= CHOICE_SECONDS or not shape.has_row_ids:
            limit = FIRST_READ_SECONDS if self._seconds is None else 4 * CHOICE_SECONDS
            if self._read_all(connection, shape, started + limit):
                return
            self._seconds = limit
        elif self._upto:
            self._read_new(connection, shape, started + 4 * CHOICE_SECONDS)
        self._start_thread()

    def _recognised(self, connection: sqlite3.Connection) -> Shape:
        """Return how to read the table; it is looked at again when the schema has changed."""
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        if self._shape is None or schema != self._schema:
            self._shape = None
            self._shape = recognise(connection, self.attached.name, self.attached.columns)
            self._schema = schema
        return self._shape

    def _read_all(self, connection: sqlite3.Connection, shape: Shape, deadline: float) -> bool:
        """Read the whole table; return False if it was not done at the deadline."""
        started = time.monotonic()
        found = self._query(connection, shape, deadline)
        if found is None:
            return False
        self._take(*found)
        self._seconds = time.monotonic() - started
        return True

    def _read_new(self, connection: sqlite3.Connection, shape: Shape, deadline: float) -> None:
        """Add the rows that came after the last one known; changed and deleted ones are for the thread."""
        found = self._query(connection, shape, deadline, after=self._upto)
        if found is not None and found[0]:
            sums = dict(self._sums)
            for pair, tally in found[0].items():
                sums[pair] = combine(sums[pair], tally) if pair in sums else tally
            self._take(sums, found[1])

    def _query(
        self, connection: sqlite3.Connection, shape: Shape, deadline: float, after: int = 0
    ) -> tuple[_Sums, int] | None:
        """Return what the rows after one add up to, and the last row; None if the time is over or a fork comes."""

        def is_over() -> bool:
            return time.monotonic() > deadline or self._stopped.is_set()

        connection.set_progress_handler(is_over, 10_000)
        connection.execute("BEGIN")
        try:
            if not shape.has_row_ids:
                return summed(connection.execute(shape.statement("sums")).fetchall()), 0
            (newest,) = connection.execute(shape.statement("newest")).fetchone()
            rows = connection.execute(shape.statement("sums", "rowid > ? AND rowid <= ?"), (after, newest)).fetchall()
            return summed(rows), newest
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return None
            raise
        finally:
            connection.set_progress_handler(None, 0)
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")

    def _take(self, sums: _Sums, upto: int) -> None:
        self._upto = upto
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
        self._stale = self._thread is not None or time.monotonic() < self._thread_at
        if self._stale or self._stopped.is_set():
            return
        self._thread = threading.Thread(target=self._read_aside, name="modelperf-federation", daemon=True)
        self._thread.start()

    def _read_aside(self) -> None:
        """Read the whole table with a connection of its own."""
        started = time.monotonic()
        found = None
        shape = self._shape
        with suppress(StoreError, sqlite3.Error, OSError):
            connection = open_read_only(self.attached.path)
            try:
                found = None if shape is None else self._query(connection, shape, float("inf"))
            finally:
                connection.close()
        if self._stopped.is_set():
            return
        with self._lock:
            if found is not None:
                self._take(*found)
                self._seconds = time.monotonic() - started
            self._version = None  # rows may have come meanwhile: look again
            self._thread_at = time.monotonic() + REST_FACTOR * (time.monotonic() - started)
            self._thread = None
