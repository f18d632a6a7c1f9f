"""Inserting recovered rows: what the constraints refuse is left out."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "daily": ("tally_id", "day"),
    "imported": ("tally_id", "source"),
    "dropped": ("tally_id",),
    "later": ("tally_id", "tried_id"),
    "duration": ("tally_id", "period", "from_ms"),
}
"""Tables whose rows are added up if two pairs turn out to be one, with their keys."""


def insert(
    target: sqlite3.Connection, table: str, row: Mapping[str, Any], *, sums: bool = False, replace: bool = False
) -> int:
    """Insert a row unless there is one with its key; return how many were inserted.

    With ``sums`` the counts of a row that is there are increased, in tables of counts; with ``replace`` it is replaced.
    """
    statement = _statement(table, tuple(row), sums=sums and table in _KEYS, replace=replace)
    with suppress(sqlite3.IntegrityError):
        return max(0, target.execute(statement, tuple(row.values())).rowcount)
    return 0


def insert_many(target: sqlite3.Connection, table: str, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows unless there are some with their keys; return how many were inserted."""
    statement = _statement(table, names, sums=False, replace=False)
    before = target.total_changes
    try:
        target.executemany(statement, rows)
    except sqlite3.IntegrityError:
        for row in rows:
            insert(target, table, dict(zip(names, row, strict=True)))
    return target.total_changes - before


@lru_cache
def _statement(table: str, names: tuple[str, ...], *, sums: bool, replace: bool) -> str:
    verb = "INSERT" if sums else f"INSERT OR {'REPLACE' if replace else 'IGNORE'}"
    statement = f"{verb} INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    if not sums:
        return statement
    key = _KEYS[table]
    added = ", ".join(
        f"{name} = max(coalesce({name}, excluded.{name}), coalesce(excluded.{name}, {name}))"
        if name == "last_used_ms"
        else f"{name} = {name} + excluded.{name}"
        for name in names
        if name not in key
    )
    return f"{statement} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {added}"
