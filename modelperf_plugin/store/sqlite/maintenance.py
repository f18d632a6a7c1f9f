"""Maintenance of an SQLite file."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.files import write_whole
from modelperf_plugin.store.beside import beside
from modelperf_plugin.store.entries import Finding
from modelperf_plugin.store.queries import load_queries
from modelperf_plugin.store.sqlite import unreadable
from modelperf_plugin.store.sqlite.connection import SqliteConnection
from modelperf_plugin.store.sqlite.file import retried, translated
from modelperf_plugin.store.sqlite.health import examine
from modelperf_plugin.store.sqlite.rebuild import rebuild
from modelperf_plugin.store.sqlite.retention import PAGES_PER_STEP, shrink_step

_PAUSE_SECONDS: Final = 0.01
"""How long to wait for a reader before the log is looked at again."""


class SqliteMaintenance:
    """Examines, rebuilds and shrinks a file; see :class:`~modelperf_plugin.store.roles.Maintenance`."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection

    def check(self) -> list[Finding]:
        connection = self._connection
        with connection.read_lock, translated(connection.location):
            connection.ensure_open()
            if connection.note is not None:  # a file without its log may look damaged
                return [Finding("integrity", ok=False, message=f"not examined: {connection.note}")]
            return examine(connection.reader, connection.location, load_queries("sqlite"))

    def rebuild(self) -> int:
        """Recompute tallies and roll-up from the events, in one transaction; return how many pairs were wrong."""

        def write(connection: sqlite3.Connection) -> int:
            self._connection.cache.clear()
            return rebuild(connection)

        return self._connection.write(write)

    def set_aside_unreadable(self) -> Path | None:
        """Move rows with text that is not UTF-8 into a file beside the database, and return it; None without any.

        Raises:
            StoreError: the file cannot be written; nothing is changed.
        """
        connection = self._connection
        aside = beside(connection.location, f".unreadable-{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl")

        def write(writer: sqlite3.Connection) -> Path | None:
            connection.cache.clear()
            lines = list(unreadable.take_out(writer))
            if not lines:
                return None
            try:
                write_whole(aside, "".join(f"{line}\n" for line in lines).encode())
            except OSError as error:
                raise StoreFailedError(f"{aside} cannot be written: {error.strerror or error}") from error
            return aside

        return connection.write(write)

    def shrink(self, pages: int = PAGES_PER_STEP) -> int:
        """Return up to ``pages`` unused pages to the file system; return how many are left."""
        connection = self._connection
        return connection.in_turn(partial(retried, lambda: shrink_step(connection.writer, pages)))

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file and truncate it, as far as readers allow."""
        connection = self._connection

        def truncate(deadline: float) -> None:
            while connection.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() >= deadline:
                    return
                time.sleep(_PAUSE_SECONDS)

        connection.in_turn(truncate)
