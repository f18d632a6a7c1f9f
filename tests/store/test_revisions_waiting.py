"""Verdicts that change while the database is busy, fails, or is being maintained."""

from __future__ import annotations

from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from modelperf_plugin import ModelPerf
from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.store import Entry, Recorded, Store, open_with_fallback
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.values import Outcome
from tests.store.faults import check_now, held, switch_of

NOON_MS = 1_767_268_800_000


def verdict(success: bool, outcome_id: str = "run-1", at_ms: int = NOON_MS) -> Entry:
    """Return an outcome on its way into a store."""
    return Entry("t", "a", Outcome(success=success, outcome_id=outcome_id), at_ms)


def successes_and_failures(store: Store) -> tuple[int, int]:
    """Return the counts, which add up."""
    assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
    (tally,) = store.tallies.all()
    return tally.successes, tally.failures


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store of a test is."""
    return tmp_path / "x.db"


def test_a_verdict_waits_while_the_database_is_busy(path: Path) -> None:
    """It is spooled, once for each change, and replaces the stored one when it is moved; a repetition is none."""
    with closing(open_with_fallback(path, patience=0.1)) as store:
        assert store.outcomes.record(verdict(True)) is Recorded.NEW
        with held(path):
            later = verdict(False, at_ms=NOON_MS + 1)
            assert store.outcomes.record(later) is Recorded.REVISED
            assert store.outcomes.record(later) is Recorded.NOTHING
            assert store.outcomes.record(verdict(True, "run-2")) is Recorded.NEW
            assert store.outcomes.record(verdict(False, "run-2", NOON_MS + 1)) is Recorded.REVISED
        store.outcomes.record(verdict(True, "run-3"))
        assert successes_and_failures(store) == (1, 2)


def test_a_spooled_verdict_loses_against_one_that_was_given_later(path: Path) -> None:
    """What one process spooled is moved after another one has judged again: the verdict given last holds."""
    with closing(open_with_fallback(path, patience=0.1)) as store, closing(open_file(path)) as other:
        store.outcomes.record(verdict(True))
        with held(path):
            store.outcomes.record(verdict(False, at_ms=NOON_MS + 1))
        other.outcomes.record(verdict(False, at_ms=NOON_MS + 5))
        other.outcomes.record(verdict(True, at_ms=NOON_MS + 9))
        store.outcomes.record(verdict(True, "run-2"))
        assert successes_and_failures(store) == (2, 0)


def test_a_verdict_waits_while_the_database_fails(path: Path) -> None:
    """It is moved from the JSON files in order, whether or not its outcome is among them."""
    with closing(open_with_fallback(path)) as store:
        store.outcomes.record(verdict(True))
        switch = switch_of(store)
        switch.handle(StoreFailedError("the disk is full"), switch.store)
        switch._backoff._retry_at = inf
        store.outcomes.record(verdict(False, at_ms=NOON_MS + 1))
        store.outcomes.record(verdict(True, "run-2"))
        assert store.outcomes.record(verdict(False, "run-2", NOON_MS + 1)) is Recorded.REVISED
        assert store.outcomes.record(verdict(False, "run-2", NOON_MS + 1)) is Recorded.NOTHING
        check_now(store)
        store.outcomes.record(verdict(True, "run-3"))
        assert store.degraded is None
        assert successes_and_failures(store) == (1, 2)


def test_a_report_finds_an_outcome_that_was_spooled(path: Path) -> None:
    """The log refers to it by an id of its own, as its event has no number yet."""
    with ModelPerf({"store": {"patience_seconds": 0.1}}, store=path) as perf:
        decision = perf.select("t", ["a", "b"])
        assert decision is not None
        with held(path):
            perf.record("t", decision.model_id, Outcome(success=True), decision)
        perf.record("t", "another", Outcome(success=True))
        perf._decision_writer.flush()
        assert perf.report(decision.decision_id, success=False)
        tally = perf.store.tallies.of("t")[decision.model_id]
        assert (tally.successes, tally.failures) == (0, 1)
        logged = perf.store.decisions.get(decision.decision_id)
        assert logged is not None
        assert [each.success for each in logged.tries] == [False]


def test_a_report_while_the_database_is_busy(path: Path) -> None:
    """It is spooled like an outcome, finds its outcome when it is moved, and counts once."""
    with ModelPerf({"store": {"patience_seconds": 0.1}}, store=path) as perf:
        decision = perf.select("t", ["a", "b"])
        assert decision is not None
        perf.record("t", decision.model_id, Outcome(success=True), decision)
        with held(path):
            assert perf.report(decision, success=False)
            assert not perf.report(decision, success=False)
        perf.record("t", "another", Outcome(success=True))
        tally = perf.store.tallies.of("t")[decision.model_id]
        assert (tally.successes, tally.failures) == (0, 1)
        assert [finding.name for finding in perf.store.maintenance.check() if not finding.ok] == []


def test_counting_anew_changes_nothing(path: Path) -> None:
    """Sums that are computed from the events are those that corrections have left."""
    with closing(open_file(path)) as store:
        for number in range(20):
            store.outcomes.record(verdict(number % 3 > 0, str(number)))
            store.outcomes.record(verdict(number % 2 > 0, str(number // 2)))
        before = store.tallies.all()
        assert store.maintenance.rebuild() == 0
        assert store.tallies.all() == before
