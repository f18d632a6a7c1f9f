"""An SQLite file as the main store of a host."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from modelperf_plugin.errors import StoreError
from modelperf_plugin.paths import absolute
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.sqlite.store import SqliteStore, open_sqlite, open_sqlite_read_only
from modelperf_plugin.store.store import Store


class SqliteDatabase:
    """The file at a path; see :class:`~modelperf_plugin.store.main_store.Database`."""

    is_remote = False

    def __init__(self, path: str, durability: Durability, patience: float) -> None:
        self.location = path
        self.spool = str(absolute(path))  # a host may change its working directory
        self._durability: Durability = durability
        self._patience = patience

    def open(self) -> SqliteStore:
        return open_sqlite(self.spool, durability=self._durability, patience=self._patience)

    def open_to_read(self) -> Store:
        return open_sqlite_read_only(self.spool)

    def is_current(self, store: Store) -> bool:
        return not isinstance(store, SqliteStore) or store.connection.is_at_its_path()

    def settle(self, store: Store) -> None:
        if isinstance(store, SqliteStore):
            with suppress(StoreError):
                store.maintenance.checkpoint()  # a file that was moved is whole without the log it left behind

    def content(self) -> tuple[int, ...] | None:
        try:
            status = Path(self.spool).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def last_changed(self) -> float:
        try:
            return Path(self.spool).stat().st_ctime
        except OSError:
            return 0.0

    def unsettled(self) -> list[tuple[str, Sequence[Entry]]]:
        return []  # the file outlives every process

    def close(self) -> None:
        pass
