"""Scores are stored beside the verdicts: by outcome, and as sums for each pair, day and set of failed tries."""

from __future__ import annotations

import pytest

from modelperf_plugin.store import DecisionOutcome, Entry, Store
from modelperf_plugin.store.sqlite.maintenance import SqliteMaintenance
from modelperf_plugin.values import Outcome
from tests.store.contract.examples import NEW_YEAR_MS, unsound

DAY_MS = 86_400_000
GRADED = [
    Outcome(success=True, score=0.9),
    Outcome(success=False, score=0.4),
    Outcome(success=False, score=0.2, timeout=True),
    Outcome(score=0.5),
    Outcome(success=True),
    Outcome(success=False, score=0.3, error_kind="rate_limit"),
    Outcome(success=False, score=0.3, error_kind="cancelled"),
    Outcome(success=False, score=0.1, error_kind="refused"),
]
"""Five outcomes with a score that counts, one without, and two failures that say nothing about the model."""


def recorded(store: Store, in_bulk: bool, tried: tuple[str, ...] = ()) -> Store:
    """Record all of them, one a day."""
    entries = [Entry("t", "m", each, NEW_YEAR_MS + day * DAY_MS, tried) for day, each in enumerate(GRADED)]
    if in_bulk:
        store.outcomes.record_many(entries)
    for each in [] if in_bulk else entries:
        store.outcomes.record(each)
    return store


@pytest.mark.parametrize("in_bulk", [False, True])
@pytest.mark.parametrize("tried", [(), ("other",)])
def test_the_mean_score_is_that_of_all_verdicts(store: Store, in_bulk: bool, tried: tuple[str, ...]) -> None:
    """An outcome without a score counts as 0 or 1, a failure of the provider or the caller not at all."""
    tally = recorded(store, in_bulk, tried).tallies.of("t")["m"]
    assert (tally.successes, tally.failures, tally.graded) == (3, 5, 5)
    assert tally.mean_score == pytest.approx((0.9 + 0.4 + 0.2 + 0.5 + 1.0 + 0.1) / 6)
    assert tally.later_score_shift == (tally.score_shift if tried else 0)
    assert tally.timeout_failures == 0, "what has a score counts by it, timed out or not"
    assert unsound(store) == []


def test_scores_survive_the_retention_of_events_and_a_rebuild(store: Store) -> None:
    """The sums stay the same, and nothing is found wrong."""
    before = recorded(store, in_bulk=False).tallies.of("t")["m"]
    store.events.drop(NEW_YEAR_MS + 3 * DAY_MS)
    assert unsound(store) == []
    if isinstance(store.maintenance, SqliteMaintenance):
        store.maintenance.rebuild()
        assert store.tallies.of("t")["m"] == before
        assert unsound(store) == []


def test_events_tell_the_score_and_what_the_provider_asked(store: Store) -> None:
    """To the millionth and the millisecond; None where nothing was said."""
    store.outcomes.record(Entry("t", "m", Outcome(score=1 / 3), NEW_YEAR_MS))
    away = Outcome(success=False, error_kind="rate_limit", retry_after_seconds=2.5)
    store.outcomes.record_many(
        [Entry("t", "m", away, NEW_YEAR_MS), Entry("t", "m", Outcome(success=True), NEW_YEAR_MS)]
    )
    events = store.events.after(0, 10)
    assert [each.score for each in events] in ([0.333333, None, None], [])  # none while SQLite fails
    assert [each.retry_after_ms for each in events] in ([None, 2500, None], [])


def test_the_score_of_a_decision_waits_with_its_outcome(store: Store) -> None:
    """An outcome whose decision is not stored yet keeps its score."""
    store.decisions.write([], [DecisionOutcome("d", "m", Outcome(score=0.25), NEW_YEAR_MS)])
    assert [each.outcome.score for each in store.unmatched.of("d")] == [0.25]
