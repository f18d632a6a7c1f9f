"""Demotions in an SQLite file."""

from __future__ import annotations

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.watches import Demotion


class SqliteDemotions:
    """Stores demotions and reinstatements; see :class:`~modelperf_plugin.store.roles.Demotions`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "monitoring.sql")

    def all(self, *, in_force: bool = False) -> list[Demotion]:
        return [Demotion._make(row) for row in self._connection.fetch(self._sql["demotions"], int(in_force))]

    def add(self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str) -> bool:
        with self._connection.writing() as connection:
            row = (since_ms, threshold, evidence, reason, task_type, model_id)
            return bool(connection.execute(self._sql["add_demotion"], row).rowcount > 0)

    def end(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        with self._connection.writing() as connection:
            row = (ended_ms, ended_by, task_type, model_id)
            return bool(connection.execute(self._sql["end_demotion"], row).rowcount > 0)
