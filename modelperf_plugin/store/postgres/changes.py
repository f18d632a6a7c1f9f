"""Changes of models in a PostgreSQL database."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_watching import ReadChanges
from modelperf_plugin.store.watches import Direction


class PostgresChanges(ReadChanges):
    """Stores changes; see :class:`~modelperf_plugin.store.roles.Changes`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

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
            "rates": json.dumps(dict(rates)),
        }
        is_new: bool = self._connection.call(self._sql["add_change"], change)[0]
        return is_new
