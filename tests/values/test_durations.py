"""Histograms of durations: what they say is within 10 % of the durations they were made of."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from random import Random
from statistics import mean, median

import pytest

from modelperf_plugin.values import Durations
from modelperf_plugin.values.durations import BORDERS_MS, average


def histogram(seconds: list[float]) -> Durations:
    """Return the histogram of some durations."""
    milliseconds = [round(each * 1000) for each in seconds]
    found = Durations.of((BORDERS_MS[bisect_right(BORDERS_MS, each) - 1], 1.0) for each in milliseconds)
    assert found is not None
    return found


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 7, 9, 10, 999, 1000, 61_234, 86_400_000, 2_591_999_999])
def test_a_duration_is_within_a_tenth(milliseconds: int) -> None:
    """From 0 ms to 30 days."""
    assert histogram([milliseconds / 1000]).median_seconds == pytest.approx(milliseconds / 1000, rel=0.1)


def test_borders_grow_by_a_fifth_at_most() -> None:
    """Each is above the one before by 20 %, rounded down, or by 1 ms."""
    for lower, upper in pairwise(BORDERS_MS):
        assert lower < upper <= max(lower + 1, 1.2 * lower)


def test_quantiles_and_mean_are_those_of_the_durations() -> None:
    """Within 10 %, for durations from a log-normal distribution."""
    random = Random(1)
    seconds = [random.lognormvariate(2.0, 0.8) for _ in range(5000)]
    durations = histogram(seconds)
    assert durations.median_seconds == pytest.approx(median(seconds), rel=0.1)
    assert durations.high_seconds == pytest.approx(sorted(seconds)[4750], rel=0.1)
    assert durations.mean_seconds == pytest.approx(mean(seconds), rel=0.1)
    for limit in (1.0, 5.0, 10.0, 40.0):
        assert durations.share_within(limit) == pytest.approx(sum(each <= limit for each in seconds) / 5000, abs=0.02)


def test_the_share_within_a_limit_grows_with_it() -> None:
    """From none to all, also inside of a bucket."""
    durations = histogram([1.0, 2.0, 4.0, 4.1])
    shares = [durations.share_within(tenths / 10) for tenths in range(1, 60)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_each_histogram_counts_the_same_in_the_average() -> None:
    """Whatever it weighs; and sums add up bucket by bucket."""
    one, other = histogram([1.0] * 90), histogram([100.0] * 10)
    assert average([one, other]).share_within(10.0) == pytest.approx(0.5)
    assert average([one, other]).weight == pytest.approx(1.0)
    assert one.plus(other).share_within(10.0) == pytest.approx(0.9)
    assert one.plus(other, 9.0).share_within(10.0) == pytest.approx(0.5)
    assert Durations.of([]) is None
