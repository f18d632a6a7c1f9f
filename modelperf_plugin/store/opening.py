"""From a path or URL to a store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from modelperf_plugin.errors import InvalidValueError, MissingExtraError, StoreError
from modelperf_plugin.paths import expanded
from modelperf_plugin.store import urls
from modelperf_plugin.store.deadline import PATIENCE_SECONDS
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.fallback.store import open_fallback
from modelperf_plugin.store.moving.session import Archive
from modelperf_plugin.store.moving.sqlite import SqliteArchive
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.database import SqliteDatabase
from modelperf_plugin.store.sqlite.file import MEMORY
from modelperf_plugin.store.sqlite.reading import SqliteReader
from modelperf_plugin.store.sqlite.store import SqliteStore, open_sqlite, open_sqlite_read_only
from modelperf_plugin.store.store import Store

if TYPE_CHECKING:
    from modelperf_plugin.store.main_store import Database
    from modelperf_plugin.store.postgres.store import PostgresStore

DEFAULT_PATH: Final = ".sf/model-performance.db"
_SCHEME: Final = "sqlite:///"
_TO_READ: Final = "?mode=ro"


def open_store(location: str | os.PathLike[str], *, durability: Durability = "normal") -> Store:
    """Open the store at ``location``: a path, ``":memory:"``, ``sqlite:///path`` or ``postgresql://…``.

    A new file, and new tables, are created.

    Raises:
        InvalidValueError: the URL has an unsupported scheme.
        MissingExtraError: the library for this URL is not installed.
        StoreError: it cannot be opened; the message says why.
    """
    location = os.fspath(location)
    if urls.is_postgres(location):
        return _open_postgres(location, durability=durability)
    return open_sqlite(_sqlite_path(location), durability=durability)


def open_with_fallback(
    location: str | os.PathLike[str],
    *,
    durability: Durability = "normal",
    patience: float = PATIENCE_SECONDS,
    spool: str | os.PathLike[str] = DEFAULT_PATH,
) -> Store:
    """Open the store at ``location`` for a host: with a fallback for the time that the database fails.

    No call waits longer than ``patience`` seconds for others that write; an outcome that would is spooled: beside the
    SQLite file, or of a PostgreSQL database beside the path ``spool``.

    A URL that ends in ``?mode=ro`` or ``&mode=ro`` is opened for reading only, as by :func:`open_to_read`.

    Raises:
        InvalidValueError: the URL has an unsupported scheme.
        MissingExtraError: the library for this URL is not installed.
        StoreError: it is from a newer version or another program's; the message says so.
    """
    location = os.fspath(location)
    if urls.is_to_read(location):
        return open_to_read(location)
    database: Database
    if urls.is_postgres(location):
        need_psycopg()
        from modelperf_plugin.store.postgres.database import PostgresDatabase

        database = PostgresDatabase(location, spool_of(location, spool), durability, patience)
    else:
        path = _sqlite_path(location)
        if path == MEMORY:
            return open_sqlite(path)
        database = SqliteDatabase(path, durability, patience)
    return open_fallback(database, patience, sync=durability == "full")


def open_to_read(location: str | os.PathLike[str]) -> Store:
    """Open the store at ``location`` for reading only: nothing is created, migrated or locked.

    Raises:
        InvalidValueError: the URL has an unsupported scheme.
        MissingExtraError: the library for this URL is not installed.
        StoreError: it cannot be read; the message says why.
    """
    location = os.fspath(location)
    if urls.is_postgres(location):
        return _open_postgres(urls.of_database(location), read_only=True)
    path = _sqlite_path(location.removesuffix(_TO_READ) if "://" in location else location)
    return open_sqlite(path) if path == MEMORY else open_sqlite_read_only(path)


def open_file(location: str | os.PathLike[str]) -> SqliteStore:
    """Open the SQLite file at ``location`` for work on the file itself.

    Raises:
        InvalidValueError: it is not a file.
        StoreError: it cannot be opened; the message says why.
    """
    return open_sqlite(file_of(location))


def open_database(url: str) -> PostgresStore:
    """Open the PostgreSQL database at ``url`` for work on the database itself.

    Raises:
        MissingExtraError: the library for it is not installed.
        StoreError: it cannot be opened; the message says why.
    """
    return _open_postgres(url)


def open_archive(location: str | os.PathLike[str]) -> Archive:
    """Open the store at ``location`` to read or write its rows as they are. A new file, and new tables, are created.

    Raises:
        InvalidValueError: the URL has an unsupported scheme.
        MissingExtraError: the library for this URL is not installed.
        StoreError: it cannot be opened; the message says why.
    """
    location = os.fspath(location)
    if urls.is_postgres(location):
        return _archive_in_postgres(_open_postgres(location, durability="full"))
    return SqliteArchive(SqliteConnection(file_of(location), durability="full"))


def open_archive_to_read(location: str | os.PathLike[str]) -> Archive:
    """Do the same for reading only: nothing is created, migrated or locked.

    Raises:
        InvalidValueError: the URL has an unsupported scheme.
        MissingExtraError: the library for this URL is not installed.
        StoreOutdatedError: there is nothing in it yet.
        StoreError: it cannot be read; the message says why.
    """
    location = os.fspath(location)
    if urls.is_postgres(location):
        return _archive_in_postgres(_open_postgres(urls.of_database(location), read_only=True))
    return SqliteArchive(SqliteReader(file_of(location)))


def _archive_in_postgres(store: PostgresStore) -> Archive:
    from modelperf_plugin.store.moving.postgres import PostgresArchive

    return PostgresArchive(store.connection)


def file_of(location: str | os.PathLike[str], instead: str = "this works on SQLite files only") -> str:
    """Return the path of the SQLite file at ``location``.

    Raises:
        InvalidValueError: it is not a file.
        StoreError: it is a PostgreSQL database; the message says what to do ``instead``.
    """
    location = os.fspath(location)
    if urls.is_postgres(location):
        raise StoreError(f"{urls.without_secrets(location)} is a PostgreSQL database: {instead}")
    path = _sqlite_path(location)
    if path == MEMORY:
        raise InvalidValueError("store", "a file", path, typed=True)
    return path


def spool_of(location: str | os.PathLike[str], beside: str | os.PathLike[str] = DEFAULT_PATH) -> str:
    """Return the path whose name begins the names of the files with outcomes that wait for the store at ``location``.

    For a PostgreSQL database it is next to ``beside``. It does not depend on the URL: should the server move, what
    waits is for the new one.
    """
    location = os.fspath(location)
    if not urls.is_postgres(location):
        return _sqlite_path(location)
    path = _sqlite_path(os.fspath(beside))
    file = expanded(DEFAULT_PATH if path == MEMORY else path)
    return str(file.with_name(f"{file.stem}-postgresql{file.suffix}"))


def to_read(location: str | os.PathLike[str]) -> str:
    """Return the URL that opens ``location`` for reading only."""
    location = os.fspath(location)
    if urls.is_postgres(location):
        return urls.to_read(location)
    path = _sqlite_path(location)
    return path if path == MEMORY else f"{_SCHEME}{quote(os.fsencode(path))}{_TO_READ}"


def need_psycopg() -> None:
    """Raise MissingExtraError if the library for PostgreSQL is not installed."""
    try:
        import psycopg  # noqa: F401 - whether it can be
    except ImportError as error:
        raise MissingExtraError("a store in PostgreSQL", "postgres") from error


def _open_postgres(url: str, *, durability: Durability = "normal", read_only: bool = False) -> PostgresStore:
    need_psycopg()
    from modelperf_plugin.store.postgres.store import open_postgres

    return open_postgres(url, durability=durability, read_only=read_only)


def _sqlite_path(location: str) -> str:
    if not location or "\x00" in location:
        raise InvalidValueError("store", "a path, a URL or ':memory:'", location, typed=True)
    if location == MEMORY:
        return location
    if "://" not in location:
        return str(expanded(location))
    parts = urlsplit(location)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) < 2:
        requirement = "a path, ':memory:', sqlite:///path or postgresql://… (this version knows no other)"
        raise InvalidValueError("store", requirement, urls.without_secrets(location), typed=True)
    return path_in(location)


def path_in(url: str) -> str:
    """Return the path in a URL ``sqlite:///path``; its bytes need not be UTF-8."""
    return os.fsdecode(unquote_to_bytes(os.fsencode(urlsplit(url).path[1:])))
