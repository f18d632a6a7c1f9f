"""Counts over time in an SQLite file."""

from __future__ import annotations

from modelperf_plugin.store.read_trends import ReadTrends
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.trends import Days, TrendStep

_LONG_STEP = 7
"""Steps of this many days and more are queried one by one, in half the time of sorting all their days at once."""


class SqliteTrends(ReadTrends):
    """Reads the daily roll-up; see :class:`~modelperf_plugin.store.roles.Trends`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite", "queries.sql")

    def series_of_task_types(self, days: Days) -> list[TrendStep]:
        if days.step < _LONG_STEP:
            return super().series_of_task_types(days)
        self._read("keep_pages")
        return [
            TrendStep(position, tally)
            for position in range(days.steps)
            for tally in self.totals_of_task_types(days.of(position))
        ]
