"""Read-only access to the database of another program, whose every value is checked."""

from __future__ import annotations

import sqlite3
from math import isfinite
from pathlib import Path
from typing import Any, Final

from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.values import MAX_COST_USD, MAX_TOKENS, NANO_USD, Tally, check_id

BUSY_SECONDS: Final = 0.005
"""How long a choice waits for a lock on the other database."""


def open_read_only(path: str, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open the database at ``path`` read-only, without trusting its schema."""
    uri = f"{Path(path).absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def to_tallies(rows: list[Any]) -> dict[tuple[str, str], Tally]:
    """Return the tallies of rows of the statement ``sums``; pairs with invalid ids are skipped."""
    tallies: dict[tuple[str, str], Tally] = {}
    for task_type, model_id, successes, failures, timeouts, tokens, cost, priced, last_used, timeout_failures in rows:
        try:
            pair = (check_id("task_type", task_type), check_id("model_id", model_id))
        except InvalidValueError:
            continue
        tallies[pair] = Tally(
            *pair,
            successes,
            failures,
            timeouts,
            total_tokens=int(_within(tokens, MAX_TOKENS)),
            total_cost_nano_usd=round(_within(cost, MAX_COST_USD * 1000) * NANO_USD),
            priced=priced,
            last_used_ms=int(last_used) if isinstance(last_used, (int, float)) and isfinite(last_used) else None,
            timeout_failures=timeout_failures,
        )
    return tallies


def _within(amount: float, maximum: float) -> float:
    return min(amount, maximum) if isfinite(amount) else maximum


def explain(error: Exception) -> str:
    """Return why a database cannot be read: a predicate that follows its path."""
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or error})"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return "is locked by another process"
    if code == sqlite3.SQLITE_NOTADB:
        return "is not an SQLite database"
    return str(error) if isinstance(error, StoreError) else f"cannot be read ({error})"
