"""States of the watches in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from modelperf_plugin.store.read_watching import ReadWatchStates
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.watches import WatchKey, WatchState


class SqliteWatchStates(ReadWatchStates):
    """Saves the states of watches; see :class:`~modelperf_plugin.store.roles.WatchStates`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection: SqliteConnection = connection

    def save(self, event_id: int, states: Iterable[WatchState], ended: Iterable[WatchKey] = ()) -> None:
        rows = [(each.kind, each.task_type, each.model_id, json.dumps(each.state)) for each in states]
        gone = list(ended)

        def write(connection: sqlite3.Connection) -> None:
            if connection.execute(self._sql["save_watch_position"], (event_id,)).rowcount < 1:
                return
            connection.executemany(self._sql["end_watch"], gone)
            connection.executemany(self._sql["set_watch"], rows)

        self._connection.write(write)
