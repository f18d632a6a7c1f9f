"""Maintenance of a PostgreSQL database."""

from __future__ import annotations

from typing import Final

import psycopg

from modelperf_plugin.store.entries import Finding, drift
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.health import LONG_SECONDS, Holder, ServerState, examine
from modelperf_plugin.store.queries import load_migrations, load_queries
from modelperf_plugin.store.tried import text_of
from modelperf_plugin.values import UNKNOWN_TRIED

_SUMS: Final = (
    ("tallies", "are the sum of their events and imports", "tally_drift", "recount_tallies"),
    ("daily roll-up", "adds up to the tallies", "daily_drift", "recount_days"),
    ("later tries", "add up to the tallies", "later_drift", "recount_later"),
    ("durations", "are those of the outcomes", "duration_drift", "recount_durations"),
)
"""What is counted, the rule for it, the statement that finds the pairs that break it, and the one that recounts them;
in the order in which to do so."""
_REPAIR: Final = "`modelperf doctor --repair` recounts them"


class PostgresMaintenance:
    """Examines the tables and their server; see :class:`~modelperf_plugin.store.roles.Maintenance`."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._sql = load_queries("postgres", "maintenance.sql")

    def check(self) -> list[Finding]:
        connection, sql = self._connection, self._sql
        while not connection.read_only and connection.fetch(sql["fold_on_primary"]) == [(False,)]:
            pass  # what is in the queue is then examined, too
        (row,) = connection.fetch(sql["server"])
        state = ServerState._make(row)
        holders = [Holder._make(each) for each in connection.fetch(sql["holders"], LONG_SECONDS)]
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

    def rebuild(self) -> int:
        """Recompute sums that are wrong from the events, in one transaction; return of how many pairs some were."""
        unknown = text_of(UNKNOWN_TRIED)
        self._connection.fold()

        def write(connection: psycopg.Connection) -> int:
            connection.execute(self._sql["begin_recount"])
            wrong = set()
            for _, _, drifted, recount in _SUMS:
                pairs = connection.execute(self._sql[drifted]).fetchall()
                wrong.update(pairs)
                names = {"task_types": [name for name, _ in pairs], "model_ids": [name for _, name in pairs]}
                connection.execute(self._sql[recount], {**names, "unknown": unknown})
            connection.execute(self._sql["end_recount"])
            return len(wrong)

        return self._connection.write(write)

    def _sums(self) -> list[Finding]:
        """Compare the sums with the events and with each other; each comparison sees one state of the database."""
        return [
            drift(name, rule, self._connection.fetch(self._sql[drifted]), _REPAIR) for name, rule, drifted, _ in _SUMS
        ]
