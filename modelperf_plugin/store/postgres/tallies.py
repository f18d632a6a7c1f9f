"""Tallies in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelperf_plugin.store.local import local_read
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

    def with_batches(self, task_type: str, batch_ids: Sequence[str]) -> tuple[dict[str, Tally], set[str]]:
        if local_read() is None:
            return super().with_batches(task_type, batch_ids)
        return dict(self.of(task_type)), set()

    def later_with_batches(
        self, task_type: str, batch_ids: Sequence[str]
    ) -> tuple[dict[str, dict[Tried, LaterTries]], set[str]]:
        if local_read() is None:
            return super().later_with_batches(task_type, batch_ids)
        return {model_id: dict(sets) for model_id, sets in self.later(task_type).items()}, set()
