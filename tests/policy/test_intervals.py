"""Intervals for a probability of success: published figures, and what must hold for all of them."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.policy.intervals import Z_95, beta_interval, expit, wilson_interval

NEWCOMBE = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
]
"""R. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3."""

counts = st.integers(0, 10**6)


@pytest.mark.parametrize(("successes", "samples", "low", "high"), NEWCOMBE)
def test_wilson_gives_the_published_figures(successes: int, samples: int, low: float, high: float) -> None:
    """The four worked examples of the paper that everybody compares with, to its four decimals."""
    assert [round(end, 4) for end in wilson_interval(successes, samples)] == [low, high]


@settings(deadline=None)
@given(counts, counts, st.floats(0.1, 10))
def test_wilson_contains_the_rate(successes: int, failures: int, z: float) -> None:
    """The rate itself is never outside, 0 and 1 included, and the interval never outside [0, 1]."""
    samples = max(1, successes + failures)
    low, high = wilson_interval(successes, samples, z)
    assert 0.0 <= low <= successes / samples <= high <= 1.0
    assert low < high


def test_wilson_ends_exactly_where_all_agree() -> None:
    """No success: it begins at 0; only successes: it ends at 1; exactly, however the terms are rounded."""
    for samples in range(1, 1000):
        assert wilson_interval(0, samples)[0] == 0.0
        assert wilson_interval(samples, samples)[1] == 1.0


@settings(deadline=None)
@given(counts, counts)
def test_wilson_is_the_same_seen_from_the_other_side(successes: int, failures: int) -> None:
    """The interval of the failure rate is that of the success rate, mirrored."""
    samples = max(1, successes + failures)
    successes = min(successes, samples)
    low, high = wilson_interval(successes, samples)
    other_low, other_high = wilson_interval(samples - successes, samples)
    assert (1 - other_high, 1 - other_low) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(("successes", "samples"), [(0, 1), (1, 1), (1, 2), (4, 5), (9, 10)])
def test_intervals_shrink_as_evidence_grows(successes: int, samples: int) -> None:
    """The same rate from twice the outcomes is known better, under either method."""
    factors = [2**power for power in range(12)]
    wilson = [wilson_interval(successes * each, samples * each) for each in factors]
    beta = [beta_interval(1 + successes * each, 1 + (samples - successes) * each) for each in factors]
    for intervals in (wilson, beta):
        widths = [high - low for low, high in intervals]
        assert all(wider > narrower for wider, narrower in pairwise(widths))
        assert widths[-1] < 0.05


@pytest.mark.parametrize(
    ("alpha", "beta", "low", "high"),
    [
        (1, 1, 0.0589, 0.9411),
        (2, 2, 0.1235, 0.8765),
        (5, 1, 0.3687, 0.9772),
        (9, 3, 0.4482, 0.9172),
        (81, 21, 0.7047, 0.8617),
    ],
)
def test_beta_gives_the_known_figures(alpha: float, beta: float, low: float, high: float) -> None:
    """ln(α/β) ± 1.96 √(1/α + 1/β) on the logit scale, to four decimals."""
    assert [round(end, 4) for end in beta_interval(alpha, beta)] == [low, high]


def beta_cdf(alpha: int, beta: int, x: float) -> float:
    """Return P(X ≤ x) for X of Beta(α, β), as the tail of a binomial: exact for whole α and β."""
    trials = alpha + beta - 1
    return sum(comb(trials, k) * x**k * (1 - x) ** (trials - k) for k in range(alpha, trials + 1))


def test_beta_holds_about_95_percent() -> None:
    """Of the exact distribution between 92 and 97 % lie inside once both counts are 3, 87 % at the very least."""
    for alpha in range(1, 25):
        for beta in range(1, 25):
            low, high = beta_interval(alpha, beta)
            inside = beta_cdf(alpha, beta, high) - beta_cdf(alpha, beta, low)
            assert (0.92 if min(alpha, beta) >= 3 else 0.87) < inside < 0.97, (alpha, beta)


@settings(deadline=None)
@given(st.floats(1e-6, 1e7), st.floats(1e-6, 1e7))
def test_beta_contains_the_mean_and_is_the_same_from_the_other_side(alpha: float, beta: float) -> None:
    """The mean of Beta(α, β) is inside, the ends are in [0, 1], and exchanging α and β mirrors them."""
    low, high = beta_interval(alpha, beta)
    assert 0.0 <= low <= alpha / (alpha + beta) <= high <= 1.0
    other_low, other_high = beta_interval(beta, alpha)
    assert (1 - other_high, 1 - other_low) == pytest.approx((low, high), abs=1e-12)


@settings(deadline=None)
@given(st.floats(-1e308, 1e308))
def test_expit_is_safe_and_symmetric(x: float) -> None:
    """From 0 to 1 for any finite number, without overflow; expit(-x) is 1 - expit(x)."""
    assert 0.0 <= expit(x) <= 1.0
    assert expit(-x) == pytest.approx(1.0 - expit(x), abs=1e-15)


def test_expit_and_z_have_their_known_values() -> None:
    """expit(0) is 1/2, expit(ln 3) is 3/4; the 97.5 % point of the normal distribution is 1.96."""
    assert expit(0.0) == 0.5
    assert expit(1.0986122886681098) == pytest.approx(0.75)
    assert round(Z_95, 2) == 1.96
