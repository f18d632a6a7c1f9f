"""Maintenance of a PostgreSQL database."""

from __future__ import annotations

from modelperf_plugin.store.entries import Finding, drift
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.health import Holder, ServerState, examine
from modelperf_plugin.store.queries import load_migrations, load_queries


class PostgresMaintenance:
    """Examines the tables and their server; see :class:`~modelperf_plugin.store.roles.Maintenance`."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._sql = load_queries("postgres", "maintenance.sql")

    def check(self) -> list[Finding]:
        connection, sql = self._connection, self._sql
        (row,) = connection.fetch(sql["server"])
        state = ServerState._make(row)
        holders = [Holder._make(each) for each in connection.fetch(sql["holders"])]
        if not state.is_standby:
            connection.fold()  # what is in the queue is then part of both sides
        return [
            *examine(
                state,
                holders,
                newest_schema=load_migrations("postgres")[-1].version,
                durability=connection.durability,
                read_only=connection.read_only,
            ),
            *self._sums(),
        ]

    def _sums(self) -> list[Finding]:
        """Compare the sums with the events and with each other; each comparison sees one state of the database."""
        fetch, sql = self._connection.fetch, self._sql
        return [
            drift("tallies", "are the sum of their events and imports", fetch(sql["tally_drift"])),
            drift("daily roll-up", "adds up to the tallies", fetch(sql["daily_drift"])),
            drift("later tries", "add up to the tallies", fetch(sql["later_drift"])),
            drift("durations", "are those of the outcomes", fetch(sql["duration_drift"])),
        ]
