"""How difficulty makes a later try harder than a first one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import exp, log
from operator import mul

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.policy.difficulty import MAX_SPREAD, NODES, WEIGHTS, Difficulty, _failures_at
from modelperf_plugin.policy.intervals import expit

spreads = st.floats(0.0, MAX_SPREAD)
rates = st.floats(0.02, 0.98)
failures = st.lists(rates, min_size=1, max_size=3)


def logit(rate: float) -> float:
    return log(rate / (1.0 - rate))


def exact(spread: float, rate: float, failed: Sequence[float]) -> float:
    """Return P(a model of this rate solves | models of these rates have failed), by brute force."""
    nodes = [-6.0 + 0.02 * number for number in range(601)]

    def theta(wanted: float) -> float:
        low, high = -80.0, 80.0
        for _ in range(60):
            middle = (low + high) / 2.0
            mean = sum(exp(-0.5 * node * node) * expit(middle + spread * node) for node in nodes)
            low, high = (middle, high) if mean < wanted * total else (low, middle)
        return low

    total = sum(exp(-0.5 * node * node) for node in nodes)
    thetas = [theta(each) for each in failed]
    won, own = 0.0, theta(rate)
    all_failed = 0.0
    for node in nodes:
        weight = exp(-0.5 * node * node)
        for each in thetas:
            weight *= 1.0 - expit(each + spread * node)
        all_failed += weight
        won += weight * expit(own + spread * node)
    return won / all_failed


@pytest.mark.parametrize("spread", [0.0, 1.0, 2.5, 4.0])
@pytest.mark.parametrize("failed", [(0.5,), (0.9,), (0.1, 0.8), (0.7, 0.7, 0.4)])
def test_the_chance_of_a_later_try_is_that_of_the_model(spread: float, failed: tuple[float, ...]) -> None:
    """It agrees with the integral over the difficulty to .01."""
    harder = Difficulty.of(spread).after([logit(each) for each in failed])
    for rate in (0.05, 0.3, 0.65, 0.95):
        assert harder.chance(logit(rate)) == pytest.approx(exact(spread, rate, failed), abs=0.01)


@given(rate=rates, failed=failures)
def test_without_difficulty_failures_say_nothing(rate: float, failed: list[float]) -> None:
    """With spread 0 a later try is a first try."""
    harder = Difficulty.of(0.0).after([logit(each) for each in failed])
    slope, offset = harder.line(logit(rate))
    assert (slope, offset) == pytest.approx((1.0, 0.0), abs=1e-6)
    assert harder.chance(logit(rate)) == pytest.approx(rate)


@given(spread=spreads, rate=rates)
def test_a_profile_has_the_mean_of_the_model(spread: float, rate: float) -> None:
    """The chance over all difficulties is the success rate, and no harder task has a higher one."""
    profile = Difficulty.of(spread).profile(logit(rate))
    assert sum(weight * chance for weight, chance in zip(WEIGHTS, profile, strict=True)) == pytest.approx(
        rate, abs=2e-3
    )
    assert list(profile) == sorted(profile)
    assert len(profile) == len(NODES)


@given(spread=spreads, one=rates, other=rates, failed=failures)
def test_a_better_model_is_better_later_too(spread: float, one: float, other: float, failed: list[float]) -> None:
    """The chance of a later try rises with the rate, and never exceeds it."""
    harder = Difficulty.of(spread).after([logit(each) for each in failed])
    low, high = sorted((one, other))
    assert harder.chance(logit(low)) <= harder.chance(logit(high)) + 1e-12
    assert harder.chance(logit(low)) <= low + 0.01


@given(spread=st.floats(1.0, MAX_SPREAD), rate=rates, failed=rates)
def test_the_failure_of_a_better_model_says_more(spread: float, rate: float, failed: float) -> None:
    """Each further failure, and the failure of a better model, makes the next try less promising."""
    difficulty = Difficulty.of(spread)
    once = difficulty.after([logit(failed)]).chance(logit(rate))
    assert difficulty.after([logit(failed)] * 2).chance(logit(rate)) <= once + 1e-9
    better = min(0.98, failed + 0.05)
    assert difficulty.after([logit(better)]).chance(logit(rate)) <= once + 1e-9


@given(spread=spreads, failed=failures)
def test_the_order_of_failures_does_not_matter(spread: float, failed: list[float]) -> None:
    """What counts is the set of models that have failed."""
    difficulty = Difficulty.of(spread)
    logits = [logit(each) for each in failed]
    assert difficulty.after(logits) is difficulty.after(logits[::-1])


def test_sets_that_share_models_share_their_profiles() -> None:
    """Every set of the same few models is made of the same profiles, and is what :meth:`Difficulty.remaining` says."""
    difficulty = Difficulty.of(2.0)
    rates = [-1.5, 0.25, 1.0, 2.0]
    difficulty.after(rates)
    known = _failures_at.cache_info().misses
    for first, second in product(rates, rates):
        failed = [first, second, first]
        harder = difficulty.after(failed)
        remaining = difficulty.remaining(failed)
        for each in (-2.0, 0.0, 1.5):  # ends of lines, which are exact
            chances = map(mul, remaining, difficulty.profile(each))
            assert harder.chance(each) == pytest.approx(sum(chances), abs=1e-9)
    assert _failures_at.cache_info().misses == known
