"""The log of single outcomes in an SQLite file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from modelperf_plugin.store.entries import DroppedStep
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.retention import drop_step
from modelperf_plugin.store.sqlite.rows import numbers, usable
from modelperf_plugin.store.sqlite.tried import tried_of
from modelperf_plugin.store.watches import Event, Revision
from modelperf_plugin.values import BLAMES, WHOLE_SCORE


class SqliteEvents:
    """Reads and drops outcomes one by one; see :class:`~modelperf_plugin.store.roles.Events`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = {**load_queries("sqlite"), **load_queries("sqlite", "monitoring.sql")}

    def after(self, event_id: int, limit: int) -> list[Event]:
        return _events(
            self._connection.fetch_page(self._sql["events_after"], self._sql["last_event_of_page"], event_id, limit)
        )

    def long_outages(self, after_id: int, until_id: int, now_ms: int) -> list[Event]:
        bounds = {"after_id": after_id, "until_id": until_id}
        if not self._connection.fetch(self._sql["has_long_outages"], bounds)[0][0]:
            return []
        rows = self._connection.fetch(self._sql["long_outages"], {**bounds, "now_ms": now_ms})
        return _events(sorted(rows))

    def mark_back(self, model_id: str, event_id: int) -> None:
        row = ("back", "", model_id, json.dumps([event_id]))
        self._connection.write(lambda connection: connection.execute(self._sql["set_watch"], row))

    def back(self) -> dict[str, int]:
        return dict(usable(_back, self._connection.fetch(self._sql["models_back"])))

    def last_id(self) -> int:
        number: int = self._connection.fetch(self._sql["last_event_id"])[0][0]
        return number

    def revised_after(self, number: int, limit: int) -> list[Revision]:
        rows = self._connection.fetch(self._sql["revised_after"], number, limit)
        return [
            Revision(
                each,
                _event((event_id, task_type, model_id, *was[:2], ended, was[2], tried, was[3], None)),
                _event((event_id, task_type, model_id, *now[:2], ended, now[2], tried, now[3], None)),
            )
            for each, event_id, task_type, model_id, ended, tried, *verdicts in rows
            for was, now in [(verdicts[:4], verdicts[4:])]
        ]

    def last_revision(self) -> int:
        number: int = self._connection.fetch(self._sql["last_revision"])[0][0]
        return number

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        return drop_step(self._connection, self._sql, before_ms, after_id)


def _events(rows: Iterable[Sequence[Any]]) -> list[Event]:
    return [_event(row) for row in rows]


def _event(row: Sequence[Any]) -> Event:
    number, task_type, model_id, won, kind, ended, late, tried, score, retry_after = row
    return Event(
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
        None if won else kind,
    )


def _back(row: Any) -> tuple[str, int]:
    model_id, state = row
    (event_id,) = numbers(state)
    return model_id, int(event_id)
