"""The CUSUM over one model: by hand, exactly under the prediction, and in small simulations."""

from __future__ import annotations

import json
import random
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.sequential.change_detection import (
    ALARM,
    MAX_STATISTIC,
    Alarm,
    ChangeWatch,
    Direction,
    shifted,
)

QUICK = settings(deadline=None, max_examples=50)
rates = st.floats(0.02, 0.98)
pasts = st.lists(st.tuples(rates, st.booleans()), max_size=60)


def watched(past: list[tuple[float, bool]]) -> ChangeWatch:
    """Return the evidence after some outcomes at positions 1, 2, …, each with its predicted rate."""
    watch = ChangeWatch()
    for position, (predicted, success) in enumerate(past, 1):
        watch = watch.updated(predicted, success, position)
    return watch


def first_alarm(seed: int, predicted: float, rate: float, most: int, good: int = 0) -> tuple[int, Alarm] | None:
    """Return position and alarm at ``rate`` after ``good`` outcomes as predicted; None if ``most`` give none."""
    rng, watch = random.Random(seed), ChangeWatch()
    for position in range(1, most + 1):
        watch = watch.updated(predicted, rng.random() < (predicted if position <= good else rate), position)
        alarm = watch.alarm()
        if alarm is not None:
            return position, alarm
    return None


def test_three_outcomes_by_hand() -> None:
    """Two failures at a predicted .8, then a success: each adds its log-likelihood ratio, never below zero."""
    worse = shifted(0.8, "down")
    watch = watched([(0.8, False), (0.8, False)])
    assert watch.down == pytest.approx(2 * log((1 - worse) / 0.2))
    assert (watch.up, watch.up_since, watch.down_since) == (0.0, 2, 0)
    after = watch.updated(0.8, grade=True, position=3)
    assert after.down == pytest.approx(watch.down + log(worse / 0.8))
    assert after.up == pytest.approx(log(shifted(0.8, "up") / 0.8))
    assert after.up_since == 2


def test_a_shift_is_one_and_a_half_logits() -> None:
    """Even odds become e^1.5 to 1, and back."""
    assert shifted(0.5, "up") == pytest.approx(exp(1.5) / (1 + exp(1.5)))
    assert shifted(shifted(0.3, "up"), "down") == pytest.approx(0.3)


@QUICK
@given(rates, st.sampled_from(["up", "down"]))
def test_the_likelihood_ratio_is_one_on_average(predicted: float, direction: Direction) -> None:
    """If the prediction is right, e^S does not grow on average, apart from what the floor at zero gives."""
    start = ChangeWatch(up=3.0, down=3.0)
    after = {success: start.updated(predicted, success, 1) for success in (True, False)}
    mean = predicted * exp(getattr(after[True], direction)) + (1 - predicted) * exp(getattr(after[False], direction))
    assert mean == pytest.approx(exp(3.0))


@QUICK
@given(pasts)
def test_failures_are_successes_seen_from_the_other_side(past: list[tuple[float, bool]]) -> None:
    """Exchange success and failure, and up is down."""
    watch = watched(past)
    mirrored = watched([(1 - predicted, not success) for predicted, success in past])
    assert (mirrored.up, mirrored.down) == pytest.approx((watch.down, watch.up), abs=1e-9)


@pytest.mark.parametrize(
    ("predicted", "for_up", "for_down"),
    [(0.0, 0.02, 0.0), (1.0, 1.0, 0.98), (-3.0, 0.02, 0.0), (7.0, 1.0, 0.98), (0.99, 0.99, 0.98), (0.01, 0.02, 0.01)],
)
def test_predictions_are_not_trusted_to_the_ends(predicted: float, for_up: float, for_down: float) -> None:
    """A predicted 0 counts as .02 when the model does better, a predicted 1 as .98 when it does worse."""
    start = ChangeWatch(up=3.0, down=3.0)
    for success in (True, False):
        watch = start.updated(predicted, success, 1)
        assert watch.up == start.updated(for_up, success, 1).up
        assert watch.down == start.updated(for_down, success, 1).down


@pytest.mark.parametrize(("success", "predicted"), [(True, 0.999), (False, 0.001)])
def test_a_model_that_always_ends_alike_has_not_changed(success: bool, predicted: float) -> None:
    """Ten thousand successes of a model that is believed to succeed nearly always are no alarm, nor are failures."""
    assert watched([(predicted, success)] * 10_000).alarm() is None


@pytest.mark.parametrize(("success", "direction"), [(True, "up"), (False, "down")])
def test_an_alarm_tells_direction_and_time(success: bool, direction: str) -> None:
    """Alternating outcomes at a predicted .5, then all alike: an alarm dated to about where they begin."""
    watch = watched([(0.5, number % 2 == 0) for number in range(100)] + [(0.5, success)] * 30)
    alarm = watch.alarm()
    assert alarm is not None
    assert alarm.direction == direction
    assert 98 <= alarm.since <= 100
    assert alarm.likelihood_ratio >= 20_000


def test_the_alarm_is_at_twenty_thousand() -> None:
    """A direction is silent just below ln 20,000 and gives an alarm at it; the stronger one speaks."""
    assert ChangeWatch(up=ALARM - 1e-9).alarm() is None
    assert ChangeWatch(up=ALARM, up_since=7).alarm() == Alarm("up", 7, exp(ALARM))
    assert ChangeWatch(up=ALARM, down=ALARM + 1, down_since=9).alarm() == Alarm("down", 9, exp(ALARM + 1))
    assert exp(ALARM) == pytest.approx(20_000)
    assert ChangeWatch(up=3.0).alarm(level=2.0) is not None


def test_ignored_alarms_stay_finite() -> None:
    """Without a fresh start S stops growing at 100."""
    watch = watched([(0.9, False)] * 5000)
    assert watch.down == MAX_STATISTIC
    assert watch.alarm() == Alarm("down", 0, exp(MAX_STATISTIC))


@QUICK
@given(pasts)
def test_storage_gives_back_what_was_put_in(past: list[tuple[float, bool]]) -> None:
    """Through JSON, to the last bit."""
    watch = watched(past)
    assert ChangeWatch.from_list(json.loads(json.dumps(watch.as_list()))) == watch


def test_storage_of_something_else_is_refused() -> None:
    """A list of the wrong length is an error that says what was expected."""
    with pytest.raises(InvalidValueError, match="4 numbers of a change watch"):
        ChangeWatch.from_list([1.0])


@pytest.mark.parametrize("rate", [0.5, 0.8])
def test_alarms_are_rare_while_nothing_changes(rate: float) -> None:
    """In 40 runs of 2,000 outcomes as predicted there are few alarms: one in 20,000 outcomes would be four."""
    assert sum(first_alarm(seed, rate, rate, 2000) is not None for seed in range(40)) <= 4


def test_a_drop_is_found_and_dated() -> None:
    """A drop from .8 to .4 after 300 outcomes: found within some 60 at the median, dated to within 15."""
    found = [first_alarm(seed, 0.8, 0.4, 3000, good=300) for seed in range(41)]
    alarms = [each for each in found if each is not None]
    assert len(alarms) == 41
    assert sorted(position for position, _ in alarms)[20] < 360
    assert abs(sorted(alarm.since for _, alarm in alarms)[20] - 300) <= 15
    assert sum(alarm.direction == "down" for _, alarm in alarms) >= 40


@QUICK
@given(st.floats(0.03, 0.97), st.floats(0.03, 0.97), st.floats(0.0, 1.0))
def test_no_direction_gains_between_the_two_ends(one: float, other: float, share: float) -> None:
    """At any chance between the lowest and the highest e^S does not grow on average, in neither direction."""
    lowest, highest = sorted((one, other))
    chance = lowest + share * (highest - lowest)
    start = ChangeWatch(up=3.0, down=3.0)
    after = {success: start.updated(lowest, success, 1, highest) for success in (True, False)}
    for direction in ("up", "down"):
        mean = chance * exp(getattr(after[True], direction)) + (1 - chance) * exp(getattr(after[False], direction))
        assert mean <= exp(3.0) * (1 + 1e-9)


def test_one_expectation_is_the_lowest_and_the_highest() -> None:
    """Without a highest chance the prediction is both."""
    for success in (True, False):
        assert ChangeWatch().updated(0.6, success, 1) == ChangeWatch().updated(0.6, success, 1, 0.6)
