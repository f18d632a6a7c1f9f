"""Counted failures in an SQLite file."""

from __future__ import annotations

import sqlite3

from modelperf_plugin.store.entries import CountedProblem
from modelperf_plugin.store.read_problems import ReadProblems
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteProblems(ReadProblems):
    """Counts failures by kind; see :class:`~modelperf_plugin.store.roles.Problems`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection: SqliteConnection = connection

    def add(self, problem: CountedProblem) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute(self._sql["add_problem"], problem)
            connection.execute(self._sql["trim_problems"])

        self._connection.write(write)

    def clear(self) -> None:
        self._connection.write(lambda connection: connection.execute(self._sql["clear_problems"]))
