"""Which store is in use: the main one or, while that fails, a stand-in for it; and what waits for the main one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Final, TypeVar

from modelperf_plugin.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFailedError
from modelperf_plugin.log import logger
from modelperf_plugin.store import forks
from modelperf_plugin.store.deadline import NO_WAIT, within
from modelperf_plugin.store.entries import CountedProblem, Entry, Recorded
from modelperf_plugin.store.fallback.backlog import Backlog
from modelperf_plugin.store.fallback.frozen import Snapshot
from modelperf_plugin.store.fallback.interim import InterimStore, open_interim
from modelperf_plugin.store.fallback.own_spool import Spool
from modelperf_plugin.store.fallback.remembered import Remembered
from modelperf_plugin.store.fallback.repetition import missing_from
from modelperf_plugin.store.fallback.server import ServerUpkeep
from modelperf_plugin.store.local import local_read
from modelperf_plugin.store.main_store import Database, MainStore
from modelperf_plugin.values.backoff import Backoff
from modelperf_plugin.values.locks import attempt

CHECK_SECONDS: Final = 1.0
"""How often to check that the open file is still the one at its path."""

MOVE_SECONDS: Final = 1.0
"""How long opening and closing spend on moving what waits; the rest is left to the calls that record."""
BUSY_PAUSE_SECONDS: Final = 0.1
"""How often to try to open a file that others keep locked."""

_T = TypeVar("_T")


class Switch:
    """Falls back when the main store fails, and replays what was spooled when it works again.

    Also the connection of the store. The roles ask :attr:`store`, and ask again if it was replaced meanwhile. Only
    opening the main one for the first time, and closing it, wait for others that write.
    """

    read_only = False
    note = None

    def __init__(self, database: Database, patience: float, *, sync: bool) -> None:
        """Open ``database``, or fall back, also if others keep it busy for longer than ``patience`` seconds.

        With ``sync``, a spooled outcome survives a power failure, too.

        Raises:
            StoreError: it is from a newer version or another program's.
        """
        self.location = database.location
        self.store: MainStore | InterimStore
        """The store in use."""
        self.check_at = 0.0
        """When :meth:`check` is due, on the monotonic clock."""
        self.memory = Remembered(lambda: self.interim is None)
        """What the main store returned last."""
        self.recent: deque[Entry] = deque()
        """Outcomes recorded by the main store since the last check."""
        self.interim: InterimStore | None = None
        """The store in use, if it is the stand-in."""
        self._database = database
        self._patience = patience
        self._spool = Spool(database.spool, sync=sync)
        self.backlog = Backlog(database.spool, self._spool)
        """What waits to be moved into the main store."""
        self._lock = threading.RLock()
        self._changing = threading.Lock()
        self._closed = False
        self._damage: object = None
        self._fault: StoreError | None = None
        self._backoff = Backoff()
        self._fell_back_at = 0.0
        self._upkeep = ServerUpkeep(database.spool, self._check_if_due, self._to_keep) if database.is_remote else None
        within(patience, self._start)
        forks.renew(self, Switch._renew)

    @property
    def degraded(self) -> str | None:
        """Why the main store cannot be used; None if it works."""
        return None if self._fault is None else str(self._fault)

    @property
    def is_remote(self) -> bool:
        """Whether the main store is on a server, so that choices read locally."""
        return self._database.is_remote

    @property
    def behind(self) -> float | None:
        """For how many seconds nothing could be read of what other hosts record; None if it can, or there are none."""
        if self.interim is None or not self.is_remote:
            return self.store.connection.behind
        return time.monotonic() - self._fell_back_at

    @property
    def busy(self) -> bool:
        """Whether outcomes wait for the main store."""
        return self.backlog.own_wait

    def ask(self, action: Callable[[MainStore | InterimStore], _T]) -> _T:
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
        """Notice that the main store was deleted or replaced; while it fails, try it again."""
        if self._upkeep is not None and local_read() is not None and self._upkeep.wake():
            return  # a choice does not wait for a server
        if self.interim is None:
            within(NO_WAIT, partial(self._try, self._check_identity))
        elif self._backoff.due:
            within(NO_WAIT, partial(self._try, self._retry))

    def _check_if_due(self) -> None:
        if time.monotonic() >= self.check_at:
            self.check()

    def _to_keep(self) -> Snapshot | None:
        """Return what is known of the main store, for processes that start while it is away."""
        return self.memory.snapshot() if self.interim is None else None

    def _try(self, change: Callable[[], None]) -> None:
        """Change the store in use, unless another thread does, or the code that a signal handler interrupted."""
        attempt(self._changing, partial(attempt, self._lock, change))

    def move_waiting(self) -> bool:
        """Take one step of moving what waits into the main store; return False if others are writing."""
        return within(NO_WAIT, self._move_next)

    def postpone(
        self, entries: Sequence[Entry], store: MainStore | InterimStore, error: StoreBusyError | None = None
    ) -> list[Recorded] | None:
        """Spool outcomes, because of ``error`` or behind others; return what each of them changes.

        None if ``store`` is no longer in use: ask the other one.
        """
        with self._lock:
            if store is not self.store:
                return None
            store.connection.ensure_open()
            if not isinstance(store, MainStore):
                raise error or StoreBusyError(f"{self.location} is busy")
            return self.backlog.add(store, entries, str(error or "earlier outcomes wait"))

    def record_doubtful(self, entries: Sequence[Entry], receipt: str) -> list[Recorded]:
        """Spool outcomes of which nobody knows whether they are stored, after falling back because of that."""
        with self._lock:
            if self.interim is None:  # another thread has seen the main store work again
                return self.backlog.add_doubtful(entries, receipt)
            return self.interim.outcomes.record_doubtful(entries, receipt)

    def handle(self, error: StoreError, store: MainStore | InterimStore) -> None:
        """Fall back because of a failure of ``store``; raise ``error`` if asking again would not help."""
        with self._lock:
            if self._closed:
                raise error
            if store is not self.store:
                return
            if self.interim is not None or not (isinstance(error, StoreFailedError) or store.connection.closed):
                raise error
            snapshot = Snapshot.read(self._database, self.memory.snapshot())
            with suppress(StoreError):
                store.close()
            self._fall_back(error, snapshot)

    def close(self) -> None:
        """Move what can be moved, and release everything; closing twice is fine."""
        if self._upkeep is not None and not self._closed:
            self._upkeep.close(self._patience)
        with self._lock:
            if not self._closed:
                within(self._patience, self._finish)
            is_away = self.interim is not None and not self._closed
            self._closed = True
            self.store.close()
            for batch_id, entries in self._database.unsettled() if is_away else ():
                self._spool.append(entries, batch_id=batch_id)
            self._database.close()
            self._spool.release()

    def _start(self) -> None:
        try:
            self._use(self._database.open())
        except (StoreFailedError, StoreBusyError) as error:
            kept = None if self._upkeep is None else self._upkeep.read()
            self._fall_back(error, Snapshot.read(self._database, None if kept is None else kept[0]))
            if kept is not None:
                self._fell_back_at -= kept[1]
        else:
            self._move_all()

    def _finish(self) -> None:
        if self.interim is not None:
            self._retry()
        with suppress(StoreError):  # it waits for the next process
            self._move_all()
            while self.backlog.is_only_in_memory and self._move_next():
                pass

    def _move_all(self) -> None:
        """Move what waits, for a limited time; others that write are waited for as long as the deadline permits."""
        until = time.monotonic() + max(self._patience, MOVE_SECONDS)
        while self.backlog.waits and time.monotonic() < until and self._move_next():
            pass

    def _move_next(self) -> bool:
        """Take one step of moving what waits; return whether it could be taken."""
        store = self.store
        moved = self.backlog.move_next(store) if isinstance(store, MainStore) else None
        if moved:
            self.recent.extend(moved)
        return moved is not None

    def _use(self, store: MainStore) -> None:
        """Use the main store from now on."""
        self.store = store
        self.check_at = time.monotonic() + CHECK_SECONDS
        self.recent.clear()
        self.backlog.find_batches_of_others()

    def _fall_back(self, error: StoreError, snapshot: Snapshot) -> None:
        """Use a stand-in from now on, which begins with ``snapshot``."""
        self.backlog.hand_over()
        where = self._spool.begin(str(error))
        interim = open_interim(self._database.spool, snapshot, str(error), self._spool)
        if not _is_busy(error):
            now_ms = time.time_ns() // 1_000_000
            interim.problems.add(CountedProblem("the store", str(error), 1, now_ms, now_ms))
        self._fell_back_at = time.monotonic()
        self.store = self.interim = interim
        self.check_at = 0.0
        self._begin_back_off(error)
        log = logger.warning if _is_busy(error) else logger.error
        log("%s. Continuing without the database: outcomes wait in %s", str(error).rstrip("."), where)

    def _begin_back_off(self, error: StoreError) -> None:
        """Wait before the main store is tried again: longer each time, but not if it is only busy."""
        self._fault = error
        self._damage = self._database.content()
        self._backoff = Backoff(BUSY_PAUSE_SECONDS, BUSY_PAUSE_SECONDS) if _is_busy(error) else Backoff()
        self._backoff.failed()

    def _retry(self) -> None:
        """Use the main store again if it works."""
        interim = self.interim
        if interim is None or self._closed:
            return
        self._backoff.failed()
        if isinstance(self._fault, StoreDamagedError) and self._database.content() == self._damage:
            return  # it stays damaged until somebody repairs or replaces it
        try:
            waiting = self._spool.outcomes
            self._use_instead_of(interim)
            self._backoff.succeeded()
            logger.warning("%s works again: %d spooled outcomes are moved into it", self.location, waiting)
        except StoreError as error:
            logger.debug("%s cannot be used yet: %s", self.location, error)
            if _is_busy(self._fault) and not _is_busy(error):
                self._begin_back_off(error)

    def _use_instead_of(self, interim: InterimStore) -> None:
        """Use the main store, which must be able to take a part of what waits at least, unless it is busy.

        Until the stand-in is finished it stays the one to be replaced, so what is interrupted is done again.
        """
        store = self._database.open()
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

    def _check_identity(self) -> None:
        """Open what is at the place by now: what is written to a deleted file is lost."""
        # what was recorded later than that would have led to this check
        recorded_by = time.time() - (time.monotonic() - self.check_at if self.check_at else 0.0)
        self.check_at = time.monotonic() + CHECK_SECONDS
        recent = list(self.recent)
        self.recent.clear()
        if self._closed or self.interim is not None or self._database.is_current(self.store):
            return
        if recorded_by < self._database.last_changed() - CHECK_SECONDS:
            recent = []  # they were in the file that was replaced on purpose
        snapshot: Snapshot | None = None
        with suppress(StoreError):
            snapshot = Snapshot.of(self.store)
        last_id = 0 if snapshot is None else snapshot.last_event_id
        self._database.settle(self.store)
        self.store.close()
        logger.warning("%s or its log was deleted or replaced: the file that is there now is used", self.location)
        try:
            store = self._database.open()
            self._use(store)
            self._record_again(store, recent, last_id)
        except StoreError as error:  # also if it is only locked: the outcomes of the last second must not wait
            with suppress(StoreError):
                self.store.close()
            self._fall_back(error, snapshot or Snapshot.read(self._database, self.memory.snapshot()))
            if self.interim is not None:
                with suppress(StoreError), closing(self._database.open_to_read()) as there:
                    recent = missing_from(there, recent, last_id)
                self.interim.outcomes.spool_counted(recent)

    def _record_again(self, store: MainStore, entries: list[Entry], last_id: int) -> None:
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
