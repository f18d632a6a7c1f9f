"""The list of attached databases in an SQLite file."""

from __future__ import annotations

import json
from typing import Any

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.exchange import Attached
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.rows import moments, usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection


class SqliteAttachments:
    """Lists attached tables; see :class:`~modelperf_plugin.store.exchange_roles.Attachments`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = load_queries("sqlite", "exchange.sql")

    def all(self) -> list[Attached]:
        return usable(_attached, self._connection.fetch(self._sql["attached"]))

    def add(self, attached: Attached) -> None:
        columns = json.dumps(dict(attached.columns))
        row = (attached.path, attached.name, columns, attached.attached_ms)
        self._connection.write(lambda connection: connection.execute(self._sql["attach"], row))

    def remove(self, path: str) -> bool:
        return self._connection.write(lambda connection: connection.execute(self._sql["detach"], (path,)).rowcount > 0)


def _attached(row: Any) -> Attached:
    path, name, text, attached_ms = row
    columns = parse_json(text)
    if not all(isinstance(theirs, str) for theirs in columns.values()):
        raise TypeError("columns are names")
    moments(attached_ms)
    return Attached(path, name, columns, attached_ms)
