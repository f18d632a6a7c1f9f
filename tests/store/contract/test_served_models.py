"""The contract of served models: which model has really answered behind the name that was asked for."""

from __future__ import annotations

from modelperf_plugin.store import Entry, Recorded, Store
from modelperf_plugin.store.aliases.store import with_aliases
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord, Joining
from modelperf_plugin.values import Outcome
from modelperf_plugin.values.names import Aliases
from tests.store.contract.examples import NEW_YEAR_MS, entry, unsound
from tests.store.contract.test_decisions import decided

SNAPSHOT = "gpt-4o-2024-11-20"


def served(store: Store, outcome_id: str) -> str | None:
    """Return the served model of an outcome."""
    return store.outcomes.verdicts_of([outcome_id])[outcome_id].served_model


def test_the_outcome_counts_for_the_model_that_was_asked_for(store: Store) -> None:
    """A served model moves no count: neither with an id, nor without one, nor of a later try."""
    outcome = Outcome(success=True, tokens_used=3, score=0.75, duration_seconds=2.0, served_model=SNAPSHOT)
    plain = Entry("plan", "gpt-4o", outcome, NEW_YEAR_MS)
    named = Entry("plan", "gpt-4o", Outcome(success=False, outcome_id="1", served_model=SNAPSHOT), NEW_YEAR_MS)
    later = Entry("plan", "gpt-4o", Outcome(success=True, served_model=SNAPSHOT), NEW_YEAR_MS, ("b",))
    assert [store.outcomes.record(each) for each in (plain, named, later, named)] == [1, 1, 1, 0]
    assert store.outcomes.record_many([plain, later]) == 2
    tally = store.tallies.of("plan")["gpt-4o"]
    assert (tally.samples, tally.successes, tally.later_successes, tally.graded) == (5, 4, 2, 2)
    assert tally.total_tokens == 6
    assert list(store.tallies.of("plan")) == ["gpt-4o"]
    assert unsound(store) == []


def test_it_is_kept_with_the_outcome(store: Store) -> None:
    """By one or by many, first try or later one; not if it is the model itself."""
    store.outcomes.record(entry(outcome_id="one", served_model=SNAPSHOT))
    store.outcomes.record(entry(outcome_id="own", served_model="gpt-4o"))
    store.outcomes.record(entry(outcome_id="later", served_model=SNAPSHOT)._replace(tried=("b",)))
    many = [entry(outcome_id=f"many-{number}", served_model=f"m-{number % 2}") for number in range(3)]
    store.outcomes.record_many([*many, entry(outcome_id="none"), entry(outcome_id="self", served_model="gpt-4o")])
    ids = ("one", "own", "later", "many-0", "many-1", "many-2", "none", "self")
    assert [served(store, each) for each in ids] == [SNAPSHOT, None, SNAPSHOT, "m-0", "m-1", "m-0", None, None]


def test_a_later_verdict_keeps_or_replaces_it(store: Store) -> None:
    """A verdict without a served model keeps the known one, one with another replaces it, the same again is nothing."""
    store.outcomes.record(entry(outcome_id="1", served_model=SNAPSHOT))
    assert store.outcomes.record(entry(success=False, outcome_id="1")) is Recorded.REVISED
    assert served(store, "1") == SNAPSHOT
    assert store.outcomes.record(entry(success=False, outcome_id="1", served_model="other")) is Recorded.REVISED
    assert served(store, "1") == "other"
    assert store.outcomes.record(entry(success=False, outcome_id="1", served_model="other")) is Recorded.NOTHING
    assert store.outcomes.record(entry(success=True, outcome_id="1", served_model=SNAPSHOT)) is Recorded.REVISED
    assert served(store, "1") == SNAPSHOT
    assert (store.tallies.of("execute-task")["gpt-4o"].successes, unsound(store)) == (1, [])


def test_a_verdict_may_bring_it(store: Store) -> None:
    """It may become known after the outcome: by one, and by many."""
    store.outcomes.record_many([entry(outcome_id="1"), entry(outcome_id="2")])
    store.outcomes.record(entry(outcome_id="1", served_model=SNAPSHOT))
    store.outcomes.record_many([entry(outcome_id="2", served_model="other")])
    assert [served(store, each) for each in "12"] == [SNAPSHOT, "other"]


def test_the_log_has_it_with_the_outcome(store: Store) -> None:
    """Every try of a decision has its served model, with an id and without one; replaced with the verdict."""
    decision = decided()
    store.decisions.write([DecisionRecord.of(decision)], [])
    outcome = Outcome(success=False, served_model=SNAPSHOT)
    first = Entry(decision.task_type, decision.model_id, outcome, NEW_YEAR_MS)
    joined = DecisionOutcome(decision.decision_id, decision.model_id, first.outcome, first.ended_ms)
    store.outcomes.record(first, Joining(None, joined))
    second = entry(outcome_id="2", served_model="other")
    joined = DecisionOutcome(decision.decision_id, second.model_id, second.outcome, second.ended_ms)
    store.outcomes.record(second, Joining(None, joined))
    found = store.decisions.get(decision.decision_id)
    if found is not None and found.tries:  # a log that is suspended has none
        assert [each.served_model for each in found.tries] == [SNAPSHOT, "other"]
        assert found.outcome is not None
        assert found.outcome.as_dict()["served_model"] == SNAPSHOT
        store.outcomes.record(entry(success=False, outcome_id="2", served_model="third"))
        again = store.decisions.get(decision.decision_id)
        assert again is not None
        assert [each.served_model for each in again.tries] == [SNAPSHOT, "third"]


def test_answers_are_counted_by_who_gave_them(store: Store) -> None:
    """For the model itself where nothing else is known. Outages are not counted; without other models, nothing is."""
    store.outcomes.record_many([entry(), entry()])
    assert store.served_models.counts() == {}
    store.outcomes.record_many([entry(served_model="b"), entry(success=False, served_model="b"), entry("a")])
    store.outcomes.record_many([entry(success=False, error_kind="rate_limit"), entry(success=False, timeout=True)])
    store.outcomes.record(entry(success=False, error_kind="refused", served_model="c"))
    counts = {("gpt-4o", "gpt-4o"): 2, ("gpt-4o", "b"): 2, ("gpt-4o", "c"): 1, ("a", "a"): 1}
    assert store.served_models.counts() == counts
    merged = with_aliases(store, Aliases({"b": "gpt-4o"})).served_models.counts()
    assert merged == {("gpt-4o", "gpt-4o"): 4, ("gpt-4o", "c"): 1, ("a", "a"): 1}
