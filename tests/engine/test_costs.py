"""What a host sees of prices that change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp

CHEAPEST = {"objective": "cheapest_within", "margin": 0.05}
START = datetime(2026, 11, 1, 12, tzinfo=UTC)


_OPEN: list[mp.ModelPerf] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


class Host:
    """Records outcomes at a moment of its own and reads expected costs."""

    def __init__(self, store: Path | str = ":memory:", **config: Any) -> None:
        self.now = START
        self.perf = mp.ModelPerf({"cost": CHEAPEST, **config}, store=store, clock=lambda: self.now, seed=1)
        _OPEN.append(self.perf)

    def record(self, model_id: str, usd: float, count: int = 1, task_type: str = "t") -> None:
        """Record successes at the same cost."""
        for _ in range(count):
            self.perf.record(task_type, model_id, {"success": True, "cost_usd": usd})

    def cost(self, model_id: str, task_type: str = "t") -> float | None:
        """Return what a task is expected to cost."""
        decision = self.perf.explain(task_type, ["a", "b"])
        assert decision is not None
        (row,) = [row for row in decision.ranking if row.model_id == model_id]
        return row.expected_cost_usd


def test_costs_fade_with_age() -> None:
    """After half_life_days a cost counts half, like successes."""
    host = Host(drift={"half_life_days": 10.0})
    for _ in range(200):
        host.record("a", 0.01)
        host.record("a", 0.03)
    host.now += timedelta(days=10)
    for _ in range(100):
        host.record("a", 0.015)
        host.record("a", 0.035)
    assert host.cost("a") == pytest.approx(0.0225, rel=1e-2)


def test_a_restart_remembers_a_change_of_the_price(tmp_path: Path) -> None:
    """A new process reads the newest outcomes one by one."""
    host = Host(tmp_path / "s.db")
    host.record("a", 0.02, 200)
    host.record("a", 0.2, 5)
    before = host.cost("a")
    host.perf.close()
    assert before == pytest.approx(0.2)
    assert Host(tmp_path / "s.db").cost("a") == pytest.approx(0.2)


def test_an_announced_change_resets_the_cost(tmp_path: Path) -> None:
    """Only costs since then count, in this process and in the next."""
    host = Host(tmp_path / "s.db")
    host.record("a", 0.02, 50)
    host.record("a", 0.02, 50, task_type="u")
    perf, now_ms = host.perf, round(host.now.timestamp() * 1000)
    newest = perf.store.events.last_id()
    perf.store.changes.add("a", "announced", (newest, newest), (now_ms, now_ms), None, {})
    perf.close()
    host = Host(tmp_path / "s.db")
    assert host.cost("a") is None
    host.record("a", 0.05, 1)
    assert host.cost("a") == pytest.approx(0.05)
    host.perf.close()
    assert Host(tmp_path / "s.db").cost("a") == pytest.approx(0.05)


def test_a_dated_price_replaces_earlier_costs() -> None:
    """From that day on the configured cost counts until outcomes since then say what a task costs."""
    host = Host(models={"a": {"cost_usd": 0.005, "cost_since": (START + timedelta(days=2)).date()}})
    host.record("a", 0.02, 50)
    assert host.cost("a") == pytest.approx(0.02)
    host.now += timedelta(days=2)
    assert host.cost("a") == pytest.approx(0.005)
    host.record("a", 0.006, 1)
    assert host.cost("a") == pytest.approx(0.006)


def _played(host: Host, context: dict[str, Any], tasks: int, prices: dict[str, float]) -> list[mp.Decision]:
    decisions = []
    for _ in range(tasks):
        decision = host.perf.select("t", [*prices], context)
        assert decision is not None
        assert sum(decision.probabilities) == pytest.approx(1.0)
        outcome = {"success": True, "cost_usd": prices[decision.model_id]}
        host.perf.record("t", decision.model_id, outcome, decision)
        decisions.append(decision)
    return decisions


@pytest.mark.parametrize("attempts", [1, 3])
def test_one_outlier_does_not_exclude_a_model_for_ever(attempts: int) -> None:
    """It is probed, and what it costs then brings it back; until then it is no fallback either."""
    host = Host(cost={"objective": "success"}, retries={"attempts": attempts})
    host.record("a", 3.0)
    played = _played(host, {"max_cost_usd": 0.5}, 400, {"a": 0.05, "b": 0.05})
    probed = [decision for decision in played if decision.model_id == "a"]
    assert probed[0].reason.startswith("probed: too expensive so far (probability 0.2)")
    assert {row.status for row in probed[0].ranking if row.model_id == "a"} == {"probe"}
    number = played.index(probed[0])
    assert all("a" in [*decision] for decision in played[number + 1 :])
    before = played[:number]
    assert all("a" not in [*decision] for decision in before)
    assert all(decision.excluded[0].model_id == "a" for decision in before)


def test_a_lower_price_is_found() -> None:
    """A model that only its cost keeps out is called from time to time, with an exact propensity."""
    host = Host()
    host.record("a", 0.02, 100)
    host.record("b", 0.04, 100)
    played = _played(host, {}, 300, {"a": 0.02, "b": 0.008})
    assert sum(decision.model_id == "b" for decision in played[-100:]) > 50


def test_probes_can_be_turned_off() -> None:
    """With price_probes = 0 only exploration calls what is expensive."""
    host = Host(exploration={"price_probes": 0.0})
    host.record("a", 3.0)
    played = _played(host, {"max_cost_usd": 0.5}, 300, {"a": 0.05, "b": 0.05})
    assert {decision.model_id for decision in played} == {"b"}
