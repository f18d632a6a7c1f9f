"""What outcomes have cost, in a PostgreSQL database."""

from __future__ import annotations

from typing import Any

from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_spending import ReadSpending
from modelperf_plugin.store.spending import CostEvent


class PostgresSpending(ReadSpending):
    """Reads the log of outcomes and the daily roll-up; see :class:`~modelperf_plugin.store.roles.Spending`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__("postgres")
        self._connection = connection

    def _read(self, name: str, *parameters: Any) -> list[Any]:
        return self._connection.fetch_folded(self._sql[name], *parameters)

    def after(self, event_id: int, limit: int, corrected: int) -> list[CostEvent]:
        return [CostEvent._make(row) for row in self._read("costs_after", corrected, event_id, limit)]

    def mark_estimated(self, model_id: str, prices_day: int) -> None:
        self._connection.call(self._sql["mark_estimated"], model_id, prices_day)
