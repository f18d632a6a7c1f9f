"""Outcomes that were acknowledged before they were written, for hosts that must not wait."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Entry, Store

MOST: Final = 1000
"""So many outcomes wait at most; whoever brings one more writes them all."""
FLUSH_SECONDS: Final = 0.05
"""An outcome waits about so long."""
LONGEST_PAUSE_SECONDS: Final = 5.0
"""While the store fails it is left alone for longer each time, up to this."""
IDLE_ROUNDS: Final = 20
"""The thread that writes ends when nothing came for so many rounds, and is started again when something does."""


class Outbox:
    """Keeps outcomes for a moment and writes them in bulk. Any thread may call any method.

    They are written by a thread of its own every 50 ms, by whoever brings the thousandth, by :meth:`close`, and when
    the interpreter exits. A process that crashes or is killed loses those that wait, ``waiting`` of them.
    """

    def __init__(
        self,
        store: Store,
        *,
        on_error: Callable[[Exception], None],
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        """Write into ``store``.

        Args:
            store: where the outcomes go.
            on_error: called when they could not be written; they wait on, except for one that can never be written.
            on_written: called after they were, in the thread that wrote them.
        """
        self._store = store
        self._on_error = on_error
        self._on_written = on_written
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # taken before _lock, if both are
        self._waiting: list[Entry] = []
        self._under_way = 0
        self._thread: threading.Thread | None = None
        self._end = threading.Event()
        _outboxes.add(self)

    @property
    def waiting(self) -> int:
        """How many outcomes a crash would lose now."""
        return len(self._waiting) + self._under_way

    def put(self, entry: Entry) -> bool:
        """Keep an outcome and return True; if too many wait, write them all.

        Raises:
            StoreError: too many wait and they could not be written; this one is not kept.
        """
        with self._lock:
            if len(self._waiting) < MOST and not self._end.is_set():
                self._waiting.append(entry)
                self._start()
                return True
        with self._writing:
            waiting = self._take()
            self._write([*waiting, entry], waiting)
        return True

    def flush(self) -> None:
        """Write what waits.

        Raises:
            StoreError: it could not be written, and waits on.
        """
        with self._writing:
            waiting = self._take()
            self._write(waiting, waiting)

    def close(self) -> None:
        """Write what waits and end the thread; what still cannot be written is lost, and reported as an error."""
        self._end.set()
        try:
            self.flush()
        except StoreError as error:
            self._on_error(error)

    def abandon(self) -> None:
        """Forget what waits: in a forked process it is the parent's."""
        self._waiting = []
        _outboxes.discard(self)

    def _take(self) -> list[Entry]:
        with self._lock:
            taken, self._waiting = self._waiting, []
            self._under_way = len(taken)
        return taken

    def _write(self, entries: list[Entry], waiting: list[Entry]) -> None:
        """Write ``entries``; if the store fails, those that are ``waiting`` wait on."""
        try:
            if entries:
                self._store.outcomes.record_many(entries)
        except StoreError:
            with self._lock:
                self._waiting[:0] = waiting
            raise
        except Exception:  # noqa: BLE001 - one of them is poisoned: it must not stand in the way of the others
            for entry in entries:
                self._write_alone(entry)
        finally:
            self._under_way = 0

    def _write_alone(self, entry: Entry) -> None:
        try:
            self._store.outcomes.record(entry)
        except Exception as error:  # noqa: BLE001 - whoever brought it is gone
            self._on_error(error)

    def _start(self) -> None:
        if self._thread is None and not self._end.is_set():
            with suppress(RuntimeError):  # the interpreter is about to end: it is written at exit
                self._thread = threading.Thread(target=self._run, name="modelperf-outbox", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        idle, pause = 0, FLUSH_SECONDS
        while not self._end.wait(pause):
            if self._waiting:
                idle = 0
                pause = FLUSH_SECONDS if self._flush_aside() else min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            idle += 1
            with self._lock:
                if idle >= IDLE_ROUNDS and not self._waiting:
                    self._thread = None
                    return

    def _flush_aside(self) -> bool:
        """Write what waits; return False if that failed."""
        try:
            self.flush()
            self._on_written()
        except Exception as error:  # noqa: BLE001 - the thread goes on, and tries again
            self._on_error(error)
            return False
        return True


_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for outbox in list(_outboxes):
        outbox.close()
