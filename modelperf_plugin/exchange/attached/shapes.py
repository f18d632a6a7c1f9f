"""The shapes in which other programs keep outcomes, and the SQL that reads each."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError, StoreError, brief
from modelperf_plugin.store.queries import load_queries

TABLE: Final = "llm_task_outcomes"
COLUMNS: Final = ("task_type", "model_id", "success", "timeout", "tokens_used", "cost_usd", "timestamp")
"""Our columns that another table can have."""
NEEDED: Final = COLUMNS[:3]
_SHAPES: Final[tuple[dict[str, str], ...]] = (
    {column: column for column in COLUMNS},
    {
        "task_type": "unit_type",
        "model_id": "model_id",
        "success": "succeeded",
        "tokens_used": "tokens_total",
        "cost_usd": "cost_usd",
        "timestamp": "recorded_at",
    },
)
"""The document's, and that of its relative, with or without a column ``id``."""


class Shape(NamedTuple):
    """How a table is read."""

    table: str
    columns: Mapping[str, str]
    """Which of its columns stands for which of ours."""
    has_row_ids: bool
    """Whether new rows can be told by their row ids."""

    def statement(self, name: str, rows: str = "1") -> str:
        """Return a statement of ``attached.sql`` for this table, over a range of rows."""
        names = {column: _quoted(self.columns[column]) if column in self.columns else "NULL" for column in COLUMNS}
        sql = load_queries("sqlite", "attached.sql")[name]
        return sql.format(table=_quoted(self.table), range=rows, **names)


def check_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping of columns if it can be one; raise InvalidValueError if not."""
    for ours, theirs in columns.items():
        if ours not in COLUMNS:
            raise InvalidValueError("columns", f"a mapping with keys among {', '.join(COLUMNS)}", ours)
        if not isinstance(theirs, str) or not theirs or "\0" in theirs:
            raise InvalidValueError(f"columns.{ours}", "the name of a column", theirs)
    return dict(columns)


def recognise(connection: sqlite3.Connection, table: str, columns: Mapping[str, str]) -> Shape:
    """Return how to read ``table``: by the mapping, or by the columns it has.

    Raises:
        StoreError: there is no such table, or it has none of the known shapes; the message says what to do.
        sqlite3.Error: the database cannot be read.
    """
    sql = load_queries("sqlite", "attached.sql")
    there = [name for (name,) in connection.execute(sql["columns"], (table,))]
    if not there:
        raise StoreError(f"has no table {table}")
    for known in _SHAPES:
        shape = {ours: theirs for ours, theirs in {**known, **columns}.items() if theirs in there}
        if set(columns) <= set(shape) and set(NEEDED) <= set(shape):
            (is_table,) = connection.execute(sql["is_table"], (table,)).fetchone()
            return Shape(table, shape, bool(is_table))
    raise StoreError(f"has a table {table} of no known shape: {_missing(there, columns)}")


def _missing(there: Sequence[str], columns: Mapping[str, str]) -> str:
    absent = [f"{theirs} (for {ours})" for ours, theirs in columns.items() if theirs not in there]
    have = brief(", ".join(there), 200)
    if absent:
        return f"the mapping names {', '.join(absent)}, but its columns are {have}"
    return f"its columns are {have}; say which stands for {', '.join(NEEDED)} with a mapping of columns"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
