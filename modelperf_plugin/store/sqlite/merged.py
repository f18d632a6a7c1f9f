"""Experience of other projects in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from modelperf_plugin.store.exchange import Merged
from modelperf_plugin.store.read_exchange import ReadMerged, prior_row
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.values import Tally


class SqliteMerged(ReadMerged):
    """Stores tallies of other projects; see :class:`~modelperf_plugin.store.exchange_roles.MergedExperience`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection: SqliteConnection = connection

    def add(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        def write(connection: sqlite3.Connection) -> None:
            if replaces is not None:
                self._forget(connection, replaces)
            merged_id = connection.execute(self._sql["add_merged"], source[1:6]).lastrowid
            rows = ((merged_id, *prior_row(tally)) for tally in tallies)
            connection.executemany(self._sql["add_prior"], rows)

        self._connection.write(write)

    def remove(self, name: str) -> bool:
        return self._connection.write(lambda connection: self._forget(connection, name))

    def _forget(self, connection: sqlite3.Connection, name: str) -> bool:
        connection.execute(self._sql["forget_priors"], (name,))
        return connection.execute(self._sql["forget_merged"], (name,)).rowcount > 0
