"""What every store promises, on every store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import CountedProblem, Entry, Store, open_store, open_with_fallback
from modelperf_plugin.values import ERROR_KINDS, Outcome, Tally

NEW_YEAR_MS = 1_767_225_600_000
OpenStore = Callable[[], Store]


@pytest.fixture(params=["file", "memory", "steady", "degraded"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Return a function that opens a new, empty store of each kind; all are closed at the end."""
    opened: list[Store] = []

    def new() -> Store:
        location = ":memory:" if request.param == "memory" else str(tmp_path / f"{len(opened)}.db")
        if request.param == "degraded":  # the folder is a file: there can be no database
            location = str(tmp_path / f"no-folder-{len(opened)}" / "outcomes.db")
            Path(location).parent.write_text("")
        opened.append(open_store(location) if request.param in {"file", "memory"} else open_with_fallback(location))
        return opened[-1]

    yield new
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: OpenStore) -> Store:
    """Return a new, empty store."""
    return opener()


def entry(
    model_id: str = "gpt-4o",
    *,
    task_type: str = "execute-task",
    success: bool = True,
    outcome_id: str | None = None,
    ended_ms: int = NEW_YEAR_MS,
) -> Entry:
    """Return an outcome on its way into a store."""
    return Entry(task_type, model_id, Outcome(success=success, outcome_id=outcome_id), ended_ms)


def unsound(store: Store) -> list[str]:
    """Return what is wrong with ``store``, but for the lack of a database."""
    return [finding.name for finding in store.maintenance.check() if not finding.ok and finding.name != "degraded"]


outcomes = st.builds(
    Outcome,
    success=st.booleans(),
    timeout=st.booleans(),
    tokens_used=st.integers(0, 2**53),
    cost_usd=st.floats(0, 1_000_000),
    duration_seconds=st.none() | st.floats(0, 1e6),
    error_kind=st.none() | st.sampled_from(ERROR_KINDS),
    outcome_id=st.none() | st.sampled_from(["a", "b", "c"]),
)
entries = st.builds(
    Entry,
    st.sampled_from(["plan", "build"]),
    st.sampled_from(["x", "y", "z"]),
    outcomes,
    st.integers(-NEW_YEAR_MS, 2 * NEW_YEAR_MS),
)


def by_hand(recorded: list[Entry]) -> dict[tuple[str, str], Tally]:
    """Return the tallies of ``recorded``, counted without a store."""
    tallies: dict[tuple[str, str], Tally] = {}
    known: set[str] = set()
    for each in recorded:
        outcome_id = each.outcome.outcome_id
        if outcome_id is not None and outcome_id in known:
            continue
        if outcome_id is not None:
            known.add(outcome_id)
        key = (each.task_type, each.model_id)
        tallies[key] = tallies.get(key, Tally(*key)).plus(each.outcome, each.ended_ms)
    return tallies


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recorded=st.lists(entries, max_size=25), ask_between=st.booleans(), in_bulk=st.booleans())
def test_tallies_are_the_sum_of_the_outcomes(
    opener: OpenStore, recorded: list[Entry], ask_between: bool, in_bulk: bool
) -> None:
    """Evidence, tallies and roll-up are what counting by hand gives, whether evidence was in memory or not."""
    store = opener()
    try:
        if in_bulk:
            store.tallies.of("plan")
            store.outcomes.record_many(recorded)
        for each in [] if in_bulk else recorded:
            store.outcomes.record(each)
            if ask_between:
                store.tallies.of(each.task_type)
        expected = by_hand(recorded)
        assert store.tallies.all() == [expected[key] for key in sorted(expected)]
        for task_type in ("plan", "build"):
            mine = {model: tally for (task, model), tally in expected.items() if task == task_type}
            assert store.tallies.of(task_type) == mine
        assert unsound(store) == []
    finally:
        store.close()


def test_the_same_outcome_id_counts_once(store: Store) -> None:
    """Recording an id again changes nothing and says so, whatever else the second outcome holds."""
    assert store.outcomes.record(entry(outcome_id="run-1"))
    assert not store.outcomes.record(entry("other", success=False, outcome_id="run-1"))
    assert store.outcomes.record(entry(outcome_id="run-2"))
    assert store.outcomes.record_many([entry(outcome_id="run-2"), entry(outcome_id="run-3"), entry()]) == 2
    (tally,) = store.tallies.all()
    assert (tally.model_id, tally.successes, tally.failures) == ("gpt-4o", 4, 0)


def test_a_bulk_is_written_as_a_whole_or_not_at_all(store: Store) -> None:
    """An error in the middle of a bulk leaves nothing of it behind, neither in the store nor in memory."""
    store.outcomes.record(entry())
    before = store.tallies.of("execute-task")

    def interrupted() -> Iterator[Entry]:
        yield entry()
        yield entry("never-seen-before")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.outcomes.record_many(interrupted())
    assert store.tallies.of("execute-task") == before
    assert store.outcomes.record(entry("never-seen-before"))
    assert unsound(store) == []


def test_a_poisoned_outcome_changes_nothing(store: Store) -> None:
    """An outcome that the store refuses raises StoreError and leaves everything as it was."""
    store.outcomes.record(entry())
    poisoned = entry(ended_ms=2**70)
    with pytest.raises((StoreError, OverflowError)):
        store.outcomes.record(poisoned)
    assert store.outcomes.record(entry())
    assert store.tallies.of("execute-task")["gpt-4o"].successes == 2
    assert unsound(store) == []


def test_evidence_that_was_handed_out_does_not_change(store: Store) -> None:
    """A choice under way goes on with the evidence it was handed, whatever is recorded meanwhile."""
    store.outcomes.record(entry())
    handed = store.tallies.of("execute-task")
    store.outcomes.record(entry())
    assert handed["gpt-4o"].successes == 1
    assert store.tallies.of("execute-task")["gpt-4o"].successes == 2


def test_threads_lose_and_invent_nothing(store: Store) -> None:
    """Eight threads that record and read at once end with every outcome counted exactly once."""
    each = 200
    seen_to_fall = []

    def work(number: int) -> None:
        newest = 0
        for _ in range(each):
            store.outcomes.record(entry(f"model-{number % 3}"))
            total = sum(tally.samples for tally in store.tallies.of("execute-task").values())
            if total < newest:
                seen_to_fall.append(number)
            newest = total

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not seen_to_fall
    assert sum(tally.samples for tally in store.tallies.all()) == 8 * each
    assert sum(tally.samples for tally in store.tallies.of("execute-task").values()) == 8 * each
    assert unsound(store) == []


def test_a_recorded_outcome_is_evidence_at_once(store: Store) -> None:
    """What ``record`` acknowledged counts at the next reading, also of a task type that was read before."""
    assert store.tallies.of("execute-task") == {}
    for successes in range(1, 5):
        store.outcomes.record(entry())
        assert store.tallies.of("execute-task")["gpt-4o"].successes == successes


def test_problems_are_added_up(store: Store) -> None:
    """Failures of one kind are one row with their number, first and last time; the newest come first."""
    store.problems.add(CountedProblem("select_model", "broken", 2, 10, 20))
    store.problems.add(CountedProblem("on_task_complete", "bad value", 1, 40, 40))
    store.problems.add(CountedProblem("select_model", "broken", 3, 30, 50))
    assert [problem for problem in store.problems.all() if problem.kind != "the store"] == [
        CountedProblem("select_model", "broken", 5, 10, 50),
        CountedProblem("on_task_complete", "bad value", 1, 40, 40),
    ]
    store.problems.clear()
    assert store.problems.all() == []


def test_problems_do_not_grow_without_bound(store: Store) -> None:
    """At most a hundred kinds of failure are kept, the newest ones."""
    for number in range(120):
        store.problems.add(CountedProblem("select_model", f"failure {number}", 1, number, number))
    kept = [problem for problem in store.problems.all() if problem.kind != "the store"]
    assert 99 <= len(kept) <= 100
    assert kept[0].message == "failure 119"


def test_a_closed_store_says_so(store: Store) -> None:
    """After ``close``, which may be called twice, every other call is a StoreError that says it is closed."""
    store.outcomes.record(entry())
    store.close()
    store.close()
    for call in (
        lambda: store.outcomes.record(entry()),
        lambda: store.outcomes.record_many([entry()]),
        lambda: store.tallies.of("execute-task"),
        store.tallies.all,
        store.problems.all,
        store.problems.clear,
        store.maintenance.check,
    ):
        with pytest.raises(StoreError, match="closed"):
            call()
