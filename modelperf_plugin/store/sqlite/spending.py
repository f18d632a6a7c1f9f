"""What outcomes have cost, in an SQLite file."""

from __future__ import annotations

from typing import Any

from modelperf_plugin.store.read_spending import ReadSpending
from modelperf_plugin.store.spending import CostEvent
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteSpending(ReadSpending):
    """Reads the log of outcomes and the daily roll-up; see :class:`~modelperf_plugin.store.roles.Spending`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__("sqlite")
        self._connection = connection

    def _read(self, name: str, *parameters: Any) -> list[Any]:
        return self._connection.fetch(self._sql[name], *parameters)

    def after(self, event_id: int, limit: int, corrected: int) -> list[CostEvent]:
        page, last = self._sql["costs_after"], self._sql["last_cost_of_page"]
        return [CostEvent._make(row) for row in self._connection.fetch_page(page, last, event_id, limit, corrected)]

    def mark_estimated(self, model_id: str, prices_day: int) -> None:
        statement = self._sql["mark_estimated"]
        self._connection.write(lambda connection: connection.execute(statement, (model_id, prices_day)))
