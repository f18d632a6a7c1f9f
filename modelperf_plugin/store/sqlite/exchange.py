"""What came from elsewhere, in an SQLite store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from modelperf_plugin.store.exchange import Attached, EventRow, ImportRecord, Merged, Prior, Step, Sums
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.values import Tally

Read = Callable[..., list[Any]]
Write = Callable[[], AbstractContextManager[sqlite3.Connection]]
ANY = 2**62
"""An import begins, whatever else has begun."""


class SqliteExchange:
    """The part of a store for what comes from elsewhere; see :class:`~modelperf_plugin.store.exchange.Exchange`."""

    def __init__(self, read: Read, write: Write) -> None:
        """Take ``read(statement, *parameters)`` and ``write()``, a transaction that gives the connection."""
        self._read = read
        self._write = write
        self._sql = {**load_queries("sqlite"), **load_queries("sqlite", "exchange.sql")}

    def imports(self, kind: str | None = None) -> list[ImportRecord]:
        """Return what was imported, newest first; of one kind, or all."""
        return [ImportRecord._make(row) for row in self._read(self._sql["imports"], kind)]

    def pair_id(self, task_type: str, model_id: str) -> int:
        """Return the id that stands for a pair, from now on."""
        pair = (task_type, model_id)
        found = self._read(self._sql["find_pair"], *pair)
        if found:
            known: int = found[0][0]
            return known
        with self._write() as connection:
            return self._pair_id(connection, pair)

    def import_events(
        self, step: Step, rows: Sequence[EventRow], outcome_ids: Sequence[str | None] = ()
    ) -> tuple[int, int] | None:
        """Write a batch of outcomes together with how far that brings the import, or nothing of it."""
        with self._write() as connection:
            import_id = self._advance(connection, step)
            if import_id is None:
                return None
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

    def import_sums(self, step: Step, sums: Sequence[Sums], *, once: bool = False) -> bool:
        """Write sums in place of those that came from the same source before, in one transaction."""
        label = f"{step.kind}:{step.source}"
        with self._write() as connection:
            newest: dict[str, ImportRecord] = {}
            for row in connection.execute(self._sql["imports"], (step.kind,)):
                known = ImportRecord._make(row)
                newest.setdefault(known.source, known)
            if (once and step.source in newest) or any(known.digest == step.digest for known in newest.values()):
                return False
            import_id = self._advance(connection, step._replace(import_id=None, newest=ANY))
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
        """Call ``compress`` and keep the path that it returns; False if that was done already."""
        with self._write() as connection:
            if connection.execute(self._sql["not_archived"], (import_id,)).fetchone() is None:
                return False
            connection.execute(self._sql["set_archived"], (compress(), import_id))
            return True

    def origin(self) -> str:
        """Return what tells this store from others."""
        origin: str = self._read(self._sql["origin"])[0][0]
        return origin

    def attached(self) -> list[Attached]:
        """Return the tables of other databases that count as evidence."""
        return [
            Attached(path, name, json.loads(columns), attached_ms)
            for path, name, columns, attached_ms in self._read(self._sql["attached"])
        ]

    def attach(self, attached: Attached) -> None:
        """Count a table of another database from now on."""
        with self._write() as connection:
            columns = json.dumps(dict(attached.columns))
            row = (attached.path, attached.name, columns, attached.attached_ms)
            connection.execute(self._sql["attach"], row)

    def detach(self, path: str) -> bool:
        """Count what is in a database no longer; return False if it did not count."""
        with self._write() as connection:
            return connection.execute(self._sql["detach"], (path,)).rowcount > 0

    def merged(self) -> list[Merged]:
        """Return the sources of merged experience, by name."""
        return [Merged._make(row) for row in self._read(self._sql["merged"])]

    def merged_version(self) -> tuple[float, ...]:
        """Return numbers that are others when what was merged has changed; all 0 if nothing is."""
        return tuple(self._read(self._sql["merged_version"])[0])

    def priors(self) -> list[Prior]:
        """Return what other projects counted, by task type, model and source."""
        return [Prior(Tally._make(row[:12]), *row[12:]) for row in self._read(self._sql["priors"])]

    def merge(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        """Keep another project's tallies under a name, in place of those under the name ``replaces``."""
        with self._write() as connection:
            if replaces is not None:
                self._forget(connection, replaces)
            merged_id = connection.execute(self._sql["add_merged"], source[1:6]).lastrowid
            connection.executemany(self._sql["add_prior"], ((merged_id, *tally) for tally in tallies))

    def forget_merged(self, name: str) -> bool:
        """Take a source out again; return False if there is none of that name."""
        with self._write() as connection:
            return self._forget(connection, name)

    def _forget(self, connection: sqlite3.Connection, name: str) -> bool:
        connection.execute(self._sql["forget_priors"], (name,))
        return connection.execute(self._sql["forget_merged"], (name,)).rowcount > 0

    def _advance(self, connection: sqlite3.Connection, step: Step) -> int | None:
        """Note how far the import has come; return its id, or None if it is not where it was."""
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
