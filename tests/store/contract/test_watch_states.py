"""Saved states of watches."""

from __future__ import annotations

from modelperf_plugin.store import Store, WatchState


def test_states_of_a_process_that_is_behind_change_nothing(store: Store) -> None:
    """The states saved are those of the process that has seen most; before any, there is no position."""
    states = store.watch_states
    assert states.load() == (None, [])
    state = WatchState("fall", "t", "a", (1.0, 0.5))
    states.save(10, [state])
    states.save(9, [], [("fall", "t", "a")])
    assert states.load() == (10, [state])


def test_what_has_not_changed_stays_as_it_was_saved(store: Store) -> None:
    """Saving writes what has changed and deletes what has ended; it does not touch, or need, the rest."""
    states = store.watch_states
    fall, later = WatchState("fall", "t", "a", (1.0, 0.5)), WatchState("fall", "t", "a", (2.0, 0.7))
    other, change = WatchState("probation", "t", "b", (3.0, 1.0)), WatchState("change", "", "a", (2.0,))
    states.save(10, [fall, other])
    states.save(11, [later, change])
    assert states.load() == (11, [change, later, other])
    states.save(12, [], [("fall", "t", "a"), ("fall", "t", "never saved")])
    assert states.load() == (12, [change, other])


def test_states_are_read_by_model_or_by_pair(store: Store) -> None:
    """A start reads what belongs to models; the states of a pair are read on their own, with the position."""
    states = store.watch_states
    assert states.load_models() == states.load_pair("t", "a") == (None, [])
    pair = [WatchState("fall", "t", "a", (1.0,)), WatchState("probation", "t", "a", (2.0,))]
    models = [WatchState("change", "", "a", (3.0,)), WatchState("pool", "", "", (4.0,))]
    states.save(7, [*models, *pair, WatchState("pool", "t", "", (5.0,)), WatchState("fall", "t", "b", (6.0,))])
    assert states.load_models() == (7, models)
    assert states.load_pair("t", "a") == (7, pair)
    assert states.load_pair("t", "c") == (7, [])
