"""Reading counted failures by SQL: the same in every dialect but for the statements."""

from __future__ import annotations

from typing import Any

from modelperf_plugin.store.entries import CountedProblem
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_tallies import Reading
from modelperf_plugin.store.rows import moments, usable


class ReadProblems:
    """Reads failures by kind; see :class:`~modelperf_plugin.store.roles.Problems`."""

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect)

    def all(self) -> list[CountedProblem]:
        return usable(_problem, self._connection.fetch(self._sql["problems"]))


def _problem(row: Any) -> CountedProblem:
    problem = CountedProblem._make(row)
    moments(problem.first_ms, problem.last_ms)
    return problem
