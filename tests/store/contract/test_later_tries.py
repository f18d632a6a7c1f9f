"""Later tries are counted apart: in total, by day, and by what had failed before."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.store import DecisionOutcome, Entry, Joining, Store
from modelperf_plugin.values import LaterTries, Outcome, Tried
from tests.store.contract.examples import NEW_YEAR_MS, OpenStore, entries, entry, final, unsound

_Counts = dict[str, dict[Tried, LaterTries]]
FOREVER_DAYS = 1e12
"""A half-life after which nothing fades."""


def later_by_hand(recorded: Iterable[Entry], task_type: str) -> _Counts:
    """Return the later tries of a task type, counted without a store."""
    counts: _Counts = {}
    for each in final(recorded):
        outcome = each.outcome
        if each.task_type == task_type and each.tried and (outcome.success or outcome.blame == "model"):
            sets = counts.setdefault(each.model_id, {})
            sets[each.tried] = sets.get(each.tried, LaterTries()).plus(outcome)
    return counts


def total(sets: Iterable[LaterTries]) -> tuple[int, ...]:
    """Return the sums of counts."""
    return tuple(map(sum, zip(LaterTries(), *sets, strict=True)))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recorded=st.lists(entries, max_size=25), ask_between=st.booleans(), in_bulk=st.booleans())
def test_later_tries_are_the_sum_of_the_outcomes(
    opener: OpenStore, recorded: list[Entry], ask_between: bool, in_bulk: bool
) -> None:
    """Sets, tallies and roll-up agree with counting by hand, whether the counts were in memory or not."""
    store = opener()
    try:
        if in_bulk:
            store.tallies.later("plan")
            store.outcomes.record_many(recorded)
        for each in [] if in_bulk else recorded:
            store.outcomes.record(each)
            if ask_between:
                store.tallies.later(each.task_type)
        for task_type in ("plan", "build"):
            later = store.tallies.later(task_type)
            assert later == later_by_hand(recorded, task_type)
            weighed = store.tallies.faded((task_type, task_type), 0, FOREVER_DAYS)
            for model_id, tally in store.tallies.of(task_type).items():
                parts = (tally.later_successes, tally.later_failures, tally.later_timeout_failures)
                assert total(later.get(model_id, {}).values()) == (*parts, tally.later_score_shift)
                assert weighed[task_type, model_id].later_score_shift[1] == tally.later_score_shift
                assert weighed[task_type, model_id].score_shift[1] == tally.score_shift
                assert weighed[task_type, model_id].later_counts == parts
                assert weighed[task_type, model_id].later_weights == pytest.approx(parts)
        assert unsound(store) == []
    finally:
        store.close()


def later_entry(model_id: str = "b", *tried: str, success: bool = True, outcome_id: str | None = None) -> Entry:
    """Return a later try on its way into a store."""
    return entry(model_id, success=success, outcome_id=outcome_id)._replace(tried=tried or ("a",))


def test_a_later_try_counts_at_once_and_what_was_handed_out_stays(store: Store) -> None:
    """The mapping is the same object as long as nothing changes, and a new one after each outcome."""
    assert not store.tallies.later("execute-task")
    store.outcomes.record(later_entry())
    first = store.tallies.later("execute-task")
    assert first == {"b": {("a",): LaterTries(1, 0, 0)}}
    assert store.tallies.later("execute-task") is first
    store.outcomes.record(later_entry("b", "a", "a", success=False))
    assert first == {"b": {("a",): LaterTries(1, 0, 0)}}
    assert store.tallies.later("execute-task") == {"b": {("a",): LaterTries(1, 0, 0), ("a", "a"): LaterTries(0, 1, 0)}}


def test_first_tries_leave_the_later_ones_as_they_are(store: Store) -> None:
    """A first try of the same model is part of its tally alone; without later tries nothing is kept."""
    store.outcomes.record(entry("b"))
    assert not store.tallies.later("execute-task")
    store.outcomes.record(later_entry())
    later = store.tallies.later("execute-task")
    store.outcomes.record(entry("b"))
    assert store.tallies.later("execute-task") == later
    tally = store.tallies.of("execute-task")["b"]
    assert (tally.successes, tally.later_successes) == (3, 1)


@pytest.mark.parametrize(
    "error_kind", ["rate_limit", "server_error", "network", "unavailable", "cancelled", "caller_error"]
)
@pytest.mark.parametrize("in_bulk", [False, True])
def test_what_says_nothing_about_the_model_is_not_a_later_try(store: Store, error_kind: str, in_bulk: bool) -> None:
    """An outage or a caller's error after a failure is neither a later success nor a later failure."""
    outcome = Outcome.from_mapping({"success": False, "timeout": True, "error_kind": error_kind})
    each = Entry("execute-task", "b", outcome, NEW_YEAR_MS, ("a",))
    if in_bulk:
        store.outcomes.record_many([each])
    else:
        store.outcomes.record(each)
    assert not store.tallies.later("execute-task")
    tally = store.tallies.of("execute-task")["b"]
    assert (tally.failures, tally.later_failures, tally.later_timeout_failures) == (1, 0, 0)


def test_recording_a_later_try_again_changes_nothing(store: Store) -> None:
    """A known id is refused as for first tries, whatever had failed by then, and whichever came first."""
    assert store.outcomes.record(later_entry("b", "a", outcome_id="once"))
    assert not store.outcomes.record(later_entry("b", "never seen before", outcome_id="once"))
    assert not store.outcomes.record(entry("b", outcome_id="once"))
    assert store.outcomes.record_many([later_entry("b", "c", outcome_id="once")]) == 0
    assert store.outcomes.record(entry("b", outcome_id="first"))
    assert not store.outcomes.record(later_entry("b", "a", outcome_id="first"))
    assert store.tallies.later("execute-task") == {"b": {("a",): LaterTries(1, 0, 0)}}
    assert store.tallies.of("execute-task")["b"].successes == 2


def test_a_set_that_was_rolled_back_is_stored_again(store: Store) -> None:
    """What fails takes its sets with it; the next outcome with one of them stores it."""
    bad = Entry("\ud800", "b", Outcome(success=True), NEW_YEAR_MS, ("a", "c"))
    with pytest.raises(Exception, match=r"surrogates|UTF-8"):
        store.outcomes.record_many([later_entry("b", "a", "c"), bad])
    assert not store.tallies.later("execute-task")
    for tried in (("a", "c"), ("a", "c"), ("a", "d")):
        store.outcomes.record(later_entry("b", *tried))
    assert store.tallies.later("execute-task") == {
        "b": {("a", "c"): LaterTries(2, 0, 0), ("a", "d"): LaterTries(1, 0, 0)}
    }


def test_a_later_try_is_recorded_together_with_its_decision(store: Store) -> None:
    """The transaction that stores an outcome with its decision knows what had failed."""
    each = later_entry("b", "a")
    outcome = DecisionOutcome("d", "b", each.outcome, each.ended_ms)
    assert store.outcomes.record(each, Joining(None, outcome))
    assert store.tallies.later("execute-task") == {"b": {("a",): LaterTries(1, 0, 0)}}
