"""Changes of models in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from modelperf_plugin.store.read_watching import ReadChanges
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.watches import Direction


class SqliteChanges(ReadChanges):
    """Stores changes; see :class:`~modelperf_plugin.store.roles.Changes`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection: SqliteConnection = connection

    def add(
        self,
        model_id: str,
        direction: Direction,
        events: tuple[int, int],
        moments_ms: tuple[int, int],
        evidence: float | None,
        rates: Mapping[str, float],
    ) -> bool:
        change = {
            "model_id": model_id,
            "direction": direction,
            "since_event_id": events[0],
            "noticed_event_id": events[1],
            "since_ms": moments_ms[0],
            "noticed_ms": moments_ms[1],
            "evidence": evidence,
            "rates": json.dumps(dict(rates), ensure_ascii=False) if rates else None,
        }

        def write(connection: sqlite3.Connection) -> bool:
            added = connection.execute(self._sql["add_change"], change)
            if added.rowcount < 1:
                return False
            connection.execute(self._sql["add_baselines"], {**change, "change_id": added.lastrowid})
            for task_type, rate in rates.items():
                connection.execute(self._sql["set_baseline_rate"], (rate, task_type, model_id))
            return True

        return self._connection.write(write)
