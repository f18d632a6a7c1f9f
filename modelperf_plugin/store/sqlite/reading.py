"""Reading an SQLite file without leaving a trace: nothing is created, migrated or locked."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from modelperf_plugin.errors import StoreBusyError, StoreError, StoreFailedError, StoreOutdatedError
from modelperf_plugin.store.beside import JOURNAL, LOG, beside, has_content, target_of, uri_of
from modelperf_plugin.store.deadline import BUSY_SECONDS
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.file import (
    ListedConnection,
    ensure_exp,
    lock_path,
    missing_migrations,
    opening,
    refuse_strangers,
)
from modelperf_plugin.store.sqlite.ownership import has_foreign_log, refuse_emptied, was_in_use
from modelperf_plugin.store.sqlite.requirements import check_requirements

_MAX_ATTEMPTS: Final = 20
"""How often to read again because the file changed meanwhile."""

_State = tuple[int, ...]
_T = TypeVar("_T")


class SqliteReader(SqliteConnection):
    """A connection for commands that only read; anything that would write is a :class:`StoreError`.

    A file with a write-ahead log or a rollback journal beside it may be in use, and is read like by every other reader.
    If SQLite cannot do so without writing (the folder is read-only, or a journal must be rolled back), a temporary copy
    is read. A file with neither is not open in any program: it is read as immutable, which leaves nothing behind. Both
    are read again should the file change meanwhile.
    """

    read_only = True

    def __init__(self, path: str) -> None:
        """Open the file at ``path``.

        Raises:
            StoreError: it is not there, cannot be read, or has the schema of another version.
        """
        super().__init__(path)

    def _connect(self) -> None:
        check_requirements(self.location)
        for _ in range(_MAX_ATTEMPTS):
            self._state = _state(self.location)
            try:
                self.reader = self.writer = self._open_connection()
            except StoreError:
                if self._is_unchanged():
                    raise
            else:
                self.read_lock = self.write_lock
                return
        raise self._never_at_rest()

    def _open_connection(self) -> sqlite3.Connection:
        self.note = None
        self._locked_by_sqlite = False
        refuse_emptied(self.location)
        if has_foreign_log(self.location, lock_path(self.location)):
            self.note = "the log beside the file belongs to one that was there before, and is not read"
            return self._open("mode=ro&immutable=1")
        self._locked_by_sqlite = has_content(beside(self.location, JOURNAL)) or beside(self.location, LOG).exists()
        if self._locked_by_sqlite:
            with suppress(StoreFailedError):
                return self._open("mode=ro")
            self._locked_by_sqlite = False
            try:
                return self._open_copy()
            except OSError as error:
                self.note = f"the newest outcomes may be missing: they are in a log that cannot be read ({error})"
        return self._open("mode=ro&immutable=1")

    def _open_copy(self) -> sqlite3.Connection:
        """Open a temporary copy of the file and what is beside it, on which SQLite may do what it has to.

        Raises:
            OSError: something cannot be read, or there is no room.
        """
        with tempfile.TemporaryDirectory(prefix="modelperf-", ignore_cleanup_errors=True) as folder:
            copy = Path(folder) / "copy.db"
            for suffix in ("", LOG, JOURNAL):
                with suppress(FileNotFoundError):
                    shutil.copyfile(beside(self.location, suffix), f"{copy}{suffix}")
            # the folder is deleted at once: the connection keeps the open file
            return self._open("mode=rw", copy, setup="PRAGMA journal_mode = MEMORY")

    def _open(self, options: str, file: Path | None = None, *, setup: str = "") -> sqlite3.Connection:
        uri = uri_of(file or target_of(self.location), options)
        with opening(self.location):
            connection = ListedConnection(
                self._opened, uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute(setup).fetchall()
                ensure_exp(connection)
                refuse_strangers(connection, self.location)
                _refuse_older(connection, self.location)
            except BaseException:
                connection.close()
                raise
        return connection

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy the whole file, as of one moment, into the database behind ``target``."""
        with self.read_lock:
            for _ in range(_MAX_ATTEMPTS):
                self.ensure_open()
                self.reader.backup(target)  # in one step: in several, every commit of a host would restart it
                if self._is_unchanged():
                    return
                self._reconnect()
            raise self._never_at_rest()

    def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        with self.read_lock:
            for _ in range(_MAX_ATTEMPTS):
                self.ensure_open()
                try:
                    rows = super().fetch(statement, *parameters)
                except StoreError:
                    if self._is_unchanged():
                        raise
                else:
                    if self._is_unchanged():
                        return rows
                self._reconnect()
            raise self._never_at_rest()

    def _is_unchanged(self) -> bool:
        """Return whether what was read is right: it was read under SQLite's locks, or the file did not change."""
        return self._locked_by_sqlite or self._state == _state(self.location)

    def _reconnect(self) -> None:
        self._disconnect()
        self._connect()

    def _never_at_rest(self) -> StoreBusyError:
        return StoreBusyError(f"{self.location} changes too often to be read without SQLite's locks")

    def in_turn(self, action: Callable[[float], _T]) -> _T:  # noqa: ARG002 - nothing is written
        """Raise StoreError: the file was opened for reading only."""
        self.ensure_open()
        raise StoreError(f"{self.location} was opened for reading only")


def _refuse_older(connection: sqlite3.Connection, path: str) -> None:
    if not has_content(target_of(path)):
        if was_in_use(path):
            raise StoreOutdatedError(
                f"{path} has become empty: restore a copy with `modelperf restore` if there is one"
            )
        raise StoreOutdatedError(f"{path} is empty: nothing has been recorded in it yet")
    if missing_migrations(connection, path):
        raise StoreOutdatedError(
            f"{path} was written by an older version of modelperf-plugin: `modelperf compact` brings it up to date, "
            "as does any host that opens it"
        )


def _state(path: str) -> _State:
    """Return values that differ whenever the file, or what is beside it, has changed."""
    state: list[int] = []
    for suffix in ("", LOG, JOURNAL):
        with suppress(OSError):
            found = beside(path, suffix).stat()
            state += (len(suffix), found.st_ino, found.st_size, found.st_mtime_ns)
    return tuple(state)
