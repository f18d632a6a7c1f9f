"""The record of decisions in an SQLite store: rows in and out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from modelperf_plugin.store.decisions import (
    OVERDUE_MS,
    DecisionOutcome,
    DecisionRecord,
    DecisionSummary,
    JoinedOutcome,
    LoggedDecision,
    ModeSummary,
)

LONG_AGO_MS: Final = -(2**63)
"""Before everything."""
_RECORD_COLUMNS: Final = len(DecisionRecord._fields)


def write(
    connection: sqlite3.Connection,
    sql: Mapping[str, str],
    made: Iterable[DecisionRecord],
    ended: Iterable[DecisionOutcome],
) -> None:
    """Write decisions, and then what came of them and of older ones, within a transaction."""
    connection.executemany(sql["add_decision"], made)
    connection.executemany(sql["join_outcome"], map(_outcome_row, ended))


def restore(row: Sequence[Any]) -> LoggedDecision:
    """Return the decision in ``row``."""
    return LoggedDecision.restore(*parts(row))


def parts(row: Sequence[Any]) -> tuple[DecisionRecord, JoinedOutcome | None]:
    """Return the decision in ``row`` as it is kept, and what came of it."""
    record, joined = row[:_RECORD_COLUMNS], row[_RECORD_COLUMNS:]
    return DecisionRecord._make(record), None if joined[0] is None else _joined(*joined)


def summarise(rows: Iterable[Sequence[Any]]) -> DecisionSummary:
    """Return the numbers in ``rows``, one for each mode."""
    summary = {mode: ModeSummary(*counts) for mode, *counts in rows}
    return DecisionSummary(
        # whoever was answered None has nothing to hand back
        {mode: each if mode == "apply" else each._replace(waiting=0, overdue=0) for mode, each in summary.items()}
    )


def overdue_since(now_ms: int) -> int:
    """Return the moment up to which a decision without an outcome is overdue at ``now_ms``."""
    return now_ms - OVERDUE_MS


def _outcome_row(ended: DecisionOutcome) -> dict[str, Any]:
    outcome = ended.outcome
    return {
        "decision_id": ended.decision_id,
        "model_id": ended.model_id,
        "ended_ms": ended.ended_ms,
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
