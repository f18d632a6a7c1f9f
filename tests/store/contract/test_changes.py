"""Changes of models, and the counts from before them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import Baseline, Entry, Store, open_store
from modelperf_plugin.values import ErrorKind, Outcome, Tally
from tests.store.contract.examples import entries, record


def test_a_change_is_noted_once(store: Store) -> None:
    """A second note of the same change, by a process that saw it later, adds nothing; a later change does."""
    for _ in range(3):
        record(store, "a", success=True)
    note = store.changes.add
    assert note("a", "down", (1, 3), (10, 30), 20_000.0, {"t": 0.25})
    assert not note("a", "down", (2, 3), (10, 40), 21_000.0, {})
    assert note("b", "up", (1, 3), (10, 30), 20_000.0, {})
    assert note("a", "up", (3, 9), (50, 90), 30_000.0, {})
    assert [(each.model_id, each.direction) for each in store.changes.all()] == [
        ("a", "up"),
        ("b", "up"),
        ("a", "down"),
    ]


_fresh = count()
"""Numbers for the names of each example, so that all examples share a store."""
events = st.lists(
    st.tuples(st.sampled_from("ab"), st.booleans(), st.sampled_from([None, "other", "rate_limit", "cancelled"])),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(before=events, after=events)
def test_a_baseline_is_what_was_counted_before(
    store: Store,
    before: list[tuple[str, bool, ErrorKind | None]],
    after: list[tuple[str, bool, ErrorKind | None]],
) -> None:
    """The baseline of a changed model holds exactly the quality counts until it was noticed, and its expected rate."""
    task_type = f"t{next(_fresh)}"
    names = {model_id: f"{model_id} on {task_type}" for model_id in "ab"}

    def record_all(outcomes: list[tuple[str, bool, ErrorKind | None]]) -> None:
        store.outcomes.record_many(
            Entry(task_type, names[model_id], Outcome(success=success, error_kind=error_kind), 1000)
            for model_id, success, error_kind in outcomes
        )

    record_all(before)
    position = store.events.last_id()
    record_all(after)
    store.changes.add(names["a"], "down", (position // 2, position), (0, 0), 1.0, {task_type: 0.5})
    successes = sum(success for model_id, success, _ in before if model_id == "a")
    failures = sum(
        not success and kind not in {"rate_limit", "cancelled"} for model_id, success, kind in before if model_id == "a"
    )
    seen = any(model_id == "a" for model_id, _, _ in before + after)
    expected = {(task_type, names["a"]): Baseline(successes, failures, 0.5, direction="down")} if seen else {}
    assert store.tallies.baselines((task_type, task_type)) == expected


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(before=st.lists(entries, max_size=12), after=st.lists(entries, max_size=12))
def test_the_later_tries_of_a_baseline_are_those_before(store: Store, before: list[Entry], after: list[Entry]) -> None:
    """A baseline holds the same part of the later tries as of all outcomes: those up to the change."""
    number = next(_fresh)
    before, after = [_renamed(each, number) for each in before], [_renamed(each, number) for each in after]
    store.outcomes.record_many(before)
    position = store.events.last_id()
    tallies = {(tally.task_type, tally.model_id): tally for tally in store.tallies.all()}
    known = {each.outcome.outcome_id for each in before} - {None}  # another verdict would correct the baseline, too
    store.outcomes.record_many([each for each in after if each.outcome.outcome_id not in known])
    changed = f"x on {number}"
    store.changes.add(changed, "announced", (position, position), (0, 0), None, {})
    baselines = {pair: each for pair, each in store.tallies.baselines().items() if pair[1] == changed}
    assert {pair for pair in tallies if pair[1] == changed} <= baselines.keys()
    for pair, baseline in baselines.items():
        tally = tallies.get(pair, Tally(*pair))
        assert baseline[:2] == (tally.successes, tally.quality_failures)
        later = (tally.later_successes, tally.later_failures, tally.later_timeout_failures)
        assert baseline[6:] == (*later, tally.score_shift, tally.later_score_shift)


def _renamed(entry: Entry, number: int) -> Entry:
    """Return an outcome of another model, with an id of its own."""
    outcome_id = entry.outcome.outcome_id
    outcome = replace(entry.outcome, outcome_id=outcome_id and f"{outcome_id} of {number}")
    return entry._replace(model_id=f"{entry.model_id} on {number}", outcome=outcome)


def test_a_change_that_cannot_be_noted_leaves_nothing(store: Store) -> None:
    """The change, its baselines and rates are one transaction: a value that is refused takes all of it back."""
    record(store, "a", success=True)
    with pytest.raises(StoreError):
        store.changes.add("a", "down", (1, 1), (0, 0), 1.0, {"t": "much"})  # type: ignore[dict-item]
    assert store.changes.all() == []
    assert store.tallies.baselines() == {}


def test_a_later_change_takes_the_place_of_the_baseline_before(store: Store) -> None:
    """One baseline for each pair, up to the last change; one that is announced expects nothing."""
    record(store, "a", success=True)
    store.changes.add("a", "down", (1, 1), (0, 0), 1.0, {"t": 0.5})
    record(store, "a", success=False)
    assert store.changes.add("a", "announced", (2, 2), (0, 0), None, {})
    assert store.tallies.baselines() == {("t", "a"): Baseline(1, 1, None)}


def test_two_processes_note_a_change_and_a_demotion_once(tmp_path: Path) -> None:
    """Of two stores on one file the second is told that it is noted already, and reads the first one's note."""
    with closing(open_store(tmp_path / "x.db")) as one, closing(open_store(tmp_path / "x.db")) as two:
        for _ in range(3):
            record(one, "a", success=False)
        assert one.changes.add("a", "down", (1, 3), (10, 30), 20_000.0, {})
        assert not two.changes.add("a", "down", (1, 3), (10, 30), 20_000.0, {})
        assert one.demotions.add("t", "a", 1, 0.7, 20.0, "first")
        assert not two.demotions.add("t", "a", 1, 0.7, 20.0, "second")
        assert two.changes.all() == one.changes.all()
        assert two.demotions.all() == one.demotions.all()
        assert two.demotions.end("t", "a", 2, "evidence")
        assert not one.demotions.end("t", "a", 2, "operator")
