"""Opening an SQLite file: creation, identity, migrations, and error messages."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from modelperf_plugin.errors import (
    NotATrackerError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFailedError,
    StoreVersionError,
)
from modelperf_plugin.store.lock import file_lock
from modelperf_plugin.store.queries import Migration, load_migrations, load_text

Durability = Literal["normal", "full"]

MEMORY: Final = ":memory:"
APPLICATION_ID: Final = 0x4D504631
"""Identifies our files by their header ("MPF1")."""
PAGE_BYTES: Final = 2048
"""For new files. Recording changes three pages, and the log holds whole pages."""
BUSY_SECONDS: Final = 5.0
"""How long a writer waits for other processes before it fails."""

_DAMAGED: Final = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_FAILED: Final = {
    sqlite3.SQLITE_FULL: "there is no room left for {path}: free some space on its disk",
    sqlite3.SQLITE_READONLY: "{path} cannot be written to: check the permissions of the file and its folder",
    **dict.fromkeys(
        (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH),
        "{path} cannot be used: {error}",
    ),
}
"""Failures that last until an operator intervenes."""
_REPAIR: Final = "Choose another path, or save what can be read with `modelperf doctor --repair`."

_GUIDE_TABLES = {
    "model_outcomes": {"task_type", "model_id", "success", "timeout", "tokens_used", "cost_usd", "timestamp"},
    "model_stats": {
        "task_type", "model_id", "successes", "failures", "timeouts", "total_tokens", "total_cost", "last_used",
    },
}  # fmt: skip


def prepare(path: str, durability: Durability) -> sqlite3.Connection:
    """Return a connection for writing to the file at ``path``, created and migrated if necessary.

    Raises:
        StoreError: it cannot be used; the file is unchanged.
    """
    if path == MEMORY:
        connection = connect(path, durability)
        _migrate(connection, path)
        return connection
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # several processes may open a new file at the same moment, and switching to WAL can itself be busy
        with file_lock(lock_path(path), BUSY_SECONDS * 2):
            _create_private(file)
            return _open(path, durability)
    except OSError as error:
        raise StoreFailedError(f"cannot open {path}: {error.strerror or error}") from error


def lock_path(path: str) -> Path | None:
    """Return the lock file that is held to open the database at ``path`` and to write to it; None in memory."""
    return None if path == MEMORY else Path(f"{path}.lock")


def _create_private(file: Path) -> None:
    """Create an empty file that only its owner can read, unless it exists.

    An existing file is not opened: closing it would drop the locks that SQLite holds on it for other connections of
    this process.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def connect(path: str, durability: Durability, *, read_only: bool = False) -> sqlite3.Connection:
    """Return a connection in autocommit mode that all threads may use, one at a time."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=128
    )
    try:
        connection.execute(f"PRAGMA synchronous = {durability.upper()}")
        ensure_exp(connection)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def ensure_exp(connection: sqlite3.Connection) -> None:
    """Add the function that fading needs if SQLite was built without mathematical functions."""
    try:
        connection.execute("SELECT exp(0.0)")
    except sqlite3.OperationalError:  # pragma: no cover - depends on the build of SQLite
        connection.create_function("exp", 1, math.exp, deterministic=True)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise SQLite's errors as :class:`StoreError`, with the path and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: str) -> StoreError:
    """Return the StoreError for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusyError(f"{path} was locked by another process for more than {BUSY_SECONDS:g} s")
    if code in _DAMAGED:
        what = "is not an SQLite database" if code == sqlite3.SQLITE_NOTADB else f"is damaged ({error})"
        return StoreDamagedError(f"{path} {what}; it was not changed. {_REPAIR}")
    if code in _FAILED:
        return StoreFailedError(_FAILED[code].format(path=path, error=error))
    return StoreError(f"{path}: {error}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in a transaction: commit at its end, roll back if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(path: str, durability: Durability) -> sqlite3.Connection:
    with translated(path):
        connection = connect(path, durability)
        try:
            refuse_strangers(connection, path)
            if connection.execute("PRAGMA page_count").fetchone() == (0,):
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect in new files only
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def refuse_strangers(connection: sqlite3.Connection, path: str) -> None:
    """Raise NotATrackerError if the file holds the tables of another program."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application_id == APPLICATION_ID or not tables:
        return
    if application_id == 0 and _has_guide_tables(connection):
        return
    raise NotATrackerError(f"{path} is a database of another program; it was not changed. Choose another path.")


def _has_guide_tables(connection: sqlite3.Connection) -> bool:
    return all(
        columns <= {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        for table, columns in _GUIDE_TABLES.items()
    )


def missing_migrations(connection: sqlite3.Connection, path: str) -> tuple[Migration, ...]:
    """Return the migrations that a file lacks; raise StoreVersionError if a newer version has written it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    migrations = load_migrations("sqlite")
    newest = migrations[-1].version
    if version > newest:
        raise StoreVersionError(
            f"{path} was written by a newer version of modelperf-plugin (its schema is {version}, this version "
            f"knows {newest}); it was not changed. Upgrade modelperf-plugin, or choose another path."
        )
    return migrations[version:]


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    for migration in missing_migrations(connection, path):
        adopting = migration.version == 1 and bool(_guide_tables(connection))
        script = [f"PRAGMA application_id = {APPLICATION_ID}", migration.script.strip().rstrip(";")]
        if adopting:
            script[:0] = [f"ALTER TABLE {table} RENAME TO document_{table}" for table in _GUIDE_TABLES]
            script.append(load_text("sqlite", "adopt.sql").strip().rstrip(";"))
        script.append(f"PRAGMA user_version = {migration.version}")
        try:
            connection.executescript(";\n".join(["BEGIN IMMEDIATE", *script, "COMMIT"]))
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _guide_tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('model_outcomes', 'model_stats')"
    return [name for (name,) in connection.execute(query)]
