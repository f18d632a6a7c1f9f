"""Deleting old events in small steps, and returning unused space to the file system."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from modelperf_plugin.store.entries import DroppedStep

EVENTS_PER_STEP: Final = 1_000
"""Small enough that no other writer waits for long."""
PAGES_PER_STEP: Final = 256
"""Of 4 kB, as a rule."""
_INCREMENTAL: Final = 2


def drop_step(connection: sqlite3.Connection, sql: Mapping[str, str], before_ms: int, after_id: int) -> DroppedStep:
    """Delete what is too old among the next thousand events, within a transaction; keep their sums."""
    bounds = {"before_ms": before_ms, "after_id": after_id}
    last_id, looked_at, old = connection.execute(sql["events_to_drop"], {**bounds, "most": EVENTS_PER_STEP}).fetchone()
    if old:
        connection.execute(sql["add_dropped"], {**bounds, "last_id": last_id})
        connection.execute(sql["drop_events"], {**bounds, "last_id": last_id})
    return DroppedStep(looked_at, old, last_id or after_id)


def shrink_step(connection: sqlite3.Connection, pages: int) -> int:
    """Return ``pages`` unused pages to the file system, as a transaction of its own; return how many are left.

    A file created without ``PRAGMA auto_vacuum`` is rewritten as a whole first.
    """
    (ability,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    if ability != _INCREMENTAL:
        pack(connection)
    # as a script: the statement frees one page per step, and a cursor takes only the first step
    connection.executescript(f"PRAGMA incremental_vacuum({int(pages)})")
    left: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return left


def pack(connection: sqlite3.Connection) -> None:
    """Rewrite the whole file without gaps, so that it can shrink in steps from then on."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("VACUUM")
