"""Maintenance of an SQLite file."""

from __future__ import annotations

from modelperf_plugin.store.entries import Finding
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.file import translated
from modelperf_plugin.store.sqlite.health import examine
from modelperf_plugin.store.sqlite.rebuild import rebuild
from modelperf_plugin.store.sqlite.retention import PAGES_PER_STEP, shrink_step


class SqliteMaintenance:
    """Examines, rebuilds and shrinks a file; see :class:`~modelperf_plugin.store.roles.Maintenance`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection

    def check(self) -> list[Finding]:
        connection = self._connection
        with connection.read_lock, translated(connection.location):
            connection.ensure_open()
            return examine(connection.reader, connection.location, load_queries("sqlite"))

    def rebuild(self) -> int:
        """Recompute tallies and roll-up from the events, in one transaction; return how many pairs were wrong."""
        with self._connection.writing() as connection:
            self._connection.cache.clear()
            return rebuild(connection)

    def shrink(self, pages: int = PAGES_PER_STEP) -> int:
        """Return up to ``pages`` unused pages to the file system; return how many are left."""
        with self._connection.locked():
            return shrink_step(self._connection.writer, pages)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file and truncate it, as far as readers allow."""
        with self._connection.locked():
            self._connection.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
