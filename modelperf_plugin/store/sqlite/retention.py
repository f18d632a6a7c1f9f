"""Dropping old events in small steps, and giving room back to the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from modelperf_plugin.store.roles import DroppedStep

DROPPED_AT_ONCE: Final = 1_000
"""So many events at most are looked at by one step: no other writer waits for long."""
SHRUNK_AT_ONCE: Final = 256
"""So many pages (of 4 kB, as a rule) are given back at once."""
_INCREMENTAL: Final = 2


def drop_step(connection: sqlite3.Connection, sql: Mapping[str, str], before_ms: int, after_id: int) -> DroppedStep:
    """Drop what is too old among the next thousand events, within a transaction; their sums are kept."""
    bounds = {"before_ms": before_ms, "after_id": after_id}
    last_id, looked_at, old = connection.execute(sql["events_to_drop"], {**bounds, "most": DROPPED_AT_ONCE}).fetchone()
    if old:
        connection.execute(sql["add_dropped"], {**bounds, "last_id": last_id})
        connection.execute(sql["drop_events"], {**bounds, "last_id": last_id})
    return DroppedStep(looked_at, old, last_id or after_id)


def shrink_step(connection: sqlite3.Connection, pages: int) -> int:
    """Give ``pages`` unused pages back to the disk, as a transaction of its own; return how many are left.

    A file that was made without that ability (``PRAGMA auto_vacuum``) is packed as a whole, and has it then.
    """
    (ability,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    if ability != _INCREMENTAL:
        pack(connection)
    # as a script: the statement gives back one page at each step, and a cursor takes only the first
    connection.executescript(f"PRAGMA incremental_vacuum({int(pages)})")
    left: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return left


def pack(connection: sqlite3.Connection) -> None:
    """Write the whole file anew, without gaps, able to shrink in steps from then on."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("VACUUM")
