"""How a database of ours is told from others."""

from __future__ import annotations

import re
import sqlite3
from functools import cache
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

_TRIGGER: Final = re.compile(r"^CREATE TRIGGER (\w+)", re.MULTILINE)


def missing_triggers(connection: sqlite3.Connection) -> list[str]:
    """Return the triggers that a file with the newest schema lacks.

    Several share the work on one view. As long as one of them is there, SQLite accepts outcomes without an error, and
    what the others would have written is lost.
    """
    # all at once: SQLite keeps a file open that is closed while a query runs, as after an interrupt
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    return sorted(_triggers().difference(*rows))


@cache
def _triggers() -> frozenset[str]:
    """Return the names of all triggers. A migration may replace one, and none is ever removed."""
    return frozenset(name for migration in load_migrations("sqlite") for name in _TRIGGER.findall(migration.script))


def newest_schema() -> sqlite3.Connection:
    """Return an empty database in memory with the newest schema."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in load_migrations("sqlite"):
        connection.executescript(migration.script)
    return connection
