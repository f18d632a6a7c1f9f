"""The known shapes of tables of outcomes, and the SQL that reads them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from modelperf_plugin.errors import StoreError, brief
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID

TABLE: Final = "llm_task_outcomes"
COLUMNS: Final = ("task_type", "model_id", "success", "timeout", "tokens_used", "cost_usd", "timestamp")
"""The columns of ours that can be mapped."""
REQUIRED: Final = COLUMNS[:3]
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
"""The migration guide's table, and a variant of it, with or without a column ``id``."""
_OUTCOMES_OF_OURS: Final = "model_outcomes"


class Shape(NamedTuple):
    """How to read a table."""

    table: str
    columns: Mapping[str, str]
    """From our column names to those of the table."""
    has_row_ids: bool
    """Whether new rows have higher row ids."""
    is_plain: bool
    """Whether it is a table of stored values: a view or a column may compute anything."""
    tells_tries: bool = False
    """Whether it is the view of another store of ours, in which later tries are told from first tries."""
    tells_scores: bool = False
    """Whether it is such a store with scores."""

    def statement(self, name: str, rows: str = "1") -> str:
        """Return a statement of ``attached.sql`` for this table, over a range of rows."""
        names = {column: _quoted(self.columns[column]) if column in self.columns else "NULL" for column in COLUMNS}
        sql = load_queries("sqlite", "attached.sql")
        if self.tells_tries:
            ours = sql["our_outcomes"].format(score="event.score" if self.tells_scores else "NULL")
            return sql[name].format(table=ours, range=rows, tried="tried_id", score="score", **names)
        return sql[name].format(table=_quoted(self.table), range=rows, tried="NULL", score="NULL", **names)


def recognise(connection: sqlite3.Connection, table: str, columns: Mapping[str, str]) -> Shape:
    """Return how to read ``table``, by the mapping and by its columns.

    Raises StoreError if there is no such table, or its shape is unknown; the message is a predicate for the path.
    """
    sql = load_queries("sqlite", "attached.sql")
    kinds = dict(connection.execute(sql["columns"], (table,)).fetchall())
    available = list(kinds)
    if not available:
        raise StoreError(f"has no table {table}")
    for known in _SHAPES:
        shape = {ours: theirs for ours, theirs in {**known, **columns}.items() if theirs in available}
        if set(columns) <= set(shape) and set(REQUIRED) <= set(shape):
            (is_table,) = connection.execute(sql["is_table"], (table,)).fetchone()
            is_plain = bool(is_table) and not any(kinds[theirs] for theirs in shape.values())
            told = _columns_of_ours(connection, table)
            return Shape(table, shape, bool(is_table), is_plain, "tried_id" in told, "score" in told)
    raise StoreError(f"has a table {table} of an unknown shape: {_missing(available, columns)}")


def _columns_of_ours(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns of the outcomes of another store of ours; none for another table."""
    if table != _OUTCOMES_OF_OURS or connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        return set()
    sql = load_queries("sqlite", "attached.sql")
    return {name for name, hidden in connection.execute(sql["columns"], ("event",)) if not hidden}


def _missing(available: Sequence[str], columns: Mapping[str, str]) -> str:
    absent = [f"{theirs} (for {ours})" for ours, theirs in columns.items() if theirs not in available]
    names = brief(", ".join(available), 200)
    if absent:
        return f"the mapping names {', '.join(absent)}, but its columns are {names}"
    return f"its columns are {names}; map {', '.join(REQUIRED)} to them"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
