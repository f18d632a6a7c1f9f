"""Locks between processes, on open files; the system releases them when their holder dies.

Windows has no such locks: there every lock is free.
"""

from __future__ import annotations

import io
import os
import random
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.files import PRIVATE, create_private
from modelperf_plugin.values.locks import Guard, Undo

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

    The threads of a process must use the object one at a time. The lock is taken within ``with lock.released:``, which
    releases it whatever happens.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file at ``path``, which is created and stays; None for a lock without a file."""
        self._path = path
        self._descriptor = -1
        """The open file, or -1 if nothing is locked."""
        self._file: io.FileIO | None = None
        self._wary = 0
        """For how many transactions to watch out for other processes."""
        self._since = 0.0
        self._unlock = Undo(bool)
        self.released = self._unlock.guard()
        """Guards a block in which the lock is taken: afterwards it is free."""
        self.closed = self.released
        """The same for the only block there is: afterwards the file is closed, too."""
        if sys.platform != "win32" and path is not None:
            with suppress(OSError):
                # an object, because the system closes its file even if an interrupt loses it
                self._file = io.FileIO(path, "r+", opener=_open_private)
                self.closed = Guard(bool, self._file.__exit__)
                self._descriptor = self._file.fileno()
                self._unlock.call(partial(fcntl.flock, self._descriptor, fcntl.LOCK_UN))

    def acquire(self, deadline: float) -> None:
        """Take the lock.

        Raises:
            StoreBusyError: other processes held it until ``deadline``, on the monotonic clock.
        """
        if self._descriptor < 0:
            return
        if self._wary:
            self._give_way()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait(deadline)
        except OSError:
            self._do_without()

    def close(self) -> None:
        """Release the lock and close the file."""
        self._do_without()
        if self._file is not None:
            self._file.close()

    def _do_without(self) -> None:
        """Lock nothing any more: the file system has no such locks, or the file is closed."""
        self._descriptor = -1
        self._unlock.call(bool)

    def _give_way(self) -> None:
        self._wary -= 1
        if time.monotonic() - self._since > _LONGEST_PAUSE_SECONDS:
            time.sleep(_LONGEST_PAUSE_SECONDS)
        self._since = time.monotonic()

    def _wait(self, deadline: float) -> None:
        self._wary = _WARY_TRANSACTIONS
        started = time.monotonic()
        waited = 0.0
        while started + waited < deadline:
            # The longer it waits the more often it asks, so that no process is unlucky for long.
            pause = max(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS * (1.0 - waited / _IMPATIENT_SECONDS))
            time.sleep(random.uniform(0.5, 1.0) * pause)  # not in step with others, or the same would always be first
            with suppress(BlockingIOError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._since = time.monotonic()
                return
            waited = time.monotonic() - started
        raise StoreBusyError(
            f"other processes have held {self._path} for more than {max(0.0, deadline - started):.2g} s"
        )


def _open_private(name: str, _: int) -> int:
    path = Path(name)
    with suppress(FileExistsError):
        return create_private(path)
    return os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)  # created again, should it just have been deleted


def is_byte_locked(path: Path, position: int) -> bool:
    """Return whether another process holds a POSIX lock on the byte at ``position`` of a file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        if sys.platform != "win32":
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, position)
    except BlockingIOError:
        return True
    except OSError:  # the file system has no such locks: nobody holds one
        return False
    finally:
        os.close(descriptor)
    return False
