"""The list of attached databases in a PostgreSQL database."""

from __future__ import annotations

import json

from modelperf_plugin.store.exchange import Attached
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.read_exchange import ReadAttachments


class PostgresAttachments(ReadAttachments):
    """Lists attached tables; see :class:`~modelperf_plugin.store.exchange_roles.Attachments`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

    def add(self, attached: Attached) -> None:
        row = (attached.path, attached.name, json.dumps(dict(attached.columns)), attached.attached_ms)
        self._connection.execute(self._sql["attach"], *row)

    def remove(self, path: str) -> bool:
        return self._connection.execute(self._sql["detach"], path) > 0
