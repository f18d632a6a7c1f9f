"""The change-point mixture: by hand, exactly under the null, and in small simulations."""

from __future__ import annotations

import json
import random
from itertools import product
from math import comb, isfinite, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.difficulty import WEIGHTS, Difficulty, Harder
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.sequential.fall_detection import MAX_MASS, FallWatch, Probation, chance_above

QUICK = settings(deadline=None, max_examples=25)
thresholds = st.floats(0.0, 0.99)
slopes, offsets = st.floats(0.1, 1.5), st.floats(-6.0, 1.0)
pasts = st.lists(st.tuples(st.booleans(), thresholds), max_size=60)


def watched(past: list[tuple[bool, float]]) -> FallWatch:
    """Return the evidence after some outcomes, each with its threshold."""
    watch = FallWatch()
    for success, threshold in past:
        watch = watch.updated(success, threshold)
    return watch


def outcomes_until_demoted(seed: int, good: int, rate: float, most: int) -> int | None:
    """Return how many outcomes at ``rate`` demote a model after ``good`` ones at .80; None if ``most`` do not."""
    rng, watch = random.Random(seed), FallWatch()
    for _ in range(good):
        watch = watch.updated(rng.random() < 0.8, 0.75)
    for number in range(1, most + 1):
        watch = watch.updated(rng.random() < rate, 0.75)
        if watch.demotes():
            return number
    return None


def test_nothing_seen_is_worth_the_stake() -> None:
    """Without outcomes E is 1, and nothing is demoted."""
    assert FallWatch().e_value == 1.0
    assert not FallWatch().demotes()


def test_two_outcomes_by_hand() -> None:
    """A failure multiplies by (1 − q)/.25, a success by q/.75; each outcome first adds the weight of its own place."""
    first = 1 - log(10) / log(11)
    second = log(10) / log(11) - log(10) / log(12)
    expected = [(first * (1 - q) / 0.25 + second) * q / 0.75 for q in (0.2, 0.35, 0.5, 0.6, 0.68)]
    watch = watched([(False, 0.75), (True, 0.75)])
    assert watch.outcomes == 2
    assert watch.masses == pytest.approx(expected)
    assert watch.e_value == pytest.approx(sum(expected) / 5 + log(10) / log(12))


def test_alternatives_keep_their_proportion_to_the_threshold() -> None:
    """At a threshold of .3 the alternatives are .08, .14, .2, .24, .272: a failure multiplies by (1 − q)/.7."""
    first = 1 - log(10) / log(11)
    expected = [first * (1 - q) / 0.7 for q in (0.08, 0.14, 0.2, 0.24, 0.272)]
    assert FallWatch().updated(grade=False, threshold=0.3).masses == pytest.approx(expected)


@QUICK
@given(st.floats(0.05, 0.95), st.floats(0.0, 1.0))
def test_the_expected_evidence_never_exceeds_one(threshold: float, above: float) -> None:
    """Over all sequences of ten outcomes, for a rate at or above the threshold, E is 1 on average at most."""
    rate = threshold + above * (1 - threshold)
    level = {FallWatch(): 1.0}
    for _ in range(10):
        following: dict[FallWatch, float] = {}
        for watch, chance in level.items():
            for success, share in ((True, rate), (False, 1 - rate)):
                after = watch.updated(success, threshold)
                following[after] = following.get(after, 0.0) + chance * share
        level = following
        expected = sum(watch.e_value * chance for watch, chance in level.items())
        assert expected <= 1 + 1e-12
        if above == 0:
            assert expected == pytest.approx(1)


@QUICK
@given(pasts, thresholds, st.floats(0.0, 1.0))
def test_no_past_makes_the_next_outcome_a_winning_bet(
    past: list[tuple[bool, float]], threshold: float, above: float
) -> None:
    """From any state, whatever the thresholds before and now: E does not grow on average at rates ≥ the threshold."""
    watch = watched(past)
    rate = threshold + above * (1 - threshold)
    after = {success: watch.updated(success, threshold).e_value for success in (True, False)}
    assert rate * after[True] + (1 - rate) * after[False] <= watch.e_value * (1 + 1e-12)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.0, 2.0])
def test_thresholds_that_no_rate_can_miss_or_meet_are_safe(threshold: float) -> None:
    """At 0 or below nothing demotes; at 1 or above failures do, and all numbers stay finite."""
    watch = watched([(False, threshold)] * 50)
    assert isfinite(watch.e_value)
    assert watch.demotes() == (threshold >= 1)


@pytest.mark.parametrize("pattern", [(False,), (True,), (True, False), (True, True, True, False)])
def test_long_runs_stay_finite(pattern: tuple[bool, ...]) -> None:
    """20,000 outcomes of any kind neither overflow nor leave a number that JSON cannot hold."""
    watch = FallWatch()
    for number in range(20_000):
        watch = watch.updated(pattern[number % len(pattern)], 0.75)
    assert all(0 <= mass <= MAX_MASS for mass in watch.masses)
    assert watch.e_value > 0


def test_evidence_still_moves_after_millions_of_outcomes() -> None:
    """After five million outcomes about 100 failures in a row still reveal a fall."""
    watch = FallWatch(5_000_000, (1e-9,) * 5)
    for number in range(100):
        if watch.demotes():
            assert number > 5
            return
        watch = watch.updated(grade=False, threshold=0.75)
    pytest.fail("never demoted")


@QUICK
@given(pasts)
def test_storage_gives_back_what_was_put_in(past: list[tuple[bool, float]]) -> None:
    """Through JSON, to the last bit."""
    watch = watched(past)
    assert FallWatch.from_list(json.loads(json.dumps(watch.as_list()))) == watch
    probation = Probation(len(past), 3)
    assert Probation.from_list(json.loads(json.dumps(probation.as_list()))) == probation


def test_storage_of_something_else_is_refused() -> None:
    """A list of the wrong length is an error that says what was expected."""
    with pytest.raises(InvalidValueError, match="6 numbers of a fall watch"):
        FallWatch.from_list([1.0, 2.0])
    with pytest.raises(InvalidValueError, match="2 numbers of a probation"):
        Probation.from_list([1.0])


def test_good_models_are_left_alone() -> None:
    """At a true rate of .80 and a threshold of .75, hardly one of 200 runs of 1,000 outcomes demotes."""
    assert sum(outcomes_until_demoted(seed, 0, 0.8, 1000) is not None for seed in range(200)) <= 4


@pytest.mark.parametrize(("good", "median"), [(0, 31), (200, 56), (1000, 71)])
def test_a_fall_is_caught_soon(good: int, median: int) -> None:
    """A fall to .5 takes about 30 outcomes at the start, 55 after 200 good ones, and little more after 1,000."""
    found = sorted(outcomes_until_demoted(seed, good, 0.5, 1000) or 1000 for seed in range(61))
    assert 0.7 * median < found[30] < 1.4 * median


@QUICK
@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.01, 0.99))
def test_chance_above_is_the_binomial_sum(successes: int, failures: int, threshold: float) -> None:
    """P(p > θ) under Beta(1 + s, 1 + f) is the binomial sum over at most s of n + 1, term by term."""
    trials = successes + failures + 1
    terms = [comb(trials, k) * threshold**k * (1 - threshold) ** (trials - k) for k in range(successes + 1)]
    assert chance_above(threshold, successes, failures) == pytest.approx(sum(terms), abs=1e-12)


def test_chance_above_is_safe_for_many_outcomes_and_any_threshold() -> None:
    """Millions of outcomes, and thresholds of 0 and 1, give the chances one expects."""
    assert chance_above(0.75, 7_500_000, 2_500_000) == pytest.approx(0.5, abs=1e-3)
    assert chance_above(0.75, 8_000_000, 2_000_000) == pytest.approx(1.0)
    assert chance_above(0.75, 7_000_000, 3_000_000) == pytest.approx(0.0)
    assert chance_above(0.0, 0, 9) == 1.0
    assert chance_above(1.0, 9, 0) == 0.0


def test_probation_by_hand() -> None:
    """With successes only, P(p > .75) is 1 − .75^(n + 1): above .95 from n = 10 on."""
    assert not Probation(9, 0).reinstates(0.75)
    assert Probation(10, 0).reinstates(0.75)
    assert not Probation(7, 0).reinstates(0.5)
    assert Probation(8, 0).reinstates(0.5)


def test_probation_counts_only_what_came_since() -> None:
    """It starts at nothing and counts one outcome at a time."""
    probation = Probation()
    for success in (True, False, True):
        probation = probation.updated(success)
    assert probation == Probation(2, 1)


def test_good_models_return_and_poor_ones_do_not() -> None:
    """Of models at .90 most are back within 40 probes, of models at .65 few ever."""
    back = {0.9: 0, 0.65: 0}
    for rate, seed in product(back, range(200)):
        rng, probation = random.Random(seed), Probation()
        for _ in range(40):
            probation = probation.updated(rng.random() < rate)
            if probation.reinstates(0.75):
                back[rate] += 1
                break
    assert back[0.9] > 160
    assert back[0.65] < 16


# Later tries


def logit(rate: float) -> float:
    """Return the logarithm of the odds."""
    return log(rate / (1.0 - rate))


class OneLine(Harder):
    """Harder tasks, by one line on the logit scale."""

    def __init__(self, slope: float, offset: float) -> None:
        super().__init__(Difficulty.of(0.0), WEIGHTS)
        self._one = (slope, offset)

    def line(self, logit: float) -> tuple[float, float]:  # noqa: ARG002 - the same everywhere
        return self._one


def harder(slope: float, offset: float) -> Harder:
    """Return a harder task, by one line on the logit scale."""
    return OneLine(slope, offset)


pasts_with_retries = st.lists(
    st.tuples(st.booleans(), st.floats(0.01, 0.99), st.none() | st.tuples(slopes, offsets)), max_size=60
)


def watched_with_retries(past: list[tuple[bool, float, tuple[float, float] | None]]) -> FallWatch:
    """Return the evidence after first and later tries."""
    watch = FallWatch()
    for success, threshold, line in past:
        watch = watch.updated(success, threshold, None if line is None else harder(*line))
    return watch


@QUICK
@given(pasts_with_retries, st.floats(0.01, 0.99), st.floats(0.0, 1.0), slopes, offsets)
def test_no_later_try_is_a_winning_bet(
    past: list[tuple[bool, float, tuple[float, float] | None]],
    threshold: float,
    above: float,
    slope: float,
    offset: float,
) -> None:
    """From any state, at any chance from the expected one upwards: E does not grow on average."""
    watch, task = watched_with_retries(past), harder(slope, offset)
    expected = task.chance(logit(threshold))
    chance = expected + above * (1 - expected)
    after = {success: watch.updated(success, threshold, task).e_value for success in (True, False)}
    assert chance * after[True] + (1 - chance) * after[False] <= watch.e_value * (1 + 1e-9)


def test_a_later_try_by_hand() -> None:
    """A failure multiplies by (1 − g(q))/(1 − g(θ)), a success by g(q)/g(θ)."""
    task = harder(0.5, -1.0)
    spent = 1 - log(10) / log(11)
    chances = [expit(0.5 * logit(rate) - 1.0) for rate in (0.2, 0.35, 0.5, 0.6, 0.68)]
    limit = expit(0.5 * logit(0.75) - 1.0)
    assert watched_with_retries([(True, 0.75, (0.5, -1.0))]).masses == pytest.approx(
        [spent * each / limit for each in chances]
    )
    failed = FallWatch().updated(grade=False, threshold=0.75, harder=task)
    assert failed.masses == pytest.approx([spent * (1 - each) / (1 - limit) for each in chances])


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.0, 2.0])
def test_such_thresholds_are_safe_for_later_tries_too(threshold: float) -> None:
    """At 0 or below later tries demote nothing, at 1 or above they do."""
    watch = FallWatch()
    for _ in range(50):
        watch = watch.updated(grade=False, threshold=threshold, harder=harder(0.6, -1.0))
    assert watch.demotes() == (threshold >= 1)


@QUICK
@given(st.booleans(), st.floats(0.01, 0.99))
def test_a_later_try_on_an_ordinary_task_counts_like_a_first_one(success: bool, threshold: float) -> None:
    """With slope 1 and offset 0 nothing is harder: one outcome, for the same side."""
    start = Probation(3, 4)
    later = start.updated_later(success, threshold, harder(1.0, 0.0))
    assert later == pytest.approx(start.updated(success))


@QUICK
@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 0.99), slopes, offsets), max_size=40))
def test_later_tries_count_for_one_outcome_at_most(later: list[tuple[bool, float, float, float]]) -> None:
    """The counts stay finite, and none is ever negative."""
    probation = Probation()
    for success, threshold, slope, offset in later:
        before = probation
        probation = probation.updated_later(success, threshold, harder(slope, offset))
        assert min(probation) >= 0.0
        assert sum(probation) <= sum(before) + 1.0 + max(1.0, slope)
    assert Probation.from_list(probation.as_list()) == probation


def test_successes_on_harder_tasks_reinstate_sooner() -> None:
    """A success after failures of others says more than one on any task, a failure less."""
    task, first = harder(0.6, -1.4), Probation(5, 5)
    assert first.updated_later(grade=True, threshold=0.6, harder=task).successes > first.successes + 0.5
    failed = first.updated_later(grade=False, threshold=0.6, harder=task)
    assert 0 < failed.failures - first.failures < 0.5


@pytest.mark.parametrize("after", [1.0, 0.5, None])
def test_a_failure_that_turns_out_better_is_taken_back(after: float | None) -> None:
    """E is then at most what it would be with either verdict from the start; one against the model changes nothing."""
    verdicts = [True] * 5 + [False, True, False]
    first = final = FallWatch()
    for number, success in enumerate(verdicts):
        first = first.updated(success, 0.75)
        final = final if after is None and number == 5 else final.updated(after or 0 if number == 5 else success, 0.75)
    excused = first.excused(0.0, after, 0.75)
    assert excused.e_value <= min(first.e_value, final.e_value) + 1e-12
    assert first.excused(1.0, 0.0, 0.75) == first


@pytest.mark.slow
@pytest.mark.parametrize("flips", [0.2, 1.0])
def test_verdicts_that_flip_at_random_demote_nobody(flips: float) -> None:
    """A model whose final verdicts are at the threshold is demoted in 5 % at most, looked at after each."""
    generator = random.Random(f"flips {flips}")
    runs = 400
    demoted = 0
    for _ in range(runs):
        watch, failures = FallWatch(), 0
        for _ in range(500):
            success = generator.random() < 0.75
            watch = watch.updated(success, 0.75)
            failures += not success
            if failures and generator.random() < flips * 0.25:  # a failure is judged again
                watch, failures = watch.excused(0.0, 1.0, 0.75), failures - 1
            if watch.demotes():
                demoted += 1
                break
    assert demoted / runs <= 0.05
