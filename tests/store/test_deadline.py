"""One deadline for all the waits of a call."""

from __future__ import annotations

import threading

import pytest

from modelperf_plugin.store.deadline import BUSY_SECONDS, NO_WAIT, remaining, within


def test_without_a_deadline_a_call_waits_for_so_long() -> None:
    """Outside of every block each call has the same time, or less if it asks for less."""
    assert remaining() == BUSY_SECONDS
    assert remaining(1.0) == 1.0


def test_the_earliest_deadline_counts() -> None:
    """An inner action cannot extend the deadline of an outer one, and its own ends with it."""

    def outer() -> None:
        assert 0.0 < remaining() <= 0.5
        assert within(60.0, remaining) <= 0.5
        assert within(NO_WAIT, remaining) == 0.0
        assert 0.0 < remaining() <= 0.5

    within(0.5, outer)
    assert remaining() == BUSY_SECONDS


def test_an_interrupted_action_leaves_no_deadline_behind() -> None:
    """Whatever an action raises, the calls after it have their own time again."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        within(NO_WAIT, interrupted)
    assert remaining() == BUSY_SECONDS


def test_a_deadline_is_that_of_one_thread() -> None:
    """Other threads wait as long as they may."""
    seen: list[float] = []

    def start_another() -> None:
        thread = threading.Thread(target=lambda: seen.append(remaining()))
        thread.start()
        thread.join()

    within(NO_WAIT, start_another)
    assert seen == [BUSY_SECONDS]
