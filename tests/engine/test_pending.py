"""Choices that wait for their outcome are counted, settled and forgotten in time."""

from __future__ import annotations

from modelperf_plugin.engine.pending import EXPIRY_MS, MAX_DECISIONS, Pending


def test_a_choice_waits_until_its_outcome_comes() -> None:
    """Counted from the choice to the outcome that names it."""
    pending = Pending()
    pending.add("d1", "t", "m", 0)
    pending.add("d2", "t", "m", 0)
    assert (pending.count("t", "m"), pending.count("t", "other")) == (2, 0)
    pending.settle("d1", "t", "m")
    assert pending.count("t", "m") == 1
    pending.settle("d1", "t", "m")
    assert pending.count("t", "m") == 1


def test_the_decision_named_counts_also_for_a_fallback() -> None:
    """An outcome of a fallback settles the decision it names, which chose another model."""
    pending = Pending()
    pending.add("d1", "t", "first", 0)
    pending.settle("d1", "t", "fallback")
    assert pending.count("t", "first") == 0


def test_an_outcome_without_a_decision_settles_the_oldest_of_its_pair() -> None:
    """Hosts that hand no decision back still have their choices settled, one by one."""
    pending = Pending()
    pending.add("d1", "t", "m", 0)
    pending.add("d2", "t", "m", 1)
    pending.settle(None, "t", "m")
    pending.settle("d2", "t", "m")
    assert pending.count("t", "m") == 0
    pending.settle(None, "t", "m")
    assert pending.count("t", "m") == 0


def test_what_never_comes_is_not_waited_for() -> None:
    """After an hour a choice is forgotten, and there are never more than 8,000."""
    pending = Pending()
    pending.add("old", "t", "m", 0)
    pending.add("new", "t", "m", EXPIRY_MS + 1)
    assert pending.count("t", "m") == 1
    for number in range(MAX_DECISIONS + 5):
        pending.add(f"n{number}", "t", "m", EXPIRY_MS + 2)
    assert pending.count("t", "m") == MAX_DECISIONS
