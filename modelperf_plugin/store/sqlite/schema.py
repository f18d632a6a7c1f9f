"""How a database of ours is told from others."""

from __future__ import annotations

import sqlite3
from typing import Final

from modelperf_plugin.store.queries import load_migrations

APPLICATION_ID: Final = 0x4D504631
"""Identifies our files by their header ("MPF1")."""
GUIDE_TABLES: Final = {
    "model_outcomes": {"task_type", "model_id", "success", "timeout", "tokens_used", "cost_usd", "timestamp"},
    "model_stats": {
        "task_type", "model_id", "successes", "failures", "timeouts", "total_tokens", "total_cost", "last_used",
    },
}  # fmt: skip
"""The migration guide's two tables, with their columns: a file that has them is converted."""
REPAIR_HINT: Final = "Save what can be read with `modelperf doctor --repair`, or choose another path."
"""The advice for a damaged database of ours."""


def newest_schema() -> sqlite3.Connection:
    """Return an empty database in memory with the newest schema."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in load_migrations("sqlite"):
        connection.executescript(migration.script)
    return connection
