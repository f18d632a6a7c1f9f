"""Reading an SQLite file without leaving a trace: nothing is created, migrated or locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modelperf_plugin.errors import StoreError, StoreFailedError, StoreOutdatedError
from modelperf_plugin.store.lock import ProcessLock
from modelperf_plugin.store.roles import Entry
from modelperf_plugin.store.sqlite.file import (
    BUSY_SECONDS,
    ensure_exp,
    missing_migrations,
    refuse_strangers,
    translated,
)
from modelperf_plugin.store.sqlite.store import SqliteStore
from modelperf_plugin.values import Tally

_State = tuple[int, ...]


class ReadingStore(SqliteStore):
    """A store for commands that only read; whatever would write is a :class:`StoreError`.

    While a host has the file open there is a write-ahead log, and the file is read as every other reader reads it.
    Without one nobody has it open: then it is read as it lies there, which leaves nothing behind. Should it change
    meanwhile, it is read again.
    """

    read_only = True

    def __init__(self, path: str) -> None:
        """Open the file at ``path``.

        Raises:
            StoreError: it is not there, cannot be read, or has the schema of another version.
        """
        self.note: str | None = None
        """What is not in the answers, if anything."""
        super().__init__(path)

    def _connect(self) -> None:
        self._state = _state(self._path)
        self._reader = self._writer = self._connection()
        self._read_lock = self._write_lock
        self._processes = ProcessLock(None)

    def _connection(self) -> sqlite3.Connection:
        if not _log(self._path).exists():
            return self._open(immutable=True)
        try:
            return self._open(immutable=False)
        except StoreFailedError:
            # a log that cannot be read without writing beside it: what the file alone holds is better than nothing
            connection = self._open(immutable=True)
            self.note = f"the newest outcomes, in {_log(self._path)}, could not be read"
            return connection

    def _open(self, *, immutable: bool) -> sqlite3.Connection:
        self._as_it_lies = immutable
        uri = f"file:{quote(str(Path(self._path).absolute()))}?mode=ro{'&immutable=1' * immutable}"
        with translated(self._path):
            connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                ensure_exp(connection)
                refuse_strangers(connection, self._path)
                _refuse_older(connection, self._path)
            except BaseException:
                connection.close()
                raise
        return connection

    def record(self, entry: Entry) -> bool:  # noqa: ARG002 - the protocol's signature
        """Raise StoreError: this store is for reading only."""
        self._wait_to_write()
        return False

    def evidence(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id; models without outcomes are not in it."""
        return self._load(task_type)

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy the whole file, as it is at one moment, into the database behind ``target``."""
        with self._read_lock:
            while True:
                self._ensure_open()
                self._reader.backup(target)  # all at once: in parts, every commit of a host would begin it anew
                if self._is_as_it_was():
                    return
                self._reader.close()
                self._connect()

    def _fetch(self, statement: str, *parameters: Any) -> list[Any]:
        with self._read_lock:
            while True:
                self._ensure_open()
                try:
                    rows = super()._fetch(statement, *parameters)
                except StoreError:
                    if self._is_as_it_was():
                        raise
                else:
                    if self._is_as_it_was():
                        return rows
                self._reader.close()
                self._connect()

    def _is_as_it_was(self) -> bool:
        """Return whether what was read is right: the file was read under SQLite's locks, or did not change."""
        return not self._as_it_lies or self.note is not None or self._state == _state(self._path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._ensure_open()
        raise StoreError(f"{self._path} was opened for reading only")
        yield

    def _wait_to_write(self) -> None:
        self._ensure_open()
        raise StoreError(f"{self._path} was opened for reading only")


def _refuse_older(connection: sqlite3.Connection, path: str) -> None:
    if missing_migrations(connection, path):
        raise StoreOutdatedError(
            f"{path} was written by an older version of modelperf-plugin: `modelperf compact` brings it up to date, "
            "as does any host that opens it"
        )


def _log(path: str) -> Path:
    return Path(f"{path}-wal")


def _state(path: str) -> _State:
    """Return what changes whenever the file, or whether it is open, does."""
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, _log(path).exists())
