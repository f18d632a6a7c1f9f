"""Tallies are the aggregate of the outcomes."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.store import Entry, Store
from tests.store.contract.examples import OpenStore, by_hand, entries, entry, unsound


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


def test_evidence_that_was_handed_out_does_not_change(store: Store) -> None:
    """A choice under way goes on with the evidence it was handed, whatever is recorded meanwhile."""
    store.outcomes.record(entry())
    handed = store.tallies.of("execute-task")
    store.outcomes.record(entry())
    assert handed["gpt-4o"].successes == 1
    assert store.tallies.of("execute-task")["gpt-4o"].successes == 2


def test_a_recorded_outcome_is_evidence_at_once(store: Store) -> None:
    """What ``record`` acknowledged counts at the next reading, also of a task type that was read before."""
    assert store.tallies.of("execute-task") == {}
    for successes in range(1, 5):
        store.outcomes.record(entry())
        assert store.tallies.of("execute-task")["gpt-4o"].successes == successes


def test_task_types_that_are_only_asked_about_leave_nothing(store: Store) -> None:
    """A task type without outcomes has no tallies, as often as it is asked for, and none of it is kept."""
    empty = store.tallies.of("never seen")
    assert not empty
    assert store.tallies.of("never seen") is empty
    assert store.tallies.of("nor this") is empty
