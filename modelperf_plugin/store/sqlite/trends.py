"""Looking at an SQLite store over time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from modelperf_plugin.store.decisions import LoggedDecision
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.decisions import overdue_since, restore
from modelperf_plugin.store.trends import MOST_SAMPLED, Days, DecisionSums, TrendStep
from modelperf_plugin.values import Tally

_LONG_STEP = 7
"""Steps of so many days are asked for one by one: that takes half the time of sorting all their days at once."""


class SqliteTrends:
    """The part of a store that is looked at over time; see :class:`~modelperf_plugin.store.trends.Trends`."""

    def __init__(self, read: Callable[..., list[Any]]) -> None:
        """Take ``read(statement, *parameters)``."""
        self._read = read
        self._sql = load_queries("sqlite", "trends.sql")

    def totals(self, days: Days, task_type: str | None = None, model_id: str | None = None) -> list[Tally]:
        """Return what was counted for each pair on these days, sorted by task type and model."""
        return [Tally(*row) for row in self._read(self._sql["totals"], days.first, days.end, task_type, model_id)]

    def series(self, days: Days, task_type: str | None = None, models: Sequence[str] | None = None) -> list[TrendStep]:
        """Return what was counted for each pair in each step that has outcomes, the oldest first for each pair."""
        listed = None if models is None else json.dumps(list(models))
        rows = self._read(self._sql["series"], days.end, days.step, days.first, days.end, task_type, listed, listed)
        return _steps(days, rows)

    def totals_of_task_types(self, days: Days) -> list[Tally]:
        """Return what was counted for each task type, over all models, on these days."""
        return [Tally(*row) for row in self._read(self._sql["totals_of_task_types"], days.first, days.end)]

    def series_of_task_types(self, days: Days) -> list[TrendStep]:
        """Return what was counted for each task type, over all models, in each step that has outcomes."""
        if days.step >= _LONG_STEP:
            self._read(self._sql["keep_pages"])
            return [
                TrendStep(position, tally)
                for position in range(days.steps)
                for tally in self.totals_of_task_types(days.of(position))
            ]
        return _steps(days, self._read(self._sql["series_of_task_types"], days.end, days.step, days.first, days.end))

    def decision_sums(self, days: Days, now_ms: int) -> list[DecisionSums]:
        """Return the newest decisions made on these days in numbers."""
        rows = self._read(self._sql["decision_sums"], overdue_since(now_ms), days.first_ms, days.end_ms, MOST_SAMPLED)
        return [DecisionSums(*row) for row in rows]

    def decisions(
        self, days: Days, task_type: str | None = None, model_id: str | None = None, limit: int = 20
    ) -> list[LoggedDecision]:
        """Return the newest decisions made on these days, newest first."""
        among = (days.first_ms, days.end_ms, MOST_SAMPLED)
        return [restore(row) for row in self._read(self._sql["recent_decisions"], *among, task_type, model_id, limit)]


def _steps(days: Days, rows: list[Any]) -> list[TrendStep]:
    last = days.steps - 1
    return [TrendStep(last - back, Tally(*counts)) for back, *counts in rows]
