"""The decision log in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.decisions import LoggedDecision
from modelperf_plugin.store.postgres.connection import PostgresConnection


def parameters(joining: Joining) -> tuple[str | None, str]:
    """Return the JSON of the decision and of the outcome that ``join_decisions`` is to get with an outcome."""
    raise NotImplementedError


def join(joining: Joining, number: int, log: Any) -> None:
    """Note in ``joining`` what ``join_decisions`` has returned: ``joined`` and ``has_verdict``."""
    raise NotImplementedError


def restored(connection: PostgresConnection, rows: Sequence[Sequence[Any]]) -> list[LoggedDecision]:
    """Return the decisions in ``rows``, with all their outcomes."""
    raise NotImplementedError
