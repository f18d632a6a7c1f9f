"""Locks between processes, on open files; the system releases them when their holder dies.

Windows has no such locks: there every lock is free.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from modelperf_plugin.errors import StoreBusyError

if sys.platform != "win32":
    import fcntl

_LONGEST_PAUSE_SECONDS: Final = 0.0004
_SHORTEST_PAUSE_SECONDS: Final = 0.00005
_IMPATIENT_SECONDS: Final = 0.1
_WARY_TRANSACTIONS: Final = 20


class ProcessLock:
    """A lock that one process holds at a time; all waiting processes have the same chance to be next.

    SQLite's own way of waiting favours the process that has just written: others wait longer and longer, and may
    starve. Where there are no file locks, or the folder is read-only, nothing is locked: SQLite's own locks still keep
    the database consistent, and this one only adds order.

    A process that held the lock for long while others waited pauses before it asks again: the moment between two of
    its transactions is too short for them to notice.

    The threads of a process must use the object one at a time.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file at ``path``, which is created and stays; None for a lock without a file."""
        self._path = path
        self._descriptor = -1
        self._wary = 0
        """For how many transactions to watch out for other processes."""
        self._since = 0.0
        if sys.platform != "win32" and path is not None:
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
        """Release the lock, if it is held."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            if self._wary:
                self._give_way()

    def close(self) -> None:
        """Release the lock and close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _give_way(self) -> None:
        self._wary -= 1
        if time.monotonic() - self._since > _LONGEST_PAUSE_SECONDS:
            time.sleep(_LONGEST_PAUSE_SECONDS)

    def _wait(self, deadline_seconds: float) -> None:
        self._wary = _WARY_TRANSACTIONS
        started = time.monotonic()
        waited = 0.0
        while True:
            # The longer it waits the more often it asks, so that no process is unlucky for long.
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
    """Hold the lock of the file at ``path``, which is created if need be.

    Raises:
        StoreBusyError: other processes held it for longer than ``deadline_seconds``.
    """
    lock = ProcessLock(path)
    try:
        lock.acquire(deadline_seconds)
        yield
    finally:
        lock.close()


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Yield whether the lock of an existing file could be taken; hold it meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file until it is closed; return False if another process holds it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def is_byte_locked(path: Path, position: int) -> bool:
    """Return whether another process holds a POSIX lock on the byte at ``position`` of a file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        if sys.platform != "win32":
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, position)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
