"""The log of single outcomes in an SQLite file."""

from __future__ import annotations

import json

from modelperf_plugin.store.entries import DroppedStep
from modelperf_plugin.store.event_rows import back_of, events_of, revisions_of
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.retention import drop_step
from modelperf_plugin.store.watches import Event, Revision


class SqliteEvents:
    """Reads and drops outcomes one by one; see :class:`~modelperf_plugin.store.roles.Events`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = {**load_queries("sqlite"), **load_queries("sqlite", "monitoring.sql")}

    def after(self, event_id: int, limit: int) -> list[Event]:
        return events_of(
            self._connection.fetch_page(self._sql["events_after"], self._sql["last_event_of_page"], event_id, limit)
        )

    def long_outages(self, after_id: int, until_id: int, now_ms: int) -> list[Event]:
        bounds = {"after_id": after_id, "until_id": until_id}
        if not self._connection.fetch(self._sql["has_long_outages"], bounds)[0][0]:
            return []
        rows = self._connection.fetch(self._sql["long_outages"], {**bounds, "now_ms": now_ms})
        return events_of(sorted(rows))

    def mark_back(self, model_id: str, event_id: int) -> None:
        row = ("back", "", model_id, json.dumps([event_id]))
        self._connection.write(lambda connection: connection.execute(self._sql["set_watch"], row))

    def back(self) -> dict[str, int]:
        return dict(usable(back_of, self._connection.fetch(self._sql["models_back"])))

    def last_id(self) -> int:
        number: int = self._connection.fetch(self._sql["last_event_id"])[0][0]
        return number

    def revised_after(self, number: int, limit: int) -> list[Revision]:
        return revisions_of(self._connection.fetch(self._sql["revised_after"], number, limit))

    def last_revision(self) -> int:
        number: int = self._connection.fetch(self._sql["last_revision"])[0][0]
        return number

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        return drop_step(self._connection, self._sql, before_ms, after_id)
