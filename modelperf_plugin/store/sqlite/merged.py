"""Experience of other projects in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final

from modelperf_plugin.store.exchange import Merged, Prior
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.roles import Span
from modelperf_plugin.store.rows import moments, usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.values import Tally

_TALLY_COLUMNS: Final = len(Tally._fields)
_FIRST_TRIES: Final = Tally._fields.index("later_successes")
"""Merged tallies have no later tries."""
"""How many fields of a tally a prior has: other projects' later tries are not part of it."""


class SqliteMerged:
    """Stores tallies of other projects; see :class:`~modelperf_plugin.store.exchange_roles.MergedExperience`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "exchange.sql")

    def origin(self) -> str:
        for (origin,) in self._connection.fetch(self._sql["origin"]):
            return str(origin)
        return ""  # not readable: exports of this store cannot be told from others

    def all(self) -> list[Merged]:
        return usable(_merged, self._connection.fetch(self._sql["merged"]))

    def version(self) -> tuple[float, ...]:
        return tuple(self._connection.fetch(self._sql["merged_version"])[0])

    def priors(self, within: Span | None = None) -> list[Prior]:
        if within is None:
            rows = self._connection.fetch(self._sql["priors"])
        else:
            rows = self._connection.fetch(self._sql["priors_within"], *within)
        return [Prior(Tally(*row[:_TALLY_COLUMNS]), *row[_TALLY_COLUMNS:]) for row in rows]

    def task_types(self, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        return self._connection.fetch(self._sql["prior_task_types"], *after, limit)

    def add(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        def write(connection: sqlite3.Connection) -> None:
            if replaces is not None:
                self._forget(connection, replaces)
            merged_id = connection.execute(self._sql["add_merged"], source[1:6]).lastrowid
            rows = ((merged_id, *tally[:_FIRST_TRIES], tally.graded, tally.score_shift) for tally in tallies)
            connection.executemany(self._sql["add_prior"], rows)

        self._connection.write(write)

    def remove(self, name: str) -> bool:
        return self._connection.write(lambda connection: self._forget(connection, name))

    def _forget(self, connection: sqlite3.Connection, name: str) -> bool:
        connection.execute(self._sql["forget_priors"], (name,))
        return connection.execute(self._sql["forget_merged"], (name,)).rowcount > 0


def _merged(row: Any) -> Merged:
    source = Merged._make(row)
    moments(source.merged_ms)
    return source
