"""What later tries say about a model, and about difficulty."""

from __future__ import annotations

from math import log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.policy.difficulty import PRIOR_SPREAD, Difficulty
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.pooling import LaterRow, Pool, SpreadFit, TaskBeliefs
from modelperf_plugin.policy.pooling.later import Group, settled

rates = st.floats(0.05, 0.95)
counts = st.floats(0.0, 200.0)
HARD = Difficulty.of(3.0)


def logit(rate: float) -> float:
    return log(rate / (1.0 - rate))


@given(alpha=st.floats(0.5, 50.0), beta=st.floats(0.5, 50.0), won=counts, lost=counts, failed=rates)
def test_without_difficulty_a_later_try_is_a_first_try(
    alpha: float, beta: float, won: float, lost: float, failed: float
) -> None:
    """Then its successes and failures are added to those of first tries."""
    group = Group(Difficulty.of(0.0).after([logit(failed)]), won, lost)
    found = settled(alpha, beta, [group], 0.0)
    assert found[0] / (found[0] + found[1]) == pytest.approx((alpha + won) / (alpha + beta + won + lost), abs=0.003)
    assert found[0] + found[1] == pytest.approx(alpha + beta + won + lost, rel=0.01)


@given(rate=rates, failed=st.lists(rates, min_size=1, max_size=3))
def test_many_later_tries_show_the_rate(rate: float, failed: list[float]) -> None:
    """As many successes as the model promises, on tasks that others have failed, lead to its rate on any task."""
    harder = HARD.after([logit(each) for each in failed])
    chance = harder.chance(logit(rate))
    alpha, beta, _ = settled(1.0, 1.0, [Group(harder, 1e5 * chance, 1e5 * (1.0 - chance))], 0.0)
    assert alpha / (alpha + beta) == pytest.approx(rate, abs=0.03)


@given(failed=st.floats(0.3, 0.95))
def test_a_hard_task_says_more_when_solved_and_less_when_not(failed: float) -> None:
    """A success on a task that others had failed raises a rate more than on any task; a failure lowers it less."""
    harder = HARD.after([logit(failed)])
    won = settled(6.0, 6.0, [Group(harder, 1.0, 0.0)], 0.0)
    lost = settled(6.0, 6.0, [Group(harder, 0.0, 1.0)], 0.0)
    assert won[0] / (won[0] + won[1]) > 7.0 / 13.0
    assert 0.5 > lost[0] / (lost[0] + lost[1]) > 6.0 / 13.0


def test_both_directions_of_evidence_stay_distributions() -> None:
    """Whatever was observed, a belief has positive parameters."""
    for won, lost in ((50.0, 0.0), (0.0, 500.0), (0.3, 0.0)):
        later: LaterRow = {"b": {("a",): (won, lost), ("a", "c"): (won, lost)}}
        beliefs = TaskBeliefs(Pool(), "t", {"a": (40.0, 10.0), "c": (5.0, 30.0)}, later, HARD)
        for model_id in "abc":
            belief = beliefs.belief(model_id)
            assert min(belief.alpha, belief.beta) > 0.0
            assert 0.0 < belief.mean < 1.0


@pytest.mark.parametrize("truth", [0.6, 2.0, 4.0])
def test_the_spread_is_learned_from_later_tries(truth: float) -> None:
    """It moves from where it starts towards that of the tasks, as far as there is evidence."""
    world = Difficulty.of(truth)
    chance = world.after([logit(0.7)]).chance(logit(0.6))
    later: LaterRow = {"b": {("a",): (2000 * chance, 2000 * (1.0 - chance))}}
    fit = SpreadFit()
    for _ in range(20):
        row = {"a": (1400.0, 600.0), "b": (600.0, 400.0)}
        beliefs = TaskBeliefs(Pool(), "t", row, later, fit.difficulty("t"))
        fit.visit("t", beliefs)
        fit.end_pass()
    found = fit.difficulty("t").spread
    assert abs(found - truth) < abs(PRIOR_SPREAD - truth)
    assert found == pytest.approx(truth, rel=0.35)


def test_a_task_type_of_its_own_spread_needs_enough_later_tries() -> None:
    """Below 20 later tries its difficulty is that of the store; with more it moves towards its own."""
    chance = Difficulty.of(0.5).after([logit(0.7)]).chance(logit(0.6))
    fit = SpreadFit()
    for tries in (19.0, 2000.0):
        later: LaterRow = {"b": {("a",): (tries * chance, tries * (1.0 - chance))}}
        beliefs = TaskBeliefs(Pool(), "t", {"a": (1400.0, 600.0), "b": (600.0, 400.0)}, later, fit.difficulty("t"))
        fit.visit("t", beliefs)
        spreads = fit.difficulty("t").spread, fit.difficulty("other").spread
        if tries < 20.0:
            assert spreads[0] == spreads[1]
        else:
            assert spreads[0] < spreads[1] - 0.3


@pytest.mark.parametrize("truth", [1.5, 2.0])
def test_a_weak_model_without_first_tries_does_not_pass_for_hard_tasks(truth: float) -> None:
    """Its many failures on tasks that others had failed lower its rate; they hardly raise the spread."""
    harder = Difficulty.of(truth).after([logit(0.7)])
    fair, weak = (20.0 * harder.chance(logit(rate)) for rate in (0.6, 0.1))
    row = {"a": (35.0, 15.0), "b": (18.0, 12.0), "c": (0.0, 0.0)}
    later: LaterRow = {"b": {("a",): (fair, 20.0 - fair)}, "c": {("a",): (weak, 20.0 - weak)}}
    pool, fit, task_types = Pool(), SpreadFit(), [f"type {number}" for number in range(6)]
    for _ in range(20):
        pool.begin_pass()
        for task_type in task_types:
            beliefs = TaskBeliefs(pool, task_type, row, later, fit.difficulty(task_type))
            fit.visit(task_type, beliefs)
            pool.visit(task_type, beliefs.cells, in_pass=True)
        pool.revise(pool.model_ids())
        pool.end_pass()
        fit.end_pass()
    assert beliefs.belief("c").mean == pytest.approx(0.1, abs=0.08)
    assert fit.difficulty("type 0").spread == pytest.approx(truth, rel=0.35)


def test_models_that_are_alike_look_alike_whatever_their_place_in_the_order() -> None:
    """Three equal models, tried one after another on easy and hard tasks, keep scores close to their rate."""
    numbers = Random(5)
    models = ["a", "b", "c"]
    with mp.ModelPerf({}, store=":memory:", seed=3) as perf:
        for _ in range(800):
            difficulty = numbers.gauss(0.0, 1.0)
            chance = expit(1.3 + 3.0 * difficulty)
            decision = perf.select("t", models)
            assert decision is not None
            for model_id in decision:
                success = numbers.random() < chance
                perf.record("t", model_id, mp.Outcome(success=success), decision)
                if success:
                    break
        rate = sum(expit(1.3 + 3.0 * numbers.gauss(0.0, 1.0)) for _ in range(20_000)) / 20_000
        decision = perf.explain("t", models)
        assert decision is not None
        for row in decision.ranking:
            assert row.score == pytest.approx(rate, abs=0.12), row
            assert "tasks that others had failed" in row.reason
