"""Counted failures."""

from __future__ import annotations

from modelperf_plugin.store import CountedProblem, Store


def test_problems_are_added_up(store: Store) -> None:
    """Failures of one kind are one row with their number, first and last time; the newest come first."""
    store.problems.add(CountedProblem("select_model", "broken", 2, 10, 20))
    store.problems.add(CountedProblem("on_task_complete", "bad value", 1, 40, 40))
    store.problems.add(CountedProblem("select_model", "broken", 3, 30, 50))
    assert [problem for problem in store.problems.all() if problem.kind != "the store"] == [
        CountedProblem("select_model", "broken", 5, 10, 50),
        CountedProblem("on_task_complete", "bad value", 1, 40, 40),
    ]
    store.problems.clear()
    assert store.problems.all() == []


def test_problems_do_not_grow_without_bound(store: Store) -> None:
    """At most a hundred kinds of failure are kept, the newest ones."""
    for number in range(120):
        store.problems.add(CountedProblem("select_model", f"failure {number}", 1, number, number))
    kept = [problem for problem in store.problems.all() if problem.kind != "the store"]
    assert 99 <= len(kept) <= 100
    assert kept[0].message == "failure 119"
