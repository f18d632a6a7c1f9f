"""Simulated tasks of unequal difficulty, and what several tries at them solve."""

from __future__ import annotations

from itertools import combinations
from random import Random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.analysis.simulation.difficulty import chance, random_solved_chance, solved_chance
from modelperf_plugin.analysis.simulation.scenario import Scenario
from modelperf_plugin.analysis.simulation.simulate import simulate
from modelperf_plugin.config import load

RATES = st.floats(0.01, 0.99)
SPREADS = st.floats(0.0, 6.0)
WORLD = {
    "decisions": 200,
    "rates": {"kind": "fixed", "spread": 3.0},
    "models": {name: {"rate": rate, "cost_usd": 0.01} for name, rate in [("a", 0.7), ("b", 0.6), ("c", 0.3)]},
}


@given(rate=RATES, spread=SPREADS)
def test_a_rate_is_the_mean_over_all_tasks(rate: float, spread: float) -> None:
    """Difficulty moves the chance on single tasks, not the success rate."""
    assert solved_chance([rate], spread) == pytest.approx(rate, abs=1e-6)
    assert chance(rate, spread, 1.0) >= chance(rate, spread, -1.0) - 1e-9


@given(rates=st.lists(RATES, min_size=2, max_size=4), spread=SPREADS)
def test_several_tries_solve_more_but_less_than_independent_ones(rates: list[float], spread: float) -> None:
    """The chance lies between that of the best model and that of models whose failures are independent."""
    found = solved_chance(rates, spread)
    assert max(rates) - 1e-6 <= found <= solved_chance(rates, 0.0) + 1e-6


@given(rates=st.lists(RATES, min_size=2, max_size=5), spread=st.sampled_from([0.0, 2.0]), attempts=st.integers(1, 3))
def test_a_random_choice_is_the_mean_over_all_choices(rates: list[float], spread: float, attempts: int) -> None:
    """Its chance is that of a random set of the models."""
    size = min(attempts, len(rates))
    expected = fmean(solved_chance(each, spread) for each in combinations(rates, size))
    assert random_solved_chance(rates, spread, attempts) == pytest.approx(expected)


def test_the_difficulty_of_a_task_is_the_same_for_every_model() -> None:
    """Where one model fails, another one fails more often than elsewhere; the rates are those of the scenario."""
    world, luck = Scenario.model_validate(WORLD | {"decisions": 4000}), Random(2)
    tasks = list(world.tasks(Random(1)))
    both = [[luck.random() < world.chance(task, name) for name in "ab"] for task in tasks]
    assert fmean(first for first, _ in both) == pytest.approx(0.7, abs=0.03)
    after_failure = fmean(second for first, second in both if not first)
    assert after_failure < 0.35
    alike = Scenario.model_validate(WORLD | {"rates": {"kind": "fixed"}})
    assert {task.difficulty for task in alike.tasks(Random(1))} == {0.0}


def test_tries_are_walked_and_regret_is_in_solved_tasks() -> None:
    """With several tries a policy is compared with trying the best models, and pays for every try."""
    world, policies = Scenario.model_validate(WORLD), {"default": load({}).config}
    one, three = (simulate(world, policies, runs=2, attempts=attempts) for attempts in (1, 3))
    (single,), (several,) = one.policies, three.policies
    assert single.tries == 1.0
    assert single.solved_rate == pytest.approx(single.success_rate)
    assert single.solved_regret == pytest.approx(single.regret, abs=1e-3)
    assert 1.0 < several.tries < 3.0
    assert several.cost_usd == pytest.approx(0.01 * several.tries)
    assert several.solved_rate == pytest.approx(three.best_solved_rate) == pytest.approx(three.random_solved_rate)
    assert several.solved_regret == pytest.approx(0.0, abs=1e-9)
    assert three.best_solved_rate > one.best_solved_rate


def test_the_number_of_tries_is_the_highest_of_the_policies() -> None:
    """So that all of them are compared over the same tasks."""
    policies = {"one": load({}).config, "two": load({"retries": {"attempts": 2}}).config}
    found = simulate(Scenario.model_validate(WORLD), policies, runs=1)
    assert found.attempts == 2
    assert all(each.tries > 1.0 and each.solved_regret >= 0.0 for each in found.policies)
