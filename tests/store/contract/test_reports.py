"""Verdicts on the last outcome of a decision, whichever comes first: decision, outcome or verdict."""

from __future__ import annotations

from typing import Any

import pytest

from modelperf_plugin.store import DecisionOutcome, DecisionRecord, Joining, Recorded, Store
from modelperf_plugin.store.decisions import JoinedOutcome
from modelperf_plugin.store.entries import id_by_decision
from modelperf_plugin.values import Outcome
from tests.store.contract.examples import NEW_YEAR_MS, entry, unsound
from tests.store.contract.test_decisions import decided, keep

ID = "0123456789abcdef0123"
LATER_MS = NEW_YEAR_MS + 60_000


def run(store: Store, model_id: str = "best", *, stores: bool = False, **said: Any) -> Joining:
    """Record an outcome of the decision, which is stored with it or not."""
    new = entry(model_id, task_type="plan", **said)
    outcome = DecisionOutcome(ID, model_id, new.outcome, new.ended_ms, new.outcome.outcome_id)
    joining = Joining(DecisionRecord.of(decided(ID)) if stores else None, outcome)
    assert store.outcomes.record(new, joining)
    return joining


def report(store: Store, *, success: bool, score: float | None = None) -> None:
    """Report a verdict on the decision, as for one that is not known."""
    assert store.decisions.report(ID, Outcome(success=success, score=score), LATER_MS) is Recorded.REVISED


def tries(store: Store) -> tuple[JoinedOutcome, ...]:
    """Return the outcomes of the decision, which the counts agree with."""
    logged = store.decisions.get(ID)
    assert logged is not None
    tally = store.tallies.of("plan")
    assert sum(each.successes for each in tally.values()) == sum(each.success for each in logged.tries)
    assert sum(each.samples for each in tally.values()) == len(logged.tries)
    assert unsound(store) == []
    return logged.tries


def test_a_verdict_waits_for_decision_and_outcome(store: Store) -> None:
    """It replaces that of the outcome with which the decision is stored, and the host is told so."""
    report(store, success=False, score=0.25)
    joining = run(store, stores=True, tokens_used=7)
    assert joining.is_stored
    assert joining.has_verdict
    (outcome,) = tries(store)
    assert (outcome.success, outcome.score, outcome.tokens_used) == (False, 0.25, 7)
    assert [(each.revised_ms, each.success) for each in outcome.former] == [(LATER_MS, True)]
    assert not run(store, stores=True).has_verdict


def test_the_newest_of_several_verdicts_counts(store: Store) -> None:
    """Verdicts that wait for the same decision replace each other."""
    for success in (True, False):
        report(store, success=success)
    keep(store, decided(ID))
    assert [each.success for each in tries(store)] == [False]


@pytest.mark.parametrize("stored", [True, False])
def test_a_verdict_is_an_outcome_until_that_comes(store: Store, *, stored: bool) -> None:
    """Without any outcome the verdict is recorded as one of the chosen model; its outcome adds what it knows to it."""
    if stored:
        keep(store, decided(ID))
    report(store, success=False, score=0.5)
    if not stored:
        keep(store, decided(ID))
    (outcome,) = tries(store)
    assert (outcome.model_id, outcome.success, outcome.score, outcome.ended_ms) == ("best", False, 0.5, LATER_MS)
    assert outcome.ref == id_by_decision(ID)
    joining = run(store, tokens_used=7, cost_usd=0.25, duration_seconds=1.5, timeout=True, served_model="real")
    assert joining.is_stored
    assert joining.joined == []
    (outcome,) = tries(store)
    assert (outcome.success, outcome.score, outcome.timeout, outcome.tokens_used) == (False, 0.5, True, 7)
    assert (outcome.cost_usd, outcome.duration_ms, outcome.served_model) == (0.25, 1500, "real")
    assert isinstance(outcome.ref, int)
    run(store)
    assert len(tries(store)) == 2


def test_a_verdict_replaces_one_that_was_counted_without_the_decision(store: Store) -> None:
    """A verdict on a decision that is not in the log may count at once; one that waits replaces it."""
    assert store.outcomes.record(entry("best", task_type="plan", outcome_id=id_by_decision(ID))) is Recorded.NEW
    report(store, success=False)
    keep(store, decided(ID))
    assert [each.success for each in tries(store)] == [False]


def test_another_models_outcome_is_another_one(store: Store) -> None:
    """Only an outcome of the model that the verdict was counted for adds to it."""
    keep(store, decided(ID))
    report(store, success=False)
    run(store, "other")
    assert [(each.model_id, each.success) for each in tries(store)] == [("best", False), ("other", True)]


def test_a_verdict_goes_to_the_last_outcome(store: Store) -> None:
    """Of several outcomes the last one is judged, with an id of its own or without; not that of the decision."""
    run(store, stores=True)
    for outcome_id in (None, "run-2"):
        run(store, "other", outcome_id=outcome_id)
        report(store, success=False)
    assert [each.success for each in tries(store)] == [True, False, False]
    verdict = entry("other", task_type="plan", outcome_id=id_by_decision(ID), ended_ms=LATER_MS)
    assert store.outcomes.record(verdict) is Recorded.REVISED
    assert store.outcomes.record(verdict) is Recorded.NOTHING
    assert [each.success for each in tries(store)] == [True, False, True]


def test_an_error_of_the_caller_keeps_its_kind(store: Store) -> None:
    """A failure that is no fault of the model gets no score; a success has no kind of error."""
    run(store, stores=True, success=False, error_kind="cancelled")
    report(store, success=False, score=0.5)
    (outcome,) = tries(store)
    assert (outcome.error_kind, outcome.score) == ("cancelled", None)
    report(store, success=True, score=0.5)
    (outcome,) = tries(store)
    assert (outcome.error_kind, outcome.score) == (None, 0.5)


def test_verdicts_that_wait_are_forgotten(store: Store) -> None:
    """Once they are old, they wait no longer."""
    report(store, success=False)
    store.decisions.forget(LATER_MS + 1)
    keep(store, decided(ID))
    assert tries(store) == ()
