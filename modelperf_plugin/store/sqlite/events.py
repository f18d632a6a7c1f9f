"""The log of single outcomes in an SQLite file."""

from __future__ import annotations

from modelperf_plugin.store.entries import DroppedStep
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.retention import drop_step
from modelperf_plugin.store.watches import Event
from modelperf_plugin.values import blame_of


class SqliteEvents:
    """Reads and drops outcomes one by one; see :class:`~modelperf_plugin.store.roles.Events`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = {**load_queries("sqlite"), **load_queries("sqlite", "monitoring.sql")}

    def after(self, event_id: int, limit: int) -> list[Event]:
        return [
            Event(row[0], row[1], row[2], bool(row[3]), blame_of(row[3], row[4]), row[5], bool(row[6]))
            for row in self._connection.fetch(self._sql["events_after"], event_id, limit)
        ]

    def last_id(self) -> int:
        number: int = self._connection.fetch(self._sql["last_event_id"])[0][0]
        return number

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        with self._connection.writing() as connection:
            return drop_step(connection, self._sql, before_ms, after_id)
