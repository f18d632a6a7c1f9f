"""Putting another file in the place of a database: nothing is deleted, and no log meets another file than its own."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from modelperf_plugin.errors import StoreBusyError
from modelperf_plugin.store.beside import target_of
from modelperf_plugin.store.deadline import BUSY_SECONDS
from modelperf_plugin.store.lock import ProcessLock
from modelperf_plugin.store.sqlite.file import lock_path
from modelperf_plugin.store.sqlite.ownership import is_open_elsewhere, set_log_aside

_OLD_SECONDS: Final = 3600.0


@contextmanager
def exclusively(path: str, purpose: str) -> Iterator[Path]:
    """Keep every other process away from the database at ``path``; yield a folder beside it, which is deleted.

    Folders that an interrupted process left are deleted as well: whoever holds the lock is alone.

    Raises:
        StoreBusyError: a host has it open; ``purpose`` says what to do after it was stopped.
    """
    file = target_of(path)
    lock = ProcessLock(lock_path(path))
    with lock.closed:
        lock.acquire(time.monotonic() + BUSY_SECONDS)
        for left in abandoned(path):
            shutil.rmtree(left, ignore_errors=True)
        if is_open_elsewhere(file):
            raise StoreBusyError(f"a host has {path} open: stop the hosts, then {purpose}")
        with tempfile.TemporaryDirectory(prefix=_prefix(file), dir=file.parent) as folder:
            yield Path(folder)


def abandoned(path: str) -> list[Path]:
    """Return the folders of processes that repair or restore the database at ``path``, or were killed at it."""
    file = target_of(path)
    with suppress(OSError):
        return sorted(filter(lambda each: each.name.startswith(_prefix(file)) or _is_old(each), file.parent.iterdir()))
    return []


def sweep(path: str) -> list[Path]:
    """Delete what killed processes have left of a repair; return what was deleted, nothing if one is at work."""
    if not abandoned(path):
        return []
    lock = ProcessLock(lock_path(path))
    with lock.closed:
        lock.acquire(time.monotonic() + BUSY_SECONDS)
        left = abandoned(path)
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return [folder for folder in left if not folder.exists()]


def replace(file: Path, new: Path, kind: str) -> Path | None:
    """Set ``file`` and what is beside it aside, and put ``new`` in its place; there is a file at every moment.

    Returns:
        The new path of ``file``; None if there was none.
    """
    aside = set_log_aside(file, kind)
    exists = file.exists()
    if exists:
        aside.hardlink_to(file)
    new.replace(file)
    return aside if exists else None


def _is_old(folder: Path) -> bool:
    """Return whether an earlier version has left a folder, whose name does not tell of which database it is."""
    copy = folder / "old.db"
    return folder.name.startswith(".repair-") and copy.exists() and time.time() - copy.stat().st_mtime > _OLD_SECONDS


def _prefix(file: Path) -> str:
    return f".{file.name}.repair-"
