"""Forgetting and renaming in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from modelperf_plugin.store import edit_steps
from modelperf_plugin.store.edit_steps import Fingerprint
from modelperf_plugin.store.edits import Edited, Selection
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.reading import SqliteReader
from modelperf_plugin.store.sqlite.rows import fetch

_T = TypeVar("_T")
_NUMBERED = (
    "event", "key", "served", "revisions", "decision", "attempt", "unmatched", "later_ranges", "range", "ranges",
    "empty_ranges",
)  # fmt: skip
_NUMBERS = ("watches", "position", "demotions", "changes", "ranges")


class SqliteEditing:
    """Takes out and renames; see :class:`~modelperf_plugin.store.roles.Editing`."""

    def __init__(self, connection: SqliteConnection | SqliteReader) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "editing.sql")

    def count(self, selection: Selection) -> Edited:
        return edit_steps.count(_Statements(self._connection.fetch), selection)

    def forget(self, selection: Selection, edited_ms: int) -> Edited:
        return self._edit(lambda statements: edit_steps.forget(statements, selection, edited_ms))

    def rename_task_type(self, old: str, new: str, edited_ms: int) -> Edited:
        return self._edit(lambda statements: edit_steps.rename_task_type(statements, old, new, edited_ms))

    def rename_model(self, old: str, new: str, edited_ms: int, fingerprint: Fingerprint) -> Edited:
        return self._edit(lambda statements: edit_steps.rename_model(statements, old, new, edited_ms, fingerprint))

    def unannounce(self, model_id: str, edited_ms: int) -> bool:
        return self._edit(lambda statements: edit_steps.unannounce(statements, model_id, edited_ms))

    def last_edit(self) -> int:
        number: int = self._connection.fetch(self._sql["last_edit"])[0][0]
        return number

    def _edit(self, action: Callable[[_Writing], _T]) -> _T:
        def write(connection: sqlite3.Connection) -> _T:
            self._connection.cache.clear()
            return action(_Writing(connection))

        return self._connection.write(write)


class _Statements:
    """Statements that only read."""

    def __init__(self, read: Callable[..., list[Any]]) -> None:
        self._read = read
        self._sql = {
            **load_queries("sqlite"),
            **load_queries("sqlite", "monitoring.sql"),
            **load_queries("sqlite", "editing.sql"),
        }

    def run(self, name: str, **values: Any) -> int:
        raise NotImplementedError

    def rows(self, name: str, **values: Any) -> list[Any]:
        return self._read(self._sql[name], values)

    def pair_id(self, task_type: str, model_id: str) -> int:
        raise NotImplementedError

    def set_id(self, models: str) -> int:
        raise NotImplementedError


class _Writing(_Statements):
    """Statements within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(lambda statement, values: fetch(connection, statement, values))
        self._connection = connection

    def run(self, name: str, **values: Any) -> int:
        if name == "delete_events":
            return self._delete_events()
        return self._connection.execute(self._sql[name], values).rowcount if name in self._sql else 0

    def pair_id(self, task_type: str, model_id: str) -> int:
        self._connection.execute(self._sql["add_pair"], (task_type, model_id))
        number: int = self._connection.execute(self._sql["find_pair"], (task_type, model_id)).fetchone()[0]
        return number

    def set_id(self, models: str) -> int:
        self._connection.execute(self._sql["add_tried"], (models,))
        number: int = self._connection.execute(self._sql["find_tried"], (models,)).fetchone()[0]
        return number

    def _delete_events(self) -> int:
        """Delete the noted events; the newest of the others gets the newest number, so that none is used again."""
        newest, remaining = self._connection.execute(self._sql["newest_events"]).fetchone()
        deleted = self._connection.execute(self._sql["delete_events"]).rowcount
        if newest > remaining > 0:
            for each in _NUMBERED:
                self._connection.execute(self._sql[f"renumber_{each}"], {"from_id": remaining, "to_id": newest})
        elif newest > remaining:
            for each in _NUMBERS:
                self._connection.execute(self._sql[f"reset_{each}"])
        return deleted
