"""Experience of other projects in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from modelperf_plugin.store.exchange import Merged, Prior
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.values import Tally


class SqliteMerged:
    """Stores tallies of other projects; see :class:`~modelperf_plugin.store.roles.MergedExperience`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "exchange.sql")

    def origin(self) -> str:
        origin: str = self._connection.fetch(self._sql["origin"])[0][0]
        return origin

    def all(self) -> list[Merged]:
        return [Merged._make(row) for row in self._connection.fetch(self._sql["merged"])]

    def version(self) -> tuple[float, ...]:
        return tuple(self._connection.fetch(self._sql["merged_version"])[0])

    def priors(self) -> list[Prior]:
        return [Prior(Tally._make(row[:12]), *row[12:]) for row in self._connection.fetch(self._sql["priors"])]

    def add(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        with self._connection.writing() as connection:
            if replaces is not None:
                self._forget(connection, replaces)
            merged_id = connection.execute(self._sql["add_merged"], source[1:6]).lastrowid
            connection.executemany(self._sql["add_prior"], ((merged_id, *tally) for tally in tallies))

    def remove(self, name: str) -> bool:
        with self._connection.writing() as connection:
            return self._forget(connection, name)

    def _forget(self, connection: sqlite3.Connection, name: str) -> bool:
        connection.execute(self._sql["forget_priors"], (name,))
        return connection.execute(self._sql["forget_merged"], (name,)).rowcount > 0
