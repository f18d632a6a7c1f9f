"""Imports into an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from modelperf_plugin.store.exchange import EventRow, ImportRecord, Step, Sums
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection

_ANY: Final = 2**62
"""Above every import id: an import with these sums begins, whichever others there are."""


class SqliteImports:
    """Stores histories and sums; see :class:`~modelperf_plugin.store.roles.Imports`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._sql = {**load_queries("sqlite"), **load_queries("sqlite", "exchange.sql")}

    def all(self, kind: str | None = None) -> list[ImportRecord]:
        return [ImportRecord._make(row) for row in self._connection.fetch(self._sql["imports"], kind)]

    def pair_id(self, task_type: str, model_id: str) -> int:
        pair = (task_type, model_id)
        found = self._connection.fetch(self._sql["find_pair"], *pair)
        if found:
            known: int = found[0][0]
            return known
        with self._connection.writing() as connection:
            return self._pair_id(connection, pair)

    def add_events(
        self, step: Step, rows: Sequence[EventRow], outcome_ids: Sequence[str | None] = ()
    ) -> tuple[int, int] | None:
        with self._connection.writing() as connection:
            import_id = self._advance(connection, step)
            if import_id is None:
                return None
            self._connection.cache.clear()
            (before,) = connection.execute(self._sql["newest_event"]).fetchone()
            if outcome_ids:
                rows = [
                    row for row, key in zip(rows, outcome_ids, strict=True) if self._add_keyed(connection, row, key)
                ]
            else:
                connection.executemany(self._sql["add_event"], rows)
            self._count(connection, before)
            connection.execute(self._sql["count_imported"], {"outcomes": len(rows), "import_id": import_id})
            return import_id, len(rows)

    def add_sums(self, step: Step, sums: Sequence[Sums], *, once: bool = False) -> bool:
        label = f"{step.kind}:{step.source}"
        with self._connection.writing() as connection:
            newest: dict[str, ImportRecord] = {}
            for row in connection.execute(self._sql["imports"], (step.kind,)):
                known = ImportRecord._make(row)
                newest.setdefault(known.source, known)
            if (once and step.source in newest) or any(known.digest == step.digest for known in newest.values()):
                return False
            import_id = self._advance(connection, step._replace(import_id=None, newest=_ANY))
            self._connection.cache.clear()
            connection.execute(self._sql["forget_sums"], (label,))
            connection.execute(self._sql["delete_sums"], (label,))
            for each in sums:
                pair_id = self._pair_id(connection, (each.task_type, each.model_id))
                connection.execute(self._sql["add_sums"], (pair_id, label, *each[2:]))
            connection.execute(self._sql["count_sums"], (label,))
            outcomes = sum(each.successes + each.failures for each in sums)
            connection.execute(self._sql["count_imported"], {"outcomes": outcomes, "import_id": import_id})
            return True

    def archive(self, import_id: int, compress: Callable[[], str]) -> bool:
        with self._connection.writing() as connection:
            if connection.execute(self._sql["not_archived"], (import_id,)).fetchone() is None:
                return False
            connection.execute(self._sql["set_archived"], (compress(), import_id))
            return True

    def _advance(self, connection: sqlite3.Connection, step: Step) -> int | None:
        """Store the position of an import; return its id, or None if another process has moved it."""
        if step.import_id is not None:
            moved = connection.execute(self._sql["continue_import"], step._asdict()).rowcount > 0
            return step.import_id if moved else None
        begun = connection.execute(self._sql["begin_import"], step._asdict())
        return begun.lastrowid if begun.rowcount > 0 else None

    def _add_keyed(self, connection: sqlite3.Connection, row: EventRow, outcome_id: str | None) -> bool:
        if outcome_id is not None:
            added = connection.execute(self._sql["add_outcome_key"], (outcome_id,))
            if added.rowcount == 0:
                return False
        connection.execute(self._sql["add_event"], row)
        return True

    def _count(self, connection: sqlite3.Connection, before: int) -> None:
        """Add the events after ``before`` to tallies and daily roll-ups."""
        sums = connection.execute(self._sql["sums_of_batch"], (before,)).fetchall()
        connection.executemany(self._sql["add_daily"], (row[:11] for row in sums))
        connection.executemany(self._sql["add_to_tally"], ((*row[2:], row[0]) for row in sums))

    def _pair_id(self, connection: sqlite3.Connection, pair: tuple[str, str]) -> int:
        connection.execute(self._sql["add_pair"], pair)
        pair_id: int = connection.execute(self._sql["find_pair"], pair).fetchone()[0]
        return pair_id
