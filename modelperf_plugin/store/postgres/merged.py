"""Experience of other projects in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from modelperf_plugin.store.exchange import Merged
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_exchange import ReadMerged, prior_row
from modelperf_plugin.values import Tally


class PostgresMerged(ReadMerged):
    """Stores tallies of other projects; see :class:`~modelperf_plugin.store.exchange_roles.MergedExperience`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

    def add(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        known = list(tallies)

        def write(connection: psycopg.Connection) -> None:
            connection.execute(self._sql["lock_merged"])
            if replaces is not None:
                connection.execute(self._sql["forget_merged"], (replaces,))
            with connection.cursor() as cursor:
                ((merged_id,),) = cursor.execute(self._sql["add_merged"], source[1:6])
                with cursor.copy(self._sql["add_priors"]) as copy:
                    for tally in known:
                        copy.write_row((merged_id, *prior_row(tally)))
                cursor.execute(self._sql["look_at_priors"])

        self._connection.write(write)

    def remove(self, name: str) -> bool:
        return self._connection.execute(self._sql["forget_merged"], name) > 0
