"""The log of single outcomes."""

from __future__ import annotations

from modelperf_plugin.store import Store
from tests.store.contract.examples import record


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
