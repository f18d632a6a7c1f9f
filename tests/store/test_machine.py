"""Whatever happens to a store, in whatever order: tallies, roll-up and later tries are as counted by hand."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from math import inf
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store import Entry, open_with_fallback
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.values import ERROR_KINDS, LaterTries, Outcome, Tally, Tried
from tests.store.contract.examples import revised
from tests.store.faults import check_now, copy, switch_of
from tests.store.later import tried_sets

NOON_MS = 1_767_268_800_000
DAY_MS = 86_400_000

entries = st.builds(
    Entry,
    st.sampled_from(["plan", "build"]),
    st.sampled_from(["x", "y", "z"]),
    st.builds(
        Outcome,
        success=st.booleans(),
        timeout=st.booleans(),
        tokens_used=st.integers(0, 2**40),
        cost_usd=st.floats(0, 1000),
        error_kind=st.none() | st.sampled_from(ERROR_KINDS),
        outcome_id=st.none() | st.sampled_from("abcdefgh"),
    ),
    st.integers(NOON_MS - 30 * DAY_MS, NOON_MS),
    st.just(()) | tried_sets,
)


class Life(RuleBasedStateMachine):
    """The life of one store."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp())
        self._path = self._folder / "0.db"
        self._moves = 0
        self._events: list[Entry] = []
        self._dropped: set[int] = set()
        self._numbers: dict[str, int] = {}
        self._imported: dict[tuple[str, str], Tally] = {}
        self._open()

    def _open(self) -> None:
        store = open_with_fallback(self._path)
        self._store = store

    def _count(self, entry: Entry) -> bool:
        """Take in an outcome; return whether it is new, or has another verdict than the one under its id."""
        outcome_id = entry.outcome.outcome_id
        number = None if outcome_id is None else self._numbers.get(outcome_id)
        if number is None:
            if outcome_id is not None:
                self._numbers[outcome_id] = len(self._events)
            self._events.append(entry)
            return True
        changed = None if number in self._dropped else revised(self._events[number], entry)
        if changed is None:
            return False
        self._events[number] = changed
        return True

    @property
    def _tallies(self) -> dict[tuple[str, str], Tally]:
        tallies = dict(self._imported)
        for entry in self._events:
            key = (entry.task_type, entry.model_id)
            tally = tallies.get(key, Tally(*key))
            tallies[key] = tally.plus(entry.outcome, entry.ended_ms, later=bool(entry.tried))
        return tallies

    @property
    def _later(self) -> dict[str, dict[str, dict[Tried, LaterTries]]]:
        later: dict[str, dict[str, dict[Tried, LaterTries]]] = {}
        for entry in self._events:
            if entry.tried and entry.outcome.blame in {None, "model"}:
                sets = later.setdefault(entry.task_type, {}).setdefault(entry.model_id, {})
                sets[entry.tried] = sets.get(entry.tried, LaterTries()).plus(entry.outcome)
        return later

    @precondition(lambda self: self._store.degraded is None)
    @rule(entry=entries)
    def record(self, entry: Entry) -> None:
        """Record one outcome."""
        assert bool(self._store.outcomes.record(entry)) == self._count(entry)

    @precondition(lambda self: self._store.degraded is None)
    @rule(many=st.lists(entries, max_size=5))
    def record_many(self, many: list[Entry]) -> None:
        """Record some at once."""
        assert self._store.outcomes.record_many(many) == sum([self._count(entry) for entry in many])

    @precondition(lambda self: self._store.degraded is not None)
    @rule(entry=entries)
    def record_without_a_database(self, entry: Entry) -> None:
        """Record while SQLite fails; ids that only the database knows are told apart when they arrive there."""
        outcome = entry.outcome
        if outcome.outcome_id is None or outcome.outcome_id not in self._numbers:
            assert self._store.outcomes.record(entry)
            self._count(entry)

    @rule(task_type=st.sampled_from(["plan", "build"]))
    def ask(self, task_type: str) -> None:
        """Read the evidence of a task type, so that it is in memory."""
        expected = {tally.model_id: tally for key, tally in self._tallies.items() if key[0] == task_type}
        assert self._store.tallies.of(task_type) == expected
        assert self._store.tallies.later(task_type) == self._later.get(task_type, {})

    @rule()
    def reopen(self) -> None:
        """Close and open again."""
        self._store.close()
        self._open()

    @precondition(lambda self: self._store.degraded is None)
    @rule()
    def crash(self) -> None:
        """Go on with what a crash of the process would leave."""
        self._moves += 1
        path = self._folder / f"{self._moves}.db"
        copy(self._path, path)
        path.chmod(0o600)
        self._store.close()
        self._path = path
        self._open()

    @precondition(lambda self: self._store.degraded is None)
    @rule()
    def fail(self) -> None:
        """Let SQLite fail."""
        switch = switch_of(self._store)
        switch.handle(StoreFailedError("the disk is full"), switch.store)
        # on a slow machine it would recover between any two rules
        switch._backoff._retry_at = inf

    @rule()
    def recover(self) -> None:
        """Try SQLite again, if it failed."""
        check_now(self._store)
        self._store.tallies.all()
        assert self._store.degraded is None

    @precondition(lambda self: self._store.degraded is None)
    @rule(days=st.integers(0, 30))
    def drop(self, days: int) -> None:
        """Drop outcomes older than so many days."""
        before_ms = NOON_MS - days * DAY_MS
        self._store.events.drop(before_ms)
        self._dropped |= {number for number, each in enumerate(self._events[:-1]) if each.ended_ms < before_ms}

    @precondition(lambda self: self._store.degraded is None)
    @rule(model_id=st.sampled_from("xyz"), successes=st.integers(0, 9), failures=st.integers(0, 9))
    def import_sums(self, model_id: str, successes: int, failures: int) -> None:
        """Let another program insert sums."""
        if successes + failures == 0:
            return
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute(
                "INSERT INTO model_stats (task_type, model_id, successes, failures) VALUES ('plan', ?, ?, ?)",
                (model_id, successes, failures),
            )
            connection.commit()
        key = ("plan", model_id)
        known = self._imported.get(key, Tally(*key))
        self._imported[key] = known._replace(successes=known.successes + successes, failures=known.failures + failures)

    @precondition(lambda self: self._store.degraded is None)
    @rule()
    def rebuild(self) -> None:
        """Count anew: nothing is wrong, and nothing changes."""
        store = open_file(self._path)
        assert store.maintenance.rebuild() == 0
        store.close()

    @invariant()
    def everything_adds_up(self) -> None:
        """Tallies are those counted by hand, and the store finds nothing wrong with itself."""
        tallies = self._tallies
        assert self._store.tallies.all() == [tallies[key] for key in sorted(tallies)]
        for task_type, expected in self._later.items():
            assert self._store.tallies.later(task_type) == expected
        unsound = {finding.name for finding in self._store.maintenance.check() if not finding.ok}
        assert unsound <= ({"degraded"} if self._store.degraded else set())

    def teardown(self) -> None:
        """Take everything away."""
        self._store.close()
        shutil.rmtree(self._folder)


class LongLife(Life):
    """The same, for longer."""


Life.TestCase.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
LongLife.TestCase.settings = settings(max_examples=10, stateful_step_count=50, deadline=None)
TestLife = Life.TestCase
TestLongLife = pytest.mark.slow(LongLife.TestCase)
