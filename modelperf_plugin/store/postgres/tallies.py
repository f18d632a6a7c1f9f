"""Tallies in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping

from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_tallies import ReadTallies
from modelperf_plugin.store.watches import PastCosts
from modelperf_plugin.values import LaterTries, Tally, Tried


class PostgresTallies(ReadTallies):
    """Reads counts from the database or, for choices, from what its process keeps of them."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

    @property
    def revision(self) -> object:
        return self._connection.follower.counts.revision

    def of(self, task_type: str) -> Mapping[str, Tally]:
        return self._connection.counts(task_type).tallies

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        return self._connection.counts(task_type).later

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        self._connection.fold()
        return super().costs(task_type, today, half_life_days, since_ms)
