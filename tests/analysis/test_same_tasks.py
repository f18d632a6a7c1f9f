"""Intervals for the very tasks of a log: what is known is certain, and what is not is no wider than necessary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.analysis import Logged, value_interval
from modelperf_plugin.analysis.off_policy.bounds import _Side, bounds
from modelperf_plugin.analysis.off_policy.estimators import Floats
from modelperf_plugin.analysis.off_policy.same_tasks import on_same_tasks

MODELS = 3
seeds, floors = st.integers(0, 10_000), st.sampled_from([0.003, 0.05, 0.3, 1.0])


def drawn(seed: int, count: int, floor: float, *, rates: Floats | None = None) -> tuple[Logged, Floats]:
    """Return a log whose choices prefer the first model, and what every model would have got."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.2, 0.9, (count, MODELS)) if rates is None else rates
    potential = (rng.random((count, MODELS)) < rates).astype(float)
    propensities = np.full((count, MODELS), floor / MODELS)
    propensities[:, 0] += 1.0 - floor
    chosen = (rng.random(count)[:, None] > propensities.cumsum(axis=1)).sum(axis=1).clip(0, MODELS - 1)
    rewards = potential[np.arange(count), chosen]
    forecasts = np.full((count, MODELS), 0.5)
    return Logged(rewards=rewards, chosen=chosen, propensities=propensities, forecasts=forecasts), potential


def policy(seed: int, count: int) -> Floats:
    """Return a policy drawn at random: the same probabilities for every task."""
    return np.tile(np.random.default_rng(seed).dirichlet(np.full(MODELS, 0.3)), (count, 1))


@given(seeds, floors, st.integers(2, 60))
def test_no_end_contradicts_what_was_seen(seed: int, floor: float, count: int) -> None:
    """The ends are in order, and between what the tasks that were seen got and what the rest could have added."""
    log, _ = drawn(seed, count, floor)
    target = policy(seed, count)
    low, high = on_same_tasks(log, target)
    seen = target[np.arange(count), log.chosen]
    least = float((seen * log.rewards).sum()) / count
    assert least - 1e-9 <= low <= high <= least + float((1.0 - seen).sum()) / count + 1e-9


@given(seeds, floors, st.integers(2, 60))
def test_units_scale_an_interval(seed: int, floor: float, count: int) -> None:
    """What is worth three times as much has an interval three times as wide, at three times the place."""
    log, _ = drawn(seed, count, floor)
    target = policy(seed, count)
    one = on_same_tasks(log, target, units=np.ones(count))
    assert one == pytest.approx(on_same_tasks(log, target), abs=1e-9)
    # bets are placed on rewards, so they are only about three times as large
    three = on_same_tasks(log, target, units=np.full(count, 3.0))
    assert three.low <= 3.0 * one.high + 1e-9
    assert three.high >= 3.0 * one.low - 1e-9


def test_a_policy_that_was_certain_is_known() -> None:
    """Where the log always made the policy's choice, the interval is what happened."""
    log, _ = drawn(0, 50, 0.0)
    target = np.zeros((50, MODELS))
    target[:, 0] = 1.0
    assert on_same_tasks(log, target) == pytest.approx((log.rewards.mean(), log.rewards.mean()))


@pytest.mark.parametrize("floor", [0.05, 0.3])
def test_the_closer_to_the_log_the_narrower(floor: float) -> None:
    """What the log's policy got on the same tasks is known better than its rate of success; no interval is wider."""
    log, _ = drawn(1, 1000, floor)
    same, rate = on_same_tasks(log, log.propensities), value_interval(log, log.propensities)
    assert same.width < (0.55 if floor < 0.1 else 0.97) * rate.width
    other = np.zeros((1000, MODELS))
    other[:, 2] = 1.0
    assert on_same_tasks(log, other).width <= value_interval(log, other).width * 1.01


@given(seeds, st.sampled_from([0.1, 0.3, 1.0]))
def test_more_tasks_make_it_narrower(seed: int, floor: float) -> None:
    """Sixteen times as many tasks of the same kind leave less than half of the width."""
    rates = np.tile([0.7, 0.5, 0.6], (3200, 1))
    log, _ = drawn(seed, 3200, floor, rates=rates)
    target = np.zeros((3200, MODELS))
    target[:, 1] = 1.0
    part = on_same_tasks(log.only(slice(0, 200)), target[:200])
    assert on_same_tasks(log, target).width < 0.6 * part.width


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one", "mixed", "logged"])
def test_intervals_hold_for_any_policy(kind: str) -> None:
    """At least 95 % hold what the same tasks would have got, whether the misses of models agree or are opposed."""
    held = []
    for seed in range(360):
        log, potential = drawn(seed, 400, (0.03, 0.3, 1.0)[seed % 3], rates=np.tile([0.7, 0.4, 0.6], (400, 1)))
        if seed % 2:  # the second model solves what the first does not
            potential[:, 1] = 1.0 - potential[:, 0]
            log = replace(log, rewards=potential[np.arange(400), log.chosen])
        target = {"one": np.eye(MODELS)[[1] * 400], "mixed": policy(seed, 400), "logged": log.propensities}[kind]
        truth = float((target * potential).sum(axis=1).mean())
        low, high = on_same_tasks(log, target)
        held.append(low - 1e-9 <= truth <= high + 1e-9)
    assert np.mean(held) >= 0.95


@pytest.mark.parametrize("worth", [0.0, 1.0])
def test_a_gap_is_held_at_its_ends(worth: float) -> None:
    """Where half of the tasks cannot be seen, 95 % of the intervals hold if these got nothing, and if they got all."""
    held, ratio = [], []
    for seed in range(200):
        log, potential = drawn(seed, 400, 1.0, rates=np.tile([0.5, 0.5, 0.5], (400, 1)))
        unseen = np.arange(400) % 2 == 0
        propensities = log.propensities.copy()
        propensities[unseen] = [0.5, 0.0, 0.5]
        chosen = np.where(unseen & (log.chosen == 1), 0, log.chosen)
        potential[unseen, 1] = worth
        log = Logged(
            rewards=potential[np.arange(400), chosen], chosen=chosen, propensities=propensities,
            forecasts=np.full((400, MODELS), 0.5),
        )  # fmt: skip
        one = np.eye(MODELS)[[1] * 400]
        low, high = bounds(log, one)
        held.append(low <= potential[:, 1].mean() <= high)
        ratio.append((high - low) / (-_Side(log, -one, 0.025).at(0.025) - _Side(log, one, 0.025).at(0.025)))
    assert np.mean(held) >= 0.95
    assert max(ratio) < 1.0
