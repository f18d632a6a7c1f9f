"""Copying an SQLite file while other processes write to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.files import replacing
from modelperf_plugin.store.sqlite.file import translated
from modelperf_plugin.store.sqlite.reading import SqliteReader


def back_up(path: str, target: Path) -> int:
    """Copy the file at ``path``, as of one moment, to ``target``; return its size in bytes.

    The copy is written beside the target and renamed at the end, so the target is never incomplete.

    Raises:
        StoreError: the file cannot be read, or the copy cannot be written; the target is unchanged.
    """
    with closing(SqliteReader(path)) as reader:
        if reader.note is not None:
            raise StoreFailedError(f"{path} cannot be copied: {reader.note}")
        try:
            with replacing(target) as draft:
                with translated(str(target)), closing(sqlite3.connect(draft, isolation_level=None)) as copy:
                    reader.copy_to(copy)
                    copy.execute("PRAGMA journal_mode = DELETE")  # the copy then needs no log beside it
                size = draft.stat().st_size
        except OSError as error:
            raise StoreFailedError(f"{target} cannot be written: {error.strerror or error}") from error
        return size
