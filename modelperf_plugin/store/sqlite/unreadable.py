"""Rows that another program has written past all checks: finding them, and setting them aside in a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.entries import Finding
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.rows import is_undecodable
from modelperf_plugin.store.tried import is_canonical, text_of, tried_of
from modelperf_plugin.text import count
from modelperf_plugin.values.locks import Guard, Undo

_JSON: Final = {
    ("decision", "record"), ("attached", "columns"), ("watch", "state"), ("ab_challenger", "state"),
    ("ab_bet", "state"), ("change", "rates"),
}  # fmt: skip
"""Columns whose text is JSON."""
_SET: Final = ("tried", "models")
"""The column whose text is a set of models that had failed."""
_MAX_SHOWN: Final = 60
_REMEDIES: Final = {
    "ab_bet": ("delete_ab_bet",),
    "ab_challenger": ("end_ab_test", "delete_ab_challenger"),
    "ab_test": ("delete_ab_units", "delete_ab_challengers", "delete_ab_test"),
    "attached": ("delete_attached",),
    "attempt": ("delete_attempt",),
    "change": ("escape_change",),
    "decision": ("delete_decision",),
    "demotion": ("escape_demotion",),
    "edit": ("clear_edit",),
    "estimated_cost": ("delete_estimated_cost",),
    "event": ("escape_event",),
    "identity": ("renew_identity",),
    "import": ("escape_import",),
    "imported": ("escape_imported",),
    "merged": ("escape_merged",),
    "moved": ("escape_moved",),
    "outcome_key": ("escape_outcome_key",),
    "prior": ("delete_prior",),
    "problem": ("delete_problem",),
    "revision": ("escape_revision",),
    "served_model": ("delete_served", "delete_served_model"),
    "tally": (
        "delete_outcome_keys", "delete_served_of_pair", "delete_events", "delete_daily", "delete_imported",
        "delete_dropped", "delete_later", "delete_durations", "delete_baseline", "delete_demotions", "delete_tally",
    ),
    "tried": ("add_usable_set", "use_usable_set", "add_later_of_usable_set", "delete_later_of_tried", "delete_tried"),
    "unmatched_outcome": ("delete_unmatched_outcome",),
    "waiting_verdict": ("delete_waiting_verdict",),
    "watch": ("delete_watch",),
}  # fmt: skip
"""For each table with text, the statements that remove an unreadable row or escape its text."""
_Row = dict[str, Any]
"""The values of a row by column; text is bytes, as in the file."""


class Unreadable(NamedTuple):
    """The rows of a table with unreadable text in one column."""

    table: str
    column: str
    rows: int
    example: str
    """The text of the first, with escapes."""

    def __str__(self) -> str:
        return f"{self.table}.{self.column} ({count(self.rows, 'row')}, for example '{self.example}')"


def find(connection: sqlite3.Connection) -> list[Unreadable]:
    """Return which text of the file is not UTF-8 or not the JSON that it must be; reads all of it."""
    return [
        found for table in _REMEDIES for column in _text_columns(connection, table)
        if (found := _find_in(connection, table, column)) is not None
    ]  # fmt: skip


def check(connection: sqlite3.Connection) -> Finding:
    """Return the result of the search, for a health check."""
    found = find(connection)
    if not found:
        return Finding("text", ok=True, message="all text can be read")
    columns = "; ".join(map(str, found))
    message = f"some rows cannot be read and are left out: {columns}; `modelperf doctor --repair` sets them aside"
    return Finding("text", ok=False, message=message)


def take_out(connection: sqlite3.Connection) -> Iterator[str]:
    """Remove the unreadable rows, or escape their text, within a transaction; yield each as a line of JSON first.

    The outcomes of a pair whose name is unreadable are lines that ``modelperf import jsonl`` reads, under the name with
    escapes. Text that only describes something else is escaped where it is.
    """
    sql = load_queries("sqlite", "unreadable.sql")
    for table in _REMEDIES:
        columns = _text_columns(connection, table)
        for row in _bad_rows(connection, table, columns):
            if table == "tally":
                yield from _outcomes(connection, sql, row)
            yield json.dumps({"table": table, "row": {name: _shown(value) for name, value in row.items()}})
            _remedy(connection, sql, table, row)


def _remedy(connection: sqlite3.Connection, sql: Mapping[str, str], table: str, row: _Row) -> None:
    """Remove one unreadable row, or escape its text."""
    parameters = {**row, **{f"{name}_escaped": _escaped(table, name, value) for name, value in row.items()}}
    for name in _REMEDIES[table]:
        connection.execute(sql[name], parameters)


def _outcomes(connection: sqlite3.Connection, sql: Mapping[str, str], tally: _Row) -> Iterator[str]:
    with _text_again(connection):
        connection.text_factory = bytes
        cursor = connection.execute(sql["outcomes"], tally)
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    for values in rows:
        pair = {name: tally[name] for name in ("task_type", "model_id")}
        outcome = {**pair, **dict(zip(names, values, strict=True))}
        yield json.dumps({name: _shown(value) for name, value in outcome.items() if value is not None})


def _text_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    columns = connection.execute("SELECT name FROM pragma_table_info(?) WHERE type = 'TEXT'", (table,))
    return [name for (name,) in columns]


def _find_in(connection: sqlite3.Connection, table: str, column: str) -> Unreadable | None:
    bad = [row[column] for row in _bad_rows(connection, table, [column])]
    if not bad:
        return None
    return Unreadable(table, column, len(bad), _shown(bad[0])[:_MAX_SHOWN])


def _bad_rows(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> list[_Row]:
    """Return the rows of a table with unreadable text in one of the columns."""
    if not columns or _is_readable(connection, table, columns):
        return []
    with _text_again(connection):
        connection.text_factory = bytes
        cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own table names
        names = [column[0] for column in cursor.description]
        rows = (dict(zip(names, values, strict=True)) for values in cursor)
        return [row for row in rows if any(_is_bad(table, name, row[name]) for name in columns)]


def _is_readable(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> bool:
    """Return whether all text in the columns can be read: the usual case, and quick."""
    try:
        for _ in connection.execute(f"SELECT {', '.join(columns)} FROM {table}"):  # noqa: S608 - our own table names
            pass
    except sqlite3.OperationalError as error:
        if is_undecodable(error):
            return False
        raise
    if any((table, name) == _SET for name in columns):
        return False  # its rows are few, and looked at one by one
    checks = [f"NOT json_valid({name})" for name in columns if (table, name) in _JSON]
    query = f"SELECT 1 FROM {table} WHERE {' OR '.join(checks)} LIMIT 1"  # noqa: S608 - our own table names
    return not checks or connection.execute(query).fetchone() is None


def _is_bad(table: str, column: str, text: bytes | None) -> bool:
    if text is None:
        return False
    if (table, column) == _SET:
        return not is_canonical(text)
    try:
        text.decode()
        if (table, column) in _JSON:
            parse_json(text)
    except ValueError:
        return True
    return False


def _escaped(table: str, column: str, value: Any) -> Any:
    """Return the text to use in place of one that cannot be read; of a set, its usual form or the unknown one."""
    return text_of(tried_of(value)) if (table, column) == _SET else _shown(value)


def _shown(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _text_again(connection: sqlite3.Connection) -> Guard:
    """Return a guard after whose block text is read as before."""
    return Undo(partial(setattr, connection, "text_factory", connection.text_factory)).guard()
