"""From a path or URL to a store."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from modelperf_plugin.errors import InvalidValueError, MissingExtraError
from modelperf_plugin.paths import expanded
from modelperf_plugin.store.deadline import PATIENCE_SECONDS
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.fallback.store import open_fallback
from modelperf_plugin.store.sqlite.file import MEMORY
from modelperf_plugin.store.sqlite.store import SqliteStore, open_sqlite, open_sqlite_read_only
from modelperf_plugin.store.store import Store

_SCHEME: Final = "sqlite:///"
_TO_READ: Final = "?mode=ro"


def open_store(location: str | os.PathLike[str], *, durability: Durability = "normal") -> Store:
    """Open the store at ``location``: a path, ``":memory:"``, ``sqlite:///path`` or ``postgresql://…``.

    A new file is created, and so are the tables in an empty database.

    Raises:
        InvalidValueError: the URL has an unsupported scheme.
        StoreError: it cannot be opened; the message says why.
    """
    location = os.fspath(location)
    if is_postgres(location):
        return _open_postgres(location, durability=durability)
    return open_sqlite(_sqlite_path(location), durability=durability)


def open_with_fallback(
    location: str | os.PathLike[str], *, durability: Durability = "normal", patience: float = PATIENCE_SECONDS
) -> Store:
    """Open the store at ``location`` for a host: with a fallback for the time that SQLite fails.

    No call waits longer than ``patience`` seconds for others that write; an outcome that would is spooled.

    A URL that ends in ``?mode=ro`` is opened for reading only, as by :func:`open_to_read`.

    Raises:
        InvalidValueError: the URL has an unsupported scheme.
        StoreError: it is from a newer version or another program's; the message says so.
    """
    location = os.fspath(location)
    if is_postgres(location):
        return _open_postgres(location, durability=durability, patience=patience)
    if "://" in location and location.endswith(_TO_READ):
        return open_to_read(location.removesuffix(_TO_READ))
    path = _sqlite_path(location)
    return open_sqlite(path) if path == MEMORY else open_fallback(path, durability=durability, patience=patience)


def open_to_read(location: str | os.PathLike[str]) -> Store:
    """Open the store at ``location`` for reading only: nothing is created, migrated or locked.

    Raises:
        InvalidValueError: the URL has an unsupported scheme.
        StoreError: it cannot be read; the message says why.
    """
    location = os.fspath(location)
    if is_postgres(location):
        return _open_postgres(location, read_only=True)
    path = _sqlite_path(location)
    return open_sqlite(path) if path == MEMORY else open_sqlite_read_only(path)


def open_file(location: str | os.PathLike[str]) -> SqliteStore:
    """Open the SQLite file at ``location`` for work on the file itself.

    Raises:
        InvalidValueError: it is not a file.
        StoreError: it cannot be opened; the message says why.
    """
    return open_sqlite(file_of(location))


def file_of(location: str | os.PathLike[str]) -> str:
    """Return the path of the SQLite file at ``location``; raise InvalidValueError if it is not a file."""
    path = _sqlite_path(os.fspath(location))
    if path == MEMORY:
        raise InvalidValueError("store", "a file", path, typed=True)
    return path


def to_read(location: str | os.PathLike[str]) -> str:
    """Return the URL that opens ``location`` for reading only."""
    path = _sqlite_path(os.fspath(location))
    return path if path == MEMORY else f"{_SCHEME}{quote(os.fsencode(path))}{_TO_READ}"


def is_postgres(location: str) -> bool:
    """Return whether ``location`` is the URL of a PostgreSQL database."""
    return location.startswith(("postgresql://", "postgres://"))


def _open_postgres(url: str, **options: Any) -> Store:
    """Open a PostgreSQL database; only this imports what that needs.

    Raises:
        MissingExtraError: psycopg is not installed.
    """
    try:
        from modelperf_plugin.store.postgres.store import open_postgres  # noqa: PLC0415 - psycopg is an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("a store in PostgreSQL", "postgres") from error
    return open_postgres(url, **options)


def _sqlite_path(location: str) -> str:
    if not location or "\x00" in location:
        raise InvalidValueError("store", "a path, a URL or ':memory:'", location, typed=True)
    if location == MEMORY:
        return location
    if "://" not in location:
        return str(expanded(location))
    parts = urlsplit(location)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) < 2:
        requirement = "a path, ':memory:' or sqlite:///path (this version knows no other)"
        raise InvalidValueError("store", requirement, location, typed=True)
    return path_in(location)


def path_in(url: str) -> str:
    """Return the path in a URL ``sqlite:///path``; its bytes need not be UTF-8."""
    return os.fsdecode(unquote_to_bytes(os.fsencode(urlsplit(url).path[1:])))
