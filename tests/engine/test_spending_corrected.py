"""What was spent is right at once: also with costs that are corrected later, and for outcomes recorded together."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.config import watch
from modelperf_plugin.engine.accounts import MAX_FOLLOWED
from tests.clocks import FakeClock
from tests.store.faults import SQLITE_LOCK, held

BUDGETS: dict[str, Any] = {
    "budget": {"usd": 1000.0},
    "task_types": {"t": {"budget": {"usd": 1000.0, "per": "month"}}},
    "models": {"a": {"budget": {"usd": 1000.0, "per": "hour"}, "aliases": ["also-a"]}},
    "store": {"patience_seconds": 0.1},
}


def spent(perf: mp.ModelPerf) -> list[float]:
    """Return what was spent under each budget."""
    return [round(state.outlook.spent_usd, 6) for state in perf.budgets()]


def test_a_corrected_cost_counts_in_every_process(tmp_path: Path) -> None:
    """A later verdict brings another cost: each budget that it belongs to counts that one, once."""
    path, clock = tmp_path / "x.db", FakeClock()
    with mp.ModelPerf(BUDGETS, store=path, clock=clock) as one, mp.ModelPerf(BUDGETS, store=path, clock=clock) as other:
        one.record("t", "also-a", mp.Outcome(success=True, cost_usd=1.0, outcome_id="x"))
        one.record("u", "b", mp.Outcome(success=True, cost_usd=10.0, outcome_id="y"))
        assert spent(one) == spent(other) == [11.0, 1.0, 1.0]
        one.record("t", "also-a", mp.Outcome(success=False, cost_usd=3.0, outcome_id="x"))
        assert spent(one) == spent(other) == [13.0, 3.0, 3.0]
        other.record("t", "also-a", mp.Outcome(success=True, cost_usd=0.5, outcome_id="x"))
        other.record("t", "also-a", mp.Outcome(success=False, outcome_id="x"))
        assert spent(one) == spent(other) == [10.5, 0.5, 0.5]


def test_a_cost_that_comes_after_the_verdict_counts() -> None:
    """The verdict was reported on the decision, and counted without a cost."""
    with mp.ModelPerf(BUDGETS, store=":memory:", clock=FakeClock()) as perf:
        decision = perf.select("t", ["b"])
        assert decision is not None
        perf.report(decision, success=True)
        assert spent(perf) == [0.0, 0.0, 0.0]
        perf.record("t", "b", mp.Outcome(success=True, cost_usd=2.0), decision)
        assert spent(perf) == [2.0, 2.0, 0.0]


def test_processes_agree_with_the_store_after_anything(tmp_path: Path) -> None:
    """Two engines that record, correct and ask in any order know what one knows that starts then."""
    path, clock, numbers = tmp_path / "x.db", FakeClock(), Random(1)
    with mp.ModelPerf(BUDGETS, store=path, clock=clock) as one, mp.ModelPerf(BUDGETS, store=path, clock=clock) as other:
        for _ in range(200):
            perf = numbers.choice([one, other])
            outcomes = [
                mp.Outcome(
                    success=numbers.random() < 0.5,
                    cost_usd=numbers.randrange(4) / 4,
                    outcome_id=str(numbers.randrange(9)),
                )
                for _ in range(numbers.choice([1, 1, 3]))
            ]
            ids = [int(each.outcome_id or 0) for each in outcomes]
            pairs = [("t" if number % 2 else "u", "a" if number % 3 else "b") for number in ids]
            if len(outcomes) == 1:
                perf.record(*pairs[0], outcomes[0])
            else:
                perf.record_many((*pair, each) for pair, each in zip(pairs, outcomes, strict=True))
            if numbers.random() < 0.3:
                spent(numbers.choice([one, other]))
            clock.advance(seconds=20)
        with mp.ModelPerf(BUDGETS, store=path, clock=clock) as fresh:
            assert spent(one) == spent(other) == spent(fresh) != [0.0, 0.0, 0.0]


@pytest.mark.parametrize("are_known", [False, True])
def test_outcomes_that_were_recorded_together_count_while_they_wait(tmp_path: Path, *, are_known: bool) -> None:
    """Another process writes for long: they are in a file beside the store, and count once, then and afterwards."""
    path, clock = tmp_path / "x.db", FakeClock()
    batch = [("t", "a", mp.Outcome(success=True, cost_usd=1.0, outcome_id=str(n))) for n in range(5)]
    with mp.ModelPerf(BUDGETS, store=path, clock=clock) as perf:
        if are_known:
            perf.record_many(batch)
        before = spent(perf)
        with held(path, SQLITE_LOCK):
            perf.record_many([*batch, *[("t", "b", mp.Outcome(success=True, cost_usd=1.0))] * 2])
            assert spent(perf) == [7.0, 7.0, 5.0], before
    with mp.ModelPerf(BUDGETS, store=path, clock=clock) as perf:
        assert spent(perf) == [7.0, 7.0, 5.0]


def test_a_budget_that_is_changed_meanwhile_counts_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sums are read again, and what waits for the store is not in them."""
    monkeypatch.setattr(watch, "CHECK_SECONDS", 0.0)
    path, file = tmp_path / "x.db", tmp_path / "modelperf.toml"
    file.write_text("[budget]\nusd = 10.0\n[store]\npatience_seconds = 0.1\n")
    with mp.ModelPerf(file, store=path, clock=FakeClock()) as perf:
        perf.record("t", "a", mp.Outcome(success=True, cost_usd=1.0))
        assert spent(perf) == [1.0]
        with held(path, SQLITE_LOCK):
            perf.record("t", "a", mp.Outcome(success=True, cost_usd=1.0))
            file.write_text(file.read_text().replace("10.0", "200.0"))
            assert [(state.budget.usd, state.outlook.spent_usd) for state in perf.budgets()] == [(200.0, 2.0)]


def test_many_outcomes_of_other_processes(tmp_path: Path) -> None:
    """They are counted by their sums, and those after them one by one; what is known of models' costs stays."""
    path, clock = tmp_path / "x.db", FakeClock()
    with mp.ModelPerf(BUDGETS, store=path, clock=clock) as one, mp.ModelPerf(store=path, clock=clock) as other:
        one.record("t", "a", mp.Outcome(success=True, cost_usd=1.0))
        assert spent(one) == [1.0, 1.0, 1.0]
        one.record("t", "a", mp.Outcome(success=True, cost_usd=1.0))
        other.record_many([("t", "b", mp.Outcome(success=True, cost_usd=0.01))] * (MAX_FOLLOWED + 1))
        assert spent(one) == [102.01, 102.01, 2.0]
        other.record("u", "a", mp.Outcome(success=True, cost_usd=1.0))
        assert spent(one) == [103.01, 102.01, 3.0]
