"""Recomputing tallies, later tries, durations and daily roll-up from the events, for a file in which they differ."""

from __future__ import annotations

import sqlite3
from typing import Final

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.rebuild_later import rebuild_later
from modelperf_plugin.store.sqlite.rows import execute, fetch

_SIGNED: Final = -2
"""The last columns are sums of differences, which may be negative."""
_DRIFTS: Final = ("tally_drift", "daily_drift", "later_drift", "duration_drift")


def rebuild(connection: sqlite3.Connection) -> int:
    """Recompute all sums from events, dropped events and imports; return of how many pairs some were wrong.

    Runs within a transaction. The events are authoritative. For a wrong pair with dropped events, the roll-up from
    before its first event is kept unless it exceeds the dropped counts.
    """
    common, sql = load_queries("sqlite"), load_queries("sqlite", "repair.sql")
    connection.execute(sql["bound_dropped"])
    connection.execute(sql["bound_dropped_timeouts"])
    wrong = {pair for name in _DRIFTS for pair in fetch(connection, common[name])}
    first_days = dict(connection.execute(sql["first_days"]))
    gone = [
        (tally_id, first_days.get(tally_id, after_all or 0), dropped)
        for tally_id, task_type, model_id, after_all, *dropped in fetch(connection, sql["dropped_pairs"])
        if (task_type, model_id) in wrong
    ]
    execute(connection, sql["rebuild_tallies"])
    connection.execute(sql["forget_daily_of_events"])
    for tally_id, day, _ in gone:
        connection.execute(sql["forget_daily"], (tally_id, day))
    execute(connection, sql["add_daily_of_events"])
    for tally_id, day, dropped in gone:
        early = connection.execute(sql["early_daily"], (tally_id, day)).fetchone()
        missing = [whole - part for whole, part in zip(dropped, early, strict=True)]
        if min(missing[:_SIGNED]) < 0:  # it exceeds the dropped counts: put them all on one day
            connection.execute(sql["forget_early_daily"], (tally_id, day))
            connection.execute(sql["add_daily"], (tally_id, day - 1, *dropped))
        elif any(missing):  # the remainder of the day on which dropping stopped
            connection.execute(sql["add_daily"], (tally_id, day, *missing))
    rebuild_later(connection, sql)
    connection.execute(sql["delete_stray_served"])
    connection.execute(sql["delete_unused_served_models"])
    for _ in range(2):  # again, in case that those of a pair with dropped events are too many with those of its events
        connection.execute(sql["forget_durations"])
        connection.execute(sql["add_durations_of_events"])
    return len(wrong)
