"""Roles that answer from a snapshot while the database fails, and write nothing."""

# ruff: noqa: ARG002 - the signatures are those of the roles

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Self

from modelperf_plugin.errors import StoreError, StoreFailedError
from modelperf_plugin.store.ab_tests import DrawnDecisions, Stake, StoredContest, StoredTest
from modelperf_plugin.store.edits import Edited, Selection
from modelperf_plugin.store.entries import DroppedStep
from modelperf_plugin.store.exchange import Attached, EventRow, ImportRecord, Merged, Prior, Step, Sums
from modelperf_plugin.store.main_store import Database
from modelperf_plugin.store.roles import EVERYTHING, Span
from modelperf_plugin.store.store import Store
from modelperf_plugin.store.watches import Baseline, Change, Demotion, Direction, Event, Revision, WatchKey, WatchState
from modelperf_plugin.values import Durations, LaterTries, Outcome, Tally, Tried


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was known when SQLite failed."""

    tallies: list[Tally]
    later: Mapping[str, Mapping[str, Mapping[Tried, LaterTries]]] = field(default_factory=dict)
    """Later tries by task type, model, and what had failed before."""
    last_event_id: int = 0
    last_edit: int = 0
    changes: list[Change] = field(default_factory=list)
    baselines: dict[tuple[str, str], Baseline] = field(default_factory=dict)
    durations: dict[tuple[str, str], Durations] = field(default_factory=dict)
    """How long tasks took; nothing has faded."""
    demotions: list[Demotion] = field(default_factory=list)
    watch_states: tuple[int | None, list[WatchState]] = (None, [])
    tests: list[StoredTest] = field(default_factory=list)
    attachments: list[Attached] = field(default_factory=list)
    merged: list[Merged] = field(default_factory=list)
    priors: list[Prior] = field(default_factory=list)

    @classmethod
    def of(cls, store: Store) -> Self:
        """Return what ``store`` holds."""
        tallies = store.tallies.all()
        names = {tally.task_type for tally in tallies if tally.later_successes or tally.later_failures}
        return cls(
            tallies=tallies,
            later={name: store.tallies.later(name) for name in names},
            last_event_id=store.events.last_id(),
            last_edit=store.editing.last_edit(),
            changes=store.changes.all(),
            baselines=store.tallies.baselines(),
            durations=store.tallies.durations(EVERYTHING, 0, 0.0),
            demotions=store.demotions.all(),
            watch_states=store.watch_states.load(),
            tests=store.ab_tests.all(),
            attachments=store.attachments.all(),
            merged=store.merged.all(),
            priors=store.merged.priors(),
        )

    @classmethod
    def read(cls, database: Database, known: Self | None = None) -> Self:
        """Return what ``database`` holds or, if it cannot be read, what is ``known``."""
        try:
            reader = database.open_to_read()
            try:
                return cls.of(reader)
            finally:
                reader.close()
        except (StoreError, OSError, sqlite3.Error):
            return known or cls(tallies=[])


class _Refusing:
    """A role that cannot write while the database fails."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def _refuse(self) -> NoReturn:
        raise StoreFailedError(self._reason)


class SuspendedEvents(_Refusing):
    """No events: watches see outcomes once they are in the database."""

    def __init__(self, snapshot: Snapshot, reason: str) -> None:
        super().__init__(reason)
        self._last_id = snapshot.last_event_id

    def after(self, event_id: int, limit: int) -> list[Event]:
        return []

    def last_id(self) -> int:
        return self._last_id

    def revised_after(self, number: int, limit: int) -> list[Revision]:
        return []

    def last_revision(self) -> int:
        return 0

    def long_outages(self, after_id: int, until_id: int, now_ms: int) -> list[Event]:
        return []

    def mark_back(self, model_id: str, event_id: int) -> None:
        self._refuse()

    def back(self) -> dict[str, int]:
        return {}

    def drop(self, before_ms: int, after_id: int = 0) -> DroppedStep:
        return DroppedStep(0, 0, after_id, at_end=True)


class SuspendedEditing(_Refusing):
    """Nothing is edited while the database fails."""

    def __init__(self, snapshot: Snapshot, reason: str) -> None:
        super().__init__(reason)
        self._last_edit = snapshot.last_edit

    def count(self, selection: Selection) -> Edited:
        self._refuse()

    def forget(self, selection: Selection, edited_ms: int) -> Edited:
        self._refuse()

    def rename_task_type(self, old: str, new: str, edited_ms: int) -> Edited:
        self._refuse()

    def rename_model(self, old: str, new: str, edited_ms: int, fingerprint: Callable[[str, bool, str], str]) -> Edited:
        self._refuse()

    def unannounce(self, model_id: str, edited_ms: int) -> bool:
        self._refuse()

    def last_edit(self) -> int:
        return self._last_edit


class FrozenChanges:
    """Changes as they were; new ones are detected once the database works."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._changes = snapshot.changes

    def all(self) -> list[Change]:
        return self._changes

    def add(
        self,
        model_id: str,
        direction: Direction,
        events: tuple[int, int],
        moments_ms: tuple[int, int],
        evidence: float | None,
        rates: Mapping[str, float],
    ) -> bool:
        return False


class FrozenDemotions:
    """Demotions as they were."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._demotions = snapshot.demotions

    def all(self, *, in_force: bool = False) -> list[Demotion]:
        return [demotion for demotion in self._demotions if demotion.ended_ms is None or not in_force]

    def add(self, task_type: str, model_id: str, since_ms: int, threshold: float, evidence: float, reason: str) -> bool:
        return False

    def end(self, task_type: str, model_id: str, ended_ms: int, ended_by: str) -> bool:
        return False


class FrozenWatchStates:
    """The states of watches as they were: watches pause."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._saved = snapshot.watch_states

    def claim(self, holder: str, seconds: float) -> bool:
        return True

    def load(self) -> tuple[int | None, list[WatchState]]:
        return self._saved

    def load_models(self) -> tuple[int | None, list[WatchState]]:
        position, states = self._saved
        return position, [each for each in states if not each.task_type]

    def load_pair(self, task_type: str, model_id: str) -> tuple[int | None, list[WatchState]]:
        position, states = self._saved
        return position, [each for each in states if each[1:3] == (task_type, model_id)]

    def save(self, event_id: int, states: Iterable[WatchState], ended: Iterable[WatchKey] = ()) -> None:
        pass


class FrozenABTests(_Refusing):
    """A/B tests as they were: their sides stay, and outcomes count for them once the database works."""

    def __init__(self, snapshot: Snapshot, reason: str) -> None:
        super().__init__(reason)
        self._tests = snapshot.tests

    def all(self, task_type: str | None = None, *, ended: bool = False) -> list[StoredTest]:
        return [test for test in self._tests if task_type in {None, test.task_type}]

    def begin(self, test: StoredTest, *, named: bool = True) -> StoredTest:
        self._refuse()

    def advance(
        self,
        test_id: int,
        unit: int | None,
        step: Callable[[StoredTest], Sequence[StoredContest]],
        stakes: Callable[[], tuple[str, int, Mapping[str, Stake]] | None] = lambda: None,
    ) -> StoredTest | None:
        self._refuse()

    def revise(
        self,
        decision_id: str | None,
        outcome_id: str | None,
        step: Callable[[StoredTest, Mapping[str, Stake], Outcome], tuple[Sequence[StoredContest], Mapping[str, Stake]]],
    ) -> StoredTest | None:
        self._refuse()

    def drawn(self, test_id: int, now_ms: int) -> list[DrawnDecisions]:
        return []

    def end(self, task_type: str, ended_ms: int) -> int:
        self._refuse()


class SuspendedImports(_Refusing):
    """Imports wait for the database."""

    def all(self, kind: str | None = None) -> list[ImportRecord]:
        return []

    def pair_id(self, task_type: str, model_id: str) -> int:
        self._refuse()

    def add_events(
        self, step: Step, rows: Sequence[EventRow], outcome_ids: Sequence[str | None] = ()
    ) -> tuple[int, int] | None:
        self._refuse()

    def add_sums(self, step: Step, sums: Sequence[Sums], *, once: bool = False) -> bool:
        self._refuse()

    def add_some_sums(self, step: Step, sums: Sequence[Sums]) -> int | None:
        self._refuse()

    def remove_some_sums(self, step: Step, limit: int) -> int | None:
        self._refuse()

    def archive(self, import_id: int, compress: Callable[[], str]) -> bool:
        self._refuse()


class FrozenAttachments(_Refusing):
    """Attached databases as they were."""

    def __init__(self, snapshot: Snapshot, reason: str) -> None:
        super().__init__(reason)
        self._attachments = snapshot.attachments

    def all(self) -> list[Attached]:
        return self._attachments

    def add(self, attached: Attached) -> None:
        self._refuse()

    def remove(self, path: str) -> bool:
        self._refuse()


class FrozenMerged(_Refusing):
    """Merged experience as it was."""

    def __init__(self, snapshot: Snapshot, reason: str) -> None:
        super().__init__(reason)
        self._merged = snapshot.merged
        self._priors = snapshot.priors
        self._by_task_type: dict[str, list[Prior]] = {}
        for prior in snapshot.priors:
            self._by_task_type.setdefault(prior.tally.task_type, []).append(prior)
        self._task_types = sorted(self._by_task_type)

    def origin(self) -> str:
        self._refuse()

    def all(self) -> list[Merged]:
        return self._merged

    def version(self) -> tuple[float, ...]:
        return (-1.0,) if self._priors else (0.0,)

    def priors(self, within: Span | None = None) -> list[Prior]:
        if within is None:
            return self._priors
        names = self._task_types[bisect_left(self._task_types, within[0]) : bisect_right(self._task_types, within[1])]
        return [prior for task_type in names for prior in self._by_task_type[task_type]]

    def task_types(self, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        names = self._task_types
        start = bisect_right(names, after[1])
        return [(1, name) for name in names[start : start + limit]]

    def add(self, source: Merged, tallies: Iterable[Tally], *, replaces: str | None = None) -> None:
        self._refuse()

    def remove(self, name: str) -> bool:
        self._refuse()
