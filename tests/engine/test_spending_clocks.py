"""Clocks that are wrong neither make a budget forget what was spent, nor use it up for long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import modelperf_plugin as mp
from tests.clocks import FakeClock

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def spent(perf: mp.ModelPerf) -> float:
    """Return what was spent under the only budget."""
    (state,) = perf.budgets()
    return state.outlook.spent_usd


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("per", ["hour", "day", "week", "month"])
def test_a_clock_that_was_ahead_and_is_right_again(tmp_path: Path, per: str, *, rolling: bool) -> None:
    """However far it was, what was spent in the period is known when it is back, as after a restart."""
    config = {"budget": {"usd": 20.0, "per": per, "rolling": rolling}}
    for ahead in (timedelta(hours=2), timedelta(days=2), timedelta(days=400)):
        path, clock = tmp_path / f"{ahead.days}.db", FakeClock(NOON)
        with mp.ModelPerf(config, store=path, clock=clock) as perf:
            perf.record("t", "a", mp.Outcome(success=True, cost_usd=3.0))
            assert spent(perf) == 3.0
            clock.now += ahead
            perf.select("t", ["a", "b"])
            spent(perf)
            clock.now = NOON + timedelta(minutes=1)
            assert spent(perf) == 3.0
            with mp.ModelPerf(config, store=path, clock=clock) as other:
                assert spent(other) == 3.0


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("per", ["hour", "day", "week", "month"])
def test_a_stamp_from_the_far_future_does_not_use_up_a_budget_until_then(
    tmp_path: Path, per: str, *, rolling: bool
) -> None:
    """It counts when it comes, and not in all periods until then; one that is a little ahead counts now."""
    path, clock = tmp_path / "x.db", FakeClock(NOON)
    config = {"budget": {"usd": 1.0, "per": per, "rolling": rolling}}
    far = mp.Outcome(success=True, cost_usd=5.0, timestamp=NOON + timedelta(days=400))
    near = mp.Outcome(success=True, cost_usd=0.5, timestamp=NOON + timedelta(minutes=5))
    with mp.ModelPerf(config, store=path, clock=clock) as perf:
        perf.record("t", "b", mp.Outcome(success=True, cost_usd=0.01, timestamp=NOON - timedelta(days=40)))
        assert spent(perf) == 0.0
        perf.record("t", "a", far)
        assert spent(perf) == 5.0
        assert perf.select("t", ["b"]) is None
        clock.now += timedelta(days=80)
        assert perf.select("t", ["b"]) is not None
        assert spent(perf) == 0.0
    with mp.ModelPerf(config, store=path, clock=clock) as perf:
        assert perf.select("t", ["b"]) is not None
        assert spent(perf) == 0.0
    clock.now = NOON
    with mp.ModelPerf(config, store=path, clock=clock) as perf:
        perf.record("t", "a", near)
        assert spent(perf) == 0.5
    with mp.ModelPerf(config, store=path, clock=clock) as perf:
        assert spent(perf) == 0.5
