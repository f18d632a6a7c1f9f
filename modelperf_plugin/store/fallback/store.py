"""A store that goes on when SQLite does not, and makes up for it when SQLite works again."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from modelperf_plugin.errors import StoreDamagedError, StoreError, StoreFailedError
from modelperf_plugin.store import forks
from modelperf_plugin.store.decisions import DecisionOutcome, DecisionRecord, DecisionSummary, LoggedDecision
from modelperf_plugin.store.exchange import Exchange
from modelperf_plugin.store.fallback import spool as json_file
from modelperf_plugin.store.fallback.interim import Interim, Known
from modelperf_plugin.store.roles import ABTestStore, CountedProblem, DroppedStep, Entry, Finding, Monitoring
from modelperf_plugin.store.sqlite.file import Durability
from modelperf_plugin.store.sqlite.store import SqliteStore
from modelperf_plugin.store.trends import Trends
from modelperf_plugin.values import Tally

logger = logging.getLogger("modelperf_plugin")

LOOK_SECONDS: Final = 1.0
"""How often a store looks whether its file is still the one that it has open."""
_SHORTEST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0

_T = TypeVar("_T")
_Identity = tuple[int, ...]


class SteadyStore:
    """Keeps outcomes in an SQLite file and, as long as that cannot be used, in files of JSON beside it.

    See :class:`~modelperf_plugin.store.roles.Store` for the promises. What differs while SQLite cannot be used: choices
    go on from what was known and from what comes in; outcomes of other processes in the same state count within a
    second; the watches over models pause. SQLite is tried again after a pause that grows from 1 second to 60, and
    all outcomes are moved over, each batch once.

    A database that another process has locked is no such case, nor is one that is not ours: these are errors.
    """

    read_only = False

    def __init__(self, path: str, *, durability: Durability = "normal") -> None:
        """Open the file at ``path``, or go on without it.

        Raises:
            StoreError: it is locked, from a newer version or another program's.
        """
        self.location = path
        """The path of the file, as it was given."""
        self._path = str(Path(path).absolute())  # a host may change its working directory
        self._durability: Durability = durability
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._closed = False
        self._known: dict[str, Mapping[str, Tally]] = {}
        self._recent: deque[Entry] = deque()
        self._identity: _Identity | None = None
        self._damage: _Identity | None = None
        self._look_at = 0.0
        self._try_at = 0.0
        self._pause_seconds = _SHORTEST_PAUSE_SECONDS
        self._fault: StoreError | None = None
        self._interim: Interim | None = None
        self.monitoring = cast("Monitoring", _Part(self._ask, "monitoring"))
        """What watches over models use."""
        self.trends = cast("Trends", _Part(self._ask, "trends"))
        """What is looked at over time."""
        self.ab_tests = cast("ABTestStore", _Part(self._ask, "ab_tests"))
        """What A/B tests use."""
        self.exchange = cast("Exchange", _Part(self._ask, "exchange"))
        """What comes from elsewhere."""
        try:
            self._use(self._open())
        except StoreFailedError as error:
            self._fall_back(error)
        forks.watch(self)

    @property
    def degraded(self) -> str | None:
        """Why SQLite cannot be used; None if it can."""
        return None if self._fault is None else str(self._fault)

    def record(self, entry: Entry) -> bool:
        """Write one outcome; return False if its ``outcome_id`` is known already and nothing was written."""
        if self._interim is None:
            store = self._store
            try:
                if time.monotonic() >= self._look_at:
                    self._look()
                    store = self._store
                new = store.record(entry)
                self._recent.append(entry)
            except StoreError as error:
                if not self._gave_way(store, error):
                    raise
            else:
                return new
        return self._ask(lambda store: store.record(entry))

    def record_many(self, entries: Iterable[Entry]) -> int:
        """Write many outcomes in one transaction; return how many were new."""
        entries = list(entries)
        if self._interim is None and time.monotonic() >= self._look_at:
            self._ask(lambda _: self._look())
        new = self._ask(lambda store: store.record_many(entries))
        if self._interim is None:
            self._recent.extend(entries)
        return new

    def evidence(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id, for reading only; models without outcomes are not in it."""
        if self._interim is None:
            store = self._store
            try:
                if time.monotonic() >= self._look_at:
                    self._look()
                    store = self._store
                known = self._known[task_type] = store.evidence(task_type)
            except StoreError as error:
                if not self._gave_way(store, error):
                    raise
            else:
                return known
        return self._ask(lambda store: store.evidence(task_type))

    def tallies(self) -> list[Tally]:
        """Return the tallies of all task types, sorted by task type and model."""
        return self._ask(lambda store: store.tallies())

    def log_decisions(self, made: Iterable[DecisionRecord], ended: Iterable[DecisionOutcome]) -> None:
        """Keep decisions, then join outcomes to these and to older ones, in one transaction."""
        made, ended = list(made), list(ended)
        self._ask(lambda store: store.log_decisions(made, ended))

    def decision(self, decision_id: str) -> LoggedDecision | None:
        """Return a decision that was kept, or None."""
        return self._ask(lambda store: store.decision(decision_id))

    def decisions_like(self, prefix: str, limit: int = 10) -> list[LoggedDecision]:
        """Return decisions whose id starts with ``prefix``, by id."""
        return self._ask(lambda store: store.decisions_like(prefix, limit))

    def decisions(
        self, task_type: str | None = None, since_ms: int | None = None, limit: int = 100
    ) -> list[LoggedDecision]:
        """Return the newest decisions that were kept, newest first: of ``task_type``, made at ``since_ms`` or later."""
        return self._ask(lambda store: store.decisions(task_type, since_ms, limit))

    def decision_summary(self, now_ms: int) -> DecisionSummary:
        """Return how many decisions were kept, have their outcome, wait for it, or are overdue at ``now_ms``."""
        return self._ask(lambda store: store.decision_summary(now_ms))

    def forget_decisions(self, before_ms: int) -> int:
        """Forget the oldest decisions made before ``before_ms``, a thousand at most; return how many these were."""
        return self._ask(lambda store: store.forget_decisions(before_ms))

    def drop_events(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        """Drop what ended before ``before_ms`` among the next thousand events after ``after_id``; tallies stay."""
        return self._ask(lambda store: store.drop_events(before_ms, after_id))

    def add_problem(self, problem: CountedProblem) -> None:
        """Add a failure to those of its kind."""
        self._ask(lambda store: store.add_problem(problem))

    def problems(self) -> list[CountedProblem]:
        """Return the failures counted so far, newest first."""
        return self._ask(lambda store: store.problems())

    def clear_problems(self) -> None:
        """Forget the failures counted so far."""
        self._ask(lambda store: store.clear_problems())

    def check(self) -> list[Finding]:
        """Look at the health of the file; reads all of it."""
        findings = self._ask(lambda store: store.check())
        fault = self._fault
        if fault is None:
            return findings
        return [*findings, Finding("degraded", ok=False, message=f"{_sentence(fault)}. Outcomes wait in JSON files.")]

    def close(self) -> None:
        """Move over what can be moved and let go of everything; closing twice is fine."""
        with self._lock:
            if self._interim is not None and not self._closed:
                self._try_again()
            self._closed = True
            self._store.close()

    def before_fork(self) -> None:
        """Do nothing: the store in use is told by itself."""

    def after_fork(self) -> None:
        """Begin with a lock of our own in the child: a thread that is not there may hold it."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        # what only some stores can do: asked of the one in use, which gives way to no other
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._store, name)

    def _ask(self, action: Callable[[SqliteStore], _T]) -> _T:
        """Return what ``action`` returns, asked of the store in use; again, if that one has just given way."""
        while True:
            if self._interim is not None and time.monotonic() >= self._try_at:
                self._try_again()
            store = self._store
            try:
                return action(store)
            except StoreError as error:
                if not self._gave_way(store, error):
                    raise

    def _gave_way(self, store: SqliteStore, error: StoreError) -> bool:
        """Return whether another store is in use now, or takes over because of ``error``."""
        with self._lock:
            if self._closed:
                return False
            if store is not self._store:
                return True
            if self._interim is not None or not (isinstance(error, StoreFailedError) or store.closed):
                return False
            self._fall_back(error)
            return True

    def _open(self) -> SqliteStore:
        return SqliteStore(self._path, durability=self._durability)

    def _use(self, store: SqliteStore) -> None:
        """Work with ``store`` from now on, and take in what other processes have left for it."""
        self._store = store
        self._identity = _identity(self._path)
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._recent.clear()
        for place in json_file.places(self._path):
            for path in place.batches():
                _collect(store, place, path)

    def _fall_back(self, error: StoreError, known: Known | None = None) -> None:
        """Go on without SQLite, from what is ``known``: by default, from what the file still tells."""
        store: SqliteStore | None = self.__dict__.get("_store")
        known = known or Known.read(self._path, self._known)
        if store is not None:
            with suppress(StoreError):
                store.close()
        interim = Interim(self._path, known, str(error), sync=self._durability == "full")
        now_ms = time.time_ns() // 1_000_000
        interim.add_problem(CountedProblem("the store", str(error), 1, now_ms, now_ms))
        self._store, self._fault = interim, error
        self._interim = interim
        self._damage = _content(self._path)
        self._later()
        logger.error("%s. Going on without the database: outcomes wait in %s", _sentence(error), interim.where)

    def _later(self) -> None:
        self._try_at = time.monotonic() + self._pause_seconds
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    def _try_again(self) -> None:
        """Use SQLite again, if it works; one thread tries, the others go on."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            interim = self._interim
            if interim is None or self._closed:
                return
            self._later()
            if isinstance(self._fault, StoreDamagedError) and _content(self._path) == self._damage:
                return  # it stays damaged until somebody repairs or replaces it
            store = self._open()
            try:
                moved = interim.move_to(store)
            except BaseException:
                store.close()
                raise
            self._use(store)
            self._fault = self._interim = None
            self._pause_seconds = _SHORTEST_PAUSE_SECONDS
            logger.warning("%s works again: %d outcomes that waited were moved into it", self._path, moved)
        except StoreError as error:
            logger.debug("%s cannot be used yet: %s", self._path, error)
        finally:
            self._lock.release()

    def _look(self) -> None:
        """Notice that the file was deleted, moved or replaced: what is written to the old one is lost."""
        with self._lock:
            self._look_at = time.monotonic() + LOOK_SECONDS
            recent = list(self._recent)
            self._recent.clear()
            if self._interim is not None or _identity(self._path) == self._identity:
                return
            known: Known | None = None
            with suppress(StoreError):
                known = Known.of(self._store)
            self._store.close()
            logger.warning("%s was deleted or replaced: going on with what is there now", self._path)
            try:
                self._use(self._open())
                self._store.record_many(recent)
            except StoreError as error:  # also if it is only locked: the outcomes of the last second must not wait
                self._fall_back(error, known)
                if self._interim is not None:
                    self._interim.keep(recent)


class _Part:
    """A part of the store that is in use at that moment."""

    def __init__(self, ask: Callable[[Callable[[SqliteStore], object]], object], part: str) -> None:
        self._ask = ask
        self._part = part

    def __getattr__(self, name: str) -> Callable[..., object]:
        def ask(*arguments: object, **options: object) -> object:
            return self._ask(lambda store: getattr(getattr(store, self._part), name)(*arguments, **options))

        return ask


def _collect(store: SqliteStore, place: json_file.Place, path: Path) -> None:
    """Move a batch into ``store`` that a process which is gone has left, or another one is done with."""
    descriptor = json_file.claim(path)
    if descriptor is None:
        return
    try:
        batch = json_file.read_batch(path)
        if batch is not None:
            moved = store.take_over(batch.batch_id, batch.entries)
            if place.summary.exists() and place.batches() == [path]:
                json_file.remove_summary(place)
            path.unlink()
            if moved:
                logger.warning("%d outcomes that waited in %s were moved into %s", moved, path, store.location)
    except (OSError, StoreError) as error:
        logger.warning("%s could not be moved into %s: %s", path, store.location, error)
    finally:
        os.close(descriptor)


def _identity(path: str) -> _Identity | None:
    """Return what tells an open file from another one that takes its place at ``path``; None if there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _content(path: str) -> _Identity | None:
    """Return what changes when a file that nobody has open is repaired or replaced; None if there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sentence(error: StoreError) -> str:
    return str(error).rstrip(".")
