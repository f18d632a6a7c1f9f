"""Which store is in use: the SQLite file or, while that fails, a stand-in for it; and what waits for the file."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from modelperf_plugin.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFailedError
from modelperf_plugin.log import logger
from modelperf_plugin.paths import absolute
from modelperf_plugin.store import forks
from modelperf_plugin.store.deadline import NO_WAIT, within
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.entries import CountedProblem, Entry, Recorded
from modelperf_plugin.store.fallback.backlog import Backlog
from modelperf_plugin.store.fallback.frozen import Snapshot
from modelperf_plugin.store.fallback.interim import InterimStore, open_interim
from modelperf_plugin.store.fallback.own_spool import Spool
from modelperf_plugin.store.fallback.repetition import missing_from
from modelperf_plugin.store.sqlite.store import SqliteStore, open_sqlite, open_sqlite_read_only
from modelperf_plugin.values import LaterTries, Tally, Tried
from modelperf_plugin.values.backoff import Backoff
from modelperf_plugin.values.locks import attempt
from modelperf_plugin.values.recent import Recent

CHECK_SECONDS: Final = 1.0
"""How often to check that the open file is still the one at its path."""

MOVE_SECONDS: Final = 1.0
"""How long opening and closing spend on moving what waits; the rest is left to the calls that record."""
BUSY_PAUSE_SECONDS: Final = 0.1
"""How often to try to open a file that others keep locked."""

MAX_KNOWN_TALLIES: Final = 500
"""Approximate number of tallies that are kept in memory, in case the file cannot be read when it fails."""

_T = TypeVar("_T")
_Identity = tuple[int, ...]


class Switch:
    """Falls back when SQLite fails, and replays what was spooled when it works again.

    Also the connection of the store. The roles ask :attr:`store`, and ask again if it was replaced meanwhile. Only
    opening the file for the first time, and closing it, wait for others that write.
    """

    read_only = False
    note = None

    def __init__(self, path: str, durability: Durability, patience: float) -> None:
        """Open the file at ``path``, or fall back, also if others keep it locked for longer than ``patience`` seconds.

        Raises:
            StoreError: it is from a newer version or another program's.
        """
        self.location = path
        self.store: SqliteStore | InterimStore
        """The store in use."""
        self.check_at = 0.0
        """When :meth:`check` is due, on the monotonic clock."""
        self.evidence: Recent[str, Mapping[str, Tally]] = Recent(MAX_KNOWN_TALLIES)
        """The tallies last read from SQLite, by task type."""
        self.later: Recent[str, Mapping[str, Mapping[Tried, LaterTries]]] = Recent(MAX_KNOWN_TALLIES)
        """The later tries last read from SQLite, by task type."""
        self.recent: deque[Entry] = deque()
        """Outcomes recorded by SQLite since the last check."""
        self.interim: InterimStore | None = None
        """The store in use, if it is the stand-in."""
        self._path = str(absolute(path))  # a host may change its working directory
        self._durability: Durability = durability
        self._patience = patience
        self._spool = Spool(self._path, sync=durability == "full")
        self.backlog = Backlog(self._path, self._spool)
        """What waits to be moved into the file."""
        self._lock = threading.RLock()
        self._changing = threading.Lock()
        self._closed = False
        self._damage: _Identity | None = None
        self._fault: StoreError | None = None
        self._backoff = Backoff()
        within(patience, self._start)
        forks.renew(self, Switch._renew)

    @property
    def degraded(self) -> str | None:
        """Why SQLite cannot be used; None if it works."""
        return None if self._fault is None else str(self._fault)

    @property
    def busy(self) -> bool:
        """Whether outcomes wait for the file."""
        return self.backlog.own_wait

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
            within(NO_WAIT, partial(self._try, self._check_file_identity))
        elif self._backoff.due:
            within(NO_WAIT, partial(self._try, self._retry))

    def _try(self, change: Callable[[], None]) -> None:
        """Change the store in use, unless another thread does, or the code that a signal handler interrupted."""
        attempt(self._changing, partial(attempt, self._lock, change))

    def move_waiting(self) -> bool:
        """Take one step of moving what waits into the file; return False if others are writing."""
        return within(NO_WAIT, self._move_next)

    def postpone(
        self, entries: Sequence[Entry], store: SqliteStore | InterimStore, error: StoreBusyError | None = None
    ) -> list[Recorded] | None:
        """Spool outcomes, because of ``error`` or behind others; return what each of them changes.

        None if ``store`` is no longer in use: ask the other one.
        """
        with self._lock:
            if store is not self.store:
                return None
            store.connection.ensure_open()
            if not isinstance(store, SqliteStore):
                raise error or StoreBusyError(f"{self.location} is busy")
            return self.backlog.add(store, entries, str(error or "earlier outcomes wait"))

    def handle(self, error: StoreError, store: SqliteStore | InterimStore) -> None:
        """Fall back because of a failure of ``store``; raise ``error`` if asking again would not help."""
        with self._lock:
            if self._closed:
                raise error
            if store is not self.store:
                return
            if self.interim is not None or not (isinstance(error, StoreFailedError) or store.connection.closed):
                raise error
            snapshot = Snapshot.read(self._path, self._known())
            with suppress(StoreError):
                store.close()
            self._fall_back(error, snapshot)

    def close(self) -> None:
        """Move what can be moved, and release everything; closing twice is fine."""
        with self._lock:
            if not self._closed:
                within(self._patience, self._finish)
            self._closed = True
            self.store.close()
            self._spool.release()

    def _start(self) -> None:
        try:
            self._use(self._open())
        except (StoreFailedError, StoreBusyError) as error:
            self._fall_back(error, Snapshot.read(self._path))
        else:
            self._move_all()

    def _finish(self) -> None:
        if self.interim is not None:
            self._retry()
        with suppress(StoreError):  # it waits for the next process
            self._move_all()

    def _move_all(self) -> None:
        """Move what waits, for a limited time; others that write are waited for as long as the deadline permits."""
        until = time.monotonic() + max(self._patience, MOVE_SECONDS)
        while self.backlog.waits and time.monotonic() < until and self._move_next():
            pass

    def _move_next(self) -> bool:
        """Take one step of moving what waits; return whether it could be taken."""
        store = self.store
        moved = self.backlog.move_next(store) if isinstance(store, SqliteStore) else None
        if moved:
            self.recent.extend(moved)
        return moved is not None

    def _open(self) -> SqliteStore:
        return open_sqlite(self._path, durability=self._durability, patience=self._patience)

    def _use(self, store: SqliteStore) -> None:
        """Use SQLite from now on."""
        self.store = store
        self.check_at = time.monotonic() + CHECK_SECONDS
        self.recent.clear()
        self.backlog.find_batches_of_others()

    def _fall_back(self, error: StoreError, snapshot: Snapshot) -> None:
        """Use a stand-in from now on, which begins with ``snapshot``."""
        self.backlog.hand_over()
        where = self._spool.begin(str(error))
        interim = open_interim(self._path, snapshot, str(error), self._spool)
        if not _is_busy(error):
            now_ms = time.time_ns() // 1_000_000
            interim.problems.add(CountedProblem("the store", str(error), 1, now_ms, now_ms))
        self.store = self.interim = interim
        self.check_at = 0.0
        self._begin_back_off(error)
        log = logger.warning if _is_busy(error) else logger.error
        log("%s. Continuing without the database: outcomes wait in %s", str(error).rstrip("."), where)

    def _begin_back_off(self, error: StoreError) -> None:
        """Wait before SQLite is tried again: longer each time, but not if it is only busy."""
        self._fault = error
        self._damage = _content(self._path)
        self._backoff = Backoff(BUSY_PAUSE_SECONDS, BUSY_PAUSE_SECONDS) if _is_busy(error) else Backoff()
        self._backoff.failed()

    def _retry(self) -> None:
        """Use SQLite again if it works."""
        interim = self.interim
        if interim is None or self._closed:
            return
        self._backoff.failed()
        if isinstance(self._fault, StoreDamagedError) and _content(self._path) == self._damage:
            return  # it stays damaged until somebody repairs or replaces it
        try:
            waiting = self._spool.outcomes
            self._use_instead_of(interim)
            self._backoff.succeeded()
            logger.warning("%s works again: %d spooled outcomes are moved into it", self._path, waiting)
        except StoreError as error:
            logger.debug("%s cannot be used yet: %s", self._path, error)
            if _is_busy(self._fault) and not _is_busy(error):
                self._begin_back_off(error)

    def _use_instead_of(self, interim: InterimStore) -> None:
        """Use SQLite, which must be able to take a part of what waits at least, unless it is busy.

        Until the stand-in is finished it stays the one to be replaced, so what is interrupted is done again.
        """
        store = self._open()
        try:
            moved: list[Entry] = []
            with suppress(StoreBusyError):
                moved = self._spool.ingest_next(store)
        except BaseException:
            store.close()
            raise
        self._use(store)
        self.recent.extend(moved)
        self.backlog.take_over(interim.finish())
        self._fault = self.interim = None
        self._move_next()

    def _known(self) -> Snapshot:
        """Return the tallies and later tries that were read last."""
        tallies = [tally for name in self.evidence for tally in (self.evidence.get(name) or {}).values()]
        return Snapshot(tallies=tallies, later={name: self.later.get(name) or {} for name in self.later})

    def _check_file_identity(self) -> None:
        """Open the file that is at the path by now: what is written to a deleted one is lost."""
        # what was recorded later than that would have led to this check
        recorded_by = time.time() - (time.monotonic() - self.check_at if self.check_at else 0.0)
        self.check_at = time.monotonic() + CHECK_SECONDS
        recent = list(self.recent)
        self.recent.clear()
        if self._closed or self.interim is not None or self.store.connection.is_at_its_path():
            return
        if recorded_by < _last_changed(self._path) - CHECK_SECONDS:
            recent = []  # they were in the file that was replaced on purpose
        snapshot: Snapshot | None = None
        with suppress(StoreError):
            snapshot = Snapshot.of(self.store)
        last_id = 0 if snapshot is None else snapshot.last_event_id
        if isinstance(self.store, SqliteStore):
            with suppress(StoreError):
                self.store.maintenance.checkpoint()  # a file that was moved is whole without the log it left behind
        self.store.close()
        logger.warning("%s or its log was deleted or replaced: the file that is there now is used", self._path)
        try:
            store = self._open()
            self._use(store)
            self._record_again(store, recent, last_id)
        except StoreError as error:  # also if it is only locked: the outcomes of the last second must not wait
            with suppress(StoreError):
                self.store.close()
            self._fall_back(error, snapshot or Snapshot.read(self._path, self._known()))
            if self.interim is not None:
                with suppress(StoreError), closing(open_sqlite_read_only(self._path)) as there:
                    recent = missing_from(there, recent, last_id)
                self.interim.outcomes.spool_counted(recent)

    def _record_again(self, store: SqliteStore, entries: list[Entry], last_id: int) -> None:
        """Record the outcomes of the last second, unless the file has them: it may be a copy made within it."""
        try:
            store.outcomes.record_many(missing_from(store, entries, last_id))
        except StoreBusyError as error:
            self.backlog.add(store, entries, str(error))

    def _renew(self) -> None:
        """Start over in a forked child: a thread of the parent may hold the lock, and what waits is the parent's."""
        self._lock, self._changing = threading.RLock(), threading.Lock()
        self.backlog.renew()


def _is_busy(error: StoreError | None) -> bool:
    return isinstance(error, StoreBusyError)


def _last_changed(path: str) -> float:
    """Return when the file at ``path`` was written to or put there, as a Unix time; 0 if there is none."""
    try:
        return Path(path).stat().st_ctime
    except OSError:
        return 0.0


def _content(path: str) -> _Identity | None:
    """Return what changes when a file that no process has open is repaired or replaced; None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
