"""What stands in for the database meanwhile: counts in memory, outcomes in files of JSON."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from modelperf_plugin.errors import StoreError, StoreFailedError
from modelperf_plugin.store.ab_tests import StoredTest
from modelperf_plugin.store.decisions import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.exchange import Attached, ImportRecord, Merged, Prior
from modelperf_plugin.store.fallback import spool as json_file
from modelperf_plugin.store.roles import Entry, Monitoring
from modelperf_plugin.store.sqlite.file import MEMORY
from modelperf_plugin.store.sqlite.reading import ReadingStore
from modelperf_plugin.store.sqlite.store import SqliteStore
from modelperf_plugin.store.watches import Baseline, Change, Demotion, Event, Faded, WatchState
from modelperf_plugin.values import Tally

logger = logging.getLogger("modelperf_plugin")

FOLLOW_SECONDS: Final = 1.0
"""How soon outcomes of other processes that go on without SQLite count; as often the summary is written."""
_MOST_DECISIONS: Final = 1_000
_ID_BYTES: Final = 8

_Decisions = tuple[list[DecisionRecord], list[DecisionOutcome]]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What was known when SQLite failed. As the watches see it: while there is no database, nothing new happens."""

    tallies: list[Tally] = field(default_factory=list)
    newest_event_id: int = 0
    noted_changes: list[Change] = field(default_factory=list)
    noted_baselines: dict[tuple[str, str], Baseline] = field(default_factory=dict)
    noted_demotions: list[Demotion] = field(default_factory=list)
    left_watches: tuple[int | None, list[WatchState]] = (None, [])
    noted_tests: list[StoredTest] = field(default_factory=list)
    attached: list[Attached] = field(default_factory=list)
    merged: list[Merged] = field(default_factory=list)
    priors: list[Prior] = field(default_factory=list)
    own: Monitoring | None = None
    """That of the store in memory, for what is known of the days."""

    @classmethod
    def of(cls, store: SqliteStore) -> Self:
        """Return what ``store`` tells."""
        watching = store.monitoring
        return cls(
            tallies=store.tallies(),
            newest_event_id=watching.last_event_id(),
            noted_changes=watching.changes(),
            noted_baselines=watching.baselines(),
            noted_demotions=watching.demotions(),
            left_watches=watching.watches(),
            noted_tests=store.ab_tests.tests(),
            attached=store.exchange.attached(),
            merged=store.exchange.merged(),
            priors=store.exchange.priors(),
        )

    @classmethod
    def read(cls, path: str, remembered: Mapping[str, Mapping[str, Tally]]) -> Self:
        """Return what the file at ``path`` still tells, and what is ``remembered`` of it, by task type, if nothing."""
        try:
            reader = ReadingStore(path)
        except (StoreError, OSError):
            return cls(tallies=[tally for models in remembered.values() for tally in models.values()])
        try:
            return cls.of(reader)
        except (StoreError, sqlite3.Error):
            return cls(tallies=[tally for models in remembered.values() for tally in models.values()])
        finally:
            reader.close()

    def events_after(self, event_id: int, limit: int) -> list[Event]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: what comes in is looked at when it is in the database."""
        return []

    def last_event_id(self) -> int:
        """Return the number of the newest outcome in the database."""
        return self.newest_event_id

    def changes(self) -> list[Change]:
        """Return the changes of models, newest first."""
        return self.noted_changes

    def add_change(self, *_: Any, **__: Any) -> bool:
        """Note nothing."""
        return False

    def baselines(self) -> dict[tuple[str, str], Baseline]:
        """Return the counts from before the last change of each model."""
        return self.noted_baselines

    def faded(self, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        """Return what outcomes weigh; those from before are all dated to the day on which their pair was last used."""
        if self.own is None:
            return {}
        weighed = self.own.faded(today, half_life_days)
        return {pair: each for pair, each in weighed.items() if pair not in self.noted_baselines}

    def demotions(self, *, in_force: bool = False) -> list[Demotion]:
        """Return the demotions, newest first."""
        return [each for each in self.noted_demotions if each.ended_ms is None or not in_force]

    def add_demotion(self, *_: Any, **__: Any) -> bool:
        """Demote nobody."""
        return False

    def end_demotion(self, *_: Any, **__: Any) -> bool:
        """Reinstate nobody."""
        return False

    def watches(self) -> tuple[int | None, list[WatchState]]:
        """Return the states of the watches, as they were left."""
        return self.left_watches

    def save_watches(self, *_: Any, **__: Any) -> None:
        """Save nothing: the watches do not move."""


class _KnownTests:
    """A/B tests as they were: their sides hold, and their evidence comes when there is a database again."""

    def __init__(self, known: list[StoredTest], reason: str) -> None:
        self._known = known
        self._reason = reason

    def tests(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:  # noqa: ARG002
        return [test for test in self._known if task_type in {None, test.task_type}]

    def begin(self, *_: Any) -> StoredTest:
        raise StoreFailedError(self._reason)

    def advance(self, *_: Any) -> StoredTest | None:
        raise StoreFailedError(self._reason)

    def end(self, *_: Any) -> int:
        raise StoreFailedError(self._reason)


class _KnownExchange:
    """What came from elsewhere, as it was; nothing more can come while there is no database."""

    def __init__(self, known: Known, reason: str) -> None:
        self._known = known
        self._reason = reason

    def attached(self) -> list[Attached]:
        return self._known.attached

    def merged(self) -> list[Merged]:
        return self._known.merged

    def merged_version(self) -> tuple[float, ...]:
        return (-1.0,) if self._known.priors else (0.0,)

    def priors(self) -> list[Prior]:
        return self._known.priors

    def imports(self, kind: str | None = None) -> list[ImportRecord]:  # noqa: ARG002 - the protocol's signature
        return []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise StoreFailedError(self._reason)


class Interim(SqliteStore):
    """A store in memory that begins with what was known, and keeps what is new to it in files of JSON."""

    def __init__(self, path: str, known: Known, reason: str, *, sync: bool) -> None:
        """Stand in for the database at ``path``; with ``sync`` outcomes are on the disk before they are acknowledged.

        Nothing here fails for the lack of a disk: where nothing can be written, outcomes wait in memory.
        """
        super().__init__(MEMORY)
        self._header = {"database": os.path.abspath(path), "reason": reason}  # noqa: PTH100 - of a path that may be gone
        self._sync = sync
        self._known = {(tally.task_type, tally.model_id): tally for tally in known.tallies}
        self._all_places = json_file.places(path)
        self._ids: set[str] = set()
        self._begin()
        self._decisions: deque[_Decisions] = deque(maxlen=_MOST_DECISIONS)
        self._follower = json_file.Follower()
        self._follow_at = 0.0
        self.stand_in(known.tallies)
        self.monitoring = replace(known, own=self.monitoring)  # type: ignore[assignment]
        self.ab_tests = _KnownTests(known.noted_tests, reason)  # type: ignore[assignment]
        self.exchange = _KnownExchange(known, reason)  # type: ignore[assignment]
        self._next_batch()
        self._follow_if_due()

    @property
    def where(self) -> str:
        """Where outcomes wait, for messages."""
        file = self._batches[-1].file
        return "memory only" if file is None else str(file.path)

    def record(self, entry: Entry) -> bool:
        """Keep one outcome; return False if its ``outcome_id`` is known here and nothing was kept."""
        return self.record_many([entry]) == 1

    def record_many(self, entries: Iterable[Entry]) -> int:
        """Keep many outcomes; return how many were new."""
        with self._write_lock:
            self._follow_if_due()
            ids = set(self._ids)
            new = []
            for entry in entries:
                outcome_id = entry.outcome.outcome_id
                if outcome_id is None or outcome_id not in ids:
                    new.append(entry)
                    ids.update(() if outcome_id is None else (outcome_id,))
            super().record_many(new)  # what is not usable fails here
            self._ids = ids
            for entry in new:
                self._keep(entry)
            return len(new)

    def keep(self, entries: Iterable[Entry]) -> None:
        """Keep outcomes that are counted here already, because they were part of what was known."""
        with self._write_lock:
            for entry in entries:
                self._keep(entry)

    def evidence(self, task_type: str) -> Mapping[str, Tally]:
        """Return the tallies of ``task_type`` by model id, for reading only; models without outcomes are not in it."""
        if time.monotonic() >= self._follow_at:
            with self._write_lock:
                self._follow_if_due()
        return super().evidence(task_type)

    def log_decisions(self, made: Iterable[DecisionRecord], ended: Iterable[DecisionOutcome]) -> None:
        """Keep decisions and what came of them in memory; a crash loses them."""
        made, ended = list(made), list(ended)
        super().log_decisions(made, ended)
        self._decisions.append((made, ended))

    def move_to(self, store: SqliteStore) -> int:
        """Move all that waits into ``store``, each batch once, and close; return how many outcomes were new there.

        Raises:
            StoreError: ``store`` does not work yet; what was not moved waits on.
        """
        with self._write_lock:
            self._ensure_open()
            self._sealed = True
            moved = 0
            while self._batches:
                batch = self._batches[0]
                moved += store.take_over(batch.batch_id, batch.entries())
                batch.discard()
                del self._batches[0]
            for made, ended in self._decisions:
                store.log_decisions(made, ended)
            for problem in self.problems():
                store.add_problem(problem)
            for place in self._all_places:
                if not place.batches():
                    json_file.remove_summary(place)
            super().close()
            return moved

    def close(self) -> None:
        """Leave what waits to the next process that can use the database."""
        with self._write_lock:
            if self._closed:
                return
            self._write_summary()
            for batch in self._batches:
                batch.leave()
            self._batches.clear()
            super().close()

    def after_fork(self) -> None:
        """Begin with files of our own in the child: those of the parent stay the parent's."""
        if os.getpid() != self._pid:
            for batch in self._batches:
                if batch.file is not None:
                    batch.file.close()
            self._begin()
            self._decisions.clear()
        super().after_fork()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._places = list(self._all_places)
        self._batches: list[_Waiting] = []
        self._sealed = True
        self._ids = set()

    def _keep(self, entry: Entry) -> None:
        if self._sealed:
            self._next_batch()
        while True:
            try:
                self._batches[-1].append(entry)
            except OSError:
                self._places.pop(0)
                self._next_batch()
                logger.error("outcomes now wait in %s", self.where)  # noqa: TRY400 - the cause is the full disk
            else:
                return

    def _next_batch(self) -> None:
        """Begin a batch in the first place that can be written; once it was tried to move it, a batch stays as it is.

        Whether a commit that failed has happened after all is not known: what came later must not be part of it.
        """
        header = {**self._header, "pid": self._pid, "since_ms": time.time_ns() // 1_000_000}
        batch = _Waiting(os.urandom(_ID_BYTES).hex())
        while self._places:
            try:
                batch.file = json_file.BatchFile(self._places[0], batch.batch_id, header, sync=self._sync)
            except OSError:
                self._places.pop(0)
            else:
                self._follower.skip(batch.file.path)
                break
        self._batches.append(batch)
        self._sealed = False

    def _follow_if_due(self) -> None:
        """Count what other processes have kept, and tell people what waits; the write lock is held."""
        if time.monotonic() < self._follow_at or self._closed:
            return
        for entry in self._follower.news(self._all_places):
            with suppress(StoreError):
                super().record_many([entry])
        self._write_summary()
        self._follow_at = time.monotonic() + FOLLOW_SECONDS

    def _write_summary(self) -> None:
        if self._places:
            waiting = (tally.minus(self._known.get((tally.task_type, tally.model_id))) for tally in self.tallies())
            json_file.write_summary(self._places[0], [tally for tally in waiting if tally.samples])


class _Waiting:
    """A batch of outcomes: in a file or, where nothing can be written, in memory."""

    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id
        self.file: json_file.BatchFile | None = None
        self._entries: list[Entry] = []

    def append(self, entry: Entry) -> None:
        if self.file is None:
            self._entries.append(entry)
        else:
            self.file.append(entry)

    def entries(self) -> list[Entry]:
        if self.file is None:
            return self._entries
        batch = json_file.read_batch(self.file.path)
        return [] if batch is None else batch.entries

    def discard(self) -> None:
        """Delete what was moved; a file that cannot be deleted is known as moved, and deleted later."""
        if self.file is not None:
            with suppress(OSError):
                self.file.path.unlink()
            self.file.close()

    def leave(self) -> None:
        """Let go of it for another process; nothing is left of a batch without outcomes."""
        if self.file is None:
            if self._entries:
                logger.error("%d outcomes are lost: there was nowhere to write them", len(self._entries))
        elif not self.entries():
            self.discard()
        else:
            self.file.close()
