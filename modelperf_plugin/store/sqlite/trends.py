"""Counts over time in an SQLite file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelperf_plugin.store.decisions import LoggedDecision
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.decisions import overdue_since, restored
from modelperf_plugin.store.trends import MAX_SAMPLED_DECISIONS, Days, DecisionSums, TrendStep
from modelperf_plugin.values import Tally

_LONG_STEP = 7
"""Steps of this many days and more are queried one by one, in half the time of sorting all their days at once."""


class SqliteTrends:
    """Reads the daily roll-up; see :class:`~modelperf_plugin.store.roles.Trends`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "trends.sql")

    def totals(self, days: Days, task_type: str | None = None, model_id: str | None = None) -> list[Tally]:
        return [Tally(*row) for row in self._read("totals", days.first, days.end, task_type, model_id)]

    def series(self, days: Days, task_type: str | None = None, models: Sequence[str] | None = None) -> list[TrendStep]:
        listed = None if models is None else json.dumps(list(models))
        rows = self._connection.fetch(
            self._sql["series"], days.end, days.step, days.first, days.end, task_type, listed, listed
        )
        return _steps(days, rows)

    def totals_of_task_types(self, days: Days) -> list[Tally]:
        return [Tally(*row) for row in self._read("totals_of_task_types", days.first, days.end)]

    def series_of_task_types(self, days: Days) -> list[TrendStep]:
        if days.step >= _LONG_STEP:
            self._read("keep_pages")
            return [
                TrendStep(position, tally)
                for position in range(days.steps)
                for tally in self.totals_of_task_types(days.of(position))
            ]
        return _steps(days, self._read("series_of_task_types", days.end, days.step, days.first, days.end))

    def decision_sums(self, days: Days, now_ms: int) -> list[DecisionSums]:
        rows = self._connection.fetch(
            self._sql["decision_sums"], overdue_since(now_ms), days.first_ms, days.end_ms, MAX_SAMPLED_DECISIONS
        )
        return [DecisionSums(*row) for row in rows]

    def decisions(
        self, days: Days, task_type: str | None = None, model_id: str | None = None, limit: int = 20
    ) -> list[LoggedDecision]:
        among = (days.first_ms, days.end_ms, MAX_SAMPLED_DECISIONS)
        return restored(self._connection, self._read("recent_decisions", *among, task_type, model_id, limit))

    def _read(self, name: str, *parameters: Any) -> list[Any]:
        return self._connection.fetch(self._sql[name], *parameters)


def _steps(days: Days, rows: list[Any]) -> list[TrendStep]:
    last = days.steps - 1
    return [TrendStep(last - back, Tally(*counts)) for back, *counts in rows]
