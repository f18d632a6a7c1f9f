"""What an operator should change: each finding has a condition, and a healthy store has none."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.analysis.views.ab_tests import trials
from modelperf_plugin.analysis.views.advice.gather import advise, facts_of, findings, mean_costs
from modelperf_plugin.analysis.views.advice.values import Advice, Estimate, Facts, TaskFacts, difference
from modelperf_plugin.config import load
from modelperf_plugin.policy.intervals import wilson_interval
from modelperf_plugin.store import TrendStep, open_store
from modelperf_plugin.values import NANO_USD, RankedModel, Tally
from tests.clocks import FakeClock
from tests.postgres import Server

CENT = NANO_USD // 100


def tally(model_id: str, successes: int, failures: int, *, task_type: str = "plan", priced: int | None = None) -> Tally:
    """Return the counts of a pair; all outcomes have a cost of a cent unless ``priced`` says how many."""
    number = successes + failures if priced is None else priced
    return Tally(task_type, model_id, successes, failures, priced=number, total_cost_nano_usd=CENT * number)


def task(
    *tallies: Tally, config: Any = None, costs: Mapping[str, float] | None = None,
    offered: frozenset[str] | None = None, **decisions: int,
) -> TaskFacts:  # fmt: skip
    """Return what is known about the task type of some tallies, whose intervals are Wilson's."""
    rows = [
        RankedModel(each.model_id, each.success_rate, wilson_interval(each.successes, each.samples), each, "ranked", "")
        for each in tallies
    ]
    name = tallies[0].task_type
    return TaskFacts(
        task_type=name,
        policy=load(config or {}).config.policy_for(name),
        models=tuple(sorted(rows, key=lambda row: -(row.score or 0.0))),
        recent={each.model_id: each.samples for each in tallies},
        costs={name: Estimate(cost, (0.9 * cost, 1.1 * cost)) for name, cost in (costs or {}).items()},
        offered=frozenset(each.model_id for each in tallies) if offered is None else offered,
        **decisions,
    )


def of(*tasks: TaskFacts, config: Any = None, tallies: tuple[Tally, ...] | None = None) -> Facts:
    """Return the facts of a store with these task types."""
    known = tuple(row.tally for each in tasks for row in each.models)
    return Facts(config=load(config or {}).config, tallies=known if tallies is None else tallies, tasks=tasks, days=30)


def kinds(facts: Facts) -> list[str]:
    """Return the kinds of the findings; each must have what a reader needs, and lines that can be loaded."""
    found = list(findings(facts))
    for each in found:
        check(each)
    return [each.kind for each in found]


def check(advice: Advice) -> None:
    """Check that a finding is complete, and that its lines are a valid configuration."""
    assert all((advice.finding, advice.evidence, advice.change, advice.effect.text))
    is_unknown = advice.effect.success is None and advice.effect.usd_per_1000 is None
    assert is_unknown == advice.effect.text.startswith("cannot tell: ")
    if advice.toml is not None:
        table = tomllib.loads(advice.toml)
        if advice.kind != "test":  # a key of a section that exists
            load(table)
    for estimate in (advice.effect.success, advice.effect.usd_per_1000):
        assert estimate is None or estimate.interval is None or estimate.interval[0] <= estimate.value
        assert estimate is None or estimate.interval is None or estimate.value <= estimate.interval[1]


def only(facts: Facts) -> Advice:
    """Return the only finding."""
    (found,) = findings(facts)
    check(found)
    return found


GOOD = (tally("a", 180, 20), tally("b", 150, 50))
"""Two models that are told apart, with costs; the best one costs as much as the other."""


def test_a_healthy_task_type_has_no_findings() -> None:
    """Two models with outcomes, costs and outcomes for their decisions give nothing to change."""
    healthy = task(*GOOD, costs={"a": 0.01, "b": 0.01}, decisions=400, with_outcome=395, overdue=5)
    assert kinds(of(healthy)) == []
    assert kinds(of()) == []


@pytest.mark.parametrize("strategy", ["adaptive", "never", "epsilon_greedy"])
def test_a_healthy_store_has_no_findings(tmp_path: Path, strategy: str) -> None:
    """A host that asks, reports and pays gets none, whatever the policy explores."""
    for seed in range(3):
        clock, numbers = FakeClock(), random.Random(seed)
        config = {"exploration": {"strategy": strategy, **({"epsilon": 0.01} if "eps" in strategy else {})}}
        with mp.ModelPerf(config, store=tmp_path / f"{seed}.db", clock=clock, seed=seed) as perf:
            for _ in range(400):
                clock.advance(minutes=30)
                decision = perf.select("plan", ["good", "fair", "poor"])
                assert decision is not None
                rate = {"good": 0.9, "fair": 0.6, "poor": 0.4}[decision[0]]
                cost = numbers.uniform(0.009, 0.011)
                success = numbers.random() < rate
                perf.record("plan", decision[0], mp.Outcome(success=success, cost_usd=cost), decision)
            assert advise(perf, now=clock.now) == ()


def test_verdicts_that_are_all_the_same() -> None:
    """A hundred successes and no failure tell nothing; the host has to judge."""
    found = only(of(task(tally("a", 80, 0), tally("b", 40, 0))))
    assert (found.kind, found.task_types, found.toml) == ("verdicts", ("plan",), None)
    assert "every verdict of plan is success" in found.finding
    assert kinds(of(task(tally("a", 80, 0), tally("b", 40, 1)))) == []


@pytest.mark.parametrize(("overdue", "expected"), [(5, []), (20, []), (40, ["reports"])])
def test_decisions_that_are_never_reported(overdue: int, expected: list[str]) -> None:
    """It is a finding once surely more than a tenth of them has no outcome."""
    facts = of(task(*GOOD, costs={"a": 0.01, "b": 0.01}, decisions=200, overdue=overdue, with_outcome=160))
    assert kinds(facts) == expected
    few = of(task(*GOOD, decisions=40, overdue=20, with_outcome=20))
    assert kinds(few) == []


def test_missing_costs() -> None:
    """A model without costs where others have them is named, unless its cost is configured; nobody's costs are not."""
    priced, silent = tally("a", 90, 10), tally("b", 60, 40, priced=0)
    found = only(of(task(priced, silent)))
    assert (found.kind, found.models, found.toml) == ("costs", ("b",), '[models."b"]\ncost_usd = 0.0')
    assert kinds(of(task(priced, silent), config={"models": {"b": {"cost_usd": 0.0}}})) == []
    assert kinds(of(task(tally("a", 90, 10, priced=0), silent))) == []
    partly = only(of(task(priced, tally("b", 60, 40, priced=50))))
    assert partly.toml is None  # a configured cost counts only if none is reported
    outages = replace_outages(silent)
    assert kinds(of(task(priced, outages))) == []


def replace_outages(one: Tally) -> Tally:
    """Return a tally whose outcomes are outages, which cost nothing."""
    return one._replace(successes=0, failures=100, outages=100)


def test_task_types_that_are_ids() -> None:
    """Many names that differ only in a number, with an outcome each, are ids."""
    rare = tuple(tally("a", 1, 0, task_type=f"ticket-{number}") for number in range(30))
    found = only(of(tallies=rare))
    assert found.kind == "task_types"
    assert "unit_id" in found.change


def test_task_types_that_are_one() -> None:
    """Several spellings of a name are one task type; the command that merges them keeps the one with most outcomes."""
    found = only(of(tallies=(*GOOD, tally("a", 5, 5, task_type="Plan "), tally("a", 9, 9, task_type="other"))))
    assert found.task_types == ("plan", "Plan ")
    assert found.command == "modelperf rename task-type 'Plan ' plan"
    assert kinds(of(tallies=(*GOOD, tally("a", 9, 9, task_type="plans")))) == []


@pytest.mark.parametrize(("name", "expected"), [("default", ["task_types"]), ("code-review", [])])
def test_a_single_task_type_that_says_nothing(name: str, expected: list[str]) -> None:
    """One task type for all work is named only if its name is not that of a kind of work."""
    one = (tally("a", 400, 100, task_type=name), tally("b", 50, 50, task_type=name))
    assert kinds(of(tallies=one)) == expected
    assert kinds(of(tallies=(*one, tally("a", 9, 9, task_type="code")))) == []


def test_names_of_one_model() -> None:
    """Names that look like aliases are counted together by the line given, which keeps those configured before."""
    both = (tally("gpt-4o", 90, 10), tally("openai/gpt-4o", 5, 5))
    config = {"models": {"gpt-4o": {"aliases": ["azure/gpt-4o"]}}}
    found = only(of(tallies=both, config=config))
    assert found.toml == '[models."gpt-4o"]\naliases = ["azure/gpt-4o", "openai/gpt-4o"]'
    aliased = {"models": {"gpt-4o": {"aliases": ["openai/gpt-4o"]}}}
    assert kinds(of(tallies=both[:1], config=aliased)) == []


def test_a_model_that_nobody_needs() -> None:
    """It is surely worse than one that costs no more, on all its task types, and still used."""
    useless, costs = tally("c", 60, 140), {"a": 0.01, "b": 0.005, "c": 0.02}
    (found,) = [each for each in findings(of(task(*GOOD, useless, costs=costs))) if each.kind == "model"]
    check(found)
    assert found.models == ("c",)
    gain = found.effect.success
    assert gain is not None
    assert gain.interval is not None
    assert gain.value == pytest.approx((0.9 - 0.3) / 3)
    assert 0.1 < gain.interval[0] < gain.value < gain.interval[1] < 0.3
    cheap = {**costs, "c": 0.001}
    assert kinds(of(task(*GOOD, useless, costs=cheap))) == []
    assert kinds(of(task(*GOOD, useless, costs=costs, offered=frozenset("ab")))) == []
    assert kinds(of(task(*GOOD, useless, costs=costs), task(tally("c", 60, 40, task_type="other")))) == []
    assert kinds(of(task(*GOOD, tally("c", 12, 28), costs=costs))) == []


def test_two_models_stay() -> None:
    """Of two models that nobody needs the worse one is named, if the other one is all that is left for outages."""
    facts = of(task(*GOOD, tally("c", 60, 140), costs={"a": 0.01, "b": 0.01, "c": 0.02}))
    assert only(facts).models == ("c",)
    assert kinds(of(task(*GOOD, costs={"a": 0.01, "b": 0.02}))) == []


ALIKE = (tally("costly", 360, 40), tally("cheap", 90, 10))
PRICES = {"costly": 0.1, "cheap": 0.02}


def test_a_cheaper_neighbour_that_may_be_as_good_is_to_be_tested() -> None:
    """Where the outcomes are too few, the line is that of an A/B test with the outcomes that it needs."""
    found = only(of(task(*ALIKE, costs=PRICES)))
    assert (found.kind, found.models) == ("cheaper", ("costly", "cheap"))
    assert found.toml is not None
    test = load(tomllib.loads(found.toml)).config.policy_for("plan").exploration
    assert (test.incumbent, test.challenger, test.max_samples) == ("costly", "cheap", 1200)  # type: ignore[attr-defined]
    saved = found.effect.usd_per_1000
    assert saved is not None
    assert saved.value == pytest.approx(-0.08 * 1000 * 0.8)
    assert saved.interval is not None
    assert saved.interval[1] < 0


def test_a_cheaper_neighbour_that_is_as_good_needs_no_test() -> None:
    """Where its interval is narrow, the line makes the cheapest within the margin win."""
    found = only(of(task(tally("costly", 3600, 400), tally("cheap", 2700, 300), costs=PRICES)))
    assert found.toml == '[task_types."plan".cost]\nobjective = "cheapest_within"\nmargin = 0.03'


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (task(*ALIKE, costs={"costly": 0.02, "cheap": 0.018}), "the price hardly differs"),
        (task(*ALIKE, costs={"costly": 0.1}), "its cost is not known"),
        (task(*ALIKE, costs=PRICES, config={"cost": {"objective": "cheapest_within"}}), "costs matter already"),
        (task(*ALIKE, costs=PRICES, config={"exploration": {"strategy": "ab_test"}}), "a test is configured"),
        (task(*ALIKE, costs=PRICES, offered=frozenset({"costly"})), "it is not offered"),
        (task(ALIKE[0], tally("cheap", 80, 20), costs=PRICES), "it is worse"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cheaper_neighbour_that_is_not_named(facts: TaskFacts, why: str) -> None:
    """Nothing is said where nothing can be saved, or the outcomes say otherwise."""
    assert kinds(of(facts)) == [], why


def test_random_draws_that_no_longer_pay() -> None:
    """They stop where the best model is surely better than all others, by a price that has an interval."""
    config = {"exploration": {"strategy": "epsilon_greedy", "epsilon": 0.2}}
    found = only(of(task(tally("a", 190, 10), tally("b", 100, 100), config=config), config=config))
    assert found.kind == "exploration"
    assert found.toml is not None
    assert load(tomllib.loads(found.toml)).config.exploration.strategy == "adaptive"
    assert found.effect.success is not None
    assert found.effect.success.value == pytest.approx(0.2 / 2 * 0.45)
    assert kinds(of(task(tally("a", 190, 10), tally("b", 185, 15), config=config), config=config)) == []
    lasting = {"task_types": {"plan": {"exploration": {"evaluation_share": 0.1}}}}
    share = only(of(task(tally("a", 190, 10), tally("b", 100, 100), config=lasting), config=lasting))
    assert share.toml == '[task_types."plan".exploration]\nevaluation_share = 0.0'


def test_an_open_question_where_nothing_explores() -> None:
    """A candidate that might be as good and is not tried: enough random draws are suggested, or a test."""
    config = {"exploration": {"strategy": "never"}}
    known = (tally("a", 1800, 200), tally("b", 8, 2))
    found = only(of(task(*known, config=config), config=config))
    assert found.kind == "question"
    assert found.toml == '[task_types."plan".exploration]\nstrategy = "adaptive"\nevaluation_share = 0.04'
    few = only(of(task(tally("a", 360, 40), tally("b", 8, 2), config=config), config=config))
    assert few.toml is not None
    assert 'challenger = "b"' in few.toml
    assert kinds(of(task(*known))) == []  # adaptive exploration will find out
    assert kinds(of(task(known[0], tally("b", 2, 20), config=config), config=config)) == []  # it is known to be worse


def test_an_open_question_about_a_cheap_model() -> None:
    """Adaptive exploration does not ask whether a cheap model is as good; that is a question if much is spent."""
    known = task(tally("a", 1800, 200), tally("b", 9, 1), costs={"a": 0.5, "b": 0.01})
    assert only(of(known)).kind == "question"
    small = replace(known, task_type="small", costs={"a": Estimate(0.01, None), "b": Estimate(0.001, None)})
    assert [each.task_types for each in findings(of(known, small))] == [("plan",)]


def test_a_threshold_that_never_acts() -> None:
    """It is named where the margin demotes at a higher rate on every task type; a default or a strict one is not."""
    both = (tally("a", 950, 50), tally("b", 940, 60))
    low, high = ({"demotion": {"threshold": each}} for each in (0.5, 0.85))
    found = only(of(task(*both, config=low), config=low))
    assert (found.kind, found.toml) == ("threshold", "[demotion]\n# threshold = 0.5")
    assert kinds(of(task(*both, config=high), config=high)) == []
    assert kinds(of(task(*both))) == []
    poor = task(tally("a", 600, 400, task_type="other"), tally("b", 550, 450, task_type="other"), config=low)
    assert kinds(of(task(*both, config=low), poor, config=low)) == []


def test_a_test_that_is_won_but_still_splits(tmp_path: Path) -> None:
    """The loser's share is what ending it brings, with the interval of the difference in the test."""
    config = {
        "exploration": {
            "strategy": "ab_test",
            "incumbent": "bad",
            "challenger": "good",
            "share": 0.5,
            "min_samples": 10,
        }
    }
    with mp.ModelPerf(config, store=tmp_path / "x.db", seed=1) as perf:
        for number in range(300):
            decision = perf.select("plan", ["bad", "good"])
            assert decision is not None
            success = number % 5 > 0 if decision[0] == "good" else number % 5 == 0
            perf.record("plan", decision[0], mp.Outcome(success=success, cost_usd=0.01), decision)
        (found,) = [each for each in advise(perf) if each.kind == "test"]
        check(found)
        assert found.toml == "[exploration]\npromote = true"
        assert found.effect.success is not None
        assert 0.2 < found.effect.success.value < 0.4
        (trial,) = trials(perf)
        assert trial.winner == "good"
        promoted = {"exploration": {**config["exploration"], "promote": True}}
        facts = facts_of(perf)
        assert "test" in kinds(facts)
        ended = [replace(trial, test=replace(trial.test, promote=True))]
        assert "test" not in kinds(replace(facts, config=load(promoted).config, trials=tuple(ended)))


def test_a_mean_cost_has_an_interval_once_there_are_several_days() -> None:
    """The interval comes from how much days differ; with a few days, or few costs, there is none."""
    steps = [TrendStep(day, tally("a", 10, 0)._replace(total_cost_nano_usd=CENT * (9 + day % 3))) for day in range(9)]
    ((model_id, mean),) = mean_costs(steps)
    assert model_id == "a"
    assert mean.value == pytest.approx(0.01)
    assert mean.interval is not None
    assert 0.009 < mean.interval[0] < 0.01 < mean.interval[1] < 0.011
    ((_, few),) = mean_costs(steps[:3])
    assert few.interval is None
    assert list(mean_costs(steps[:1])) == []


def test_a_difference_holds_as_often_as_it_says() -> None:
    """The interval of a difference from two intervals has the true one in it in about 95 of 100 draws."""
    numbers, held = random.Random(0), 0
    for _ in range(1000):
        one, other = (sum(numbers.random() < rate for _ in range(150)) for rate in (0.85, 0.8))
        found = difference(*(Estimate(won / 150, wilson_interval(won, 150)) for won in (one, other)))
        assert found.interval is not None
        held += found.interval[0] <= 0.05 <= found.interval[1]
    assert held >= 930


def test_both_stores_give_the_same_findings(tmp_path: Path, postgres: Server) -> None:
    """What is read from a file and from a server is the same."""
    clock, found = FakeClock(), []
    for store in (tmp_path / "x.db", postgres.new_schema()):
        with mp.ModelPerf({}, store=store, clock=clock, seed=0) as perf:
            rows = [("plan", "a", mp.Outcome(success=True, cost_usd=0.01, timestamp=clock.now))] * 90
            rows += [("plan", "b", mp.Outcome(success=True, timestamp=clock.now - timedelta(days=1)))] * 40
            perf.record_many(rows)
        with closing(open_store(store)):
            pass
        with mp.ModelPerf({}, store=store, clock=clock) as perf:
            found.append([each.as_dict() for each in advise(perf, now=clock.now)])
    assert [each["kind"] for each in found[0]] == ["verdicts", "costs"]
    assert found[0] == found[1]
