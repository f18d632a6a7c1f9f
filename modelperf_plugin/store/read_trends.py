"""Reading counts over time by SQL: the same in every dialect but for the statements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelperf_plugin.store.decisions import OVERDUE_MS
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_tallies import Reading
from modelperf_plugin.store.trends import MAX_SAMPLED_DECISIONS, Days, DecisionSums, LatestChoice, TrendStep
from modelperf_plugin.values import Tally


class ReadTrends:
    """Reads the daily roll-up; see :class:`~modelperf_plugin.store.roles.Trends`."""

    def __init__(self, connection: Reading, dialect: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "trends.sql")

    def totals(self, days: Days, task_type: str | None = None, model_id: str | None = None) -> list[Tally]:
        return [Tally(*row) for row in self._read("totals", days.first, days.end, task_type, model_id)]

    def series(self, days: Days, task_type: str | None = None, models: Sequence[str] | None = None) -> list[TrendStep]:
        listed = None if models is None else json.dumps(list(models))
        rows = self._read("series", days.end, days.step, days.first, days.end, task_type, listed, listed)
        return _steps(days, rows)

    def totals_of_task_types(self, days: Days) -> list[Tally]:
        return [Tally(*row) for row in self._read("totals_of_task_types", days.first, days.end)]

    def series_of_task_types(self, days: Days) -> list[TrendStep]:
        return _steps(days, self._read("series_of_task_types", days.end, days.step, days.first, days.end))

    def decision_sums(self, days: Days, now_ms: int) -> list[DecisionSums]:
        bounds = (now_ms - OVERDUE_MS, days.first_ms, days.end_ms, MAX_SAMPLED_DECISIONS)
        return [DecisionSums(*row) for row in self._read("decision_sums", *bounds)]

    def latest_choices(self, days: Days) -> list[LatestChoice]:
        rows = self._read("latest_choices", days.first_ms, days.end_ms, MAX_SAMPLED_DECISIONS)
        return [LatestChoice._make((*made, bool(is_first))) for *made, is_first in rows]

    def _recent(self, days: Days, task_type: str | None, model_id: str | None, limit: int) -> list[Any]:
        """Return the rows of decisions of ``days``, newest first."""
        among = (days.first_ms, days.end_ms, MAX_SAMPLED_DECISIONS)
        return self._read("recent_decisions", *among, task_type, model_id, limit)

    def _read(self, name: str, *parameters: Any) -> list[Any]:
        return self._connection.fetch(self._sql[name], *parameters)


def _steps(days: Days, rows: list[Any]) -> list[TrendStep]:
    last = days.steps - 1
    return [TrendStep(last - back, Tally(*counts)) for back, *counts in rows]
