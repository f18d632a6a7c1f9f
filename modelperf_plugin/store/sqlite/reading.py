"""Reading an SQLite file without leaving a trace: nothing is created, migrated or locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modelperf_plugin.errors import StoreError, StoreFailedError, StoreOutdatedError
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.file import (
    BUSY_SECONDS,
    ensure_exp,
    missing_migrations,
    refuse_strangers,
    translated,
)

_State = tuple[int, ...]


class SqliteReader(SqliteConnection):
    """A connection for commands that only read; anything that would write is a :class:`StoreError`.

    While a host has the file open there is a write-ahead log, and the file is read like by every other reader. Without
    a log no program has it open: then it is read as immutable, which leaves nothing behind, and read again should it
    change meanwhile.
    """

    read_only = True

    def __init__(self, path: str) -> None:
        """Open the file at ``path``.

        Raises:
            StoreError: it is not there, cannot be read, or has the schema of another version.
        """
        super().__init__(path)

    def _connect(self) -> None:
        self._state = _state(self.location)
        self.reader = self.writer = self._open_connection()
        self.read_lock = self.write_lock

    def _open_connection(self) -> sqlite3.Connection:
        if not _log(self.location).exists():
            return self._open(immutable=True)
        try:
            return self._open(immutable=False)
        except StoreFailedError:
            # the log cannot be read without writing beside it: what the file alone holds is better than nothing
            connection = self._open(immutable=True)
            self.note = f"the newest outcomes, in {_log(self.location)}, could not be read"
            return connection

    def _open(self, *, immutable: bool) -> sqlite3.Connection:
        self._immutable = immutable
        uri = f"file:{quote(str(Path(self.location).absolute()))}?mode=ro{'&immutable=1' * immutable}"
        with translated(self.location):
            connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
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
            while True:
                self.ensure_open()
                self.reader.backup(target)  # in one step: in several, every commit of a host would restart it
                if self._is_unchanged():
                    return
                self.reader.close()
                self._connect()

    def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        with self.read_lock:
            while True:
                self.ensure_open()
                try:
                    rows = super().fetch(statement, *parameters)
                except StoreError:
                    if self._is_unchanged():
                        raise
                else:
                    if self._is_unchanged():
                        return rows
                self.reader.close()
                self._connect()

    def _is_unchanged(self) -> bool:
        """Return whether what was read is right: it was read under SQLite's locks, or the file did not change."""
        return not self._immutable or self.note is not None or self._state == _state(self.location)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Raise StoreError: the file was opened for reading only."""
        self.ensure_open()
        raise StoreError(f"{self.location} was opened for reading only")
        yield


def _refuse_older(connection: sqlite3.Connection, path: str) -> None:
    if missing_migrations(connection, path):
        raise StoreOutdatedError(
            f"{path} was written by an older version of modelperf-plugin: `modelperf compact` brings it up to date, "
            "as does any host that opens it"
        )


def _log(path: str) -> Path:
    return Path(f"{path}-wal")


def _state(path: str) -> _State:
    """Return values that differ whenever the file, or whether it is open, has changed."""
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, _log(path).exists())
