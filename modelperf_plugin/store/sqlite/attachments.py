"""The list of attached databases in an SQLite file."""

from __future__ import annotations

import json

from modelperf_plugin.store.exchange import Attached
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteAttachments:
    """Lists attached tables; see :class:`~modelperf_plugin.store.roles.Attachments`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "exchange.sql")

    def all(self) -> list[Attached]:
        return [
            Attached(path, name, json.loads(columns), attached_ms)
            for path, name, columns, attached_ms in self._connection.fetch(self._sql["attached"])
        ]

    def add(self, attached: Attached) -> None:
        with self._connection.writing() as connection:
            columns = json.dumps(dict(attached.columns))
            row = (attached.path, attached.name, columns, attached.attached_ms)
            connection.execute(self._sql["attach"], row)

    def remove(self, path: str) -> bool:
        with self._connection.writing() as connection:
            return connection.execute(self._sql["detach"], (path,)).rowcount > 0
