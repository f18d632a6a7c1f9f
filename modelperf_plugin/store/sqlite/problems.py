"""Counted failures in an SQLite file."""

from __future__ import annotations

import sqlite3
from typing import Any

from modelperf_plugin.store.entries import CountedProblem
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import moments, usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteProblems:
    """Counts failures by kind; see :class:`~modelperf_plugin.store.roles.Problems`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")

    def add(self, problem: CountedProblem) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute(self._sql["add_problem"], problem)
            connection.execute(self._sql["trim_problems"])

        self._connection.write(write)

    def all(self) -> list[CountedProblem]:
        return usable(_problem, self._connection.fetch(self._sql["problems"]))

    def clear(self) -> None:
        self._connection.write(lambda connection: connection.execute(self._sql["clear_problems"]))


def _problem(row: Any) -> CountedProblem:
    problem = CountedProblem._make(row)
    moments(problem.first_ms, problem.last_ms)
    return problem
