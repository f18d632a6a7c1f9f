"""What outcomes have cost, in an SQLite file."""

from __future__ import annotations

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.spending import Correction, CostEvent, CostSums
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteSpending:
    """Reads the log of outcomes and the daily roll-up; see :class:`~modelperf_plugin.store.roles.Spending`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "spending.sql")

    def after(self, event_id: int, limit: int, corrected: int) -> list[CostEvent]:
        page, last = self._sql["costs_after"], self._sql["last_cost_of_page"]
        return [CostEvent._make(row) for row in self._connection.fetch_page(page, last, event_id, limit, corrected)]

    def corrections(self, number: int, limit: int) -> list[Correction]:
        rows = self._connection.fetch(self._sql["corrections_after"], number, limit)
        return [Correction(each, CostEvent(*event), former) for each, *event, former in rows]

    def by_day(self, first_day: int, task_type: str | None = None, model_id: str | None = None) -> CostSums:
        return self._sums("costs_by_day", model_id, first_day, task_type)

    def by_step(
        self, step_ms: int, since_ms: int, most: int, task_type: str | None = None, model_id: str | None = None
    ) -> CostSums:
        return self._sums("costs_by_step", step_ms, model_id, most, since_ms, task_type)

    def estimated(self) -> dict[str, int]:
        return dict(self._connection.fetch(self._sql["estimated_costs"]))

    def mark_estimated(self, model_id: str, prices_day: int) -> None:
        statement = self._sql["mark_estimated"]
        self._connection.write(lambda connection: connection.execute(statement, (model_id, prices_day)))

    def _sums(self, name: str, *parameters: object) -> CostSums:
        (_, position, corrected), *steps = self._connection.fetch(self._sql[name], *parameters)
        return CostSums(position, corrected, steps)
