"""Saved states of watches."""

from __future__ import annotations

from modelperf_plugin.store import Store, WatchState


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
