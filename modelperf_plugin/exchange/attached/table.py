"""A table of outcomes in another program's database: read in place, beside the choices that use it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from typing import Final

from modelperf_plugin.errors import StoreError
from modelperf_plugin.exchange.attached.reading import UNREADABLE, OpenTable, Reading, Sums, explain, politely
from modelperf_plugin.exchange.attached.shapes import Shape
from modelperf_plugin.log import logger
from modelperf_plugin.store import Attached
from modelperf_plugin.store.attached import TalliesByTaskType
from modelperf_plugin.store.background import Background
from modelperf_plugin.store.forks import watch
from modelperf_plugin.values import Tally, combine
from modelperf_plugin.values.locks import attempt

CHOICE_SECONDS: Final = 0.005
"""A plain table that is read in this time is read again within the choice that finds it changed."""
BUSY_SECONDS: Final = 1.0
"""How long the thread waits for a lock; a choice does not wait."""
MAX_READ_SECONDS: Final = 30.0
REST_FACTOR: Final = 20
"""How long the thread pauses, as a multiple of its reading time."""
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.1, 5.0
"""The pause after a failure, doubled from failure to failure."""


class AttachedTable:
    """The tallies of one table. Any thread may call any method; none raises, and only ``wait`` may take long.

    A thread opens the database and reads the table; a choice uses the last reading. It looks whether the other program
    has committed, and reads again itself only a plain table that takes no time. While the database is missing, locked,
    too slow or of an unknown shape, the tallies read last stay in force.
    """

    def __init__(self, attached: Attached, *, level: int = logging.WARNING) -> None:
        """Take the table, and the level at which problems are logged; nothing is opened yet."""
        self.attached = attached
        self._level = level
        self.problem: str | None = None
        """Why the table cannot be read, in one sentence; None if it can."""
        self.shape: Shape | None = None
        """How the table is read; None if unknown so far."""
        self._lock = threading.RLock()
        self._open: OpenTable | None = None
        """The connection of the choices, once the thread has read the table."""
        self._file: tuple[int, int] | None = None
        self._version = -1
        self._sums: Sums = {}
        self._last_row = 0
        self._tallies: TalliesByTaskType = {}
        self._seconds = float("inf")
        self._whole_at = self._next_at = 0.0
        self._retry_seconds = MIN_RETRY_SECONDS
        self._waiting: list[threading.Lock] = []
        """Locks that are released when the table was read."""
        self._background = Background(
            self, AttachedTable._step, name="modelperf-attached", on_error=AttachedTable._on_failure
        )
        watch(self)

    def tallies(self) -> TalliesByTaskType:
        """Return the tallies as read last; the same object as long as nothing changes."""
        attempt(self._lock, self._look)  # if another thread looks, there is nothing to wait for
        return self._tallies

    def wait(self, seconds: float) -> None:
        """Wait until the whole table is read, for reports; a choice never waits."""
        done = threading.Lock()  # not an event: an interrupt could leave it locked for the thread
        done.acquire()
        self._waiting.append(done)
        if not self._background.wake():
            self._step()  # no thread can be started
        if not done.acquire(timeout=seconds):
            self.problem = f"{self.attached.path} was not read within {seconds:g} s"

    def close(self) -> None:
        """Release the database."""
        self._background.close()
        with self._lock:
            self._use(None)

    def at_rest(self) -> Generator[None]:
        """Close the connection and hold the lock; the thread has ended."""
        with self._lock:
            self._use(None)
            yield

    def _look(self) -> None:
        """Notice that the other program has committed: read a small table again, have a large one read."""
        table = self._open
        if table is None:
            self._background.wake(max(0.0, self._next_at - time.monotonic()))
            return
        try:
            if table.is_same_file():
                version = table.version()
                if version == self._version:
                    return
                if self._is_quick(table):
                    deadline = time.monotonic() + CHOICE_SECONDS
                    reading = table.read(lambda: time.monotonic() > deadline)
                    if reading is not None:
                        self._set(reading)
                        self._version = version
                        return
        except UNREADABLE:
            pass  # the thread says why
        self._use(None)
        self._background.wake()

    def _is_quick(self, table: OpenTable) -> bool:
        return table.shape.is_plain and self._seconds <= CHOICE_SECONDS and table.has_same_schema()

    def _step(self) -> float | None:
        """Read the table in the thread; return when to read it again."""
        waiting, self._waiting = self._waiting, []
        started = time.monotonic()
        if not waiting and started < self._next_at:
            return self._next_at - started
        try:
            pause = self._read_beside(started, whole=bool(waiting))
        except UNREADABLE as error:
            self._on_failure(error)
            pause = self._retry_seconds
            self._retry_seconds = min(2 * pause, MAX_RETRY_SECONDS)
        else:
            self._retry_seconds = MIN_RETRY_SECONDS
        finally:
            for each in waiting:
                each.release()
        return pause

    def _read_beside(self, started: float, *, whole: bool) -> float | None:
        """Read the table on a new connection, which the choices then use; return when to read it again.

        Of a table in order of insertion that takes long, new rows are read at once, and all of it from time to time:
        rows may have been changed or deleted.
        """
        table = OpenTable(self.attached, BUSY_SECONDS)
        reading: Reading | None = None
        try:
            version = table.version()
            same = (table.file, table.shape) == (self._file, self.shape) and self._last_row > 0
            whole = whole or not same or self._seconds <= CHOICE_SECONDS or started >= self._whole_at
            reading = table.read(lambda: self._is_over(started), 0 if whole else self._last_row)
            table.patience(0.0)
        finally:
            if reading is None:
                table.close()
        if reading is not None:
            return self._finish(table, version, reading, started, whole=whole)
        if self._background.stopping:
            return None
        raise StoreError(f"takes longer than {MAX_READ_SECONDS:g} s to read")

    def _is_over(self, started: float) -> bool:
        return self._background.stopping or time.monotonic() > started + MAX_READ_SECONDS

    def _finish(self, table: OpenTable, version: int, reading: Reading, started: float, *, whole: bool) -> float | None:
        """Use what was read; return when to read the whole table again, if only new rows were."""
        now = time.monotonic()
        self._next_at = now + REST_FACTOR * (now - started)
        with self._lock:
            if whole:
                self._set(reading)
                self._seconds = now - started
                self._whole_at = self._next_at
            else:
                self._add(reading)
            self._file, self.shape = table.file, table.shape
            self._version = version
            self._use(table)
        if self.problem is not None:
            logger.info("%s can be read again", self.attached.path)
            self.problem = None
        return None if whole else max(0.0, self._whole_at - now)

    def _on_failure(self, error: Exception) -> None:
        problem = f"{self.attached.path} {explain(error)}"
        self._next_at = time.monotonic() + self._retry_seconds
        if problem != self.problem:
            self.problem = problem
            effect = "the counts read last stay in force" if self._sums else "it is not counted"
            logger.log(self._level, "%s; %s", problem, effect)

    def _use(self, table: OpenTable | None) -> None:
        """Have the choices look at ``table``."""
        before, self._open = self._open, table
        if before is not None:
            before.close()

    def _add(self, reading: Reading) -> None:
        """Add new rows to what was read before."""
        sums = dict(self._sums)
        for pair, tally in politely(reading.sums.items()):
            sums[pair] = combine(sums[pair], tally) if pair in sums else tally
        self._set(Reading(sums, reading.last_row))

    def _set(self, reading: Reading) -> None:
        self._last_row, self._sums = reading.last_row, reading.sums
        tallies: dict[str, dict[str, Tally]] = {}
        for (task_type, model_id), tally in politely(reading.sums.items()):
            tallies.setdefault(task_type, {})[model_id] = tally
        before = self._tallies
        kept = {
            task_type: before[task_type] if before.get(task_type) == models else models
            for task_type, models in politely(tallies.items())
        }
        if len(kept) != len(before) or any(models is not before.get(name) for name, models in politely(kept.items())):
            self._tallies = kept
