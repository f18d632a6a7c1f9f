"""States of the watches in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import numbers, usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.watches import WatchKey, WatchState


class SqliteWatchStates:
    """Saves the states of watches; see :class:`~modelperf_plugin.store.roles.WatchStates`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "monitoring.sql")

    def load(self) -> tuple[int | None, list[WatchState]]:
        return _states(self._connection.fetch(self._sql["watches"]))

    def load_models(self) -> tuple[int | None, list[WatchState]]:
        return _states(self._connection.fetch(self._sql["model_watches"]))

    def load_pair(self, task_type: str, model_id: str) -> tuple[int | None, list[WatchState]]:
        return _states(self._connection.fetch(self._sql["pair_watches"], task_type, model_id))

    def save(self, event_id: int, states: Iterable[WatchState], ended: Iterable[WatchKey] = ()) -> None:
        rows = [(each.kind, each.task_type, each.model_id, json.dumps(each.state)) for each in states]
        gone = list(ended)

        def write(connection: sqlite3.Connection) -> None:
            if connection.execute(self._sql["save_watch_position"], (event_id,)).rowcount < 1:
                return
            connection.executemany(self._sql["end_watch"], gone)
            connection.executemany(self._sql["set_watch"], rows)

        self._connection.write(write)


def _states(rows: Sequence[Any]) -> tuple[int | None, list[WatchState]]:
    states = usable(_state, (row[1:] for row in rows if row[1] is not None))
    return (rows[0][0] if rows else None), states


def _state(row: Any) -> WatchState:
    kind, task_type, model_id, state = row
    return WatchState(kind, task_type, model_id, numbers(state))
