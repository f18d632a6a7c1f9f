"""States of the watches in an SQLite file."""

from __future__ import annotations

import json
from collections.abc import Iterable

from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.watches import WatchState


class SqliteWatchStates:
    """Saves the states of watches; see :class:`~modelperf_plugin.store.roles.WatchStates`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "monitoring.sql")

    def load(self) -> tuple[int | None, list[WatchState]]:
        rows = self._connection.fetch(self._sql["watches"])
        states = [
            WatchState(kind, task_type, model_id, tuple(json.loads(state)))
            for _, kind, task_type, model_id, state in rows
            if kind is not None
        ]
        return (rows[0][0] if rows else None), states

    def save(self, event_id: int, states: Iterable[WatchState]) -> None:
        with self._connection.writing() as connection:
            if connection.execute(self._sql["save_watch_position"], (event_id,)).rowcount < 1:
                return
            connection.execute(self._sql["forget_watches"])
            for each in states:
                row = (each.kind, each.task_type, each.model_id, json.dumps(each.state))
                connection.execute(self._sql["add_watch"], row)
