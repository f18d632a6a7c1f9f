"""Counts over time in a PostgreSQL database."""

from __future__ import annotations

from modelperf_plugin.store.decisions import LoggedDecision
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_decisions import restored
from modelperf_plugin.store.read_trends import ReadTrends
from modelperf_plugin.store.trends import Days


class PostgresTrends(ReadTrends):
    """Reads the daily roll-up; see :class:`~modelperf_plugin.store.roles.Trends`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

    def decisions(
        self, days: Days, task_type: str | None = None, model_id: str | None = None, limit: int = 20
    ) -> list[LoggedDecision]:
        return restored(
            self._connection, load_queries("postgres", "decisions.sql"), self._recent(days, task_type, model_id, limit)
        )
