"""Counting which models have really answered, by SQL: the same in every dialect but for the statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import usable
from modelperf_plugin.values import check_id


class ReadServedModels:
    """Counts answers; see :class:`~modelperf_plugin.store.roles.ServedModels`."""

    def __init__(self, fetch: Callable[..., list[Any]], dialect: str) -> None:
        """Read by ``fetch``, which returns the rows of a statement that sees everything recorded before."""
        self._fetch = fetch
        self._sql = load_queries(dialect, "monitoring.sql")

    def counts(self) -> dict[tuple[str, str], int]:
        return dict(usable(_count, self._fetch(self._sql["count_served"])))


def _count(row: Sequence[Any]) -> tuple[tuple[str, str], int]:
    model_id, served, answers = row
    return (check_id("model_id", model_id), check_id("served_model", served)), answers
