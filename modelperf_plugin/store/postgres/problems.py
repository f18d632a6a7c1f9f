"""Counted failures in a PostgreSQL database."""

from __future__ import annotations

from modelperf_plugin.store.entries import CountedProblem
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.parameters import storable
from modelperf_plugin.store.read_problems import ReadProblems


class PostgresProblems(ReadProblems):
    """Counts failures by kind; see :class:`~modelperf_plugin.store.roles.Problems`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

    def add(self, problem: CountedProblem) -> None:
        row = problem._replace(kind=storable(problem.kind), message=storable(problem.message))
        self._connection.execute(self._sql["add_problem"], row._asdict())

    def clear(self) -> None:
        self._connection.execute(self._sql["clear_problems"])
