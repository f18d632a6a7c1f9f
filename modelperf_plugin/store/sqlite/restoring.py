"""Putting a copy in the place of a database."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from modelperf_plugin.errors import StoreDamagedError, StoreError, StoreFailedError, StoreOutdatedError
from modelperf_plugin.files import create_private
from modelperf_plugin.store.beside import JOURNAL, LOG, beside, has_content, target_of
from modelperf_plugin.store.sqlite.file import translated
from modelperf_plugin.store.sqlite.identity import describe, is_ours
from modelperf_plugin.store.sqlite.reading import SqliteReader
from modelperf_plugin.store.sqlite.replacing import exclusively, replace
from modelperf_plugin.store.sqlite.store import open_sqlite, open_sqlite_read_only


class Restored(NamedTuple):
    """The result of restoring a copy."""

    outcomes: int
    """Outcomes that count now."""
    aside: Path | None
    """The new path of the replaced file; None if there was none."""
    replaced_outcomes: int | None
    """Outcomes that counted in it; None if it could not be read."""


def restore(path: str, copy: Path) -> Restored:
    """Put a copy of ``copy`` in the place of the database at ``path``, which is set aside.

    Raises:
        StoreBusyError: a host has the database open.
        StoreDamagedError: the copy is damaged; the database is unchanged.
        StoreError: the copy or the folder of the database cannot be used; the database is unchanged.
    """
    file = target_of(path)
    if file == target_of(copy):
        raise StoreError(f"{copy} is the database itself")
    if has_content(file) and not is_ours(file):
        raise StoreError(f"{path} {describe(file)}; it was not changed. Choose another path.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with exclusively(path, "restore the copy") as folder:
            draft = folder / "new.db"
            _copy(copy, draft)
            outcomes = _bring_up_to_date(draft, copy)
            replaced = _count(path) if file.exists() else None
            return Restored(outcomes, replace(file, draft, "replaced"), replaced)
    except (OSError, sqlite3.Error) as error:
        raise StoreFailedError(f"{copy} could not be restored: {error}; {path} is as it was") from error


def _copy(source: Path, draft: Path) -> None:
    """Copy a database as of one moment; one of an older version as its files are."""
    os.close(create_private(draft))
    try:
        with closing(SqliteReader(str(source))) as reader:
            if reader.note is not None:
                raise StoreFailedError(f"{source} cannot be restored: {reader.note}")
            with translated(str(draft)), closing(sqlite3.connect(draft, isolation_level=None)) as target:
                reader.copy_to(target)
    except StoreOutdatedError:
        for suffix in ("", LOG, JOURNAL):
            with suppress(FileNotFoundError):
                shutil.copyfile(beside(source, suffix), f"{draft}{suffix}")


def _bring_up_to_date(draft: Path, source: Path) -> int:
    """Migrate the draft if need be, and check it; return how many outcomes count in it."""
    with closing(open_sqlite(str(draft))) as store:
        for finding in store.maintenance.check():
            if finding.name in {"integrity", "schema"} and not finding.ok:
                raise StoreDamagedError(f"{source} is damaged, and was not restored: repair a copy of it first")
        outcomes = sum(tally.samples for tally in store.tallies.all())
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # it then needs no log beside it
    return outcomes


def _count(path: str) -> int | None:
    with suppress(StoreError), closing(open_sqlite_read_only(path)) as store:
        return sum(tally.samples for tally in store.tallies.all())
    return None
