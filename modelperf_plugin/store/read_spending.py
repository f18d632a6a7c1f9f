"""Reading what outcomes have cost by SQL: the same in every dialect but for the statements."""

from __future__ import annotations

from typing import Any

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.spending import Correction, CostEvent, CostSums


class ReadSpending:
    """Reads the log of outcomes and the daily roll-up; see :class:`~modelperf_plugin.store.roles.Spending`."""

    def __init__(self, dialect: str) -> None:
        self._sql = load_queries(dialect, "spending.sql")

    def _read(self, name: str, *parameters: Any) -> list[Any]:
        """Return the readable rows of a query, which sees every outcome that was recorded before."""
        raise NotImplementedError

    def corrections(self, number: int, limit: int) -> list[Correction]:
        rows = self._read("corrections_after", number, limit)
        return [Correction(each, CostEvent(*event), former) for each, *event, former in rows]

    def by_day(self, first_day: int, task_type: str | None = None, model_id: str | None = None) -> CostSums:
        return self._sums("costs_by_day", model_id, first_day, task_type)

    def by_step(
        self, step_ms: int, since_ms: int, most: int, task_type: str | None = None, model_id: str | None = None
    ) -> CostSums:
        return self._sums("costs_by_step", step_ms, model_id, most, since_ms, task_type)

    def estimated(self) -> dict[str, int]:
        return dict(self._read("estimated_costs"))

    def _sums(self, name: str, *parameters: object) -> CostSums:
        (_, position, corrected), *steps = self._read(name, *parameters)
        return CostSums(position, corrected, steps)
