"""Reading and writing the rows of an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from modelperf_plugin.store.moving.session import EventRow, Fields, Row, Session
from modelperf_plugin.store.moving.tables import Table
from modelperf_plugin.store.sqlite import rows
from modelperf_plugin.store.sqlite.connection import SqliteConnection

_T = TypeVar("_T")

_NAMES: Final = {
    "tally": ("task_type", "model_id"),
    "tried": ("models",),
    "served_model": ("model_id",),
}


class SqliteSession(Session):
    """A transaction on an SQLite file."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection
        self._given: dict[str, int] = {}
        """The last number that was given to a row of each table."""

    def execute(self, statement: str, parameters: Fields | None = None) -> list[Row]:
        return rows.execute(self._connection, statement, parameters or {}).fetchall()

    def stream(self, statement: str, parameters: Fields | None = None) -> Iterator[Row]:
        yield from rows.execute(self._connection, statement, parameters or {})

    def execute_many(self, statement: str, rows: Iterable[Fields]) -> None:
        self._connection.executemany(statement, rows)

    def add_events(self, events: Sequence[EventRow]) -> None:
        self.run_many(
            "add_event",
            [
                {
                    **each._asdict(),
                    "tally_id": self.pair(each.task_type, each.model_id),
                    "tried_id": self.tried(each.models),
                }
                for each in events
            ],
        )

    def refer(self, event_ids: Iterable[int]) -> None:
        """Do nothing: here an outcome without an id is known by the number of its event."""

    def next_number(self, table: Table) -> int:
        (key,) = table.key
        newest: int = self.execute(f"SELECT coalesce(max({key}), 0) FROM {table.name}")[0][0]  # noqa: S608
        self._given[table.name] = max(newest, self._given.get(table.name, 0)) + 1
        return self._given[table.name]

    def end(self) -> None:
        """Do nothing: numbers follow the greatest one."""

    def find_or_add(self, *key: str) -> int:
        table, *names = key
        columns = _NAMES[table]
        condition = " AND ".join(f"{each} = ?" for each in columns)
        found = self._connection.execute(f"SELECT id FROM {table} WHERE {condition}", names).fetchone()  # noqa: S608
        if found is not None:
            return int(found[0])
        marks = ", ".join("?" * len(columns))
        added = self._connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608
            names,
        )
        return int(added.lastrowid or 0)


class SqliteArchive:
    """An SQLite file; see :class:`~modelperf_plugin.store.moving.session.Archive`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        for each in (connection.reader, connection.writer):  # a name that is not UTF-8 is moved as well as it can be
            each.text_factory = _text

    @property
    def location(self) -> str:
        return self._connection.location

    def prepare(self) -> None:
        """Do nothing: outcomes have their numbers."""

    def read(self, action: Callable[[Session], _T]) -> _T:
        connection = self._connection
        connection.ensure_open()
        with connection.read_lock:
            try:
                connection.reader.execute("BEGIN")
                try:
                    return action(SqliteSession(connection.reader))
                finally:
                    connection.reader.execute("ROLLBACK")
            except sqlite3.Error as error:
                connection.fail(error)

    def write(self, action: Callable[[Session], _T]) -> _T:
        def transact(writer: sqlite3.Connection) -> _T:
            self._connection.cache.clear()
            return action(SqliteSession(writer))

        return self._connection.write(transact)

    def close(self) -> None:
        self._connection.close()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
