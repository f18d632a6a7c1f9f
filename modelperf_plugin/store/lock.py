"""Locks between processes, held by an open file; the system lets go of them when their holder dies."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from modelperf_plugin.errors import StoreBusyError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_LONGEST_PAUSE_SECONDS: Final = 0.0004
_SHORTEST_PAUSE_SECONDS: Final = 0.00005
_IMPATIENT_SECONDS: Final = 0.1
_WARY: Final = 20


class ProcessLock:
    """A lock that one process holds at a time; all that wait for it have the same chance to be next.

    SQLite's own way of waiting favours whoever has just written: others wait for ever longer, and may starve. Where
    the system has no such locks, or the folder is read-only, nothing is locked: SQLite's own locks still keep the
    database whole, and what this one adds is order.

    Whoever held the lock for long while others waited gives way before it asks again: the moment between two of its
    transactions is too short for them to notice.

    The object is no lock between the threads of a process: they must come one at a time.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file at ``path``, which is created and stays; None for a lock that nobody else knows."""
        self._path = path
        self._descriptor = -1
        self._wary = 0
        """In so many transactions more others are looked out for."""
        self._since = 0.0
        if fcntl is not None and path is not None:
            with suppress(OSError):
                self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self, deadline_seconds: float) -> None:
        """Take the lock.

        Raises:
            StoreBusyError: other processes held it for longer than ``deadline_seconds``.
        """
        if self._descriptor < 0:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait(deadline_seconds)
        if self._wary:
            self._since = time.monotonic()

    def release(self) -> None:
        """Let go of the lock; without one that does nothing."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            if self._wary:
                self._give_way()

    def close(self) -> None:
        """Let go of the lock and the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _give_way(self) -> None:
        self._wary -= 1
        if time.monotonic() - self._since > _LONGEST_PAUSE_SECONDS:
            time.sleep(_LONGEST_PAUSE_SECONDS)

    def _wait(self, deadline_seconds: float) -> None:
        self._wary = _WARY
        started = time.monotonic()
        waited = 0.0
        while True:
            # The longer it waits the more often it asks, so that nobody is unlucky for long.
            pause = max(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS * (1.0 - waited / _IMPATIENT_SECONDS))
            time.sleep(random.uniform(0.5, 1.0) * pause)  # not in step with others, or the same would always be first
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waited = time.monotonic() - started
                if waited > deadline_seconds:
                    raise StoreBusyError(
                        f"other processes have held {self._path} for more than {deadline_seconds:g} s"
                    ) from None
            else:
                return


@contextmanager
def file_lock(path: Path | None, deadline_seconds: float) -> Iterator[None]:
    """Hold the lock that ``path`` stands for.

    Raises:
        StoreBusyError: other processes held it for longer than ``deadline_seconds``.
    """
    lock = ProcessLock(path)
    try:
        lock.acquire(deadline_seconds)
        yield
    finally:
        lock.close()
