"""The log of single outcomes in an SQLite file."""

from __future__ import annotations

from modelperf_plugin.store.entries import DroppedStep
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.retention import drop_step
from modelperf_plugin.store.sqlite.tried import tried_of
from modelperf_plugin.store.watches import Event
from modelperf_plugin.values import BLAMES, WHOLE_SCORE


class SqliteEvents:
    """Reads and drops outcomes one by one; see :class:`~modelperf_plugin.store.roles.Events`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = {**load_queries("sqlite"), **load_queries("sqlite", "monitoring.sql")}

    def after(self, event_id: int, limit: int) -> list[Event]:
        rows = self._connection.fetch_page(self._sql["events_after"], self._sql["last_event_of_page"], event_id, limit)
        return [
            Event(
                number,
                task_type,
                model_id,
                bool(won),
                None if won else BLAMES.get(kind, "model"),
                ended,
                bool(late),
                () if tried is None else tried_of(tried),
                None if score is None else score / WHOLE_SCORE,
                retry_after,
            )
            for number, task_type, model_id, won, kind, ended, late, tried, score, retry_after in rows
        ]

    def last_id(self) -> int:
        number: int = self._connection.fetch(self._sql["last_event_id"])[0][0]
        return number

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        return drop_step(self._connection, self._sql, before_ms, after_id)
