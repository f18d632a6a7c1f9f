"""Copying an SQLite file while other processes write to it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store.sqlite.file import translated
from modelperf_plugin.store.sqlite.reading import SqliteReader


def back_up(path: str, target: Path) -> int:
    """Copy the file at ``path``, as of one moment, to ``target``; return its size in bytes.

    The copy is written beside the target and renamed at the end, so the target is never incomplete.

    Raises:
        StoreError: the file cannot be read, or the copy cannot be written; the target is unchanged.
    """
    draft = target.with_name(f"{target.name}.{os.getpid()}.draft")
    reader = SqliteReader(path)
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with translated(str(target)), closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            reader.copy_to(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # the copy then needs no log beside it
        size = draft.stat().st_size
        _sync(draft)
        draft.replace(target)
    except OSError as error:
        raise StoreFailedError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        reader.close()
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                draft.with_name(f"{draft.name}{suffix}").unlink()
    return size


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
