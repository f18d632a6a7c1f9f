"""Demotions in an SQLite file."""

from __future__ import annotations

from modelperf_plugin.store.read_watching import ReadDemotions
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteDemotions(ReadDemotions):
    """Stores demotions and reinstatements; see :class:`~modelperf_plugin.store.roles.Demotions`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection: SqliteConnection = connection

    def add(self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str) -> bool:
        row = (since_ms, threshold, evidence, reason, task_type, model_id)
        return self._connection.write(
            lambda connection: connection.execute(self._sql["add_demotion"], row).rowcount > 0
        )

    def end(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        row = (ended_ms, ended_by, task_type, model_id)
        return self._connection.write(
            lambda connection: connection.execute(self._sql["end_demotion"], row).rowcount > 0
        )
