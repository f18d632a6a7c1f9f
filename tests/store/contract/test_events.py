"""The log of single outcomes."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.store import Entry, Store
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
