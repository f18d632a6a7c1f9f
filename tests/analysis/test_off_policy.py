"""Off-policy estimators: exact on what can be enumerated, and intervals that hold however the weights are spread."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.analysis import (
    Logged,
    doubly_robust,
    effective_sample_size,
    gain,
    gain_interval,
    ips,
    lower_bound,
    snips,
    value_interval,
    weights,
)
from modelperf_plugin.analysis.off_policy.bounds import _control, _level, degrees_of_freedom
from modelperf_plugin.analysis.off_policy.estimators import Floats

PROPENSITIES = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
TARGET = np.array([[0.1, 0.9], [1.0, 0.0], [0.5, 0.5]])
POTENTIAL = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
FORECASTS = np.array([[0.5, 0.5], [0.6, 0.4], [0.3, 0.7]])
TRUTH = float((TARGET * POTENTIAL).sum(axis=1).mean())


def logged(chosen: tuple[int, ...]) -> Logged:
    """Return the log in which ``chosen`` were chosen."""
    rows = np.arange(len(chosen))
    return Logged(
        rewards=POTENTIAL[rows, list(chosen)],
        chosen=np.array(chosen),
        propensities=PROPENSITIES,
        forecasts=FORECASTS,
    )


def adaptive_log(seed: int, count: int = 400, floor: float = 0.1, *, drift: bool = True) -> tuple[Logged, Floats]:
    """Return the log of a policy that learns, over three models of which one breaks halfway, and all rewards."""
    rng = np.random.default_rng(seed)
    rates = np.array([[0.8, 0.6, 0.4]] * count)
    if drift:
        rates[count // 2 :, 0] = 0.2
    potential = (rng.random((count, 3)) < rates).astype(float)
    sums, counts = np.ones(3), np.full(3, 2.0)
    propensities, forecasts = np.empty((count, 3)), np.empty((count, 3))
    chosen = np.empty(count, int)
    for row in range(count):
        forecasts[row] = sums / counts
        propensities[row] = floor / 3
        propensities[row, int(np.argmax(sums / counts))] += 1.0 - floor
        chosen[row] = rng.choice(3, p=propensities[row])
        sums[chosen[row]] += potential[row, chosen[row]]
        counts[chosen[row]] += 1
    rewards = potential[np.arange(count), chosen]
    return Logged(rewards=rewards, chosen=chosen, propensities=propensities, forecasts=forecasts), potential


def always(model: int, count: int) -> Floats:
    """Return the policy that always uses one of three models."""
    target = np.zeros((count, 3))
    target[:, model] = 1.0
    return target


@pytest.mark.parametrize("estimator", ["ips", "dr", "gain"])
def test_estimates_are_right_on_average(estimator: str) -> None:
    """Over all logs that could have been made, by their probabilities, IPS and DR give the truth exactly."""
    mean = 0.0
    for chosen in product((0, 1), repeat=3):
        chance = prod(PROPENSITIES[row, model] for row, model in enumerate(chosen))
        log = logged(chosen)
        found = {
            "ips": ips(log.rewards, weights(log, TARGET)),
            "dr": doubly_robust(log, TARGET),
            "gain": gain(log, TARGET),
        }
        mean += chance * found[estimator]
    happened = float((PROPENSITIES * POTENTIAL).sum(axis=1).mean())
    assert mean == pytest.approx(TRUTH - (happened if estimator == "gain" else 0.0))


def test_snips_divides_by_the_weights() -> None:
    """SNIPS is the weighted mean of the rewards; without any weight there is none."""
    log = logged((1, 0, 0))
    own = weights(log, TARGET)
    assert own == pytest.approx([3.0, 5.0, 1.0])
    assert snips(log.rewards, own) == pytest.approx(1.0 / 9.0)
    assert snips(log.rewards, np.zeros(3)) is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_the_effective_sample_size_is_between_one_and_all(values: list[float]) -> None:
    """Equal weights count in full, one heavy weight counts as one, none as nothing."""
    own = np.array(values)
    size = effective_sample_size(own)
    if np.square(own).sum() == 0.0:
        assert size == 0.0
    else:
        assert 1.0 - 1e-9 <= size <= len(values) + 1e-9
    assert effective_sample_size(np.ones(7)) == pytest.approx(7.0)


@given(st.floats(1e-6, 1e4), st.floats(0.0001, 0.9999))
def test_the_control_keeps_every_bet_alive(u: float, forecast: float) -> None:
    """The control g solves q = g + u g (1 − g) and keeps u g ≤ 1, so no factor is ever negative."""
    (control,) = _control(np.array([u]), np.array([forecast]))
    assert 0.0 < control <= forecast + 1e-12
    assert u * control <= 1.0 + 1e-9
    assert control + u * control * (1.0 - control) == pytest.approx(forecast, rel=1e-6, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("floor", [0.02, 0.1])
@pytest.mark.parametrize("model", [0, 1, 2])
def test_intervals_hold_on_the_log_of_a_policy_that_learns(model: int, floor: float) -> None:
    """Where a model breaks halfway and weights reach 150, at least 95 % of the 95 % intervals hold the truth."""
    held = gains = 0
    for seed in range(100):
        log, potential = adaptive_log(seed, floor=floor)
        target = always(model, len(log))
        truth = potential[:, model].mean()
        happened = (log.propensities * potential).sum(axis=1).mean()
        low, high = value_interval(log, target)
        held += low <= truth <= high
        low, high = gain_interval(log, target)
        gains += low <= truth - happened <= high
    assert held >= 95
    assert gains >= 95


def test_what_the_log_could_not_choose_stays_open() -> None:
    """A model that could never be chosen may get anything: its interval is everything."""
    log, _ = adaptive_log(0)
    blind = Logged(
        rewards=log.rewards[log.chosen != 2],
        chosen=log.chosen[log.chosen != 2],
        propensities=np.column_stack([log.propensities[:, :2], np.zeros(len(log))])[log.chosen != 2],
        forecasts=log.forecasts[log.chosen != 2],
    )
    assert value_interval(blind, always(2, len(blind))) == pytest.approx((0.0, 1.0), abs=0.02)


def test_the_policy_that_made_the_log_gains_nothing_over_itself() -> None:
    """Its value lies where its own mean is, and its gain is nothing, exactly."""
    log, _ = adaptive_log(1)
    low, high = value_interval(log, log.propensities)
    assert low < log.rewards.mean() < high
    assert gain_interval(log, log.propensities) == (0.0, 0.0)


def test_more_decisions_make_it_surer() -> None:
    """The interval of four times as many decisions is narrower, and that at 99 % wider than that at 95 %."""
    short, _ = adaptive_log(2, 400, drift=False)
    long, _ = adaptive_log(2, 1600, drift=False)
    target = always(0, 1600)
    assert value_interval(long, target).width < 0.6 * value_interval(short, target[:400]).width
    assert value_interval(long, target, alpha=0.01).width > value_interval(long, target).width


def test_an_interval_is_no_wider_than_necessary() -> None:
    """Where weights are even and forecasts right, an interval is that of the normal distribution."""
    rng = np.random.default_rng(4)
    count = 2000
    log = Logged(
        rewards=(rng.random(count) < 0.5).astype(float),
        chosen=rng.integers(0, 2, count),
        propensities=np.full((count, 2), 0.5),
        forecasts=np.full((count, 2), 0.5),
    )
    target = np.column_stack([np.ones(count), np.zeros(count)])
    error = 2.0 * 1.96 * (0.5 / count) ** 0.5  # half of the decisions count, with a weight of 2
    assert value_interval(log, target).width == pytest.approx(error, rel=0.05)


def test_few_decisions_that_count_widen_an_interval() -> None:
    """The fewer decisions carry the weight, the fewer degrees of freedom, and the higher the level of a bound."""
    for weights_, expected in (([100.0, 1.0, 1.0], 1.0), (np.ones(9), 9.0)):
        squares = np.square(weights_)
        (freedom,) = degrees_of_freedom(np.array([squares.sum()]), np.array([np.square(squares).sum()]))
        assert freedom == pytest.approx(expected, abs=0.01)
    levels = [_level(freedom, 0.025) for freedom in (3, 10, 100, 1e9)]
    assert levels == sorted(levels, reverse=True)
    assert (2.0 * levels[-1]) ** 0.5 == pytest.approx(1.96, abs=0.001)


def test_a_long_log_is_judged_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of a log too long for all bets holds, and is about the bound of all bets."""
    log, potential = adaptive_log(3, 4000)
    target = always(1, 4000)
    all_bets = lower_bound(log, target, 0.025)
    monkeypatch.setattr("modelperf_plugin.analysis.off_policy.bounds._MAX_MIXED", 1000)
    monkeypatch.setattr("modelperf_plugin.analysis.off_policy.bounds._HEAD_SIZE", 400)
    two_parts = lower_bound(log, target, 0.025)
    assert two_parts <= potential[:, 1].mean()
    assert two_parts == pytest.approx(all_bets, abs=0.08)
