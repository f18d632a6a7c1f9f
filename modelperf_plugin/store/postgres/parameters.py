"""Parameters of statements for PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.tried import text_of

FIELDS: Final = (
    "task_type", "model_id", "tried", "served_model", "ended_ms", "success", "timeout", "tokens", "cost_nano_usd",
    "error_kind", "duration_ms", "score", "retry_after_ms", "outcome_id", "is_stamped",
)  # fmt: skip
"""The parameters of an outcome, in order."""


def row_of(entry: Entry) -> tuple[Any, ...]:
    """Return the parameters of the function that records an outcome, up to whether it is stamped."""
    task_type, model_id, outcome, ended_ms, tried = entry
    return (
        task_type, model_id, text_of(tried) if tried else None, entry.served_model, ended_ms, outcome.success,
        outcome.timeout, outcome.tokens_used, outcome.cost_nano_usd, outcome.error_kind,
        milliseconds(outcome.duration_seconds), outcome.score_millionths,
        milliseconds(outcome.retry_after_seconds), outcome.outcome_id, outcome.timestamp is not None,
    )  # fmt: skip


def milliseconds(seconds: float | None) -> int | None:
    """Return a duration in whole milliseconds."""
    return None if seconds is None else round(seconds * 1000)


def storable(text: str) -> str:
    """Return a text without U+0000, which a column of PostgreSQL cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Return rows by column: an array for each of their ``width`` values, also if there are no rows."""
    return [[row[place] for row in rows] for place in range(width)]
