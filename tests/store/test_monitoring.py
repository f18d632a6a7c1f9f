"""What a store promises to the watches over models."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Baseline, Entry, Store, WatchState, open_store
from modelperf_plugin.store.queries import load_migrations
from modelperf_plugin.store.sqlite.file import APPLICATION_ID
from modelperf_plugin.values import ErrorKind, Outcome


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return a new, empty store of each kind."""
    opened = open_store(":memory:" if request.param == "memory" else tmp_path / "x.db")
    yield opened
    opened.close()


def record(
    store: Store, model_id: str, *, success: bool, task_type: str = "t", error_kind: ErrorKind | None = None
) -> None:
    """Record one outcome."""
    store.outcomes.record(Entry(task_type, model_id, Outcome(success=success, error_kind=error_kind), 1000))


def test_events_come_in_the_order_of_recording(store: Store) -> None:
    """Each outcome once, with who is to blame if it failed: the provider for an outage, the model otherwise."""
    record(store, "a", success=True)
    record(store, "b", success=False, error_kind="rate_limit")
    record(store, "a", success=False, error_kind="context_overflow")
    record(store, "b", success=True, error_kind="network")
    events = store.events.after(0, 10)
    assert [(event.model_id, event.success, event.blame) for event in events] == [
        ("a", True, None),
        ("b", False, "provider"),
        ("a", False, "model"),
        ("b", True, None),
    ]
    assert store.events.after(events[1].event_id, 1) == events[2:3]
    assert store.events.last_id() == events[-1].event_id


def test_a_change_is_noted_once(store: Store) -> None:
    """A second note of the same change, by a process that saw it later, adds nothing; a later change does."""
    for _ in range(3):
        record(store, "a", success=True)
    note = store.changes.add
    assert note("a", "down", (1, 3), (10, 30), 20_000.0, {"t": 0.25})
    assert not note("a", "down", (2, 3), (10, 40), 21_000.0, {})
    assert note("b", "up", (1, 3), (10, 30), 20_000.0, {})
    assert note("a", "up", (3, 9), (50, 90), 30_000.0, {})
    assert [(each.model_id, each.direction) for each in store.changes.all()] == [
        ("a", "up"),
        ("b", "up"),
        ("a", "down"),
    ]


events = st.lists(
    st.tuples(st.sampled_from("ab"), st.booleans(), st.sampled_from([None, "other", "rate_limit", "cancelled"])),
    max_size=12,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=events, after=events)
def test_a_baseline_is_what_was_counted_before(
    before: list[tuple[str, bool, ErrorKind | None]], after: list[tuple[str, bool, ErrorKind | None]]
) -> None:
    """The baseline of a changed model holds exactly the quality counts up to the change, and its expected rate."""
    with_store = open_store(":memory:")
    for model_id, success, error_kind in before:
        record(with_store, model_id, success=success, error_kind=error_kind)
    position = with_store.events.last_id()
    for model_id, success, error_kind in after:
        record(with_store, model_id, success=success, error_kind=error_kind)
    with_store.changes.add("a", "down", (position, position + 99), (0, 0), 1.0, {"t": 0.5})
    successes = sum(success for model_id, success, _ in before if model_id == "a")
    failures = sum(
        not success and kind not in {"rate_limit", "cancelled"} for model_id, success, kind in before if model_id == "a"
    )
    seen = any(model_id == "a" for model_id, _, _ in before + after)
    expected = {("t", "a"): Baseline(successes, failures, 0.5)} if seen else {}
    assert with_store.tallies.baselines() == expected
    with_store.close()


def test_a_model_is_demoted_once_at_a_time(store: Store) -> None:
    """A second demotion while one lasts changes nothing; after its end there may be another, and both are kept."""
    record(store, "a", success=False)
    demotions = store.demotions
    assert demotions.add("t", "a", 1, 0.7, 20.0, "first")
    assert not demotions.add("t", "a", 2, 0.7, 30.0, "second")
    assert [each.reason for each in demotions.all(in_force=True)] == ["first"]
    assert demotions.end("t", "a", 5, "operator")
    assert not demotions.end("t", "a", 6, "operator")
    assert demotions.all(in_force=True) == []
    assert demotions.add("t", "a", 7, 0.7, 20.0, "third")
    assert [(each.reason, each.ended_ms, each.ended_by) for each in demotions.all()] == [
        ("third", None, None),
        ("first", 5, "operator"),
    ]


def test_states_of_a_process_that_is_behind_change_nothing(store: Store) -> None:
    """The states saved are those of the process that has seen most; before any, there is no position."""
    states = store.watch_states
    assert states.load() == (None, [])
    state = WatchState("fall", "t", "a", (1.0, 0.5))
    states.save(10, [state])
    states.save(9, [])
    assert states.load() == (10, [state])
    states.save(11, [WatchState("change", "", "a", (2.0,))])
    assert states.load() == (11, [WatchState("change", "", "a", (2.0,))])


def test_a_closed_store_says_so(store: Store) -> None:
    """After ``close`` every call is a StoreError."""
    store.close()
    for call in (store.events.last_id, store.changes.all, store.demotions.all, store.watch_states.load):
        with pytest.raises(StoreError, match="closed"):
            call()
    with pytest.raises(StoreError, match="closed"):
        store.demotions.end("t", "a", 1, "operator")


def test_a_demotion_knows_the_newest_outcome_when_it_began_and_ended(store: Store) -> None:
    """Outcomes up to that one count no more for what comes next; it moves on when the demotion ends."""
    record(store, "a", success=False)
    store.demotions.add("t", "a", 1, 0.7, 20.0, "why")
    assert [each.event_id for each in store.demotions.all()] == [store.events.last_id()]
    record(store, "b", success=False)
    store.demotions.end("t", "a", 5, "operator")
    assert [each.event_id for each in store.demotions.all()] == [store.events.last_id()]


def test_a_change_that_cannot_be_noted_leaves_nothing(store: Store) -> None:
    """The change, its baselines and rates are one transaction: a value that is refused takes all of it back."""
    record(store, "a", success=True)
    with pytest.raises(StoreError):
        store.changes.add("a", "down", (1, 1), (0, 0), 1.0, {"t": "much"})  # type: ignore[dict-item]
    assert store.changes.all() == []
    assert store.tallies.baselines() == {}


def test_a_later_change_takes_the_place_of_the_baseline_before(store: Store) -> None:
    """One baseline for each pair, up to the last change; one that is announced expects nothing."""
    record(store, "a", success=True)
    store.changes.add("a", "down", (1, 1), (0, 0), 1.0, {"t": 0.5})
    record(store, "a", success=False)
    assert store.changes.add("a", "announced", (2, 2), (0, 0), None, {})
    assert store.tallies.baselines() == {("t", "a"): Baseline(1, 1, None)}


def test_two_processes_note_a_change_and_a_demotion_once(tmp_path: Path) -> None:
    """Of two stores on one file the second is told that it is noted already, and reads the first one's note."""
    with closing(open_store(tmp_path / "x.db")) as one, closing(open_store(tmp_path / "x.db")) as two:
        for _ in range(3):
            record(one, "a", success=False)
        assert one.changes.add("a", "down", (1, 3), (10, 30), 20_000.0, {})
        assert not two.changes.add("a", "down", (1, 3), (10, 30), 20_000.0, {})
        assert one.demotions.add("t", "a", 1, 0.7, 20.0, "first")
        assert not two.demotions.add("t", "a", 1, 0.7, 20.0, "second")
        assert two.changes.all() == one.changes.all()
        assert two.demotions.all() == one.demotions.all()
        assert two.demotions.end("t", "a", 2, "evidence")
        assert not one.demotions.end("t", "a", 2, "operator")


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_is_migrated(tmp_path: Path, version: int) -> None:
    """A file of a version that watched nothing keeps its outcomes, and can be watched from then on."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for migration in load_migrations("sqlite")[:version]:
            connection.executescript(migration.script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("INSERT INTO model_outcomes (task_type, model_id, success) VALUES ('t', 'm', 1)")
    with closing(open_store(path)) as store:
        assert [(event.model_id, event.success) for event in store.events.after(0, 9)] == [("m", True)]
        assert store.watch_states.load() == (None, [])
        assert store.changes.add("m", "announced", (1, 1), (0, 0), None, {})
        assert store.demotions.add("t", "m", 1, 0.7, 20.0, "why")
        assert store.tallies.baselines() == {("t", "m"): Baseline(1, 0, None)}
