"""The decision log in an SQLite file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from modelperf_plugin.store.decisions import (
    DECISIONS_PER_STEP,
    OVERDUE_MS,
    DecisionOutcome,
    DecisionRecord,
    DecisionSummary,
    JoinedOutcome,
    LoggedDecision,
    ModeSummary,
)
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection

_BEFORE_ALL_MS: Final = -(2**63)
_RECORD_COLUMNS: Final = len(DecisionRecord._fields)


class SqliteDecisionLog:
    """Stores decisions with their outcomes; see :class:`~modelperf_plugin.store.roles.DecisionLog`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite")

    def write(self, decisions: Iterable[DecisionRecord], outcomes: Iterable[DecisionOutcome]) -> None:
        with self._connection.writing() as connection:
            connection.executemany(self._sql["add_decision"], decisions)
            connection.executemany(self._sql["join_outcome"], map(_outcome_row, outcomes))

    def get(self, decision_id: str) -> LoggedDecision | None:
        return next(map(restore, self._connection.fetch(self._sql["decision"], decision_id)), None)

    def starting_with(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        return [restore(row) for row in self._connection.fetch(self._sql["decisions_by_prefix"], prefix, prefix, limit)]

    def newest(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        since_ms = _BEFORE_ALL_MS if since_ms is None else since_ms
        rows = self._connection.fetch(self._sql["decisions"], since_ms, task_type, task_type, limit)
        return [restore(row) for row in rows]

    def after(self, number: int, limit: int) -> list[tuple[int, DecisionRecord, JoinedOutcome | None]]:
        rows = self._connection.fetch(self._sql["logged_after"], number, limit)
        return [(row[0], *_split(row[1:])) for row in rows]

    def summary(self, now_ms: int) -> DecisionSummary:
        since_ms = overdue_since(now_ms)
        rows = self._connection.fetch(self._sql["decision_summary"], since_ms, since_ms)
        summary = {mode: ModeSummary(*counts) for mode, *counts in rows}
        return DecisionSummary(
            # a host that was answered None has no decision to report on
            {mode: each if mode == "apply" else each._replace(waiting=0, overdue=0) for mode, each in summary.items()}
        )

    def forget(self, before_ms: int) -> int:
        with self._connection.writing() as connection:
            return connection.execute(self._sql["forget_decisions"], (before_ms, DECISIONS_PER_STEP)).rowcount


def restore(row: Sequence[Any]) -> LoggedDecision:
    """Return the decision in ``row``."""
    return LoggedDecision.restore(*_split(row))


def _split(row: Sequence[Any]) -> tuple[DecisionRecord, JoinedOutcome | None]:
    """Return the stored decision in ``row``, and its outcome if there is one."""
    record, joined = row[:_RECORD_COLUMNS], row[_RECORD_COLUMNS:]
    return DecisionRecord._make(record), None if joined[0] is None else _joined(*joined)


def overdue_since(now_ms: int) -> int:
    """Return the moment up to which a decision without an outcome is overdue at ``now_ms``."""
    return now_ms - OVERDUE_MS


def _outcome_row(joined: DecisionOutcome) -> dict[str, Any]:
    outcome = joined.outcome
    return {
        "decision_id": joined.decision_id,
        "model_id": joined.model_id,
        "ended_ms": joined.ended_ms,
        "success": outcome.success,
        "timeout": outcome.timeout,
        "tokens": outcome.tokens_used,
        "cost_nano_usd": outcome.cost_nano_usd,
        "error_kind": outcome.error_kind,
    }


def _joined(
    model_id: str, ended_ms: int, success: int, timeout: int, tokens: int, cost_nano_usd: int, error_kind: str | None
) -> JoinedOutcome:
    return JoinedOutcome(model_id, ended_ms, bool(success), bool(timeout), tokens, cost_nano_usd, error_kind)
