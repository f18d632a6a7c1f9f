"""Deleting old events in small steps, and returning unused space to the file system."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from modelperf_plugin.store.entries import DroppedStep
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.rows import execute

EVENTS_PER_STEP: Final = 1_000
"""Small enough that no other writer waits for long."""
LOOK_SECONDS: Final = 0.001
"""How long a step looks for old events."""
PAGES_PER_STEP: Final = 256
"""Of 4 kB, as a rule."""
_INCREMENTAL: Final = 2


def drop_step(connection: SqliteConnection, sql: Mapping[str, str], before_ms: int, after_id: int) -> DroppedStep:
    """Delete what is too old among the next thousand events that have any; keep their sums.

    Only a deletion is a transaction: events that stay are skipped without a lock, for :data:`LOOK_SECONDS`.
    """
    until = time.monotonic() + LOOK_SECONDS
    looked_at = 0
    while True:
        bounds = {"before_ms": before_ms, "after_id": after_id, "most": EVENTS_PER_STEP}
        last_id, count, old = connection.fetch(sql["events_to_drop"], bounds)[0]
        looked_at += count
        at_end = count < EVENTS_PER_STEP
        if old:
            dropped = connection.write(partial(_drop, sql, {**bounds, "last_id": last_id}))
            return DroppedStep(looked_at, dropped, last_id, at_end)
        after_id = last_id or after_id
        if at_end or time.monotonic() >= until:
            return DroppedStep(looked_at, 0, after_id, at_end)


def _drop(sql: Mapping[str, str], bounds: Mapping[str, int], connection: sqlite3.Connection) -> int:
    execute(connection, sql["add_dropped"], bounds)
    dropped = connection.execute(sql["drop_events"], bounds).rowcount
    connection.execute(sql["drop_revisions"], bounds)
    connection.execute(sql["drop_served"], bounds)
    return dropped


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
