"""Dropping old outcomes: in small steps, and nothing that counts changes by it."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.engine.retention import REST_SECONDS, STEP_SECONDS, Retention
from modelperf_plugin.store import Entry, open_store
from modelperf_plugin.store.opening import open_file
from modelperf_plugin.store.sqlite.store import SqliteStore
from modelperf_plugin.values import DAY_MS, Outcome

NOON_MS = 1_767_268_800_000
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def entry(days_ago: float, *, success: bool = True, outcome_id: str | None = None) -> Entry:
    """Return an outcome that ended so many days before ``NOW``."""
    outcome = Outcome(success=success, tokens_used=5, cost_usd=0.5, outcome_id=outcome_id)
    return Entry("t", f"m{int(days_ago) % 3}", outcome, round(NOW.timestamp() * 1000 - days_ago * DAY_MS))


def filled(path: Path, *, days: int = 50, each: int = 100) -> SqliteStore:
    """Return a store with as many outcomes on each of the last days."""
    store = open_file(path)
    store.outcomes.record_many(
        entry(day, success=number % 4 > 0) for day in range(days, 0, -1) for number in range(each)
    )
    return store


def events(path: Path) -> int:
    """Return how many events another program sees."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM model_outcomes").fetchone()[0])


def test_steps_drop_what_is_old_and_nothing_else(tmp_path: Path) -> None:
    """Step by step all outcomes of more than ten days go; tallies, roll-up and their sums stay."""
    store = filled(tmp_path / "x.db")
    before = store.tallies.all()
    clock = iter(range(0, 1_000_000, 1))
    retention = Retention(store.events, 10, clock=lambda: float(next(clock)))
    sizes = []
    for _ in range(8):
        retention.step_if_due(lambda: round(NOW.timestamp() * 1000) - 1)
        sizes.append(events(tmp_path / "x.db"))
    assert sizes[:5] == [4000, 3000, 2000, 1000, 1000]
    assert sizes[-1] == 1000
    assert store.tallies.all() == before
    assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
    store.close()


def test_it_rests(tmp_path: Path) -> None:
    """Between two steps is a pause, and after a round an hour."""
    store = filled(tmp_path / "x.db", days=20)
    now = 0.0
    retention = Retention(store.events, 10, clock=lambda: now)

    def step() -> int:
        retention.step_if_due(lambda: round(NOW.timestamp() * 1000) - 1)
        return events(tmp_path / "x.db")

    assert (step(), step()) == (1000, 1000)
    now += STEP_SECONDS
    assert step() == 1000
    store.outcomes.record_many([entry(30), entry(30), entry(0)])
    now += STEP_SECONDS
    assert step() == 1003
    now += REST_SECONDS
    assert step() == 1001, "the next round begins at the first outcome and reaches the last"
    store.close()


@pytest.mark.parametrize("order", ["newest first", "imported later", "mixed"])
def test_every_old_outcome_is_dropped_wherever_it_stands(tmp_path: Path, order: str) -> None:
    """One round drops all old outcomes and no other, whatever their order; no step drops more than a thousand."""
    store = open_file(tmp_path / "x.db")
    days = [day for day in range(50) for _ in range(400)]
    if order == "imported later":
        days = [day for day in days if day < 10] * 4 + days
    elif order == "mixed":
        random.Random(1).shuffle(days)
    store.outcomes.record_many(entry(day + 0.5) for day in [*days, 0])
    before, left = store.tallies.all(), sum(day < 10 for day in days) + 1
    now, sizes = 0.0, [events(tmp_path / "x.db")]
    retention = Retention(store.events, 10, clock=lambda: now)
    while now < 100 * STEP_SECONDS and sizes[-1] > left:
        retention.step_if_due(lambda: round(NOW.timestamp() * 1000))
        sizes.append(events(tmp_path / "x.db"))
        now += STEP_SECONDS
    assert sizes[-1] == left
    assert max(old - new for old, new in pairwise(sizes)) <= 1000
    assert store.tallies.all() == before
    assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
    store.close()


def test_unset_keeps_everything(tmp_path: Path) -> None:
    """Without ``retention_days`` nothing is ever dropped."""
    store = filled(tmp_path / "x.db", days=2)
    Retention(store.events, None).step_if_due(lambda: round(NOW.timestamp() * 1000) + 10**12)
    assert events(tmp_path / "x.db") == 200
    store.close()


def test_the_newest_outcome_always_stays(tmp_path: Path) -> None:
    """The numbers of outcomes go on growing, also when all of them are old: the watches count on that."""
    store = filled(tmp_path / "x.db", days=1)
    newest = store.events.last_id()
    store.events.drop(round(NOW.timestamp() * 1000) + DAY_MS)
    assert events(tmp_path / "x.db") == 1
    store.outcomes.record(entry(0))
    assert store.events.last_id() == newest + 1
    assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
    store.close()


def test_an_id_is_known_for_ever(tmp_path: Path) -> None:
    """An outcome that was dropped is not counted again when it is recorded again."""
    store = open_store(tmp_path / "x.db")
    store.outcomes.record(entry(20, outcome_id="once"))
    store.outcomes.record(entry(0))
    assert store.events.drop(round(NOW.timestamp() * 1000) - DAY_MS).dropped == 1
    assert not store.outcomes.record(entry(20, outcome_id="once"))
    assert sum(tally.samples for tally in store.tallies.all()) == 2
    store.close()


def test_what_came_before_a_change_still_counts_as_before(tmp_path: Path) -> None:
    """A change that is noted after old outcomes were dropped puts exactly these and the older ones behind it."""
    store = open_store(tmp_path / "x.db")
    store.outcomes.record_many([*[entry(30) for _ in range(6)], *[entry(3) for _ in range(4)]])
    store.events.drop(round(NOW.timestamp() * 1000) - 10 * DAY_MS)
    newest = store.events.last_id()
    store.outcomes.record_many([entry(0) for _ in range(5)])
    store.changes.add("m0", "down", (newest, newest), (0, 0), 1.0, {})
    baseline = store.tallies.baselines()["t", "m0"]
    assert baseline.successes == 10
    store.close()


def test_a_host_drops_while_it_records(tmp_path: Path) -> None:
    """With ``retention_days`` a host that records drops old outcomes by itself, by its own clock."""
    path = tmp_path / "x.db"
    filled(path, days=30, each=10).close()
    with ModelPerf({"store": {"retention_days": 7}}, store=path, clock=lambda: NOW) as engine:
        before = sum(tally.samples for tally in engine.store.tallies.all())
        for _ in range(8):
            engine.record("t", "m1", Outcome(success=True))
        assert sum(tally.samples for tally in engine.store.tallies.all()) == before + 8
    assert events(path) == 70 + 8
    assert NOW - timedelta(days=7) < NOW


@pytest.mark.slow
def test_many_outcomes(tmp_path: Path) -> None:
    """Of half a million outcomes most are dropped in steps, room is given back, and everything still adds up."""
    store = filled(tmp_path / "x.db", days=50, each=10_000)
    before = store.tallies.all()
    after_id = 0
    while (step := store.events.drop(round(NOW.timestamp() * 1000) - 5 * DAY_MS, after_id)).dropped:
        after_id = step.last_id
    assert events(tmp_path / "x.db") == 50_000
    store.maintenance.checkpoint()
    size = (tmp_path / "x.db").stat().st_size
    while store.maintenance.shrink():
        pass
    store.maintenance.checkpoint()
    assert (tmp_path / "x.db").stat().st_size < size / 4
    assert store.tallies.all() == before
    assert [finding.name for finding in store.maintenance.check() if not finding.ok] == []
    store.close()
