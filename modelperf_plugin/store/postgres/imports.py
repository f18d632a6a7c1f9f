"""Imports into a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from modelperf_plugin.store.exchange import EventRow, Step, Sums
from modelperf_plugin.store.postgres.connection import PostgresConnection
from modelperf_plugin.store.postgres.parameters import columns
from modelperf_plugin.store.read_exchange import ReadImports
from modelperf_plugin.store.tried import text_of


class PostgresImports(ReadImports):
    """Stores histories and sums; see :class:`~modelperf_plugin.store.exchange_roles.Imports`."""

    def __init__(self, connection: PostgresConnection) -> None:
        super().__init__(connection, "postgres")
        self._connection: PostgresConnection = connection

    def pair_id(self, task_type: str, model_id: str) -> int:
        number: int = self._call("pair_id", task_type, model_id)
        return number

    def add_events(
        self, step: Step, rows: Sequence[EventRow], outcome_ids: Sequence[str | None] = ()
    ) -> tuple[int, int] | None:
        texts = [(*row[:-1], text_of(row[-1]) if row[-1] else None) for row in rows]
        self._connection.fold()  # or else the function would, in one transaction
        given = [*columns(texts, 10), list(outcome_ids) or [None] * len(rows)]
        import_id, added = self._connection.call(self._sql["import_outcomes"], _json(step), *given)
        return None if import_id is None else (import_id, added)

    def add_sums(self, step: Step, sums: Sequence[Sums], *, once: bool = False) -> bool:
        is_new: bool = self._call("import_sums", _json(step), once, *columns(sums, len(Sums._fields)))
        return is_new

    def add_some_sums(self, step: Step, sums: Sequence[Sums]) -> int | None:
        import_id: int | None = self._call("import_some_sums", _json(step), *columns(sums, len(Sums._fields)))
        return import_id

    def remove_some_sums(self, step: Step, limit: int) -> int | None:
        removed: int | None = self._call("unimport_some_sums", _json(step), limit)
        return removed

    def archive(self, import_id: int, compress: Callable[[], str]) -> bool:
        def write(connection: psycopg.Connection) -> bool:
            if connection.execute(self._sql["not_archived"], (import_id,)).fetchone() is None:
                return False
            connection.execute(self._sql["set_archived"], (compress(), import_id))
            return True

        return self._connection.write(write)

    def _call(self, name: str, *parameters: Any) -> Any:
        return self._connection.call(self._sql[name], *parameters)[0]


def _json(step: Step) -> Jsonb:
    return Jsonb(step._asdict())
