"""Savings: whole tasks against the same tasks begun with another model."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.estimators import Logged
from modelperf_plugin.analysis.off_policy.same_dollars import dollars_of
from modelperf_plugin.analysis.off_policy.same_tasks import always
from modelperf_plugin.analysis.off_policy.savings import objection_to, savings
from modelperf_plugin.analysis.off_policy.task_log import UNFINISHED, UNREPORTED, TaskLog, read_tasks
from modelperf_plugin.analysis.views.savings import savings_of
from modelperf_plugin.values import to_milliseconds

START = datetime(2026, 1, 1, tzinfo=UTC)
UNIFORM = {"exploration": {"strategy": "epsilon_greedy", "epsilon": 1.0}, "demotion": {"strategy": "never"}}
USD = {"cheap": 0.01, "dear": 0.10}
RATE = {"cheap": 0.5, "dear": 0.9}


class Host:
    """A host whose clock is moved by hand: a failed task is tried again with the other model, if it retries."""

    def __init__(self, config: dict[str, Any], seed: int = 0) -> None:
        self.now, self.rng = START, Random(seed)
        self.engine = mp.ModelPerf(config, store=":memory:", clock=lambda: self.now, seed=seed)

    def choose(self, **context: Any) -> mp.Decision:
        self.now += timedelta(minutes=1)
        decision = self.engine.select("plan", list(USD), context)
        assert decision is not None
        return decision

    def report(self, decision: mp.Decision, model_id: str | None = None, **outcome: Any) -> None:
        self.now += timedelta(seconds=1)
        name = model_id or decision.model_id
        outcome = {"success": True, "cost_usd": USD[name], **outcome}
        self.engine.record("plan", name, mp.Outcome(**outcome), decision)

    def live(self, count: int, *, retries: bool = False) -> tuple[dict[str, float], dict[str, float], float]:
        """Decide tasks; return the dollars of all, and the number solved, by first model, and what was spent."""
        usd, solved, spent = dict.fromkeys(USD, 0.0), dict.fromkeys(USD, 0.0), 0.0
        for _ in range(count):
            works = {name: self.rng.random() < rate for name, rate in RATE.items()}
            decision = self.choose()
            for first, second in (("cheap", "dear"), ("dear", "cheap")):
                tries = [first, second] if retries and not works[first] else [first]
                task_usd = sum(USD[each] for each in tries)
                usd[first] += task_usd
                solved[first] += any(works[each] for each in tries)
                if decision.model_id == first:
                    spent += task_usd
                    for each in tries:
                        self.report(decision, each, success=works[each])
        return usd, solved, spent

    def tasks(self, **options: Any) -> TaskLog:
        self.engine._decision_writer.flush()
        return read_tasks(self.engine.store, to_milliseconds(self.now), **options)


@pytest.fixture
def host() -> Any:
    """Return a host that draws its models at random."""
    host = Host(UNIFORM)
    yield host
    host.engine.close()


def test_a_task_is_all_its_tries(host: Host) -> None:
    """Dollars add up and any success counts, whether tries share a decision or one retries the other."""
    first = host.choose(exclude=["dear"])
    host.report(first, success=False)
    host.report(first, "dear")
    second = host.choose(exclude=["dear"])
    host.report(second, success=False)
    host.report(host.choose(retry_of=second.decision_id, pin="dear"))
    third = host.choose()
    host.report(third, success=False)
    tasks = host.tasks()
    assert tasks.tries.tolist() == [2, 2, 1]
    assert tasks.log.success.tolist() == [1.0, 1.0, 0.0]
    assert tasks.log.cost_usd == pytest.approx([0.11, 0.11, USD[third.model_id]])
    assert tasks.later_usd == pytest.approx([0.10, 0.10, 0.0])


def test_only_the_newest_decisions_are_read_on_request(host: Host) -> None:
    """Of a longer log the newest decisions are read, and the savings say so; a shorter log is read as a whole."""
    host.live(80)
    for newest, expected in ((None, None), (80, None), (60, 60)):
        tasks = host.tasks(newest=newest)
        assert len(tasks) == (expected or 80)
        assert savings(tasks).as_dict()["newest_only"] == expected
    assert host.tasks(newest=60).log.made_ms[-1] == host.tasks().log.made_ms[-1]


def test_savings_can_be_worked_out_in_another_thread(host: Host) -> None:
    """What another thread finds while the host decides is what is found here, for the same decisions."""
    host.live(200)
    expected = host.tasks()
    with ThreadPoolExecutor(1) as executor:
        found = executor.submit(savings_of, host.engine, until_ms=to_milliseconds(host.now) + 1)
        host.live(50)
        view = found.result()
    assert view.savings is not None
    assert view.savings.as_dict()["against"] == savings(expected).as_dict()["against"]


def test_what_has_not_been_reported_is_counted(host: Host) -> None:
    """An old decision without an outcome is unreported, a young one not finished; so are tasks that are retried."""
    host.choose()
    waiting = host.choose()
    host.report(waiting, success=False)
    host.choose(retry_of=waiting.decision_id)
    host.now += timedelta(hours=2)
    young = host.choose()
    host.report(young, success=False)
    host.choose(retry_of=young.decision_id)
    host.choose()
    tasks = host.tasks()
    assert len(tasks) == 0
    assert tasks.log.left_out == {UNREPORTED: 2, UNFINISHED: 2}
    assert tasks.unreported == 2


def test_costs_are_known_reported_or_configured(host: Host) -> None:
    """An outage without a cost is free, any other try is unknown, unless the model has a configured price."""
    outage = host.choose(exclude=["dear"])
    host.report(outage, success=False, error_kind="server_error", cost_usd=None)
    host.report(outage, "dear")
    host.report(host.choose(exclude=["dear"]), cost_usd=None)
    assert np.isnan(host.tasks().log.cost_usd).tolist() == [False, True]
    assert host.tasks(prices={"cheap": 0.0}).log.cost_usd == pytest.approx([0.10, 0.0])


def test_the_figures_of_what_happened_are_exact(host: Host) -> None:
    """Spent and solved are sums over the tasks; saved and gained are differences to the other side."""
    usd, solved, spent = host.live(400, retries=True)
    found = savings(host.tasks(), against="dear")
    assert found.cost_usd == pytest.approx(spent)
    (row,) = found.against
    assert row.saved_usd is not None
    assert row.cost_usd is not None
    assert row.success is not None
    assert row.gained is not None
    assert row.saved_usd.low == pytest.approx(row.cost_usd.low - spent)
    assert row.gained.high == pytest.approx(found.solved - row.success.low)
    assert row.cost_usd.low <= usd["dear"] <= row.cost_usd.high
    assert row.success.low <= solved["dear"] / 400 <= row.success.high
    assert row.saved_usd.low > 0.0
    assert found.retried > 0
    assert found.retries_usd > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("floor", [0.05, 0.3])
def test_intervals_hold_on_the_same_tasks(floor: float) -> None:
    """Where a policy learns, a model breaks and costs are skewed, at least 95 % of the intervals hold the truth."""
    held = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        count, rates = 400, np.where(np.arange(400)[:, None] < 200, [0.8, 0.6], [0.2, 0.6])
        usd = np.minimum(rng.lognormal(-2.5, 0.8, (count, 2)), 1.0)
        success = (rng.random((count, 2)) < rates).astype(float)
        chosen, propensities, sums = np.empty(count, int), np.empty((count, 2)), np.ones((2, 2))
        forecasts = np.empty((2, count, 2))
        for row in range(count):
            means = sums[:, 0] / sums[:, 1]
            forecasts[0, row], forecasts[1, row] = means, 0.12
            propensities[row] = floor / 2
            propensities[row, np.argmax(means)] += 1.0 - floor
            chosen[row] = rng.choice(2, p=propensities[row])
            sums[chosen[row]] += success[row, chosen[row]], 1.0
        for rewards, own in ((success, forecasts[0]), (usd, forecasts[1])):
            log = Logged(
                rewards=rewards[np.arange(count), chosen], chosen=chosen, propensities=propensities, forecasts=own
            )
            for model in (0, 1):
                found = always(log, np.full(count, model))
                held.append(found.low <= rewards[:, model].mean() <= found.high)
    assert np.mean(held) >= 0.95


def test_dollars_hold_without_an_upper_limit() -> None:
    """Where costs are skewed and failures are tried again with a dear model, 95 % of the intervals hold the dollars."""
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        count, rows = 600, np.arange(600)
        first = rng.lognormal([-4.0, -2.5], 1.0, (count, 2))
        fails = rng.random((count, 2)) < [0.5, 0.1]
        later = np.where(fails, rng.lognormal(-2.0, 0.5, (count, 1)), 0.0)
        chance = np.where(rows % 3 == 0, 0.5, 0.1)
        propensities = np.column_stack([chance, 1.0 - chance])
        chosen = (rng.random(count) > chance).astype(int)
        log = DecisionLog(
            source="", task_types=("a", "b", "c"), models=("cheap", "dear"), made_ms=rows, ended_ms=rows + 1,
            task=rows % 3, chosen=chosen, success=np.ones(count), score=np.full(count, np.nan),
            cost_usd=(first + later)[rows, chosen], offered=np.ones((count, 2), bool), propensities=propensities,
            status=np.zeros((count, 2), int), position=np.zeros((count, 2), int), left_out={},
        )  # fmt: skip
        tasks = TaskLog(log=log, tries=1 + fails[rows, chosen], later_usd=later[rows, chosen])
        for model in (0, 1):
            found = dollars_of(tasks, np.ones(count, bool), np.full(count, model))
            assert found.low <= found.value <= found.high
            held.append(found.low <= float((first + later)[:, model].sum()) <= found.high)
    assert np.mean(held) >= 0.95


def test_nothing_is_uncertain_about_what_was_certain() -> None:
    """Against the model that was always chosen nothing was saved, exactly; nor where it was not offered."""
    log = Logged(
        rewards=np.array([1.0, 0.0, 1.0]),
        chosen=np.array([0, 0, 1]),
        propensities=np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
        forecasts=np.full((3, 2), 0.5),
    )
    assert always(log, np.array([0, 0, -1])) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    low, high = always(log, np.array([0, 0, 0]))[1:]
    assert (low, high) == pytest.approx((1 / 3, 2 / 3))


def test_a_log_that_cannot_tell_says_why(host: Host) -> None:
    """Too few tasks, missing outcomes, unknown costs, and a model that hardly any task began with are refused."""
    host.live(40)
    assert objection_to(host.tasks()) == "40 tasks with a known outcome; 50 are needed"
    host.live(20)
    assert objection_to(host.tasks()) is None
    assert savings(host.tasks(), against="nobody").against[0].refusal == "nobody was not offered in this period"
    for _ in range(4):
        host.report(host.choose(), cost_usd=None)
    row = savings(host.tasks(), against="dear").against[0]
    assert row.success is not None
    assert (row.saved_usd, row.cost_refusal) == (None, "4 of 64 tasks have an unknown cost")
    for _ in range(4):
        host.choose()
    host.now += timedelta(hours=2)
    assert (objection_to(host.tasks()) or "").startswith("the outcome of 4 of 68 tasks was not reported")


@pytest.mark.parametrize("seed", range(3))
def test_a_refusal_says_what_would_tell(seed: int) -> None:
    """As many tasks with the evaluation share that a refusal names do tell dollars and success."""
    host = Host({"exploration": {"strategy": "never"}}, seed)
    host.live(200, retries=True)
    refused = [row for row in savings(host.tasks()).against if row.cost_refusal and row.name in USD]
    host.engine.close()
    assert len(refused) == 1
    named = re.search(r"(\S+)(?: decisions)? with evaluation_share = (\S+) would tell", refused[0].cost_refusal or "")
    assert named is not None, refused[0]
    host = Host({"exploration": {"evaluation_share": float(named[2])}}, seed + 10)
    host.live(int(named[1].replace(",", "")), retries=True)
    (row,) = savings(host.tasks(), against=refused[0].name).against
    host.engine.close()
    assert row.gained is not None, (refused[0], row.refusal)
    assert row.saved_usd is not None, (refused[0], row.cost_refusal)


def test_a_policy_that_never_explores_leaves_the_other_side_open() -> None:
    """Without a chance for a model there is no answer about it, though its interval is that of the unseen tasks."""
    host = Host({"exploration": {"strategy": "never"}, "demotion": {"strategy": "never"}})
    host.live(200)
    found = savings(host.tasks())
    chosen = {row.name: row for row in found.against if row.name in USD}
    rare = min(chosen.values(), key=lambda row: row.share)
    assert rare.success is None
    assert rare.saved_usd is None
    host.engine.close()


def test_the_best_before_is_named_by_what_was_known_then(host: Host) -> None:
    """Only tasks that ended before the period count; the current model is that of the newest tasks."""
    for _ in range(60):
        decision = host.choose()
        host.report(decision, success=decision.model_id == "cheap")
    since = to_milliseconds(host.now) + 1
    for _ in range(120):
        decision = host.choose()
        host.report(decision, success=decision.model_id == "dear")
    for _ in range(101):
        host.report(host.choose(exclude=["cheap"]))
    found = {row.name: row.model_id for row in savings(host.tasks(), since).against}
    assert (found["best-before"], found["current"]) == ("cheap", "dear")
    (row,) = savings(host.tasks(), None, "best-before").against
    assert row.refusal == "no model had 20 tasks before the period: --since says when it begins"
