"""The list of attached databases in an SQLite file."""

from __future__ import annotations

import json

from modelperf_plugin.store.exchange import Attached
from modelperf_plugin.store.read_exchange import ReadAttachments
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteAttachments(ReadAttachments):
    """Lists attached tables; see :class:`~modelperf_plugin.store.exchange_roles.Attachments`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection: SqliteConnection = connection

    def add(self, attached: Attached) -> None:
        columns = json.dumps(dict(attached.columns))
        row = (attached.path, attached.name, columns, attached.attached_ms)
        self._connection.write(lambda connection: connection.execute(self._sql["attach"], row))

    def remove(self, path: str) -> bool:
        return self._connection.write(lambda connection: connection.execute(self._sql["detach"], (path,)).rowcount > 0)
