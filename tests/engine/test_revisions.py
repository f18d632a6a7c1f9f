"""Verdicts that come later or change, as hosts report them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelperf_plugin import ModelPerf
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store import LoggedDecision
from modelperf_plugin.values import Decision, Outcome, Tally

MODELS = ["a", "b"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a new store."""
    return tmp_path / "outcomes.db"


@pytest.fixture
def perf(path: Path) -> Iterator[ModelPerf]:
    """Return an engine on a new file."""
    with ModelPerf({}, store=path, seed=1) as perf:
        yield perf


def select(perf: ModelPerf) -> Decision:
    """Return a decision on a new task."""
    decision = perf.select("plan", MODELS)
    assert decision is not None
    return decision


def tally_of(perf: ModelPerf, model_id: str) -> Tally:
    """Return the counts of a model."""
    return perf.store.tallies.of("plan")[model_id]


def logged(perf: ModelPerf, decision: Decision) -> LoggedDecision:
    """Return a decision as it is in the log."""
    found = perf.store.decisions.get(decision.decision_id)
    assert found is not None
    return found


def is_sound(perf: ModelPerf) -> bool:
    """Return whether all counts add up."""
    return all(finding.ok for finding in perf.store.maintenance.check())


@pytest.mark.parametrize("by_id", [False, True])
@pytest.mark.parametrize("outcome_id", [None, "run-1"])
def test_a_report_replaces_the_verdict_of_the_outcome(perf: ModelPerf, outcome_id: str | None, by_id: bool) -> None:
    """It corrects event, sums and log, with an outcome id or without; the first verdict is kept, and twice is once."""
    decision = select(perf)
    outcome = Outcome(success=True, tokens_used=7, outcome_id=outcome_id)
    assert perf.record("plan", decision.model_id, outcome, decision)
    which = decision.decision_id if by_id else decision
    assert perf.report(which, score=0.2)
    assert not perf.report(which, score=0.2)
    tally = tally_of(perf, decision.model_id)
    assert (tally.successes, tally.failures, tally.mean_score, tally.total_tokens) == (0, 1, 0.2, 7)
    outcome_now = logged(perf, decision).outcome
    assert outcome_now is not None
    assert (outcome_now.success, outcome_now.score) == (False, 0.2)
    assert [(each.success, each.score) for each in outcome_now.former] == [(True, None)]
    assert is_sound(perf)


def test_a_report_before_the_outcome_is_its_verdict(perf: ModelPerf) -> None:
    """It is recorded at once; the outcome then adds what else is known, and the verdict stays."""
    decision = select(perf)
    assert perf.report(decision, success=False)
    assert perf.record(
        "plan", decision.model_id, Outcome(success=True, tokens_used=7, cost_usd=0.5, duration_seconds=2.0), decision
    )
    tally = tally_of(perf, decision.model_id)
    assert (tally.successes, tally.failures, tally.total_tokens, tally.total_cost_usd) == (0, 1, 7, 0.5)
    assert len(logged(perf, decision).tries) == 1
    assert perf.record("plan", decision.model_id, Outcome(success=True), decision)  # another try
    assert tally_of(perf, decision.model_id).samples == 2
    assert is_sound(perf)


def test_a_report_by_another_process_waits_for_the_decision(perf: ModelPerf, path: Path) -> None:
    """A verdict on a decision that is not logged yet is joined when it is, with its outcome or without."""
    with ModelPerf({}, store=path) as grader:
        first, second = select(perf), select(perf)
        perf._decision_writer._background.close()
        assert grader.report(first.decision_id, success=False)
        assert grader.report(second.decision_id, success=False)
        perf.record("plan", first.model_id, Outcome(success=True, tokens_used=7), first)
        perf._decision_writer.flush()
        for decision in (first, second):
            found = logged(grader, decision).outcome
            assert found is not None
            assert not found.success
        assert sum(tally.failures for tally in perf.store.tallies.of("plan").values()) == 2
        assert sum(tally.successes for tally in perf.store.tallies.of("plan").values()) == 0
        assert is_sound(grader)


def test_a_score_alone_is_judged_by_the_configured_score(path: Path) -> None:
    """However it is reported: with the outcome, later, or by a process that does not know the decision yet."""
    strict = {"quality": {"pass_score": 0.9}}
    with ModelPerf(strict, store=path, seed=1) as perf, ModelPerf(strict, store=path) as grader:
        perf._decision_writer._background.close()
        perf.record("plan", "a", {"score": 0.8})
        perf.record_many([("plan", "a", {"score": 0.8})])
        known, unknown = select(perf), select(perf)
        perf.record("plan", known.model_id, Outcome(success=True), known)
        assert perf.report(known, score=0.8)
        assert grader.report(unknown.decision_id, score=0.8)
        perf.record("plan", unknown.model_id, Outcome(success=True), unknown)
        assert sum(tally.successes for tally in perf.store.tallies.of("plan").values()) == 0
        assert sum(tally.graded for tally in perf.store.tallies.of("plan").values()) == 4
        assert is_sound(perf)


def test_an_outage_that_turns_out_a_success_is_no_outage(perf: ModelPerf) -> None:
    """A reported success has no error kind; a failure keeps its own, and its score does not count."""
    outage = Outcome(success=False, error_kind="server_error", timeout=True)
    for success in (False, True):
        decision = select(perf)
        perf.record("plan", decision.model_id, outage, decision)
        perf.report(decision, success=success, score=0.75)
        outcome = logged(perf, decision).outcome
        assert outcome is not None
        assert (outcome.error_kind, outcome.score) == ((None, 0.75) if success else ("server_error", None))
    tallies = perf.store.tallies.of("plan").values()
    assert [sum(each) for each in zip(*((t.successes, t.outages, t.graded) for t in tallies), strict=True)] == [1, 1, 1]
    assert is_sound(perf)


def test_a_retry_goes_by_the_verdict_in_force(perf: ModelPerf) -> None:
    """A model whose success turns out a failure is not tried again on the task, and one that failed in error is."""
    for success in (True, False):
        decision = select(perf)
        perf.record("plan", decision.model_id, Outcome(success=success), decision)
        assert perf.report(decision, success=not success)
        for which in (decision, decision.decision_id):
            again = perf.select("plan", MODELS, {"retry_of": which})
            assert again is not None
            assert again.tried == ((decision.model_id,) if success else ())


def test_the_next_choice_goes_by_the_verdicts_in_force(perf: ModelPerf, path: Path) -> None:
    """The scores are those of an engine that never knew the first verdicts."""
    for number in range(12):
        perf.record("plan", "a", Outcome(success=True, outcome_id=f"a{number}"))
        perf.record("plan", "b", Outcome(success=number % 2 == 0))
    assert select(perf).ranking[0].model_id == "a"
    for number in range(12):
        perf.record("plan", "a", Outcome(score=0.1, outcome_id=f"a{number}"))
    with ModelPerf({}, store=path) as other:
        expected, found = select(other).ranking, select(perf).ranking
    assert [row.model_id for row in found] == ["b", "a"]
    assert [row.score for row in found] == pytest.approx([row.score for row in expected], abs=0.03)


def test_the_last_outcome_of_a_task_is_judged(perf: ModelPerf) -> None:
    """After a fallback the verdict is on its answer, not on the failure of the model that was chosen."""
    decision = select(perf)
    fallback = next(model for model in MODELS if model != decision.model_id)
    perf.record("plan", decision.model_id, Outcome(success=False, error_kind="server_error"), decision)
    perf.record("plan", fallback, Outcome(success=True), decision)
    assert perf.report(decision, success=False)
    assert tally_of(perf, decision.model_id).outages == 1
    assert tally_of(perf, fallback).quality_failures == 1


def test_a_verdict_after_its_event_was_dropped_is_refused(perf: ModelPerf, caplog: pytest.LogCaptureFixture) -> None:
    """Retention leaves sums only: nothing is changed, and the log says why."""
    decision = select(perf)
    perf.record("plan", decision.model_id, Outcome(success=True, outcome_id="run-1"), decision)
    perf.record("plan", decision.model_id, Outcome(success=True))
    perf.store.events.drop(2**52)
    assert not perf.report(decision, success=False)
    assert not perf.record("plan", decision.model_id, Outcome(success=False, outcome_id="run-1"))
    assert caplog.text.count("after its details were dropped") == 2
    assert tally_of(perf, decision.model_id).successes == 2
    assert is_sound(perf)


def test_a_decision_that_cannot_be_found_is_said_to_be(perf: ModelPerf, caplog: pytest.LogCaptureFixture) -> None:
    """A text that is no id of a decision changes nothing; a report without a verdict is an error."""
    assert not perf.report("my own id", success=True)
    assert "not in the log" in caplog.text
    with pytest.raises(InvalidValueError):
        perf.report(select(perf))


def test_what_changed_before_a_model_did_stays_before(perf: ModelPerf) -> None:
    """A verdict on an outcome from before a change of its model corrects what no longer counts, too."""
    decision = select(perf)
    perf.record("plan", decision.model_id, Outcome(success=True), decision)
    perf.store.changes.add(decision.model_id, "announced", (perf.store.events.last_id(), 1), (0, 0), None, {})
    assert perf.report(decision, success=False)
    (baseline,) = perf.store.tallies.baselines().values()
    assert (baseline.successes, baseline.failures) == (0, 1)


def test_a_failure_that_turns_out_well_is_taken_back_from_the_watch(path: Path) -> None:
    """What failures had won against a model goes when their verdicts change, in every process that watches."""
    settings = {"demotion": {"threshold": 0.8}, "exploration": {"strategy": "never"}}
    with ModelPerf(settings, store=path) as perf, ModelPerf(settings, store=path) as other:
        for number in range(12):
            for model_id, success in (("a", number % 3 > 0), ("b", True)):
                perf.record("plan", model_id, Outcome(success=success, outcome_id=f"{model_id}{number}"))
        monitors = [each._monitor for each in (perf, other)]
        for monitor in monitors:
            monitor.process_new_outcomes()
        before = [monitor._watches.falls["plan", "a"] for monitor in monitors]
        for number in range(0, 12, 3):
            perf.record("plan", "a", Outcome(success=True, outcome_id=f"a{number}"))
        for _ in range(3):
            for monitor in monitors:
                monitor.process_new_outcomes()
        for monitor, watch in zip(monitors, before, strict=True):
            assert monitor._watches.falls["plan", "a"].e_value < watch.e_value


def test_a_success_that_turns_out_a_failure_adds_nothing_to_the_watch(path: Path) -> None:
    """The bound on false demotions is proved for the first verdicts: the next outcomes have to show it."""
    with ModelPerf({"demotion": {"threshold": 0.8}, "exploration": {"strategy": "never"}}, store=path) as perf:
        for number in range(12):
            perf.record("plan", "a", Outcome(success=number % 3 > 0, outcome_id=f"a{number}"))
            perf.record("plan", "b", Outcome(success=True))
        perf._monitor.process_new_outcomes()
        before = perf._monitor._watches.falls["plan", "a"]
        for number in range(1, 12, 3):
            perf.record("plan", "a", Outcome(success=False, outcome_id=f"a{number}"))
        for _ in range(3):
            perf._monitor.process_new_outcomes()
        assert perf._monitor._watches.falls["plan", "a"] == before
