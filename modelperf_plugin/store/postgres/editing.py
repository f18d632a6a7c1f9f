"""Forgetting and renaming in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg

from modelperf_plugin.store import edit_steps
from modelperf_plugin.store.edit_steps import Fingerprint
from modelperf_plugin.store.edits import Edited, Selection
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.queries import load_queries

_T = TypeVar("_T")


class PostgresEditing:
    """Takes out and renames; see :class:`~modelperf_plugin.store.roles.Editing`."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._sql = load_queries("postgres", "editing.sql")

    def count(self, selection: Selection) -> Edited:
        return edit_steps.count(_Statements(self._connection.fetch_folded), selection)

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
        def write(connection: psycopg.Connection) -> _T:
            connection.execute(self._sql["begin_edit"])
            found = action(_Writing(connection))
            connection.execute(self._sql["end_edit"])
            return found

        return self._connection.write(write)


class _Statements:
    """Statements that only read."""

    def __init__(self, read: Callable[..., list[Any]]) -> None:
        self._read = read
        self._sql = load_queries("postgres", "editing.sql")

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

    def __init__(self, connection: psycopg.Connection) -> None:
        super().__init__(lambda statement, values: connection.execute(statement, values).fetchall())
        self._connection = connection

    def run(self, name: str, **values: Any) -> int:
        return self._connection.execute(self._sql[name], values).rowcount if name in self._sql else 0

    def pair_id(self, task_type: str, model_id: str) -> int:
        number: int = self.rows("add_pair", task_type=task_type, model_id=model_id)[0][0]
        return number

    def set_id(self, models: str) -> int:
        number: int = self.rows("add_set", models=models)[0][0]
        return number
