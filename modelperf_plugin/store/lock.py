"""A lock between processes, held by an open file; the system lets go of it when its holder dies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelperf_plugin.errors import StoreBusyError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_PAUSE_SECONDS = 0.002


@contextmanager
def file_lock(path: Path, deadline_seconds: float) -> Iterator[None]:
    """Hold the lock that ``path`` stands for; the file is created and stays.

    Where the system has no such locks, or the folder is read-only, nothing is locked: SQLite's own locks still
    keep the database whole, and what this one adds is order.

    Raises:
        StoreBusyError: another process held it for longer than ``deadline_seconds``.
    """
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if fcntl is None or descriptor is None:
        yield
        return
    try:
        _wait_for(descriptor, path, deadline_seconds)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path, deadline_seconds: float) -> None:
    deadline = time.monotonic() + deadline_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreBusyError(f"another process has held {path} for more than {deadline_seconds:g} s") from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return
