"""Durations are counted with the outcomes, in the same transaction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelperf_plugin.store import Entry, Store
from modelperf_plugin.store.roles import EVERYTHING
from modelperf_plugin.store.sqlite.maintenance import SqliteMaintenance
from modelperf_plugin.values import Durations, Outcome
from tests.store.contract.examples import NEW_YEAR_MS, unsound

DAY_MS = 86_400_000
TODAY = NEW_YEAR_MS // DAY_MS
TIMED = [
    Outcome(success=True, duration_seconds=10.0),
    Outcome(success=False, duration_seconds=20.0),
    Outcome(success=False, duration_seconds=20.0, error_kind="refused"),
    Outcome(success=True, duration_seconds=20.0, outcome_id="one"),
    Outcome(success=True, duration_seconds=20.0, outcome_id="one"),
    Outcome(success=True),
    Outcome(success=False, duration_seconds=0.1, error_kind="rate_limit"),
    Outcome(success=False, duration_seconds=0.1, error_kind="cancelled"),
]
"""Four outcomes with a duration that counts, one of them twice, one without, and two that are not the model's."""


def recorded(store: Store, in_bulk: bool, tried: tuple[str, ...] = (), ended_ms: int = NEW_YEAR_MS) -> Store:
    entries = [Entry("t", "m", each, ended_ms, tried) for each in TIMED]
    if in_bulk:
        store.outcomes.record_many(entries)
    for each in [] if in_bulk else entries:
        store.outcomes.record(each)
    return store


def found(store: Store, today: int = TODAY, half_life_days: float = 0.0) -> Durations:
    return store.tallies.durations(("t", "t"), today, half_life_days)["t", "m"]


@pytest.mark.parametrize("in_bulk", [False, True])
@pytest.mark.parametrize("tried", [(), ("other",)])
@pytest.mark.parametrize("ended_ms", [NEW_YEAR_MS, -5 * DAY_MS])
def test_successes_and_the_models_own_failures_count(
    store: Store, in_bulk: bool, tried: tuple[str, ...], ended_ms: int
) -> None:
    """Each outcome id once; neither outages nor the caller's errors, whose durations say nothing about the model."""
    durations = found(recorded(store, in_bulk, tried, ended_ms))
    assert durations.weights == pytest.approx((1.0, 3.0))
    assert durations.quantile(0.2) == pytest.approx(10.0, rel=0.1)
    assert durations.high_seconds == pytest.approx(20.0, rel=0.1)
    assert unsound(store) == []


def test_old_durations_fade(store: Store) -> None:
    """By the half-life of everything else; the age is that of the middle of their 28 days."""
    durations = found(recorded(store, in_bulk=False), TODAY + 365, 365.0)
    assert durations.weight == pytest.approx(2.0, rel=0.03)
    assert found(store, TODAY + 365).weight == pytest.approx(4.0)


def test_task_types_are_told_apart(store: Store) -> None:
    """A span of task types gets theirs; a pair without durations is missing."""
    recorded(store, in_bulk=False)
    store.outcomes.record(Entry("u", "m", Outcome(success=True, duration_seconds=1.0), NEW_YEAR_MS))
    store.outcomes.record(Entry("v", "m", Outcome(success=True), NEW_YEAR_MS))
    assert set(store.tallies.durations(EVERYTHING, TODAY, 0.0)) == {("t", "m"), ("u", "m")}
    assert set(store.tallies.durations(("u", "v"), TODAY, 0.0)) == {("u", "m")}


@pytest.mark.parametrize("in_bulk", [False, True])
def test_durations_survive_the_retention_of_events_and_a_rebuild(store: Store, in_bulk: bool) -> None:
    """Those of dropped events stay; nothing is found wrong."""
    before = found(recorded(store, in_bulk))
    store.outcomes.record(Entry("t", "m", Outcome(success=True), NEW_YEAR_MS + 9 * DAY_MS))
    store.events.drop(NEW_YEAR_MS + DAY_MS)
    assert unsound(store) == []
    if isinstance(store.maintenance, SqliteMaintenance):
        store.maintenance.rebuild()
        assert found(store) == before
        assert unsound(store) == []


def test_a_verdict_that_is_replaced_may_cease_to_count(store: Store) -> None:
    """An outcome that turns out to be an outage no longer tells how fast the model is, until that is taken back."""
    timed = Outcome(success=False, duration_seconds=3.0, outcome_id="x")
    outage, own = replace(timed, error_kind="network"), replace(timed, error_kind="other")
    for outcome, expected in ((timed, 1.0), (outage, 0.0), (own, 1.0)):
        store.outcomes.record(Entry("t", "m", outcome, NEW_YEAR_MS))
        found = store.tallies.durations(("t", "t"), TODAY, 0.0)
        weight = found["t", "m"].weight if found else 0.0
        if isinstance(store.maintenance, SqliteMaintenance):
            assert weight == expected
            assert unsound(store) == []
