"""Verdicts that come later or change."""

from __future__ import annotations

import random
from typing import Any

import pytest

from modelperf_plugin.store import DecisionRecord, Entry, Joining, Recorded, Store
from modelperf_plugin.store.decision_records import DecisionOutcome
from modelperf_plugin.values import Outcome
from tests.store.contract.examples import NEW_YEAR_MS, OpenStore, entry, unsound
from tests.store.contract.test_decisions import decided

KINDS = (None, "server_error", "cancelled", "other")
DAY = "execute-task"


def sums(store: Store) -> tuple[Any, ...]:
    """Return all counts that outcomes add up to."""
    return store.tallies.all(), store.tallies.of(DAY), store.tallies.later(DAY)


def verdict(number: int, generator: random.Random, *, graded: bool = True) -> Entry:
    """Return one of many possible verdicts on an outcome; what is no part of it depends on the number alone."""
    success = generator.random() < 0.5
    outcome = Outcome(
        success=success,
        timeout=generator.random() < 0.3,
        error_kind=None if success else generator.choice(KINDS),  # type: ignore[arg-type]
        score=generator.random() if graded and generator.random() < 0.5 else None,
        tokens_used=100 + number,
        cost_usd=generator.choice([0.5, 1.0]),
        outcome_id=f"run-{number}",
    )
    return Entry(
        DAY, f"model-{number % 3}", outcome, NEW_YEAR_MS + 3_600_000 * number, ("a",) if number % 4 == 0 else ()
    )


def test_another_verdict_replaces_the_first(store: Store) -> None:
    """A known id with another verdict leaves what the new one alone would have left; the same again changes nothing."""
    first, second = entry(outcome_id="run-1"), entry(success=False, score=0.25, outcome_id="run-1")
    assert store.outcomes.record(first) is Recorded.NEW
    assert store.outcomes.record(second) is Recorded.REVISED
    assert store.outcomes.record(second) is Recorded.NOTHING
    tally = store.tallies.of(DAY)["gpt-4o"]
    assert (tally.successes, tally.failures, tally.graded, tally.mean_score) == (0, 1, 1, 0.25)
    assert unsound(store) == []


def test_tokens_and_costs_come_later(store: Store) -> None:
    """Tokens and cost are replaced where the later outcome gives them, and stay where it does not."""
    store.outcomes.record(entry(tokens_used=7, outcome_id="run-1"))
    assert store.outcomes.record(entry(cost_usd=0.25, outcome_id="run-1")) is Recorded.REVISED
    tally = store.tallies.of(DAY)["gpt-4o"]
    assert (tally.total_tokens, tally.total_cost_usd, tally.priced, tally.samples) == (7, 0.25, 1, 1)
    assert unsound(store) == []


@pytest.mark.parametrize("seed", range(5))
def test_only_the_final_verdicts_count(seed: int, opener: OpenStore) -> None:
    """Any sequence of verdicts on some outcomes, single or in bulk, leaves the counts of the final ones."""
    generator = random.Random(seed)
    store, expected = opener(), opener()
    final: dict[int, Entry] = {}
    for _ in range(60):
        some = [verdict(generator.randrange(12), generator) for _ in range(generator.choice([1, 1, 1, 5]))]
        if len(some) == 1:
            store.outcomes.record(some[0])
        else:
            store.outcomes.record_many(some)
        for each in some:
            final[int(str(each.outcome.outcome_id).rpartition("-")[2])] = each
        store.tallies.of(DAY)
    expected.outcomes.record_many(final.values())
    assert sums(store) == sums(expected)
    assert unsound(store) == []


def joining(first: Entry, decision: DecisionRecord | None, decision_id: str) -> Joining:
    """Return what the transaction of an outcome adds to the log."""
    outcome = first.outcome
    return Joining(decision, DecisionOutcome(decision_id, first.model_id, outcome, first.ended_ms, outcome.outcome_id))


def test_the_log_follows(store: Store) -> None:
    """The outcome of a decision has the newest verdict, whoever gave it, and remembers the former ones."""
    decision = decided()
    first = entry(decision.model_id, outcome_id="run-1")
    store.outcomes.record(first, joining(first, DecisionRecord.of(decision), decision.decision_id))
    if store.degraded:
        store.decisions.write([DecisionRecord.of(decision)], [joining(first, None, decision.decision_id).outcome])
    store.outcomes.record(entry(decision.model_id, success=False, outcome_id="run-1"))
    logged = store.decisions.get(decision.decision_id)
    assert logged is not None
    assert logged.outcome is not None
    if not store.degraded:
        assert not logged.outcome.success
        assert [each.success for each in logged.outcome.former] == [True]
    assert len(logged.tries) == 1
