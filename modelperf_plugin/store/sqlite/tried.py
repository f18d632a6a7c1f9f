"""The numbers of sets of tried models in an SQLite file."""

from __future__ import annotations

import sqlite3

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.tried import text_of
from modelperf_plugin.values import Tried


def number_of(connection: sqlite3.Connection, tried: Tried) -> int:
    """Return the number of a set, which is added if new. Call it within a transaction."""
    sql, text = load_queries("sqlite"), text_of(tried)
    connection.execute(sql["add_tried"], (text,))
    number: int = connection.execute(sql["find_tried"], (text,)).fetchone()[0]
    return number
