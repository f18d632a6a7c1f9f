"""Outcomes with scores: evidence, demotion, detection and A/B tests work on them; successes keep their meaning."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.config import load
from modelperf_plugin.engine.ab_verdicts import state_of
from modelperf_plugin.engine.weighing import WeighedCounts
from modelperf_plugin.policy.belief import own_belief
from modelperf_plugin.policy.ranking import Posterior
from modelperf_plugin.policy.sequential import TwoSampleTest
from modelperf_plugin.values import Tally
from tests.clocks import FakeClock

SCORES = (0.9, 0.25, 0.7, 1.0)


def cell(perf: mp.ModelPerf, clock: FakeClock, timeouts: str = "failure") -> tuple[float, float]:
    """Return the successes and failures of model m on task type t that count now."""
    config = load({"drift": {"half_life_days": 10}, "quality": {"timeouts": timeouts}}).config
    tallies = perf.store.tallies.all()
    return WeighedCounts(config, perf.store.tallies, tallies, int(clock().timestamp() // 86_400)).cell(tallies[0])


def feed(perf: mp.ModelPerf, draw: Callable[[str], float], count: int) -> None:
    """Record ``count`` scores of two models, and process them."""
    for _ in range(count):
        for model_id in ("good", "other"):
            perf.record("t", model_id, mp.Outcome(score=draw(model_id)))
    while perf._monitor.process_new_outcomes():
        pass


def test_scores_are_fractions_of_a_success(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A cell holds Σ score and Σ (1 − score), which fade like any count; the tally counts successes from .5 on."""
    for score in SCORES:
        perf.record("t", "m", mp.Outcome(score=score))
    perf.record("t", "m", mp.Outcome(success=True))
    assert cell(perf, clock) == pytest.approx((3.85, 1.15))
    tally = perf.store.tallies.of("t")["m"]
    assert (tally.successes, tally.failures, tally.graded) == (4, 1, 4)
    clock.advance(days=10)
    assert cell(perf, clock) == pytest.approx((3.85 / 2, 1.15 / 2))


def test_scores_before_a_change_do_not_count(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """Of the scores only those after the change of a model are evidence, also on its day."""
    for score in SCORES:
        perf.record("t", "m", mp.Outcome(score=score))
    newest, now_ms = perf.store.events.last_id(), int(clock().timestamp() * 1000)
    perf.store.changes.add("m", "announced", (newest, newest), (now_ms, now_ms), None, {})
    perf.record("t", "m", mp.Outcome(score=0.3))
    assert cell(perf, clock) == pytest.approx((0.3, 0.7))


@pytest.mark.parametrize("timeouts", ["failure", "outage", "ignore"])
def test_a_score_counts_whether_or_not_it_timed_out(perf: mp.ModelPerf, clock: FakeClock, timeouts: str) -> None:
    """A timed-out failure counts as configured; with a score it counts by the score."""
    perf.record("t", "m", mp.Outcome(score=0.4, timeout=True))
    perf.record("t", "m", mp.Outcome(success=False, timeout=True))
    assert cell(perf, clock, timeouts) == pytest.approx((0.4, 1.6 if timeouts == "failure" else 0.6))


def test_later_tries_count_by_score_after_the_same_failures(perf: mp.ModelPerf, clock: FakeClock) -> None:
    """A later try with a score is x of a success on a task that others had failed."""
    for score in (0.25, 0.75, 1.0):
        first = perf.select("t", ["a", "m"], {"pin": "a"})
        assert first is not None
        perf.record("t", "a", mp.Outcome(success=False), first)
        perf.record("t", "m", mp.Outcome(score=score), first)
    tally = perf.store.tallies.of("t")["m"]
    weighed = WeighedCounts(perf.config, perf.store.tallies, [tally], int(clock().timestamp() // 86_400))
    assert weighed.cell(tally) == pytest.approx((0.0, 0.0))
    assert weighed.later(tally, perf.store.tallies.later("t")["m"]) == {("a",): pytest.approx((2.0, 1.0))}


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 20), st.integers(0, 20))
def test_without_scores_every_belief_is_what_it_was(won: int, lost: int, later_won: int, later_lost: int) -> None:
    """The same numbers as from successes and failures alone."""
    tally = Tally("t", "m", won + later_won, lost + later_lost, later_successes=later_won, later_failures=later_lost)
    ranking = Posterior(pooled=False, prior_success=0.3, prior_strength=3.0)
    assert own_belief(tally)[:2] == (1.0 + won + later_won, 1.0 + lost + later_lost)
    alpha = 3.0 * 0.3 + (won + later_won) - later_won
    expected = alpha / (alpha + (3.0 * (1.0 - 0.3) + (lost + later_lost) - later_lost))
    assert ranking.explain(tally).estimate == pytest.approx(expected, rel=1e-12)


def test_models_that_always_succeed_are_told_apart(perf: mp.ModelPerf) -> None:
    """With scores of .9 and .6 both always succeed; the first is ranked first, and the reason names the mean score."""
    for _ in range(40):
        perf.record("t", "good", mp.Outcome(success=True, score=0.9))
        perf.record("t", "fair", mp.Outcome(success=True, score=0.6))
    decision = perf.explain("t", ["fair", "good"])
    assert decision is not None
    best, other = decision.ranking
    assert (best.model_id, other.model_id) == ("good", "fair")
    assert "mean score 0.900 over 40 graded outcomes" in best.reason
    assert (best.tally.success_rate, other.tally.success_rate) == (1.0, 1.0)
    assert best.score is not None
    assert best.score < 0.95


def test_low_scores_demote(tmp_path: Path) -> None:
    """A model with a mean score of .4 beside one of .9 is demoted though it mostly succeeds; the reason says so."""
    rng = random.Random(0)
    config = {"quality": {"pass_score": 0.3}, "drift": {"detect": False}}
    with mp.ModelPerf(config, store=tmp_path / "x.db", seed=0) as perf:
        feed(perf, lambda model: rng.betavariate(*{"good": (45, 5), "other": (20, 30)}[model]), 150)
        (demotion,) = perf.store.demotions.all()
        assert demotion.model_id == "other"
        assert demotion.reason.startswith("mean score below 0.")
        assert (perf.store.tallies.of("t")["other"].success_rate or 0.0) > 0.8


def test_scores_reinstate_and_not_successes(tmp_path: Path) -> None:
    """A demoted model that always succeeds, with scores below the threshold, stays demoted until they are higher."""
    rng = random.Random(0)
    config = {"demotion": {"threshold": 0.7}, "drift": {"detect": False}}
    with mp.ModelPerf(config, store=tmp_path / "x.db", seed=0) as perf:
        feed(perf, lambda model: rng.betavariate(*{"good": (45, 5), "other": (20, 30)}[model]), 150)
        for score, is_demoted in ((0.6, True), (0.95, False)):
            for _ in range(80):
                perf.record("t", "other", mp.Outcome(success=True, score=score))
            (demotion,) = perf.store.demotions.all()
            assert (demotion.ended_ms is None) == is_demoted


@pytest.mark.parametrize("timeouts", ["failure", "outage", "ignore"])
def test_graded_timeouts_are_verdicts(tmp_path: Path, timeouts: str) -> None:
    """What a task that ran out of time has achieved is a verdict on its model, whatever timeouts count as."""
    config = {"quality": {"timeouts": timeouts}, "demotion": {"threshold": 0.7}}
    with mp.ModelPerf(config, store=tmp_path / "x.db", seed=0) as perf:
        for _ in range(60):
            perf.record("t", "good", mp.Outcome(score=0.9))
            perf.record("t", "late", mp.Outcome(success=False, score=0.85, timeout=True))
            perf.record("t", "slow", mp.Outcome(score=0.3, timeout=True))
        assert [demotion.model_id for demotion in perf.store.demotions.all()] == ["slow"]
        decision = perf.select("t", ["good", "late", "slow"])
        assert decision is not None
        statuses = {row.model_id: row.status for row in decision.ranking}
        assert statuses == {"good": "ranked", "late": "ranked", "slow": "demoted"}


def test_a_fall_of_scores_is_a_change(tmp_path: Path) -> None:
    """A fall of the mean score from .9 to .6 is found, though every outcome is a success."""
    rng, config = random.Random(1), {"demotion": {"strategy": "never"}}
    with mp.ModelPerf(config, store=tmp_path / "x.db", seed=0) as perf:
        feed(perf, lambda _: rng.betavariate(45, 5), 200)
        assert perf.store.changes.all() == []
        feed(perf, lambda model: rng.betavariate(*{"good": (45, 5), "other": (30, 20)}[model]), 80)
        assert {(each.model_id, each.direction) for each in perf.store.changes.all()} == {("other", "down")}
        assert perf.store.tallies.of("t")["other"].failures <= 10


def test_an_ab_test_judges_scores(tmp_path: Path) -> None:
    """The state is what TwoSampleTest makes of the same scores, and the verdict names the mean scores."""
    test = {"strategy": "ab_test", "incumbent": "a", "challenger": "b", "share": 0.5, "min_samples": 0}
    rng, expected = random.Random(2), TwoSampleTest()
    with mp.ModelPerf({"exploration": test}, store=tmp_path / "x.db", seed=0) as perf:
        for _ in range(120):
            decision = perf.select("t", ["a", "b"])
            assert decision is not None
            score = rng.betavariate(*{"a": (30, 20), "b": (45, 5)}[decision.model_id])
            perf.record("t", decision.model_id, mp.Outcome(score=score, success=True), decision)
            expected = expected.updated("B" if decision.model_id == "b" else "A", score, 0.5)
            (contest,) = perf.store.ab_tests.all()[0].contests
            if contest.verdict is not None:
                break
        assert contest.verdict == "challenger"
        assert state_of(contest).logs == pytest.approx(expected.logs)
