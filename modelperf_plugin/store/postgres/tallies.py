"""Tallies in a PostgreSQL database."""

from __future__ import annotations

from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_tallies import ReadTallies


class PostgresTallies(ReadTallies):
    """Reads tallies; see :class:`~modelperf_plugin.store.roles.Tallies`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
