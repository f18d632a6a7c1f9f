"""Demotion strategies: which models are demoted, and for which reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelperf_plugin.policy import AnyDemotion, DemoteByEvidence, DemoteBySuccessRate, NeverDemote
from modelperf_plugin.policy.demotion import DemotionStrategy
from modelperf_plugin.values import Tally
from tests.policy.tables import check_loaded, check_refused


def demoted(strategy: DemoteBySuccessRate | NeverDemote, successes: int, failures: int) -> str | None:
    """Return why ``strategy`` demotes a model with this record, or None."""
    (reason,) = strategy([Tally("t", "m", successes, failures)])
    return reason


@pytest.mark.parametrize(
    ("successes", "failures", "reason"),
    [
        (0, 0, None),
        (0, 2, None),
        (0, 3, "success rate 0.000 (0 of 3) is below the threshold 0.5"),
        (1, 2, "success rate 0.333 (1 of 3) is below the threshold 0.5"),
        (2, 1, None),
        (2, 2, None),
        (49, 51, "success rate 0.490 (49 of 100) is below the threshold 0.5"),
        (50, 50, None),
        (100, 0, None),
    ],
)
def test_demotion_by_success_rate(successes: int, failures: int, reason: str | None) -> None:
    """Below the threshold (0.5), not at it, after at least ``min_samples`` (3) outcomes; the sentence gives figures."""
    assert demoted(DemoteBySuccessRate(), successes, failures) == reason


def test_demotion_waits_for_min_samples() -> None:
    """However bad the record, it takes as many outcomes as configured: with 30, the 29th changes nothing."""
    strategy = DemoteBySuccessRate(min_samples=30)
    assert demoted(strategy, 0, 29) is None
    assert demoted(strategy, 0, 30) is not None
    assert demoted(DemoteBySuccessRate(min_samples=1), 0, 0) is None
    assert demoted(DemoteBySuccessRate(min_samples=1), 0, 1) is not None


def test_demotion_is_exact_at_the_threshold() -> None:
    """7 of 100 is not below 0.07: no threshold in whole percent is missed by rounding, for up to 200 outcomes."""
    for percent in range(1, 100):
        strategy = DemoteBySuccessRate(threshold=percent / 100, min_samples=1)
        for samples in range(1, 201):
            limit = -(-percent * samples // 100)
            at, below = strategy([Tally("t", "m", n, samples - n) for n in (limit, limit - 1)])
            assert (at is None, below is None) == (True, False), (percent, samples)


@settings(deadline=None)
@given(
    st.floats(0.0001, 0.9999),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=8),
)
def test_demotion_judges_each_model_by_its_own_record(
    threshold: float, min_samples: int, evidence: list[tuple[int, int]]
) -> None:
    """One answer for each tally, in the same order, and the same as if it were alone."""
    strategy = DemoteBySuccessRate(threshold=threshold, min_samples=min_samples)
    tallies = [Tally("t", f"m{number}", *pair) for number, pair in enumerate(evidence)]
    assert strategy(tallies) == [strategy([tally])[0] for tally in tallies]
    assert [reason is not None for reason in strategy(tallies)] == [
        tally.samples >= min_samples and tally.successes / tally.samples < threshold for tally in tallies
    ]


def test_never_demotes_nobody() -> None:
    """The null strategy: a thousand failures in a row and the model stays in."""
    assert NeverDemote()([Tally("t", "a", 0, 1000), Tally("t", "b")]) == [None, None]
    assert NeverDemote()([]) == []


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({"strategy": "success_rate", "threshold": 0}, "threshold"),
        ({"strategy": "success_rate", "threshold": 1}, "threshold"),
        ({"strategy": "success_rate", "threshold": 50}, "threshold"),
        ({"strategy": "success_rate", "threshold": float("nan")}, "threshold"),
        ({"strategy": "success_rate", "threshold": True}, "threshold"),
        ({"strategy": "success_rate", "min_samples": 0}, "min_samples"),
        ({"strategy": "success_rate", "treshold": 0.5}, "treshold"),
        ({"strategy": "never", "threshold": 0.5}, "threshold"),
        ({"strategy": "always"}, "always"),
    ],
)
def test_a_bad_configuration_is_refused_by_key(table: dict[str, Any], names: str) -> None:
    """Out of range, of the wrong type, unknown or another strategy's key: one error, which names it."""
    check_refused(AnyDemotion, table, names)


def test_a_strategy_is_found_by_its_name_and_frozen() -> None:
    """The TOML table is the strategy, which is immutable."""
    check_loaded(AnyDemotion, {"strategy": "success_rate", "threshold": 0.8}, DemoteBySuccessRate(threshold=0.8))
    check_loaded(AnyDemotion, {"strategy": "never"}, NeverDemote())


@pytest.mark.parametrize(
    ("strategy", "best", "expected"),
    [
        (DemoteByEvidence(), None, None),
        (DemoteByEvidence(), 0.9, 0.7),
        (DemoteByEvidence(margin=0.3), 0.9, 0.6),
        (DemoteByEvidence(), 0.1, None),
        (DemoteByEvidence(threshold=0.8), 0.9, 0.8),
        (DemoteByEvidence(threshold=0.5), 0.9, 0.7),
        (DemoteByEvidence(threshold=0.5), None, 0.5),
        (DemoteByEvidence(margin=None, threshold=0.5), 0.9, 0.5),
        (DemoteByEvidence(margin=None), 0.9, None),
        (NeverDemote(), 0.9, None),
        (DemoteBySuccessRate(), 0.9, None),
    ],
)
def test_the_demotion_threshold(strategy: DemotionStrategy, best: float | None, expected: float | None) -> None:
    """The threshold or the best rate less the margin, whichever is higher; none if neither says anything."""
    assert strategy.effective_threshold(best) == (None if expected is None else pytest.approx(expected))


def test_demotion_by_evidence_goes_by_what_is_in_force() -> None:
    """Tallies alone demote no model; the demotions in force do, each with its reason."""
    tallies = [Tally("t", "a", 0, 100), Tally("t", "b", 100, 0)]
    assert DemoteByEvidence()(tallies) == [None, None]
    assert DemoteByEvidence()(tallies, {"b": "demoted: why", "gone": "x"}) == [None, "demoted: why"]
    assert NeverDemote()(tallies, {"b": "demoted: why"}) == [None, None]
