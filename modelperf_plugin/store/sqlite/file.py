"""Opening an SQLite file: creation, identity, migrations, and error messages."""

from __future__ import annotations

import math
import os
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from modelperf_plugin.errors import (
    NotATrackerError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFailedError,
    StoreVersionError,
)
from modelperf_plugin.files import create_private
from modelperf_plugin.log import logger
from modelperf_plugin.store.beside import LOG, beside, has_content, target_of, uri_of
from modelperf_plugin.store.deadline import BUSY_SECONDS, remaining
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.lock import ProcessLock
from modelperf_plugin.store.queries import Migration, load_migrations, load_queries, load_text
from modelperf_plugin.store.sqlite.identity import describe, is_ours
from modelperf_plugin.store.sqlite.ownership import note_opened, settle_empty_file, settle_log, was_in_use
from modelperf_plugin.store.sqlite.requirements import check_requirements, migrate_in_memory, old_sqlite
from modelperf_plugin.store.sqlite.rows import fetch, is_undecodable
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID, GUIDE_TABLES, REPAIR_HINT, missing_triggers

_T = TypeVar("_T")

MEMORY: Final = ":memory:"
LOG_BYTES: Final = 1 << 22
"""The log shrinks to this size once its content is in the database and nobody reads it any more."""
PAGE_BYTES: Final = 2048
"""For new files. Recording changes three pages, and the log holds whole pages."""
_PAUSE_SECONDS: Final = (0.0005, 0.002)
"""How long to wait, at random, before a locked database is tried again."""

_DAMAGED: Final = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_MISSING: Final = re.compile(
    r"no such (table|column): |table \w+ has no column named |cannot modify \w+ because it is a view"
)
"""How SQLite says that a statement of ours does not fit the schema."""
_FAILED: Final = {
    sqlite3.SQLITE_FULL: "no space is left for {path}: free some on its disk",
    sqlite3.SQLITE_READONLY: "{path} cannot be written to: check the permissions of the file and its folder",
    **dict.fromkeys(
        (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH),
        "{path} cannot be used: {error}",
    ),
}
"""Failures that last until an operator intervenes."""


class ListedConnection(sqlite3.Connection):
    """A connection that is in a list before it is open: an interrupt cannot hide it from whoever has to close it.

    Otherwise one that comes before the connection is assigned to a variable would leave it open until its traceback is
    deleted, and at a fork no connection may be open.
    """

    def __init__(self, opened: list[sqlite3.Connection], database: str, **options: Any) -> None:
        """Add this connection to ``opened``, and open ``database`` as :func:`sqlite3.connect` does."""
        opened.append(self)
        super().__init__(database, **options)


def close_all(opened: list[sqlite3.Connection]) -> None:
    """Close the connections of a list, the last one first, and remove them; any interrupt leaves the rest in it."""
    while opened:
        with suppress(sqlite3.ProgrammingError):  # an interrupt came before it was opened
            opened[-1].close()
        opened.pop()


def prepare(
    path: str,
    durability: Durability,
    opened: list[sqlite3.Connection],
    about_to_open: Callable[[], object] = bool,
) -> sqlite3.Connection:
    """Return a connection for writing to the file at ``path``, created and migrated if necessary.

    Args:
        path: where the file is.
        durability: what a committed transaction survives.
        opened: gets every connection that is opened; the caller closes those that are left.
        about_to_open: called right before this process opens the file.

    Raises:
        StoreError: it cannot be used; the file is unchanged.
    """
    if path == MEMORY:
        connection = connect(path, durability, opened)
        if old_sqlite() is not None:
            migrate_in_memory(connection)
        elif hasattr(connection, "deserialize"):
            _copy_empty_one(connection)
        else:
            _migrate(connection, path)
        return connection
    check_requirements(path)
    file = target_of(path)  # a link to a file that is not there yet must not be created by SQLite, for all to read
    try:
        _refuse_others(path, opened)
        file.parent.mkdir(parents=True, exist_ok=True)
        # several processes may open a new file at the same moment, and switching to WAL can itself be busy
        was_used = was_in_use(path)
        lock = ProcessLock(lock_path(path))
        with lock.closed:
            lock.acquire(time.monotonic() + remaining(2 * BUSY_SECONDS))
            problems = [*settle_empty_file(path, was_in_use=was_used), *settle_log(path, lock_path(path))]
            _create_private(file)
            about_to_open()
            connection = _open(path, durability, opened)
            note_opened(path, lock_path(path))
            _report(connection, problems)
            connection.execute("PRAGMA busy_timeout = 0")  # from now on this package waits, not SQLite
            return connection
    except OSError as error:
        raise StoreFailedError(f"cannot open {path}: {error.strerror or error}") from error


def _copy_empty_one(connection: sqlite3.Connection) -> None:
    """Make a database in memory an empty one of ours: a host that falls back has no time for all the migrations."""
    with closing(sqlite3.connect(MEMORY)) as empty:
        empty.deserialize(_empty_one())
        empty.backup(connection)  # one that is deserialized itself would have a limit of a gigabyte
    connection.execute(load_queries("sqlite", "unreadable.sql")["renew_identity"])


@cache
def _empty_one() -> bytes:
    with closing(sqlite3.connect(MEMORY, isolation_level=None)) as connection:
        _migrate(connection, MEMORY)
        return connection.serialize()


def _refuse_others(path: str, opened: list[sqlite3.Connection]) -> None:
    """Raise StoreError if a file is certainly not ours, before anything is created beside it."""
    if not has_content(target_of(path)) or beside(path, LOG).exists():
        return
    uri = uri_of(target_of(path), "mode=ro&immutable=1")
    with opening(path):
        try:
            refuse_strangers(ListedConnection(opened, uri, uri=True, check_same_thread=False), path)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
                raise  # anything else may be due to a program that is writing
        finally:
            close_all(opened)


def _report(connection: sqlite3.Connection, problems: list[str]) -> None:
    now_ms = time.time_ns() // 1_000_000
    for message in problems:
        logger.warning("%s", message)
        connection.execute(load_queries("sqlite")["add_problem"], ("the store", message, 1, now_ms, now_ms))


def lock_path(path: str) -> Path | None:
    """Return the lock file that is held to open the database at ``path`` and to write to it; None in memory."""
    return None if path == MEMORY else beside(path, ".lock")


def _create_private(file: Path) -> None:
    """Create an empty file that only its owner can read, unless it exists.

    An existing file is not opened: closing it would drop the locks that SQLite holds on it for other connections of
    this process.
    """
    with suppress(FileExistsError):
        os.close(create_private(file))


def connect(
    path: str, durability: Durability, opened: list[sqlite3.Connection], *, read_only: bool = False
) -> sqlite3.Connection:
    """Return a connection in autocommit mode that all threads may use, one at a time; it is added to ``opened``."""
    connection = ListedConnection(
        opened, path, timeout=remaining(), isolation_level=None, check_same_thread=False, cached_statements=128
    )
    try:
        connection.execute(f"PRAGMA synchronous = {durability.upper()}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        ensure_exp(connection)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")  # for recovery after a crash
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
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error | UnicodeDecodeError, path: str, patience: float = BUSY_SECONDS) -> StoreError:
    """Return the StoreError for an error of SQLite, after ``patience`` seconds if others had locked the file.

    An error whose message is not UTF-8 is one of a damaged schema.
    """
    if isinstance(error, UnicodeDecodeError):
        return StoreDamagedError(f"{path} is damaged (its schema is not UTF-8); it was not changed. {REPAIR_HINT}")
    if is_undecodable(error):  # its message holds the text
        return StoreError(f"{path} holds text that is not UTF-8: run `modelperf doctor --repair`")
    if is_busy(error):
        return StoreBusyError(f"{path} was locked by another process for more than {patience:g} s")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED or (code == sqlite3.SQLITE_ERROR and _MISSING.match(str(error))):
        what = "is not an SQLite database" if code == sqlite3.SQLITE_NOTADB else f"is damaged ({error})"
        return StoreDamagedError(f"{path} {what}; it was not changed. {REPAIR_HINT}")
    if code in _FAILED:
        return StoreFailedError(_FAILED[code].format(path=path, error=error))
    return StoreError(f"{path}: {error}")


@contextmanager
def opening(path: str) -> Iterator[None]:
    """Raise the errors of opening a file as :class:`StoreError`: what is damaged is looked at, to say what it is."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        failure = translate(error, path)
        if isinstance(failure, StoreDamagedError) and not is_ours(target_of(path)):
            failure = StoreDamagedError(f"{path} {describe(target_of(path))}; it was not changed. Choose another path.")
        raise failure from error


def begin(connection: sqlite3.Connection, deadline: float) -> None:
    """Begin a transaction that writes, within ``with connection:``, which commits it or rolls it back."""
    retried(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)


def retried(statement: Callable[[], _T], deadline: float) -> _T:
    """Run a statement again and again until the database is not locked, or ``deadline`` has come.

    A connection that writes does not wait within SQLite: there nothing could interrupt it, and its time is fixed.
    """
    while True:
        try:
            return statement()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(*_PAUSE_SECONDS))


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection has locked the database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _open(path: str, durability: Durability, opened: list[sqlite3.Connection]) -> sqlite3.Connection:
    with opening(path):
        connection = connect(path, durability, opened)
        try:
            refuse_strangers(connection, path)
            if connection.execute("PRAGMA page_count").fetchone() == (0,):  # both take effect in new files only
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # makes the page size final
            connection.execute("PRAGMA journal_mode = WAL")
            _migrate(connection, path)
            _refuse_incomplete(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def refuse_strangers(connection: sqlite3.Connection, path: str) -> None:
    """Raise NotATrackerError if the file holds the tables of another program."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in fetch(connection, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application_id == APPLICATION_ID or not tables:
        return
    if application_id == 0 and _has_guide_tables(connection):
        return
    raise NotATrackerError(f"{path} is a database of another program; it was not changed. Choose another path.")


def _refuse_incomplete(connection: sqlite3.Connection, path: str) -> None:
    """Raise StoreDamagedError if a trigger is missing: what it should write would be lost."""
    if missing := missing_triggers(connection):
        message = f"{path} is damaged (no trigger {', '.join(missing)}); it was not changed. {REPAIR_HINT}"
        raise StoreDamagedError(message)


def _has_guide_tables(connection: sqlite3.Connection) -> bool:
    return all(
        columns <= {name for (name,) in fetch(connection, "SELECT name FROM pragma_table_info(?)", (table,))}
        for table, columns in GUIDE_TABLES.items()
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
    return tuple(each for each in migrations if each.version > version)


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    for migration in missing_migrations(connection, path):
        adopting = migration.version == 1 and bool(_guide_tables(connection))
        script = [f"PRAGMA application_id = {APPLICATION_ID}", migration.script.strip().rstrip(";")]
        if adopting:
            script[:0] = [f"ALTER TABLE {table} RENAME TO document_{table}" for table in GUIDE_TABLES]
            script.append(load_text("sqlite", "adopt.sql").strip().rstrip(";"))
        script.append(f"PRAGMA user_version = {migration.version}")
        with connection:  # rolls back if it fails
            connection.executescript(";\n".join(["BEGIN IMMEDIATE", *script, "COMMIT"]))


def _guide_tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('model_outcomes', 'model_stats')"
    return [name for (name,) in connection.execute(query)]
