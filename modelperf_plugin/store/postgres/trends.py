"""Counts over time in a PostgreSQL database."""

from __future__ import annotations

from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_trends import ReadTrends


class PostgresTrends(ReadTrends):
    """Reads the daily roll-up; see :class:`~modelperf_plugin.store.roles.Trends`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres", "decisions.sql")
