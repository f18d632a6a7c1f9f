"""The log of single outcomes."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.store import Entry, Store, WatchState
from modelperf_plugin.values import Outcome
from tests.store.contract.examples import OpenStore, by_hand, entries, record


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


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recorded=st.lists(entries, max_size=25), in_bulk=st.booleans())
def test_events_say_what_had_failed(opener: OpenStore, recorded: list[Entry], in_bulk: bool) -> None:
    """The informative events with a set of failed models add up to the counts of later tries."""
    store = opener()
    try:
        if in_bulk:
            store.outcomes.record_many(recorded)
        for each in [] if in_bulk else recorded:
            store.outcomes.record(each)
        events = store.events.after(0, 100)
        found: Counter[tuple[str, str, bool]] = Counter()
        for event in events:
            if event.tried and event.blame in {None, "model"}:
                found[event.task_type, event.model_id, event.success] += 1
        for pair, tally in by_hand(recorded).items():
            assert (found[*pair, True], found[*pair, False]) == (tally.later_successes, tally.later_failures)
        if not any(each.outcome.outcome_id for each in recorded):
            assert [event.tried for event in events] == [each.tried for each in recorded]
    finally:
        store.close()


def test_long_outages_are_those_since_the_last_answer(store: Store) -> None:
    """Of models that are gone, or whose provider said when to retry, in order; an older call's answer ends none."""
    gone = Outcome(success=False, error_kind="unavailable")
    limited = Outcome(success=False, error_kind="rate_limit", retry_after_seconds=1.5)
    good, asked = Outcome(success=True), Outcome(success=True, retry_after_seconds=9)
    for number, (model_id, outcome) in enumerate([
        ("a", gone), ("a", good), ("a", gone), ("b", limited), ("c", gone), ("c", asked), ("b", gone), ("d", good),
        ("a", Outcome(success=False, error_kind="network")),
    ]):  # fmt: skip
        store.outcomes.record(Entry("t", model_id, outcome, 1_000 + number))
    store.outcomes.record(Entry("t", "a", good, 1_000))
    newest = store.events.last_id()
    found = store.events.long_outages(0, newest, 2_000)
    assert [(each.model_id, each.error_kind, each.retry_after_ms, each.blame) for each in found] == [
        ("a", "unavailable", None, "provider"),
        ("b", "rate_limit", 1_500, "provider"),
        ("b", "unavailable", None, "provider"),
    ]
    first = found[0].event_id
    assert store.events.long_outages(first, newest, 2_000) == found[1:]
    assert store.events.long_outages(0, first, 2_000) == found[:1]
    assert store.events.after(first - 1, 1) == found[:1]


def test_models_that_an_operator_declared_available_are_known(store: Store) -> None:
    """The newest mark of each model counts, and no watch reads it as its state."""
    store.events.mark_back("a", 3)
    store.events.mark_back("b", 4)
    store.events.mark_back("a", 5)
    assert store.events.back() == {"a": 5, "b": 4}
    store.watch_states.save(9, [WatchState("change", "", "a", (1.0,))])
    assert store.events.back() == {"a": 5, "b": 4}
