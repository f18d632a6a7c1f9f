"""What rows of our tables look like, so that they can be recognised and checked without the schema of a file."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from types import NoneType
from typing import Final, NamedTuple

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.sqlite.pages import INDEX_INTERIOR, INDEX_LEAF, TABLE_LEAF, Cell, Value
from modelperf_plugin.store.sqlite.schema import newest_schema
from modelperf_plugin.store.tried import is_set

_CREATE: Final = re.compile(r'\s*CREATE\s+TABLE\s+(?:"[^"]+"|\w+)\s*\(', re.IGNORECASE)
_WITHOUT_ROW_IDS: Final = re.compile(r"WITHOUT\s+ROWID[\s,\w]*$", re.IGNORECASE)
_ORIGIN: Final = re.compile("[0-9a-f]{16}")
_EARLIEST_MS: Final = -62_135_596_800_000
_LATEST_MS: Final = 253_402_300_799_999
_LARGEST: Final = {"tokens": 2**53, "cost_nano_usd": 10**15, "score": 10**6}
"""Of a single outcome; sums may be larger."""
_DETAILED: Final = {"event", "decision", "attempt", "unmatched_outcome"}
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "INTEGER": (int,),
    "REAL": (int, float),
    "TEXT": (str,),
    "BLOB": (bytes,),
}


class Column(NamedTuple):
    """A column, in the order of storage."""

    name: str
    types: tuple[type, ...]
    optional: bool
    """Whether NULL is allowed."""
    is_row_id: bool
    """Whether it stands for the row's number and is stored as NULL."""

    def accepts(self, kind: type) -> bool:
        """Return whether the column can hold a value of this type as it is stored."""
        if kind is NoneType:
            return self.optional or self.is_row_id
        return not self.is_row_id and kind in self.types


@dataclass(frozen=True, eq=False, kw_only=True)
class Shape:
    """What is known of the rows of a table."""

    table: str
    columns: tuple[Column, ...]
    required: int
    """How many columns every row has: later ones were added, and have a default."""
    has_row_ids: bool
    checks: tuple[tuple[int, Callable[[Value], bool]], ...]
    """What a value must also satisfy, by position."""
    _verdicts: dict[tuple[type, ...], bool] = field(default_factory=dict)
    """Whether rows with values of these types fit."""

    @property
    def kinds(self) -> tuple[int, ...]:
        """The kinds of pages that hold its rows."""
        return (TABLE_LEAF,) if self.has_row_ids else (INDEX_LEAF, INDEX_INTERIOR)

    def fits(self, cell: Cell) -> bool:
        """Return whether a row can be one of this table. Rows from before a column was added are shorter."""
        if (cell.row_id is not None) is not self.has_row_ids:
            return False
        types = tuple(map(type, cell.values))
        verdict = self._verdicts.get(types)
        if verdict is None:
            verdict = self._verdicts[types] = self.required <= len(types) <= len(self.columns) and all(
                column.accepts(kind) for column, kind in zip(self.columns, types, strict=False)
            )
        return verdict

    def is_valid(self, cell: Cell) -> bool:
        """Return whether a row is one that we could have written."""
        values = cell.values
        return self.fits(cell) and all(
            check(values[position])
            for position, check in self.checks
            if position < len(values) and values[position] is not None
        )

    def row(self, cell: Cell) -> dict[str, Value]:
        """Return a row by the names of its columns, and by ``rowid`` if that has no other name."""
        row = {
            column.name: cell.row_id if column.is_row_id else value
            for column, value in zip(self.columns, cell.values, strict=False)
        }
        if self.has_row_ids and not any(column.is_row_id for column in self.columns):
            row["rowid"] = cell.row_id
        return row


def our_shapes() -> dict[str, Shape]:
    """Return the shapes of all tables of the newest schema."""
    with closing(newest_schema()) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        return {name: _shape(connection, name, sql) for name, sql in connection.execute(query)}


def shape_of(table: str, sql: Value) -> Shape | None:
    """Return the shape that a damaged file states for a table; None if its statement is not one."""
    if not isinstance(sql, str) or not _CREATE.match(sql):
        return None
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection, suppress(sqlite3.Error):
        connection.execute(sql)
        return _shape(connection, table, sql)
    return None


def _shape(connection: sqlite3.Connection, table: str, sql: str) -> Shape:
    rows = connection.execute(
        'SELECT name, type, "notnull", pk, dflt_value FROM pragma_table_info(?)', (table,)
    ).fetchall()
    has_row_ids = _WITHOUT_ROW_IDS.search(sql) is None
    keys = sum(pk > 0 for *_, pk, _ in rows)
    if not has_row_ids:  # the key is stored first
        rows.sort(key=lambda row: (row[3] == 0, row[3]))
    columns = tuple(
        Column(
            name,
            _TYPES.get(kind.upper(), (int, float, str, bytes)),
            optional=not notnull and (has_row_ids or not pk),
            is_row_id=has_row_ids and keys == 1 and pk == 1 and kind.upper() == "INTEGER",
        )
        for name, kind, notnull, pk, _ in rows
    )
    needed = (at for at, (*_, notnull, pk, default) in enumerate(rows, 1) if pk or (notnull and default is None))
    required = max(needed, default=0)
    checks = ((position, _check_for(table, column.name)) for position, column in enumerate(columns))
    return Shape(
        table=table,
        columns=columns,
        required=required,
        has_row_ids=has_row_ids,
        checks=tuple((at, check) for at, check in checks if check is not None),
    )


def _check_for(table: str, column: str) -> Callable[[Value], bool] | None:
    if column.endswith("_ms") and column not in {"duration_ms", "retry_after_ms"}:
        return lambda value: isinstance(value, int) and _EARLIEST_MS <= value <= _LATEST_MS
    if table in _DETAILED and column in _LARGEST:
        return lambda value: isinstance(value, int) and 0 <= value <= _LARGEST[column]
    if column in {"success", "timeout"}:
        return lambda value: value in {0, 1}
    if column in {"record", "state", "columns"}:
        return _is_json
    return _CHECKS.get((table, column))


def _is_tried(value: Value) -> bool:
    return isinstance(value, str) and is_set(value)


def _is_origin(value: Value) -> bool:
    return isinstance(value, str) and _ORIGIN.fullmatch(value) is not None


def _is_served_model(value: Value) -> bool:
    return not _is_tried(value) and not _is_origin(value)


_CHECKS: Final = {
    ("tried", "models"): _is_tried, ("served_model", "model_id"): _is_served_model, ("identity", "origin"): _is_origin,
}  # fmt: skip
"""What else tells tables apart whose columns are alike."""


def _is_json(value: Value) -> bool:
    try:
        parse_json(str(value))
    except ValueError:
        return False
    return True
