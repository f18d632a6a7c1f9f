"""Sequential tests of scores from 0 to 1: the same guarantees as for successes and failures of the same mean."""

from __future__ import annotations

import json
import random
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.policy.difficulty import PRIOR_SPREAD, Difficulty
from modelperf_plugin.policy.sequential import ChangeWatch, FallWatch, Probation, TwoSampleTest, verdict
from modelperf_plugin.policy.sequential.fall_detection import chance_above
from modelperf_plugin.policy.sequential.two_sample_test import Side

QUICK = settings(deadline=None, max_examples=50)
SPREADS = (0.5, 5.0, 50.0)
"""Concentrations of a Beta distribution: nearly 0 or 1, anything, and close to the mean."""
HARDER = Difficulty(PRIOR_SPREAD).after([0.5])
grades = st.floats(0.0, 1.0)
rates = st.floats(0.02, 0.98)
sides: st.SearchStrategy[Side] = st.sampled_from(["A", "B"])
steps = st.tuples(sides, grades, st.floats(0.05, 0.95))


def drawn(rng: random.Random, mean: float, spread: float) -> float:
    """Return a score from the Beta distribution with this mean and concentration."""
    return rng.betavariate(spread * mean, spread * (1.0 - mean))


@QUICK
@given(st.lists(grades, max_size=30), grades, st.floats(0.1, 0.95), st.booleans())
def test_a_score_is_a_bet_between_failure_and_success(
    past: list[float], grade: float, threshold: float, later: bool
) -> None:
    """From any state, E after a score is the average of E after a failure and after a success; in later tries too."""
    watch, harder = FallWatch(), HARDER if later else None
    for each in past:
        watch = watch.updated(each, threshold)
    failure, success = (watch.updated(each, threshold, harder).e_value for each in (False, True))
    assert watch.updated(grade, threshold, harder).e_value == pytest.approx(grade * success + (1 - grade) * failure)


@QUICK
@given(rates, grades)
def test_the_likelihood_ratio_of_a_score_is_linear(predicted: float, grade: float) -> None:
    """So it is 1 on average at the predicted mean, whatever the distribution."""
    start = ChangeWatch(up=3.0, down=3.0)
    after = start.updated(predicted, grade, 1)
    failure, success = (start.updated(predicted, each, 1) for each in (False, True))
    assert exp(after.up) == pytest.approx(grade * exp(success.up) + (1 - grade) * exp(failure.up))
    assert exp(after.down) == pytest.approx(grade * exp(success.down) + (1 - grade) * exp(failure.down))


@QUICK
@given(st.lists(steps, max_size=30), st.floats(0.05, 0.95), grades, grades, st.floats(0.0, 1.0))
def test_sides_of_equal_mean_are_no_winning_bet(
    past: list[tuple[Side, float, float]], share_b: float, one: float, other: float, chance: float
) -> None:
    """A always scores their common mean, B one of two scores: E is the same on average after another outcome."""
    state = TwoSampleTest()
    for side, grade, share in past:
        state = state.updated(side, grade, share)
    mean = chance * one + (1 - chance) * other
    expected = (1 - share_b) * state.updated("A", mean, share_b).e_value + share_b * (
        chance * state.updated("B", one, share_b).e_value + (1 - chance) * state.updated("B", other, share_b).e_value
    )
    assert expected == pytest.approx(state.e_value)


@QUICK
@given(st.lists(st.tuples(sides, st.booleans(), rates), max_size=30))
def test_whole_scores_are_successes_and_failures(past: list[tuple[Side, bool, float]]) -> None:
    """Scores of 1 and 0 give the very same states, to the last bit."""
    bools = (TwoSampleTest(), FallWatch(), ChangeWatch(), Probation())
    floats = bools
    for number, (side, success, rate) in enumerate(past, 1):
        harder = HARDER if number % 3 == 0 else None
        test, fall, change, probation = bools
        bools = (
            test.updated(side, success, rate), fall.updated(success, rate, harder),
            change.updated(rate, success, number), probation.updated(success),
        )  # fmt: skip
        test, fall, change, probation = floats
        floats = (
            test.updated(side, float(success), rate), fall.updated(float(success), rate, harder),
            change.updated(rate, float(success), number), probation.updated(float(success)),
        )  # fmt: skip
    assert bools == floats
    assert json.dumps(TwoSampleTest.from_list(floats[0].as_list())[:4]) == json.dumps(bools[0][:4])


@QUICK
@given(st.lists(steps, max_size=30))
def test_storage_gives_scores_back(past: list[tuple[Side, float, float]]) -> None:
    """The sums of scores come back through JSON to the last bit."""
    state, probation = TwoSampleTest(), Probation()
    for side, grade, share in past:
        state, probation = state.updated(side, grade, share), probation.updated(grade)
    assert TwoSampleTest.from_list(json.loads(json.dumps(state.as_list()))) == state
    assert Probation.from_list(json.loads(json.dumps(probation.as_list()))) == probation


@pytest.mark.parametrize("spread", SPREADS)
def test_steady_scores_are_left_alone(spread: float) -> None:
    """Means of .80 at a threshold of .75: hardly one of 60 runs of 1,000 scores demotes, and none is a change."""
    rng, demoted, alarms = random.Random(7), 0, 0
    for _ in range(60):
        fall, change, is_demoted, is_changed = FallWatch(), ChangeWatch(), False, False
        for position in range(1, 1001):
            grade = drawn(rng, 0.8, spread)
            fall, change = fall.updated(grade, 0.75), change.updated(0.8, grade, position)
            is_demoted, is_changed = is_demoted or fall.demotes(), is_changed or change.alarm() is not None
        demoted, alarms = demoted + is_demoted, alarms + is_changed
    assert (demoted <= 1, alarms <= 2) == (True, True)


@pytest.mark.parametrize(("spread_a", "spread_b"), [(0.5, 50.0), (50.0, 0.5), (5.0, 5.0)])
def test_equal_means_are_rarely_told_apart(spread_a: float, spread_b: float) -> None:
    """Of 60 tests of two sides with a mean of .7, looked at after each of 1,000 scores, at most 5 have a verdict."""
    rng, found = random.Random(11), 0
    for _ in range(60):
        state = TwoSampleTest()
        for _ in range(1000):
            side: Side = "B" if rng.random() < 0.5 else "A"
            state = state.updated(side, drawn(rng, 0.7, spread_b if side == "B" else spread_a), 0.5)
        found += state.peak >= log(20)
    assert found <= 5


def test_scores_tell_sooner_than_coins_of_the_same_mean() -> None:
    """A fall of the mean from .9 to .5 in scores close to the mean is found in fewer outcomes than in 0 and 1."""

    def until_demoted(spread: float | None) -> int:
        rng, watch = random.Random(3), FallWatch()
        for number in range(1, 1000):
            watch = watch.updated(rng.random() < 0.5 if spread is None else drawn(rng, 0.5, spread), 0.75)
            if watch.demotes():
                return number
        return 1000

    assert until_demoted(50.0) < until_demoted(None)


@pytest.mark.parametrize("rate", [0.5, 0.65, 0.75])
@pytest.mark.parametrize("outcomes", [8, 12, 20, 40])
def test_no_two_scores_reinstate_sooner_than_luck(rate: float, outcomes: int) -> None:
    """Scores of 0 and any a, or of any a and 1, with the mean of a poor model: no likelier to be above .75."""

    def chance_of(low: float, high: float) -> float:
        chance = (rate - low) / (high - low)
        least = next(
            (
                k
                for k in range(outcomes + 1)
                if Probation(k * high + (outcomes - k) * low, outcomes - k * high - (outcomes - k) * low).reinstates(
                    0.75
                )
            ),
            None,
        )
        return 0.0 if least is None else chance_above(1.0 - chance, outcomes - least, least - 1) if least else 1.0

    coin = chance_of(0.0, 1.0)
    worst = max(
        *[chance_of(0.0, rate + step * (1.0 - rate) / 50) for step in range(1, 51)],
        *[chance_of(step * rate / 50, 1.0) for step in range(50)],
    )
    assert worst <= coin * 1.0001


def test_the_verdict_names_mean_scores() -> None:
    """With scores in between, the rates of the sides are mean scores, and the text says so."""
    state = TwoSampleTest()
    for _ in range(100):
        state = state.updated("A", 0.25, 0.5).updated("B", 0.75, 0.5)
    assert verdict(state._replace(successes_a=25.5)).text.startswith("B is better: mean score 0.750 against 0.255")
