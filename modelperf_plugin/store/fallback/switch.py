"""Which store is in use: the SQLite file or, while that fails, a stand-in for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from modelperf_plugin.errors import StoreDamagedError, StoreError, StoreFailedError
from modelperf_plugin.store import forks
from modelperf_plugin.store.entries import CountedProblem, Entry
from modelperf_plugin.store.fallback.frozen import Snapshot
from modelperf_plugin.store.fallback.interim import InterimStore, open_interim
from modelperf_plugin.store.fallback.spool import ingest_spooled
from modelperf_plugin.store.sqlite.file import Durability
from modelperf_plugin.store.sqlite.store import SqliteStore, open_sqlite
from modelperf_plugin.values import Tally
from modelperf_plugin.values.backoff import Backoff

logger = logging.getLogger("modelperf_plugin")

CHECK_SECONDS: Final = 1.0
"""How often to check that the open file is still the one at its path."""

_T = TypeVar("_T")
_Identity = tuple[int, ...]


class Switch:
    """Falls back when SQLite fails, and replays what was spooled when it works again.

    Also the connection of the store. The roles ask :attr:`store`, and ask again if it was replaced meanwhile.
    """

    read_only = False
    note = None

    def __init__(self, path: str, durability: Durability) -> None:
        """Open the file at ``path``, or fall back.

        Raises:
            StoreError: it is locked, from a newer version or another program's.
        """
        self.location = path
        self.store: SqliteStore | InterimStore
        """The store in use."""
        self.check_at = 0.0
        """When :meth:`check` is due, on the monotonic clock."""
        self.evidence: dict[str, Mapping[str, Tally]] = {}
        """The tallies last read from SQLite, by task type."""
        self.recent: deque[Entry] = deque()
        """Outcomes recorded by SQLite since the last check."""
        self.interim: InterimStore | None = None
        """The store in use, if it is the stand-in."""
        self._path = str(Path(path).absolute())  # a host may change its working directory
        self._durability: Durability = durability
        self._lock = threading.RLock()
        self._closed = False
        self._identity: _Identity | None = None
        self._damage: _Identity | None = None
        self._fault: StoreError | None = None
        self._backoff = Backoff()
        try:
            self._use(self._open())
        except StoreFailedError as error:
            self._fall_back(error, Snapshot.read(self._path, {}))
        forks.renew(self, Switch._renew_lock)

    @property
    def degraded(self) -> str | None:
        """Why SQLite cannot be used; None if it works."""
        return None if self._fault is None else str(self._fault)

    def ask(self, action: Callable[[SqliteStore | InterimStore], _T]) -> _T:
        """Return what ``action`` returns for the store in use."""
        while True:
            store = self.store
            try:
                if time.monotonic() >= self.check_at:
                    self.check()
                    store = self.store
                if self._closed:
                    store.connection.ensure_open()
                return action(store)
            except StoreError as error:
                self.handle(error, store)

    def check(self) -> None:
        """Notice that the file was deleted or replaced; while SQLite fails, try it again."""
        if self.interim is None:
            self._check_file_identity()
        elif self._backoff.due:
            self._retry()

    def handle(self, error: StoreError, store: SqliteStore | InterimStore) -> None:
        """Fall back because of a failure of ``store``; raise ``error`` if asking again would not help."""
        with self._lock:
            if self._closed:
                raise error
            if store is not self.store:
                return
            if self.interim is not None or not (isinstance(error, StoreFailedError) or store.connection.closed):
                raise error
            snapshot = Snapshot.read(self._path, self.evidence)
            with suppress(StoreError):
                store.close()
            self._fall_back(error, snapshot)

    def close(self) -> None:
        """Replay what can be replayed and release everything; closing twice is fine."""
        with self._lock:
            if self.interim is not None and not self._closed:
                self._retry()
            self._closed = True
            self.store.close()

    def _open(self) -> SqliteStore:
        return open_sqlite(self._path, durability=self._durability)

    def _use(self, store: SqliteStore) -> None:
        """Use SQLite from now on, and ingest what other processes have spooled."""
        self.store = store
        self._identity = _identity(self._path)
        self.check_at = time.monotonic() + CHECK_SECONDS
        self.recent.clear()
        ingest_spooled(store, self._path)

    def _fall_back(self, error: StoreError, snapshot: Snapshot) -> None:
        """Use a stand-in from now on, which begins with ``snapshot``."""
        interim = open_interim(self._path, snapshot, str(error), sync=self._durability == "full")
        now_ms = time.time_ns() // 1_000_000
        interim.problems.add(CountedProblem("the store", str(error), 1, now_ms, now_ms))
        self.store, self._fault = interim, error
        self.interim = interim
        self.check_at = 0.0
        self._damage = _content(self._path)
        self._backoff.failed()
        where = interim.outcomes.spool.where
        logger.error("%s. Continuing without the database: outcomes wait in %s", str(error).rstrip("."), where)

    def _retry(self) -> None:
        """Use SQLite again if it works; one thread tries, the others continue without it."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            interim = self.interim
            if interim is None or self._closed:
                return
            self._backoff.failed()
            if isinstance(self._fault, StoreDamagedError) and _content(self._path) == self._damage:
                return  # it stays damaged until somebody repairs or replaces it
            new = self._replay(interim)
            self._fault = self.interim = None
            self._backoff.succeeded()
            logger.warning("%s works again: %d spooled outcomes were moved into it", self._path, new)
        except StoreError as error:
            logger.debug("%s cannot be used yet: %s", self._path, error)
        finally:
            self._lock.release()

    def _replay(self, interim: InterimStore) -> int:
        store = self._open()
        try:
            new = interim.replay(store)
        except BaseException:
            store.close()
            raise
        self._use(store)
        return new

    def _check_file_identity(self) -> None:
        """Open the file that is at the path by now: what is written to a deleted one is lost."""
        with self._lock:
            self.check_at = time.monotonic() + CHECK_SECONDS
            recent = list(self.recent)
            self.recent.clear()
            if self._closed or self.interim is not None or _identity(self._path) == self._identity:
                return
            snapshot: Snapshot | None = None
            with suppress(StoreError):
                snapshot = Snapshot.of(self.store)
            self.store.close()
            logger.warning("%s was deleted or replaced: the file that is there now is used", self._path)
            try:
                self._use(self._open())
                self.store.outcomes.record_many(recent)
            except StoreError as error:  # also if it is only locked: the outcomes of the last second must not wait
                with suppress(StoreError):
                    self.store.close()
                self._fall_back(error, snapshot or Snapshot.read(self._path, self.evidence))
                if self.interim is not None:
                    self.interim.outcomes.spool_counted(recent)

    def _renew_lock(self) -> None:
        """Replace the lock in a forked child: a thread that is not there may hold it."""
        self._lock = threading.RLock()


def _identity(path: str) -> _Identity | None:
    """Return what tells an open file from another one that takes its place at ``path``; None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _content(path: str) -> _Identity | None:
    """Return what changes when a file that no process has open is repaired or replaced; None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
