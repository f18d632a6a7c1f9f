"""Reading rows that another program may have written: one that cannot be read costs that row, never a query."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Any, Final

from modelperf_plugin.store.rows import MAX_INTEGER

Parameters = Sequence[Any] | Mapping[str, Any]


decode_any: Final = methodcaller("decode", "utf-8", "surrogateescape")
"""Reads any bytes as text: what is not UTF-8 becomes lone surrogates, which no valid text has."""
_UNDECODABLE: Final = re.compile(r"[\udc80-\udcff]")


def fetch(connection: sqlite3.Connection, statement: str, parameters: Parameters = ()) -> list[Any]:
    """Return the rows of a query; those with text that is not UTF-8 are left out, and sums stop at 2^63 - 1."""
    try:
        return connection.execute(statement, parameters).fetchall()
    except sqlite3.OperationalError as error:
        return fetch_again(connection, statement, parameters, error)


def fetch_again(
    connection: sqlite3.Connection, statement: str, parameters: Parameters, error: sqlite3.OperationalError
) -> list[Any]:
    """Return the readable rows of a query that has failed with ``error``; raise it if reading otherwise cannot help."""
    if is_overflow(error):
        _bound_sums(connection)
        return fetch(connection, statement, parameters)
    if not is_undecodable(error):
        raise error
    plain = connection.text_factory
    connection.text_factory = decode_any
    try:
        rows = fetch(connection, statement, parameters)
    finally:
        connection.text_factory = plain
    return [row for row in rows if is_readable(row)]


def execute(connection: sqlite3.Connection, statement: str, parameters: Parameters = ()) -> sqlite3.Cursor:
    """Execute a statement that adds up; its sums stop at 2^63 - 1."""
    try:
        return connection.execute(statement, parameters)
    except sqlite3.OperationalError as error:
        if not is_overflow(error):
            raise
        _bound_sums(connection)
        return connection.execute(statement, parameters)


def is_readable(row: Sequence[Any]) -> bool:
    """Return whether the text in a row is what it was written as."""
    return not any(isinstance(value, str) and _UNDECODABLE.search(value) for value in row)


def is_undecodable(error: sqlite3.Error) -> bool:
    """Return whether a query failed because text in a row is not UTF-8: an error of Python's module, not of SQLite."""
    return not hasattr(error, "sqlite_errorcode") and str(error).startswith("Could not decode")


def is_overflow(error: sqlite3.Error) -> bool:
    """Return whether a query failed because a sum is beyond 64 bits."""
    return str(error) == "integer overflow"


def _bound_sums(connection: sqlite3.Connection) -> None:
    """Replace SQL's ``sum`` for this connection; SQLite's own is faster, but fails beyond 64 bits."""
    connection.create_aggregate("sum", 1, _Sum)


class _Sum:
    """SQL's ``sum``, except that it stops at 2^63 - 1 instead of failing."""

    def __init__(self) -> None:
        self._sum: float | None = None

    def step(self, value: Any, /) -> None:
        if value is not None:
            self._sum = (self._sum or 0) + value

    def finalize(self) -> Any:
        return self._sum if self._sum is None else max(-MAX_INTEGER, min(self._sum, MAX_INTEGER))
