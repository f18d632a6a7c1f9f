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


class ProcessLock:
    """A lock that one process holds at a time; all that wait for it have the same chance to be next.

    SQLite's own way of waiting favours whoever has just written: others wait for ever longer, and may starve. Where
    the system has no such locks, or the folder is read-only, nothing is locked: SQLite's own locks still keep the
    database whole, and what this one adds is order.

    The object is no lock between the threads of a process: they must come one at a time.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file at ``path``, which is created and stays; None for a lock that nobody else knows."""
        self._path = path
        self._descriptor = -1
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

    def release(self) -> None:
        """Let go of the lock; without one that does nothing."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the lock and the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _wait(self, deadline_seconds: float) -> None:
        deadline = time.monotonic() + deadline_seconds
        while True:
            # not in step with others that wait, or the same one would always come first
            time.sleep(random.uniform(0.5, 1.0) * _LONGEST_PAUSE_SECONDS)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
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
