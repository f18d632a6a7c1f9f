"""Demotions in an SQLite file."""

from __future__ import annotations

from typing import Any

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import moments, usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.watches import Demotion


class SqliteDemotions:
    """Stores demotions and reinstatements; see :class:`~modelperf_plugin.store.roles.Demotions`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "monitoring.sql")

    def all(self, *, in_force: bool = False) -> list[Demotion]:
        return usable(_demotion, self._connection.fetch(self._sql["demotions"], int(in_force)))

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


def _demotion(row: Any) -> Demotion:
    demotion = Demotion._make(row)
    moments(demotion.since_ms, demotion.ended_ms)
    return demotion
