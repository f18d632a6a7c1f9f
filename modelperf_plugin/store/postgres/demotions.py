"""Demotions in a PostgreSQL database."""

from __future__ import annotations

from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.parameters import storable
from modelperf_plugin.store.read_watching import ReadDemotions


class PostgresDemotions(ReadDemotions):
    """Stores demotions and reinstatements; see :class:`~modelperf_plugin.store.roles.Demotions`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

    def add(self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str) -> bool:
        row = (task_type, model_id, since_ms, threshold, evidence, storable(reason))
        is_new: bool = self._connection.call(self._sql["add_demotion"], *row)[0]
        return is_new

    def end(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        row = (task_type, model_id, ended_ms, storable(ended_by))
        has_ended: bool = self._connection.call(self._sql["end_demotion"], *row)[0]
        return has_ended
