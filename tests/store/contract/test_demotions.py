"""Demotions and reinstatements."""

from __future__ import annotations

from modelperf_plugin.store import Store
from tests.store.contract.examples import record


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


def test_a_demotion_knows_the_newest_outcome_when_it_began_and_ended(store: Store) -> None:
    """Outcomes up to that one count no more for what comes next; it moves on when the demotion ends."""
    record(store, "a", success=False)
    store.demotions.add("t", "a", 1, 0.7, 20.0, "why")
    assert [each.event_id for each in store.demotions.all()] == [store.events.last_id()]
    record(store, "b", success=False)
    store.demotions.end("t", "a", 5, "operator")
    assert [each.event_id for each in store.demotions.all()] == [store.events.last_id()]
