"""The health of a PostgreSQL database."""

from __future__ import annotations

from modelperf_plugin.store.entries import Finding, drift
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.text import count


class PostgresMaintenance:
    """Examines the tables; see :class:`~modelperf_plugin.store.roles.Maintenance`."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._sql = load_queries("postgres", "maintenance.sql")

    def check(self) -> list[Finding]:
        fetch, sql = self._connection.fetch, self._sql
        ((size, waiting, version),) = fetch(sql["size"])
        return [
            drift("tallies", "are the sum of their events and imports", fetch(sql["tally_drift"])),
            drift("daily roll-up", "adds up to the tallies", fetch(sql["daily_drift"])),
            drift("later tries", "add up to the tallies", fetch(sql["later_drift"])),
            drift("durations", "are those of the outcomes", fetch(sql["duration_drift"])),
            Finding("size", ok=True, message=f"{size / 1e6:,.1f} MB, {count(waiting, 'outcome')} not added up yet"),
            Finding("PostgreSQL", ok=True, message=f"PostgreSQL {version}"),
        ]
