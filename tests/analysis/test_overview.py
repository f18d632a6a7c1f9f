"""The one read model behind terminal, report and dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis.views.details import model_view, task_view
from modelperf_plugin.analysis.views.overview import overview
from modelperf_plugin.analysis.views.trends import Period
from modelperf_plugin.store import DecisionRecord
from modelperf_plugin.values import to_milliseconds

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PERIOD = Period.last(30, now=NOW)


@pytest.fixture
def engine() -> Iterator[mp.ModelPerf]:
    """Return an engine whose store has outcomes of two task types; one model knows only one of them."""
    with mp.ModelPerf({}, store=":memory:", seed=1, clock=lambda: NOW) as opened:
        rates = {("plan", "good"): 18, ("plan", "bad"): 8, ("build", "good"): 14, ("build", "other"): 19}
        for (task_type, model_id), successes in rates.items():
            for number in range(20):
                moment = NOW - timedelta(days=number)
                cost = 0.01 if number % 2 else 0.0
                outcome = mp.Outcome(success=number < successes, timestamp=moment, cost_usd=cost)
                opened.record(task_type, model_id, outcome)
        yield opened


def test_the_overview_counts_everything_once(engine: mp.ModelPerf) -> None:
    """Task types with their trends and leaders, totals that are their sums, and missing data."""
    seen = overview(engine, PERIOD, now=NOW)
    assert seen.trend.total.samples == 80 == sum(row.trend.total.samples for row in seen.task_types)
    assert [row.task_type for row in seen.task_types] == ["build", "plan"]
    leaders = [row.leader.model_id for row in seen.task_types if row.leader]
    assert leaders == ["other", "good"]
    assert (seen.pairs, seen.models, seen.hidden) == (4, 3, 0)
    assert (seen.quality.outcomes, seen.quality.without_cost) == (80, 40)
    assert seen.quality.newest == NOW
    assert seen.exploration.share is None


def test_each_task_type_has_its_current_choice(engine: mp.ModelPerf) -> None:
    """With its costs; since when is known once the newest decisions chose it."""
    choices = {row.task_type: row.choice for row in overview(engine, PERIOD, now=NOW).task_types}
    assert {name: each and each.row.model_id for name, each in choices.items()} == {"build": "other", "plan": "good"}
    assert choices["plan"] is not None
    assert choices["plan"].mean_cost_usd == pytest.approx(0.01)
    assert choices["plan"].since_ms is None
    record = DecisionRecord("d1", to_milliseconds(NOW), "plan", "good", 0.9, False, 0.1, "apply", "p", "{}")
    engine.store.decisions.write([record], [])
    (choice,) = [row.choice for row in overview(engine, PERIOD, now=NOW).task_types if row.task_type == "plan"]
    assert choice is not None
    assert (choice.row.model_id, choice.since_ms, choice.is_first) == ("good", to_milliseconds(NOW), True)


def test_charts_mark_models_prices_and_policies(tmp_path: Path) -> None:
    """Oldest first, each where it belongs; the policy that a task type began with is no change."""
    config = {"models": {"good": {"cost_usd": 0.02, "cost_since": (NOW - timedelta(days=3)).date()}}}
    with mp.ModelPerf(config, store=tmp_path / "x.db") as priced:
        for task_type, model_id in (("plan", "good"), ("plan", "bad"), ("build", "good")):
            priced.record(task_type, model_id, mp.Outcome(success=True, timestamp=NOW))
        for number, (task_type, policy_id) in enumerate([("plan", "p"), ("plan", "q"), ("build", "p")]):
            made_ms = to_milliseconds(NOW - timedelta(days=2)) + number
            made = DecisionRecord(f"d{number}", made_ms, task_type, "good", 1.0, False, 0.0, "apply", policy_id, "{}")
            priced.store.decisions.write([made], [])
        since_ms = to_milliseconds(NOW - timedelta(days=1))
        priced.store.changes.add("bad", "down", (1, 2), (since_ms, since_ms), 50.0, {})
        all_of_it = ["new price of good", "new policy on plan", "bad does worse"]
        assert [each.text for each in overview(priced, PERIOD, now=NOW).moments] == all_of_it
        plan, build = (task_view(priced, name, PERIOD, now=NOW) for name in ("plan", "build"))
        assert plan is not None
        assert build is not None
        assert [each.text for each in plan.moments] == all_of_it
        assert [each.text for each in build.moments] == ["new price of good"]


def test_an_empty_store_has_an_overview() -> None:
    """Nothing is known, and nothing fails."""
    with mp.ModelPerf({}, store=":memory:") as empty:
        seen = overview(empty, PERIOD, now=NOW)
        assert (seen.task_types, seen.quality.newest) == ((), None)
        assert seen.trend.total.success_rate is None
        assert task_view(empty, "plan", PERIOD) is None
        assert model_view(empty, "good", PERIOD) is None


def test_outcomes_before_the_period_leave_no_task_types(engine: mp.ModelPerf) -> None:
    """A period without outcomes is empty, and still says when the newest outcome was."""
    seen = overview(engine, Period.last(7, now=NOW + timedelta(days=60)), now=NOW)
    assert seen.task_types == ()
    assert seen.quality.newest == NOW


def test_only_the_busiest_task_types_are_shown(engine: mp.ModelPerf) -> None:
    """The rest is counted, and in the totals."""
    seen = overview(engine, PERIOD, now=NOW, most=1)
    assert (len(seen.task_types), seen.hidden, seen.trend.total.samples) == (1, 1, 80)


def test_a_task_view_has_its_models_best_first(engine: mp.ModelPerf) -> None:
    """Each with its share of the next choice and its trend; the shares sum to one."""
    seen = task_view(engine, "plan", PERIOD, now=NOW)
    assert seen is not None
    assert [each.row.model_id for each in seen.models] == ["good", "bad"]
    assert sum(each.share for each in seen.models) == pytest.approx(1)
    assert [each.trend.total.samples for each in seen.models if each.trend] == [20, 20]
    assert seen.trend.total.samples == 40


def test_a_task_view_of_some_models_has_the_sums_of_all(engine: mp.ModelPerf) -> None:
    """Hidden rows are counted."""
    seen = task_view(engine, "plan", PERIOD, now=NOW, most=1)
    assert seen is not None
    assert (len(seen.models), seen.hidden) == (1, 1)
    assert seen.trend.total.samples == 40


def test_a_model_view_is_of_one_task_type_or_all(engine: mp.ModelPerf) -> None:
    """A row for each task type; a model that never worked there has no view."""
    everywhere, here = model_view(engine, "good", PERIOD), model_view(engine, "good", PERIOD, task_type="plan")
    assert everywhere is not None
    assert here is not None
    assert sorted(everywhere.rows) == ["build", "plan"]
    assert (everywhere.trend.total.samples, here.trend.total.samples) == (40, 20)
    assert model_view(engine, "bad", PERIOD, task_type="build") is None


def test_decisions_of_the_period_are_seen(tmp_path: Path) -> None:
    """Logged decisions are in the views, and exploration is counted from them."""
    with mp.ModelPerf({}, store=tmp_path / "x.db", seed=1) as host:
        for _ in range(30):
            decision = host.select("plan", ["a", "b"])
            assert decision is not None
            host.record("plan", decision.model_id, mp.Outcome(success=True, cost_usd=0.5), decision)
    with mp.ModelPerf({}, store=tmp_path / "x.db") as engine:
        period = Period.last(1)
        seen, details = overview(engine, period), task_view(engine, "plan", period)
        assert details is not None
        assert seen.exploration.decisions == 30 == details.exploration.decisions
        assert seen.exploration.cost_usd == pytest.approx(15)
        assert len(details.decisions) == 12
        assert details.decisions[0].decision.made_ms >= details.decisions[-1].decision.made_ms
