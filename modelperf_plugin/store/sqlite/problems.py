"""Counted failures in an SQLite file."""

from __future__ import annotations

from modelperf_plugin.store.entries import CountedProblem
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteProblems:
    """Counts failures by kind; see :class:`~modelperf_plugin.store.roles.Problems`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")

    def add(self, problem: CountedProblem) -> None:
        with self._connection.writing() as connection:
            connection.execute(self._sql["add_problem"], problem)
            connection.execute(self._sql["trim_problems"])

    def all(self) -> list[CountedProblem]:
        return [CountedProblem._make(row) for row in self._connection.fetch(self._sql["problems"])]

    def clear(self) -> None:
        with self._connection.writing() as connection:
            connection.execute(self._sql["clear_problems"])
