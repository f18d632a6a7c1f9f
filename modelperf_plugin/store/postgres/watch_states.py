"""States of the watches in a PostgreSQL database."""

from __future__ import annotations

import json
from collections.abc import Iterable

from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.parameters import columns
from modelperf_plugin.store.read_watching import ReadWatchStates
from modelperf_plugin.store.watches import WatchKey, WatchState


class PostgresWatchStates(ReadWatchStates):
    """Saves the states of watches; see :class:`~modelperf_plugin.store.roles.WatchStates`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

    def claim(self, holder: str, seconds: float) -> bool:
        claimed: bool = self._connection.call_aside(self._sql["claim_watches"], holder, seconds)[0]
        return claimed

    def save(self, event_id: int, states: Iterable[WatchState], ended: Iterable[WatchKey] = ()) -> None:
        saved = {(each.kind, each.task_type, each.model_id): json.dumps(each.state) for each in states}
        changed = [*columns(list(saved), 3), list(saved.values()), *columns(list(ended), 3)]
        self._connection.call_aside(self._sql["save_watches"], event_id, *changed)
