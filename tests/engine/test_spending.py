"""The money of a budget lasts, is shared by all processes, and what it means is said in each decision."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.clocks import FakeClock

CHEAP, DEAR = "cheap", "dear"
MODELS = [CHEAP, DEAR]
COSTS = {CHEAP: 0.01, DEAR: 0.2}
CHANCES = {CHEAP: 0.5, DEAR: 0.9}
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


PLAIN: Mapping[str, Any] = {
    "exploration": {"strategy": "never"}, "demotion": {"strategy": "never"}, "drift": {"detect": False},
}  # fmt: skip
"""Nothing is random, and no model is left out."""


def config(usd: float, **keys: Any) -> dict[str, Any]:
    """Return a configuration with a budget."""
    return {**PLAIN, "budget": {"usd": usd, **keys}}


def known(perf: mp.ModelPerf, days: int = 10, task_type: str = "t") -> None:
    """Record outcomes of both models, some days ago."""
    moment = MIDNIGHT - timedelta(days=days)
    perf.record_many(
        (task_type, model, mp.Outcome(success=n < 100 * CHANCES[model], cost_usd=COSTS[model], timestamp=moment))
        for model in MODELS
        for n in range(100)
    )


def day(perf: mp.ModelPerf, clock: FakeClock, tasks: int, numbers: Random, factor: float = 1.0) -> dict[str, int]:
    """Let tasks come evenly until midnight; return how often each model was chosen."""
    step = (timedelta(days=1) - (clock.now - clock.now.replace(hour=0, minute=0))) / tasks
    chosen = dict.fromkeys([*MODELS, "none"], 0)
    for _ in range(tasks):
        decision = perf.select("t", MODELS)
        clock.now += step
        if decision is None:
            chosen["none"] += 1
            continue
        model = decision.model_id
        chosen[model] += 1
        cost = COSTS[model] * factor * numbers.uniform(0.5, 1.5)
        outcome = mp.Outcome(success=numbers.random() < CHANCES[model], cost_usd=cost)
        perf.record("t", model, outcome, decision)
    return chosen


def spent(perf: mp.ModelPerf) -> float:
    """Return what was spent under the first budget."""
    return perf.budgets()[0].outlook.spent_usd


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock at midnight."""
    return FakeClock(MIDNIGHT)


def test_the_money_of_a_day_lasts(clock: FakeClock) -> None:
    """Both models get their part of the tasks, and the budget is spent but not overspent, also the day after."""
    with mp.ModelPerf(config(20.0), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        clock.now += timedelta(microseconds=1)
        for _ in range(2):
            chosen = day(perf, clock, 300, Random(1))
            clock.now -= timedelta(seconds=1)
            assert 18.0 <= spent(perf) <= 20.2
            assert 60 <= chosen[DEAR] <= 120
            clock.now += timedelta(seconds=1)


def test_an_ample_budget_changes_nothing(clock: FakeClock) -> None:
    """The best model is chosen, whatever it costs; the reason says that there is enough."""
    with mp.ModelPerf(config(1000.0), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        assert day(perf, clock, 50, Random(1))[DEAR] == 50
        decision = perf.explain("t", MODELS)
        assert decision is not None
        assert ": enough" in decision.reason


@pytest.mark.parametrize(("then", "rest"), [("overdraw", CHEAP), ("cheapest", "none"), ("none", "none")])
def test_what_happens_when_the_money_is_used_up(clock: FakeClock, then: str, rest: str) -> None:
    """There is no decision, unless the budget may be overdrawn: then only the cheapest is permitted, and it says so."""
    with mp.ModelPerf(config(1.0, then=then), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=1.5, timestamp=MIDNIGHT))
        assert day(perf, clock, 10, Random(1))[rest] == 10
        clock.now -= timedelta(seconds=1)
        decision = perf.explain("t", MODELS)
        if rest == "none":
            assert decision is None
        else:
            assert decision is not None
            (excluded,) = decision.excluded
            assert excluded.model_id == DEAR
            assert excluded.reason.startswith("over budget; $0 left of $1 a day until 2026-03-03 00:00 UTC")
        pinned = perf.explain("t", MODELS, {"pin": DEAR})
        assert pinned is not None
        assert pinned.model_id == DEAR


@pytest.mark.parametrize("then", ["cheapest", "none"])
def test_a_budget_holds_although_no_cost_is_known(clock: FakeClock, then: str) -> None:
    """One model of twelve is cheap enough. Trials of the others are spread over the day, and the money lasts for it.

    One task may cost ten times the mean. No more is spent over the budget than its last task may cost.
    """
    costs = {f"m{n}": 0.5 for n in range(12)} | {"m7": 0.01}
    for seed in range(4):
        clock.now = MIDNIGHT
        numbers = Random(seed)
        with mp.ModelPerf({"budget": {"usd": 10.0, "then": then}}, store=":memory:", clock=clock, seed=seed) as perf:
            last = 0.0
            for _ in range(400):
                decision = perf.select("t", list(costs))
                if decision is not None:
                    last = costs[decision.model_id] * (10.0 if numbers.random() < 0.05 else 0.526)
                    outcome = mp.Outcome(success=numbers.random() < 0.6, cost_usd=last)
                    perf.record("t", decision.model_id, outcome, decision)
                clock.now += timedelta(days=1) / 401
            assert spent(perf) <= 10.0 + last


def test_what_is_under_way_with_unknown_costs_is_reserved(clock: FakeClock) -> None:
    """Each counts like one of the dearer known ones, so no more are begun than the budget can bear."""
    unknown = [f"new{n}" for n in range(40)]
    with mp.ModelPerf(config(20.0), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        chosen = [decision for _ in range(40) if (decision := perf.select("t", [*MODELS, *unknown])) is not None]
        tried = [each.model_id for each in chosen if each.model_id in unknown]
        assert len(tried) * COSTS[DEAR] <= 2.5


def test_a_used_up_budget_is_logged_once_in_a_period(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Without a decision a host may go on with a model of its own, which the operator should know; it can ask."""
    with mp.ModelPerf(config(1.0, then="none"), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        for _ in range(2):
            perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=1.5, timestamp=clock.now))
            assert [perf.select("t", MODELS) for _ in range(5)] == [None] * 5
            assert [state.is_used_up for state in perf.budgets()] == [True]
            clock.now += timedelta(days=1)
            assert [state.is_used_up for state in perf.budgets()] == [False]
    warnings = [each for each in caplog.records if "no decision: over budget" in each.getMessage()]
    assert len(warnings) == 2
    assert warnings[0].levelname == "WARNING"


def test_a_model_whose_costs_are_never_reported_is_not_of_unknown_cost(clock: FakeClock) -> None:
    """What is not reported is not counted, so it costs the budget nothing and is always permitted."""
    with mp.ModelPerf(config(1.0, then="none"), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        perf.record_many(("t", "local", mp.Outcome(success=True)) for _ in range(3))
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=1.5, timestamp=MIDNIGHT))
        perf.select("t", [*MODELS, "local"])
        decision = perf.select("t", [*MODELS, "local"])
        assert decision is not None
        assert decision.model_id == "local"


def test_the_price_is_in_the_reason_and_in_the_state(clock: FakeClock) -> None:
    """Both say what money costs and how much is left."""
    with mp.ModelPerf(config(20.0), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        day(perf, clock, 100, Random(1))
        clock.now = MIDNIGHT + timedelta(hours=12)
        decision = perf.explain("t", MODELS)
        assert decision is not None
        (state,) = perf.budgets()
        assert state.usd_per_success is not None
        assert " of $20 a day until 2026-03-03 00:00 UTC, about " in decision.reason
        assert ": one more success may cost $" in decision.reason
        assert state.as_dict()["left_usd"] == pytest.approx(20.0 - spent(perf))


def test_prices_as_they_are_today(clock: FakeClock) -> None:
    """When everything costs twice as much, the money still lasts."""
    with mp.ModelPerf(config(20.0), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        day(perf, clock, 300, Random(1), factor=2.0)
        clock.now -= timedelta(seconds=1)
        assert spent(perf) <= 20.4


def test_other_processes_and_restarts_are_counted(tmp_path: Path, clock: FakeClock) -> None:
    """What another process records counts at the next choice, and after a restart everything does, to the cent."""
    path = tmp_path / "x.db"
    with (
        mp.ModelPerf(config(20.0), store=path, clock=clock, seed=1) as one,
        mp.ModelPerf(config(20.0), store=path, clock=clock, seed=2) as other,
    ):
        known(one)
        for perf in (one, other, one, other, other):
            perf.select("t", MODELS)
            perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=1.25))
        assert one.select("t", MODELS) is not None
        assert other.select("t", MODELS) is not None
        assert spent(one) == spent(other) == pytest.approx(6.25)
    with mp.ModelPerf(config(20.0), store=path, clock=clock, seed=1) as again:
        assert spent(again) == pytest.approx(6.25)


def test_a_late_report_belongs_to_its_own_period(clock: FakeClock) -> None:
    """A cost of yesterday does not count today; one stamped in the future counts now."""
    with mp.ModelPerf(config(20.0), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        perf.select("t", MODELS)
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=3.0, timestamp=MIDNIGHT - timedelta(hours=2)))
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=2.0))
        assert spent(perf) == pytest.approx(2.0)
    with mp.ModelPerf(config(20.0, per="week"), store=":memory:", clock=clock, seed=1) as perf:
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=3.0, timestamp=MIDNIGHT - timedelta(hours=2)))
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=2.0, timestamp=MIDNIGHT + timedelta(hours=2)))
        assert spent(perf) == pytest.approx(2.0), "the week begins on Monday, which the 2nd of March 2026 is"


def test_retention_does_not_give_money_back(tmp_path: Path, clock: FakeClock) -> None:
    """Events are deleted, their day is not forgotten."""
    path = tmp_path / "x.db"
    with mp.ModelPerf(config(20.0, per="month"), store=path, clock=clock, seed=1) as perf:
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=3.0))
        clock.now += timedelta(days=20)
        perf.store.events.drop(int(clock.now.timestamp() * 1000))
        assert spent(perf) == pytest.approx(3.0)
    with mp.ModelPerf(config(20.0, per="month"), store=path, clock=clock, seed=1) as perf:
        assert spent(perf) == pytest.approx(3.0)


@pytest.mark.parametrize("per", ["hour", "day", "week", "month"])
def test_a_rolling_budget_gives_money_back_after_its_period(tmp_path: Path, clock: FakeClock, per: str) -> None:
    """Just before, it is still spent, also for a process that starts then."""
    length = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(7), "month": timedelta(30)}[per]
    grain = {"hour": timedelta(minutes=1), "day": timedelta(minutes=15)}.get(per, timedelta(days=1))
    path = tmp_path / "x.db"
    clock.now += timedelta(hours=13)
    with mp.ModelPerf(config(20.0, per=per, rolling=True), store=path, clock=clock, seed=1) as perf:
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=3.0))
        for moment, usd in ((length - grain, 3.0), (length + grain, 0.0)):
            clock.now = MIDNIGHT + timedelta(hours=13) + moment
            assert spent(perf) == pytest.approx(usd)
            with mp.ModelPerf(config(20.0, per=per, rolling=True), store=path, clock=clock, seed=1) as other:
                assert spent(other) == pytest.approx(usd)


def test_a_rolling_budget_lasts(clock: FakeClock) -> None:
    """In no period of an hour is more spent than the limit, but most of it."""
    with mp.ModelPerf(config(3.0, per="hour", rolling=True), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        costs: list[tuple[datetime, float]] = []
        numbers = Random(3)
        for _ in range(400):
            decision = perf.select("t", MODELS)
            assert decision is not None
            cost = COSTS[decision.model_id] * numbers.uniform(0.5, 1.5)
            perf.record("t", decision.model_id, mp.Outcome(success=True, cost_usd=cost), decision)
            costs.append((clock.now, cost))
            clock.advance(minutes=1)
        hours = [
            sum(cost for moment, cost in costs if timedelta(0) <= end - moment < timedelta(hours=1))
            for end, _ in costs[120:]
        ]
        assert max(hours) <= 3.1
        assert sum(hours) / len(hours) >= 1.8


def test_what_is_under_way_is_reserved(clock: FakeClock) -> None:
    """Decisions without their outcome count with their expected cost."""
    with mp.ModelPerf(config(1.0), store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        clock.now = MIDNIGHT + timedelta(hours=23, minutes=59)
        chosen = [decision.model_id for _ in range(20) if (decision := perf.select("t", MODELS)) is not None]
        assert sum(COSTS[each] for each in chosen) <= 1.0
        assert chosen[0] == DEAR
        assert chosen[-1] == CHEAP


def test_a_task_type_has_its_own_limit(clock: FakeClock) -> None:
    """It holds besides the common one, whose period it inherits; other task types are not limited by it."""
    settings: Mapping[str, Any] = {
        **PLAIN, "budget": {"usd": 1000.0, "per": "week", "then": "overdraw"},
        "task_types": {"t": {"budget": {"usd": 1.0}}},
    }  # fmt: skip
    with mp.ModelPerf(settings, store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        known(perf, task_type="u")
        perf.record("t", DEAR, mp.Outcome(success=True, cost_usd=1.5))
        choices = [perf.explain(task_type, MODELS) for task_type in ("t", "u")]
        assert [None if choice is None else choice.model_id for choice in choices] == [CHEAP, DEAR]
        assert [state.budget.per for state in perf.budgets()] == ["week", "week"]


def test_of_several_budgets_the_scarcest_money_counts(clock: FakeClock) -> None:
    """Whichever it is, decisions are the same as if it were the only one, and the reason names it."""
    scarce, ample = {"usd": 5.0}, {"usd": 1000.0, "per": "week"}
    settings: list[Mapping[str, Any]] = [
        {**PLAIN, "budget": scarce},
        {**PLAIN, "budget": scarce, "task_types": {"t": {"budget": ample}}},
        {**PLAIN, "budget": ample, "task_types": {"t": {"budget": {**scarce, "per": "day"}}}},
    ]
    chosen = []
    for each in settings:
        clock.now = MIDNIGHT
        with mp.ModelPerf(each, store=":memory:", clock=clock, seed=1) as perf:
            known(perf)
            chosen.append(day(perf, clock, 100, Random(1)))
            clock.now -= timedelta(hours=1)
            decision = perf.explain("t", MODELS)
            assert decision is not None
            assert " left of $5 a day" in decision.reason
    assert chosen[0] == chosen[1] == chosen[2]
    assert chosen[0][DEAR] < 50


def test_a_model_has_its_own_limit(clock: FakeClock) -> None:
    """It is used evenly over the day, and no more when its money is used up, unless there is no other to overdraw."""
    settings = {**PLAIN, "models": {DEAR: {"budget": {"usd": 10.0, "then": "overdraw"}}}}
    with mp.ModelPerf(settings, store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        clock.now += timedelta(microseconds=1)
        chosen = day(perf, clock, 300, Random(1))
        assert 40 <= chosen[DEAR] <= 52
        clock.now -= timedelta(hours=1)
        decision = perf.explain("t", [DEAR])
        assert decision is not None
        assert decision.model_id == DEAR


def test_propensities_are_exact_at_a_price(clock: FakeClock) -> None:
    """With the default exploration each model is drawn as often as its propensity says."""
    with mp.ModelPerf({"budget": {"usd": 20.0}}, store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        day(perf, clock, 200, Random(1))
        clock.now = MIDNIGHT + timedelta(hours=20)
        decision = perf.explain("t", MODELS)
        assert decision is not None
        assert sum(decision.probabilities) == pytest.approx(1.0)
        draws = [other for _ in range(20) if (other := perf.select("t", MODELS)) is not None]
        assert all(0.0 < draw.propensity <= 1.0 for draw in draws)


@pytest.mark.parametrize("objective", ["success", "value", "cheapest_within"])
def test_every_objective_can_have_a_budget(clock: FakeClock, objective: str) -> None:
    """The budget holds, and most of it is used, if the objective would spend more."""
    cost = {"objective": objective, **({"usd_per_success": 100.0} if objective == "value" else {})}
    with mp.ModelPerf({**config(20.0), "cost": cost}, store=":memory:", clock=clock, seed=1) as perf:
        known(perf)
        clock.now += timedelta(microseconds=1)
        day(perf, clock, 300, Random(1))
        clock.now -= timedelta(seconds=1)
        assert 17.0 <= spent(perf) <= 20.2


_WORKER = """
import os, random, sys
from datetime import UTC, datetime, timedelta
import modelperf_plugin as mp
path, first, count, kill = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "kill"
moment = [datetime(2026, 3, 2, tzinfo=UTC)]
perf = mp.ModelPerf(
    {**eval(sys.argv[5]), "budget": {"usd": 20.0}}, store=path, clock=lambda: moment[0], seed=first
)
numbers = random.Random(first)
for n in range(first, first + count):
    moment[0] = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=1) * (n + 0.5) / 300
    decision = perf.select("t", ["cheap", "dear"])
    cost = {"cheap": 0.01, "dear": 0.2}[decision.model_id] * numbers.uniform(0.5, 1.5)
    perf.record("t", decision.model_id, mp.Outcome(success=True, cost_usd=cost), decision)
if kill:
    os.kill(os.getpid(), 9)
perf.close()
"""


def test_processes_that_are_killed_do_not_forget_what_was_spent(tmp_path: Path, clock: FakeClock) -> None:
    """Six processes one after the other, each but the last killed: the day's money lasts."""
    path = tmp_path / "x.db"
    with mp.ModelPerf(config(20.0), store=path, clock=clock, seed=1) as perf:
        known(perf)
    for number in range(6):
        end = "kill" if number < 5 else "close"
        command = [sys.executable, "-c", _WORKER, str(path), str(50 * number), "50", end, str(PLAIN)]
        assert subprocess.run(command, check=False).returncode == (-9 if end == "kill" else 0)
    clock.now += timedelta(hours=23, minutes=59)
    with mp.ModelPerf(config(20.0), store=path, clock=clock, seed=1) as perf:
        assert 17.0 <= spent(perf) <= 20.2
