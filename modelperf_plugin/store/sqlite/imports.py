"""Imports into an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from modelperf_plugin.store.exchange import EventRow, ImportRecord, Step, Sums
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.read_exchange import ReadImports, import_record
from modelperf_plugin.store.rows import usable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.rows import fetch
from modelperf_plugin.store.sqlite.tried import number_of

_ANY: Final = 2**62
"""Above every import id: an import with these sums begins, whichever others there are."""


class SqliteImports(ReadImports):
    """Stores histories and sums; see :class:`~modelperf_plugin.store.exchange_roles.Imports`."""

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection, "sqlite")
        self._connection: SqliteConnection = connection
        self._sql = {**load_queries("sqlite"), **self._sql}

    def pair_id(self, task_type: str, model_id: str) -> int:
        pair = (task_type, model_id)
        found = self._connection.fetch(self._sql["find_pair"], *pair)
        if found:
            known: int = found[0][0]
            return known
        return self._connection.write(lambda connection: self._pair_id(connection, pair))

    def add_events(
        self, step: Step, rows: Sequence[EventRow], outcome_ids: Sequence[str | None] = ()
    ) -> tuple[int, int] | None:
        def write(connection: sqlite3.Connection) -> tuple[int, int] | None:
            import_id = self._advance(connection, step)
            if import_id is None:
                return None
            self._connection.cache.clear()
            (before,) = connection.execute(self._sql["newest_event"]).fetchone()
            numbers = {tried: number_of(connection, tried) for tried in {row[-1] for row in rows if row[-1]}}
            numbered = [(*row[:-1], numbers.get(row[-1])) for row in rows]
            if outcome_ids:
                keyed = zip(numbered, outcome_ids, strict=True)
                added = sum(self._add_keyed(connection, row, key) for row, key in keyed)
            else:
                connection.executemany(self._sql["add_event"], numbered)
                added = len(numbered)
            self._count(connection, before)
            self._note(connection, import_id, before)
            connection.execute(self._sql["count_imported"], {"outcomes": added, "import_id": import_id})
            return import_id, added

        return self._connection.write(write)

    def add_sums(self, step: Step, sums: Sequence[Sums], *, once: bool = False) -> bool:
        label = _label(step)

        def write(connection: sqlite3.Connection) -> bool:
            newest: dict[str, ImportRecord] = {}
            for known in usable(import_record, fetch(connection, self._sql["imports"], (step.kind,))):
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

        return self._connection.write(write)

    def add_some_sums(self, step: Step, sums: Sequence[Sums]) -> int | None:
        label = _label(step)

        def write(connection: sqlite3.Connection) -> int | None:
            import_id = None if self._is_superseded(connection, step) else self._advance(connection, step)
            if import_id is None:
                return None
            self._connection.cache.clear()
            for each in sums:
                pair_id = self._pair_id(connection, (each.task_type, each.model_id))
                connection.execute(self._sql["add_sums"], (pair_id, label, *each[2:]))
                connection.execute(self._sql["count_sums_of_pair"], (label, pair_id))
            outcomes = sum(each.successes + each.failures for each in sums)
            connection.execute(self._sql["count_imported"], {"outcomes": outcomes, "import_id": import_id})
            return import_id

        return self._connection.write(write)

    def remove_some_sums(self, step: Step, limit: int) -> int | None:
        some = {"source": _label(step), "limit": limit}

        def write(connection: sqlite3.Connection) -> int | None:
            if self._is_superseded(connection, step) or self._advance(connection, step) is None:
                return None
            self._connection.cache.clear()
            connection.execute(self._sql["forget_some_sums"], some)
            return connection.execute(self._sql["delete_some_sums"], some).rowcount

        return self._connection.write(write)

    def archive(self, import_id: int, compress: Callable[[], str]) -> bool:
        def write(connection: sqlite3.Connection) -> bool:
            if connection.execute(self._sql["not_archived"], (import_id,)).fetchone() is None:
                return False
            connection.execute(self._sql["set_archived"], (compress(), import_id))
            return True

        return self._connection.write(write)

    def _is_superseded(self, connection: sqlite3.Connection, step: Step) -> bool:
        """Return whether a newer version of the source is being imported."""
        later = (
            None if step.import_id is None else connection.execute(self._sql["superseded"], step._asdict()).fetchone()
        )
        return later is not None

    def _advance(self, connection: sqlite3.Connection, step: Step) -> int | None:
        """Store the position of an import; return its id, or None if another process has moved it."""
        if step.import_id is not None:
            moved = connection.execute(self._sql["continue_import"], step._asdict()).rowcount > 0
            return step.import_id if moved else None
        begun = connection.execute(self._sql["begin_import"], step._asdict())
        return begun.lastrowid if begun.rowcount > 0 else None

    def _add_keyed(self, connection: sqlite3.Connection, row: tuple[Any, ...], outcome_id: str | None) -> bool:
        if outcome_id is not None:
            added = connection.execute(self._sql["add_outcome_key"], (outcome_id,))
            if added.rowcount == 0:
                return False
        connection.execute(self._sql["add_event"], row)
        return True

    def _note(self, connection: sqlite3.Connection, import_id: int, before: int) -> None:
        """Note that the events after ``before`` are those of an import."""
        (newest,) = connection.execute(self._sql["newest_event"]).fetchone()
        bounds = {"import_id": import_id, "before": before, "newest": newest}
        if newest > before and not connection.execute(self._sql["extend_range"], bounds).rowcount:
            connection.execute(self._sql["add_range"], bounds)

    def _count(self, connection: sqlite3.Connection, before: int) -> None:
        """Add the events after ``before`` to tallies, daily roll-ups, later tries and durations."""
        sums = fetch(connection, self._sql["sums_of_batch"], (before,))
        connection.executemany(self._sql["add_daily"], (row[:17] for row in sums))
        connection.executemany(self._sql["add_to_tally"], ((*row[2:], row[0]) for row in sums))
        connection.execute(self._sql["add_later_of_batch"], (before,))
        connection.execute(self._sql["add_durations"], (before + 1,))

    def _pair_id(self, connection: sqlite3.Connection, pair: tuple[str, str]) -> int:
        connection.execute(self._sql["add_pair"], pair)
        pair_id: int = connection.execute(self._sql["find_pair"], pair).fetchone()[0]
        return pair_id


def _label(step: Step) -> str:
    """Return the name of the source of imported sums."""
    return f"{step.kind}:{step.source}"
