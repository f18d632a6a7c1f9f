"""What to expect of later tries, and that the sequential tests keep their promises with them."""

from __future__ import annotations

import random
from itertools import product
from math import log

import pytest

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.difficulty import Difficulty
from modelperf_plugin.policy.sequential import FallWatch, LaterTry, Probation, later_try
from modelperf_plugin.policy.sequential.later_tries import SPREAD_FACTOR
from tests.policy.retrying import SimulatedTry, tries_of


def logit(rate: float) -> float:
    """Return the logarithm of the odds."""
    return log(rate / (1.0 - rate))


def sure(rate: float, outcomes: float = 1e6) -> Belief:
    """Return a belief in one rate."""
    return Belief(rate * outcomes, (1 - rate) * outcomes)


# Expectations


@pytest.mark.parametrize("spread", [1.5, 3.0, 4.0])
@pytest.mark.parametrize("tried", [["a"], ["b"], ["a", "b"], ["a", "b", "c"]])
def test_the_truth_lies_between_the_two_ends(spread: float, tried: list[str]) -> None:
    """If the spread is learned to within a factor of 1.5 and the rates are known, no chance is below or above."""
    beliefs = {"a": sure(0.8), "b": sure(0.6), "c": sure(0.3)}
    truth = Difficulty(spread).after([logit(beliefs[model_id].mean) for model_id in tried])
    for factor, rate in product((1 / SPREAD_FACTOR, 0.8, 1.0, 1.25, SPREAD_FACTOR), (0.2, 0.5, 0.7, 0.9)):
        lowest, highest = later_try(Difficulty(spread * factor), tried, beliefs).chances(rate)
        chance = truth.chance(logit(rate))
        assert lowest - 0.01 <= chance <= highest + 0.01
        assert highest < rate


def test_uncertain_rates_of_the_failed_widen_the_expectation() -> None:
    """The less is known about the models that failed, the further apart are the ends."""
    known = later_try(Difficulty(3.0), ["a"], {"a": sure(0.7)}).chances(0.6)
    little = later_try(Difficulty(3.0), ["a"], {"a": Belief(7.0, 3.0)}).chances(0.6)
    assert little[0] < known[0] < known[1] < little[1]


def test_a_model_that_failed_twice_counts_twice_only_in_the_lowest() -> None:
    """Its second failure may be the first one over again."""
    beliefs = {"a": sure(0.7), "b": sure(0.5)}
    once, twice = (later_try(Difficulty(3.0), tried, beliefs) for tried in (["a", "b"], ["a", "a", "b"]))
    assert twice.highest == once.highest
    assert twice.lowest.chance(0.0) < once.lowest.chance(0.0)


# Falls


RATES = {"a": 0.75, "b": 0.55, "c": 0.65}
BELIEFS = {model_id: sure(rate) for model_id, rate in RATES.items()}


def expectations(spread: float) -> dict[tuple[str, ...], LaterTry]:
    """Return what to expect of ``b`` after the others."""
    tried_before = [("a",), ("c",), ("a", "c")]
    return {tried: later_try(Difficulty(spread), tried, BELIEFS) for tried in tried_before}


def demoted_after(found: list[SimulatedTry], expected: dict[tuple[str, ...], LaterTry], threshold: float) -> int | None:
    """Return after how many of its tries a model is demoted."""
    watch = FallWatch()
    for number, (success, tried, _) in enumerate(found, 1):
        watch = watch.updated(success, threshold, expected[tried].lowest if tried else None)
        if watch.demotes():
            return number
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "learned"), [(1.5, 1.0), (3.0, 2.0), (3.0, 3.0), (4.0, 2.8)])
def test_a_model_at_the_threshold_keeps_its_alpha(spread: float, learned: float) -> None:
    """At exactly the threshold, with a spread that is underestimated: at most 5 % of 60 runs demote at any time."""
    expected = expectations(learned)
    runs = [tries_of("b", RATES, spread, 500, random.Random(seed)) for seed in range(60)]
    demoted = sum(demoted_after(run, expected, 0.55) is not None for run in runs)
    assert demoted <= 3


@pytest.mark.slow
def test_a_fall_is_found_among_later_tries() -> None:
    """A fall from .55 to .15 of a model that is always second is found; first tries alone would never show it."""
    expected = expectations(3.0)
    for seed in range(10):
        rng = random.Random(seed)
        before = tries_of("b", RATES, 3.0, 300, rng, "abc")
        after = tries_of("b", {**RATES, "b": 0.15}, 3.0, 2000, rng, "abc")
        found = demoted_after(before + after, expected, 0.5)
        assert found is not None
        assert found > len(before)


# Reinstatement


@pytest.mark.slow
def test_good_models_return_and_poor_ones_do_not() -> None:
    """Of 100 models at .90 that come at any place all return; of those at .40, with a bar of .55, at most a tenth."""
    expected = expectations(3.0)
    back = {0.9: 0, 0.4: 0}
    for rate, seed in product(back, range(100)):
        probation = Probation()
        for success, tried, _ in tries_of("b", {**RATES, "b": rate}, 3.0, 150, random.Random(seed)):
            if tried:
                probation = probation.updated_later(success, 0.55, expected[tried].highest)
            else:
                probation = probation.updated(success)
            if probation.reinstates(0.55):
                back[rate] += 1
                break
            if probation.fails(0.55):
                probation = Probation()
    assert back[0.9] >= 98
    assert back[0.4] <= 10
