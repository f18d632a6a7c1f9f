"""Ranking strategies: exact scores, and rules that hold for any evidence."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.policy import (
    Adaptive,
    AnyRanking,
    Knowledge,
    NeverDemote,
    NeverExplore,
    Policy,
    Posterior,
    SuccessRate,
    assess,
    choose,
)
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.intervals import beta_interval, wilson_interval
from modelperf_plugin.policy.ranking import RankingStrategy
from modelperf_plugin.values import MAX_TOKENS, NO_CONTEXT, Tally
from tests.policy.tables import check_loaded, check_refused

counts = st.integers(0, 30) | st.integers(0, 10**6)
pairs = st.lists(st.tuples(counts, counts), max_size=8)
RANKINGS: list[RankingStrategy] = [Posterior(), SuccessRate()]


class Scored(NamedTuple):
    """The score of one model, and the account of it."""

    tier: int
    value: float
    estimate: float | None
    interval: tuple[float, float] | None
    proven: bool
    reason: str


def score(strategy: RankingStrategy, successes: int, failures: int, outages: int = 0, caller_errors: int = 0) -> Scored:
    """Return what ``strategy`` makes of one model."""
    tally = Tally("t", "m", successes, failures, outages=outages, caller_errors=caller_errors)
    ((tier, value),) = strategy([tally])
    estimate, interval, proven, reason = strategy.explain(tally)
    return Scored(tier, value, estimate, interval, proven, reason)


@pytest.mark.parametrize(
    ("successes", "failures", "expected"),
    [
        (0, 0, Scored(1, 0.0, None, None, False, "unproven: 0 of 3 outcomes")),
        (2, 0, Scored(1, 0.0, 1.0, None, False, "unproven: 2 of 3 outcomes")),
        (1, 1, Scored(1, 0.0, 0.5, None, False, "unproven: 2 of 3 outcomes")),
        (3, 0, Scored(0, 1.0, 1.0, wilson_interval(3, 3), True, "success rate 1.000 (3 of 3)")),
        (0, 3, Scored(0, 0.0, 0.0, wilson_interval(0, 3), True, "success rate 0.000 (0 of 3)")),
        (2, 1, Scored(0, 2 / 3, 2 / 3, wilson_interval(2, 3), True, "success rate 0.667 (2 of 3)")),
        (90, 10, Scored(0, 0.9, 0.9, wilson_interval(90, 100), True, "success rate 0.900 (90 of 100)")),
    ],
)
def test_success_rate_scores(successes: int, failures: int, expected: Scored) -> None:
    """Successes over all outcomes from ``min_samples`` (3) on; below it a model ranks behind all proven ones."""
    assert score(SuccessRate(), successes, failures) == expected


def test_success_rate_waits_for_min_samples() -> None:
    """The limit is inclusive and configurable: with 10, nine outcomes are not enough and ten are."""
    strategy = SuccessRate(min_samples=10)
    assert [score(strategy, n, 0).proven for n in (9, 10)] == [False, True]
    assert [score(SuccessRate(min_samples=1), n, 0).proven for n in (0, 1)] == [False, True]


def test_success_rate_counts_every_failure() -> None:
    """The document's rule knows no reasons: an outage or the caller's own error counts like any failure."""
    assert score(SuccessRate(), 5, 5, outages=3, caller_errors=2).value == 0.5


@settings(deadline=None)
@given(pairs, st.integers(1, 20))
def test_success_rate_is_the_documents_order(evidence: list[tuple[int, int]], min_samples: int) -> None:
    """Order by successes / (successes + failures), highest first, for those with ``min_samples``; the rest last."""
    tallies = {f"m{number}": Tally("t", f"m{number}", *pair) for number, pair in enumerate(evidence)}
    strategy = SuccessRate(min_samples=min_samples)
    policy = Policy(ranking=strategy, demotion=NeverDemote(), exploration=NeverExplore(), policy_id="")
    rows = assess(policy, "t", list(tallies), Knowledge(tallies), NO_CONTEXT).ranking
    proven = [tally for tally in tallies.values() if tally.successes + tally.failures >= min_samples]
    ranked = [row.tally for row in rows if row.status == "ranked"]
    assert set(ranked) == set(proven)
    assert rows[: len(proven)] == tuple(row for row in rows if row.status == "ranked")
    rates = [Fraction(tally.successes, tally.successes + tally.failures) for tally in ranked]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("strategy", "successes", "failures", "mean"),
    [
        (Posterior(), 0, 0, 1 / 2),
        (Posterior(), 1, 0, 2 / 3),
        (Posterior(), 3, 0, 4 / 5),
        (Posterior(), 0, 3, 1 / 5),
        (Posterior(), 8, 2, 3 / 4),
        (Posterior(), 98, 0, 99 / 100),
        (Posterior(prior_success=0.8, prior_strength=10), 0, 0, 8 / 10),
        (Posterior(prior_success=0.8, prior_strength=10), 2, 3, 10 / 15),
        (Posterior(prior_success=0.25, prior_strength=4), 1, 3, 1 / 4),
    ],
)
def test_posterior_means(strategy: Posterior, successes: int, failures: int, mean: float) -> None:
    """(k p₀ + successes) / (k + outcomes), with k = 2 and p₀ = 1/2 unless configured otherwise."""
    result = score(strategy, successes, failures)
    assert result.value == result.estimate == pytest.approx(mean, abs=1e-15)
    assert result.tier == 0


def test_posterior_row_in_full() -> None:
    """Score, interval, whether proven and the sentence for a person, for 8 successes in 10."""
    assert score(Posterior(), 8, 2) == Scored(
        0, 0.75, 0.75, beta_interval(9, 3), True, "posterior mean 0.750 (8 of 10 succeeded; 2 by the prior at 50.0 %)"
    )
    assert score(Posterior(), 0, 0).interval == beta_interval(1, 1)
    assert [score(Posterior(), n, 0).proven for n in (2, 3)] == [False, True]


def test_posterior_ignores_failures_the_model_is_not_to_blame_for() -> None:
    """Outages and the caller's own errors change nothing: neither the score, nor whether a model is proven."""
    assert score(Posterior(), 8, 9, outages=4, caller_errors=3) == score(Posterior(), 8, 2)
    assert score(Posterior(), 0, 50, outages=25, caller_errors=25) == score(Posterior(), 0, 0)


@settings(deadline=None)
@given(counts, counts, st.floats(0.001, 0.999), st.floats(0.001, 10_000))
def test_posterior_lies_between_prior_and_rate(successes: int, failures: int, prior: float, strength: float) -> None:
    """Evidence draws the score from the prior towards the success rate, never past either; inside its interval."""
    result = score(Posterior(prior_success=prior, prior_strength=strength), successes, failures)
    rate = successes / (successes + failures) if successes + failures else prior
    assert min(prior, rate) - 1e-12 <= result.value <= max(prior, rate) + 1e-12
    assert result.interval is not None
    low, high = result.interval
    assert 0.0 <= low <= result.value <= high <= 1.0


@pytest.mark.parametrize("prior", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("strength", [0.001, 2.0, 10_000.0])
@pytest.mark.parametrize("pair", [(0, 0), (0, MAX_TOKENS), (MAX_TOKENS, 0), (MAX_TOKENS, MAX_TOKENS)])
def test_posterior_stands_every_permitted_extreme(prior: float, strength: float, pair: tuple[int, int]) -> None:
    """No permitted configuration and no number of outcomes leads to a division by zero or a score outside [0, 1]."""
    result = score(Posterior(prior_success=prior, prior_strength=strength), *pair)
    assert 0.0 <= result.value <= 1.0
    assert result.interval is not None
    assert 0.0 <= result.interval[0] <= result.interval[1] <= 1.0


@pytest.mark.parametrize("strategy", RANKINGS, ids=lambda strategy: strategy.strategy)
@settings(deadline=None)
@given(evidence=pairs, random=st.randoms(use_true_random=False))
def test_scores_are_blind_to_order(strategy: RankingStrategy, evidence: list[tuple[int, int]], random: Any) -> None:
    """One score for each tally, in the same order, independent of its position."""
    tallies = [Tally("t", f"m{number}", *pair) for number, pair in enumerate(evidence)]
    shuffled = tallies.copy()
    random.shuffle(shuffled)
    scores = dict(zip(tallies, strategy(tallies), strict=True))
    assert strategy(shuffled) == [scores[tally] for tally in shuffled]


@pytest.mark.parametrize("strategy", RANKINGS, ids=lambda strategy: strategy.strategy)
@settings(deadline=None)
@given(successes=counts, failures=counts)
def test_one_more_success_never_lowers_a_score(strategy: RankingStrategy, successes: int, failures: int) -> None:
    """Of two records of the same length the one with one more success never scores lower."""
    worse, better = score(strategy, successes, failures + 1), score(strategy, successes + 1, failures)
    assert (-worse.tier, worse.value) <= (-better.tier, better.value)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({"strategy": "posterior", "min_samples": 0}, "min_samples"),
        ({"strategy": "posterior", "min_samples": True}, "min_samples"),
        ({"strategy": "posterior", "min_samples": 2.5}, "min_samples"),
        ({"strategy": "posterior", "prior_success": 0}, "prior_success"),
        ({"strategy": "posterior", "prior_success": 5e-324}, "prior_success"),
        ({"strategy": "posterior", "prior_success": 1}, "prior_success"),
        ({"strategy": "posterior", "prior_success": float("nan")}, "prior_success"),
        ({"strategy": "posterior", "prior_success": "0.5"}, "prior_success"),
        ({"strategy": "posterior", "prior_strength": 0}, "prior_strength"),
        ({"strategy": "posterior", "prior_strength": 5e-324}, "prior_strength"),
        ({"strategy": "posterior", "prior_strength": float("inf")}, "prior_strength"),
        ({"strategy": "success_rate", "prior_strength": 2}, "prior_strength"),
        ({"strategy": "success_rate", "min_samples": -1}, "min_samples"),
        ({"strategy": "best"}, "best"),
    ],
)
def test_a_bad_configuration_is_refused_by_key(table: dict[str, Any], names: str) -> None:
    """Out of range, of the wrong type, unknown or another strategy's key: one error, which names it."""
    check_refused(AnyRanking, table, names)


def test_a_strategy_is_found_by_its_name_and_frozen() -> None:
    """The TOML table is the strategy, which is immutable."""
    check_loaded(AnyRanking, {"strategy": "success_rate", "min_samples": 5}, SuccessRate(min_samples=5))


def test_without_pooling_exploration_goes_by_the_task_type_alone() -> None:
    """With ``pooled = false`` what is known from other task types changes no score and no propensity."""
    tallies = {"a": Tally("t", "a", 8, 2), "b": Tally("t", "b", 1, 1)}
    rules = Policy(ranking=Posterior(pooled=False), demotion=NeverDemote(), exploration=Adaptive(floor=0), policy_id="")
    shares = [
        choose(assess(rules, "t", ["a", "b"], Knowledge(tallies, beliefs), NO_CONTEXT), NO_CONTEXT, 0.0).probabilities
        for beliefs in (
            {"a": Belief(1.0, 90.0), "b": Belief(90.0, 1.0)},
            {"a": Belief(90.0, 1.0), "b": Belief(1.0, 90.0)},
        )
    ]
    assert shares[0] == shares[1]
