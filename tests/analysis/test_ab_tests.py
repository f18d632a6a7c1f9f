"""A/B tests as they stand."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis.views.ab_tests import trials

SPLIT = {"strategy": "ab_test", "incumbent": "old", "challenger": ["new", "same"], "share": 0.5}


@pytest.fixture
def engine() -> Iterator[mp.ModelPerf]:
    """Return an engine with a test of two challengers: one that is far better, and one that is the same."""
    rates, numbers = {"old": 0.4, "new": 0.95, "same": 0.4}, random.Random(1)
    with mp.ModelPerf({"exploration": SPLIT}, store=":memory:", seed=1) as perf:
        for _ in range(300):
            decision = perf.select("t", list(rates))
            assert decision is not None
            perf.record("t", decision.model_id, {"success": numbers.random() < rates[decision.model_id]}, decision)
        yield perf


def test_every_challenger_is_a_trial(engine: mp.ModelPerf) -> None:
    """With both sides, its share, and how far the evidence has come: all the way where somebody has won."""
    won, running = trials(engine, "t")
    assert [name for name, _ in won.sides] == ["old", "new"]
    assert (won.winner, won.progress, won.state) == ("new", 1.0, "new has won, the split continues")
    assert (running.winner, running.state, running.share) == (None, "running", 0.25)
    assert 0 <= running.progress < 1
    assert running.outcomes == sum(rate.outcomes for _, rate in running.sides)
    assert [each.contest for each in trials(engine)] == [won.contest, running.contest]
    assert trials(engine, "other") == ()


def test_a_trial_knows_whether_it_is_configured(engine: mp.ModelPerf) -> None:
    """A test that is only in another configuration is not running here."""
    assert all(each.configured for each in trials(engine))
    with mp.ModelPerf({}, store=":memory:") as other:
        other.store.ab_tests.begin(trials(engine)[0].test)
        assert [each.configured for each in trials(other)] == [False, False]
        assert trials(other)[1].state == "not in the configuration here"
