"""Replay with several tries a task: what is recorded, whole tasks, and the best fixed orders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.analysis.simulation import orders as orders_module
from modelperf_plugin.analysis.simulation.orders import KnownOutcomes
from modelperf_plugin.analysis.simulation.outcomes_file import Instance, OutcomeData
from modelperf_plugin.analysis.simulation.play import play
from modelperf_plugin.analysis.simulation.replay import replay
from modelperf_plugin.config import load
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.cost.base import CostObjective
from modelperf_plugin.policy.cost.cheapest_within import CheapestWithin
from modelperf_plugin.policy.cost.success import Success
from modelperf_plugin.policy.cost.value import Value
from modelperf_plugin.values import Outcome

PRICES = {"small": 0.01, "middle": 0.1, "large": 1.0}
POLICY: dict[str, Any] = {"retries": {"attempts": 2}}


def instances_of(rows: Sequence[Sequence[bool]], *, priced: bool = True) -> list[Instance]:
    """Return an instance for each row: the success of the small, the middle and the large model."""
    return [
        Instance(
            str(number),
            "t",
            {
                model_id: Outcome(success=success, cost_usd=PRICES[model_id] if priced else 0.0)
                for model_id, success in zip(PRICES, row, strict=True)
            },
        )
        for number, row in enumerate(rows)
    ]


def by_difficulty(count: int) -> list[Instance]:
    """Return instances that are easy or hard for every model."""
    rng = Random(3)
    rows = []
    for _ in range(count):
        rates = (0.8, 0.9, 0.95) if rng.random() < 0.6 else (0.05, 0.15, 0.4)
        rows.append([rng.random() < rate for rate in rates])
    return instances_of(rows)


def data_of(instances: Sequence[Instance]) -> OutcomeData:
    return OutcomeData(source="made up", instances=tuple(instances))


def test_a_task_is_tried_until_it_is_solved() -> None:
    """The models of the decision are tried in its order, until one succeeds or all tries are used up."""
    instances = by_difficulty(60)
    steps = play(load({}).config, instances, lambda task, model_id: task.outcomes[model_id], seed=1, attempts=2)
    for step in steps:
        assert step.tries[0] == (step.model_id, step.outcome)
        assert len({each.model_id for each in step.tries}) == len(step.tries) <= 2
        assert not any(each.outcome.success for each in step.tries[:-1])
        assert step.solved or len(step.tries) == 2
    assert {len(step.tries) for step in steps} == {1, 2}


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("kind", ["server_error", "unavailable", "cancelled", None])
def test_outages_use_up_no_try(kind: Any, attempts: int) -> None:
    """As with a host: after an outage or an error of the caller the next model is tried as if that had not been one."""

    def outcome_of(task: Instance, model_id: str) -> Outcome:
        return Outcome(success=False, error_kind=kind if model_id == "small" else None)

    steps = play(load({}).config, by_difficulty(40), outcome_of, seed=1, attempts=attempts)
    lost = "small" if kind is not None else None
    for step in steps:
        tried = [each.model_id for each in step.tries]
        assert len([model_id for model_id in tried if model_id != lost]) == attempts
        assert tried[-1] != lost
        assert len(step.order) == attempts
        assert lost not in step.order or lost not in tried
    assert any(step.model_id == "small" for step in steps)


def test_a_timeout_uses_up_a_try_as_configured() -> None:
    """``quality.timeouts`` says whether it is a failure of the model or an outage."""
    expired = Outcome(success=False, timeout=True)
    for timeouts, tries in (("failure", 1), ("outage", 3), ("ignore", 3)):
        config = load({"quality": {"timeouts": timeouts}}).config
        (step,) = play(config, by_difficulty(1), lambda *_: expired, seed=1)
        assert len(step.tries) == tries


def test_every_try_is_reported_with_its_decision() -> None:
    """All the outcomes count as evidence, as those of a host do."""
    report = replay(data_of(by_difficulty(80)), POLICY, repeats=1)
    assert report.tries is not None
    assert report.decisions == 80
    assert 1.0 < report.tries.policy.tries <= 2.0
    assert report.tries.policy.solved_rate > report.tries.policy.first_try_success_rate
    assert report.tries.policy.first_try_success_rate == report.policy.success_rate


def test_the_policy_learns_from_later_tries() -> None:
    """A model that solves what the other one fails is found without exploration: only as a fallback has it outcomes."""
    rule = {"ranking": {"strategy": "success_rate"}, "exploration": {"strategy": "never"}}
    config = load({**rule, "demotion": {"strategy": "never"}}).config
    tasks = instances_of([(False, True, False)] * 20)
    for seed in range(6):
        steps = play(config, tasks, lambda task, model_id: task.outcomes[model_id], seed=seed, attempts=3)
        assert {step.model_id for step in steps[10:]} == {"middle"}


def test_the_policy_plans_for_the_tries_of_the_replay() -> None:
    """Their number is that of the replay, not of the configuration: a list ends where another try is not worth it."""
    config = load({"cost": {"objective": "value", "usd_per_success": 0.05}}).config
    tasks = instances_of([(number % 2 == 0, False, False) for number in range(60)])
    steps = play(config, tasks, lambda task, model_id: task.outcomes[model_id], seed=1, attempts=3)
    assert [step.order for step in steps[-10:]].count(("small",)) >= 8


def test_one_try_a_task_is_the_replay_without_tries() -> None:
    """The number of tries is the policy's unless it is given, and with one try there is nothing to add."""
    data = data_of(by_difficulty(30))
    plain = replay(data, {}, repeats=1)
    assert (plain.attempts, plain.tries) == (1, None)
    assert replay(data, {}, repeats=1, attempts=1) == plain
    assert replay(data, POLICY, repeats=1).attempts == 2
    assert replay(data, POLICY, repeats=1, attempts=1).tries is None


def test_fixed_orders_are_counted() -> None:
    """What the best first, the cheapest first and the best order get is exact."""
    rows = [(True, True, True), (False, True, True), (False, False, True), (False, False, False)]
    report = replay(data_of(instances_of(rows)), {}, repeats=1, attempts=2)
    assert report.tries is not None
    best, cheapest = report.tries.best_first, report.tries.cheapest_first
    assert best.order == ("large", "middle")
    assert (best.solved_rate, best.first_try_success_rate, best.tries) == (0.75, 0.75, 1.25)
    assert best.cost_usd == pytest.approx(4.1 / 4)
    assert best.cost_per_solved_usd == pytest.approx(4.1 / 3)
    assert cheapest is not None
    assert (cheapest.order, cheapest.solved_rate) == (("small", "middle"), 0.5)
    assert cheapest.cost_usd == pytest.approx((0.01 + 3 * 0.11) / 4)
    assert report.tries.hindsight.solved_rate == 0.75


def test_without_costs_only_success_is_compared() -> None:
    """There is no cheapest order then, and no cost."""
    report = replay(data_of(instances_of([(True, False, True)] * 3, priced=False)), {}, repeats=1, attempts=3)
    assert report.tries is not None
    assert report.tries.cheapest_first is None
    assert (report.tries.policy.cost_usd, report.tries.hindsight.cost_per_solved_usd) == (None, None)
    assert report.tries.hindsight.solved_rate == 1.0


@pytest.mark.parametrize(
    "objective", [Success(), CheapestWithin(margin=0.1), Value(usd_per_success=0.5)], ids=lambda each: each.objective
)
@given(rows=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_no_order_is_better_than_the_best(objective: CostObjective, rows: list[tuple[bool, bool, bool]]) -> None:
    """Of all orders, none is preferred to the one that is found without looking at all of them."""
    known = KnownOutcomes(instances_of(rows))
    best = known.best(objective, 2)

    def worth(order: Sequence[str]) -> float:
        walk = known.walk(order)
        solved, usd = 1 - len(walk.failed) / len(rows), walk.usd / len(rows)
        if isinstance(objective, Value):
            return objective.usd_per_success * solved - usd
        margin = objective.margin if isinstance(objective, CheapestWithin) else 0.0
        return -usd if solved >= most - margin - 1e-9 else -100.0

    everything = [order for length in (1, 2) for order in permutations(PRICES, length)]
    most = max(1 - len(known.walk(order).failed) / len(rows) for order in everything)
    assert worth(best.order) == pytest.approx(max(worth(order) for order in everything))


def test_many_models_are_searched_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many sets of models only the most promising are continued; the best order is found all the same."""
    rng = Random(1)
    instances = [
        Instance(str(n), "t", {f"m{m}": Outcome(success=rng.random() < 0.3 + m / 20, cost_usd=m + 1) for m in range(9)})
        for n in range(60)
    ]
    known = KnownOutcomes(instances)
    exact = known.best(Success(), 4)
    monkeypatch.setattr(orders_module, "MAX_SETS", 20)
    assert len(known.best(Success(), 4).failed) <= len(exact.failed) + 1


def test_a_report_with_tries_is_plain_json() -> None:
    """The report survives JSON unchanged."""
    values = replay(data_of(by_difficulty(12)), {}, repeats=2, attempts=3).as_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["tries"]["objective"] == "success"


@pytest.mark.parametrize("attempts", [0, 11])
def test_a_number_of_tries_has_bounds(attempts: int) -> None:
    """It is that of the configuration."""
    with pytest.raises(InvalidValueError, match="attempts must be a whole number from 1 to 10"):
        replay(data_of(by_difficulty(5)), {}, attempts=attempts)
