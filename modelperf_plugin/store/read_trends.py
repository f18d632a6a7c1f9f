"""Reading counts over time by SQL: the same in every dialect but for the statements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelperf_plugin.store.decisions import OVERDUE_MS, LoggedDecision
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_decisions import restored
from modelperf_plugin.store.read_tallies import Reading
from modelperf_plugin.store.trends import (
    MAX_SAMPLED_DECISIONS,
    Days,
    DecisionSearch,
    DecisionSums,
    FoundDecisions,
    LatestChoice,
    TrendStep,
)
from modelperf_plugin.values import Tally


class ReadTrends:
    """Reads the daily roll-up; see :class:`~modelperf_plugin.store.roles.Trends`."""

    def __init__(self, connection: Reading, dialect: str, decisions: str) -> None:
        self._connection = connection
        self._sql = load_queries(dialect, "trends.sql")
        self._details = load_queries(dialect, decisions)

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
        return [LatestChoice(name, model, since, times, bool(is_first)) for name, model, since, times, is_first in rows]

    def decisions(
        self, days: Days, task_type: str | None = None, model_id: str | None = None, limit: int = 20
    ) -> list[LoggedDecision]:
        among = (days.first_ms, days.end_ms, MAX_SAMPLED_DECISIONS)
        return self._restored(self._read("recent_decisions", *among, task_type, model_id, limit))

    def search(self, search: DecisionSearch) -> FoundDecisions:
        among = (search.first_ms, search.end_ms, MAX_SAMPLED_DECISIONS)
        models = None if search.models is None else json.dumps(search.models)
        ((searched, oldest_ms),) = self._read("searched_decisions", *among)
        matching = (search.task_type, models, models, search.explored, search.ending, search.text, search.order)
        ids = [each for (each,) in self._read("find_decisions", *among, *matching)]
        shown = ids[search.offset : search.offset + search.limit]
        found = {each.decision_id: each for each in self._restored(self._read("decisions_by_id", json.dumps(shown)))}
        return FoundDecisions([found[each] for each in shown if each in found], len(ids), searched, oldest_ms)

    def _restored(self, rows: list[Any]) -> list[LoggedDecision]:
        return restored(self._connection, self._details, rows)

    def _read(self, name: str, *parameters: Any) -> list[Any]:
        return self._connection.fetch(self._sql[name], *parameters)


def _steps(days: Days, rows: list[Any]) -> list[TrendStep]:
    last = days.steps - 1
    return [TrendStep(last - back, Tally(*counts)) for back, *counts in rows]
