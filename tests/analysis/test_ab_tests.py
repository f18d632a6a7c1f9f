"""A/B tests as they stand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis.views.ab_tests import Trial, trials
from modelperf_plugin.analysis.views.details import task_view
from modelperf_plugin.analysis.views.overview import overview
from modelperf_plugin.analysis.views.trends import Period
from tests.clocks import FakeClock

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


def test_decisions_are_as_old_as_they_are_at_the_time_of_the_page() -> None:
    """Decisions made after the given time are not among those whose outcomes are compared, in any view."""
    clock = FakeClock()
    start, split = clock(), {**SPLIT, "challenger": "new"}

    def compared(views: tuple[Trial, ...]) -> int:
        (trial,) = views
        return trial.ratio.decisions_a + trial.ratio.decisions_b

    with mp.ModelPerf({"exploration": split}, store=":memory:", clock=clock, seed=1) as perf:
        for _ in range(40):
            decision = perf.select("t", ["old", "new"])
            assert decision is not None
            perf.record("t", decision.model_id, {"success": True}, decision)
            clock.advance(minutes=1)
        for minutes in (10, 40):
            now = start + timedelta(minutes=minutes, seconds=-30)
            period = Period.last(1, now=now)
            view = task_view(perf, "t", period, now=now)
            assert view is not None
            shown = (trials(perf, "t", now=now), overview(perf, period, now=now).trials, view.trials)
            assert [compared(each) for each in shown] == [minutes] * 3
