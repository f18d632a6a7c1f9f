"""Which models have really answered, in an SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.rows import usable
from modelperf_plugin.values import check_id


class SqliteServedModels:
    """Counts answers; see :class:`~modelperf_plugin.store.roles.ServedModels`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "monitoring.sql")

    def counts(self) -> dict[tuple[str, str], int]:
        return dict(usable(_count, self._connection.fetch(self._sql["count_served"])))


def _count(row: Sequence[Any]) -> tuple[tuple[str, str], int]:
    model_id, served, answers = row
    return (check_id("model_id", model_id), check_id("served_model", served)), answers
