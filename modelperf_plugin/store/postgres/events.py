"""The log of single outcomes in a PostgreSQL database."""

from __future__ import annotations

import json
from typing import Final

from modelperf_plugin.store.entries import DroppedStep
from modelperf_plugin.store.event_rows import back_of, events_of, revisions_of
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import usable
from modelperf_plugin.store.watches import Event, Revision

EVENTS_PER_STEP: Final = 1_000
"""Small enough that nobody waits for long."""


class PostgresEvents:
    """Reads and drops outcomes one by one; see :class:`~modelperf_plugin.store.roles.Events`.

    On a store that is open for reading only, outcomes follow once a host has numbered them.
    """

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._sql = load_queries("postgres", "monitoring.sql")

    def after(self, event_id: int, limit: int) -> list[Event]:
        return events_of(self._connection.fetch_folded(self._sql["events_after"], event_id, limit))

    def last_id(self) -> int:
        number: int = self._connection.fetch_folded(self._sql["last_event_id"])[0][0]
        return number

    def revised_after(self, number: int, limit: int) -> list[Revision]:
        return revisions_of(self._connection.fetch(self._sql["revised_after"], number, limit))

    def last_revision(self) -> int:
        number: int = self._connection.fetch(self._sql["last_revision"])[0][0]
        return number

    def long_outages(self, after_id: int, until_id: int, now_ms: int) -> list[Event]:
        wanted = {"after_id": after_id, "until_id": until_id, "now_ms": now_ms}
        return events_of(sorted(self._connection.fetch_folded(self._sql["long_outages"], wanted)))

    def mark_back(self, model_id: str, event_id: int) -> None:
        self._connection.execute(self._sql["mark_back"], model_id, json.dumps([event_id]))

    def back(self) -> dict[str, int]:
        return dict(usable(back_of, self._connection.fetch(self._sql["models_back"])))

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        step = self._connection.call_aside(self._sql["drop_step"], before_ms, after_id, EVENTS_PER_STEP)
        return DroppedStep._make(step)
