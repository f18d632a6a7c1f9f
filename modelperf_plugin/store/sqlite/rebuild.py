"""Recomputing tallies and daily roll-up from the events, for a file in which they differ."""

from __future__ import annotations

import sqlite3

from modelperf_plugin.store.queries import load_queries


def rebuild(connection: sqlite3.Connection) -> int:
    """Recompute tallies and roll-up from events, dropped events and imports; return how many pairs were wrong.

    Runs within a transaction. The events are authoritative. For a wrong pair with dropped events, the roll-up from
    before its first event is kept unless it exceeds the dropped counts.
    """
    common, sql = load_queries("sqlite"), load_queries("sqlite", "repair.sql")
    wrong = set(connection.execute(common["tally_drift"])) | set(connection.execute(common["daily_drift"]))
    first_days = dict(connection.execute(sql["first_days"]))
    gone = [
        (tally_id, first_days.get(tally_id, after_all or 0), dropped)
        for tally_id, task_type, model_id, after_all, *dropped in connection.execute(sql["dropped_pairs"])
        if (task_type, model_id) in wrong
    ]
    connection.execute(sql["rebuild_tallies"])
    connection.execute(sql["forget_daily_of_events"])
    for tally_id, day, _ in gone:
        connection.execute(sql["forget_daily"], (tally_id, day))
    connection.execute(sql["add_daily_of_events"])
    for tally_id, day, dropped in gone:
        early = connection.execute(sql["early_daily"], (tally_id, day)).fetchone()
        missing = [whole - part for whole, part in zip(dropped, early, strict=True)]
        if min(missing) < 0:  # it exceeds the dropped counts: put them all on one day
            connection.execute(sql["forget_early_daily"], (tally_id, day))
            connection.execute(sql["add_daily"], (tally_id, day - 1, *dropped))
        elif any(missing):  # the remainder of the day on which dropping stopped
            connection.execute(sql["add_daily"], (tally_id, day, *missing))
    return len(wrong)
