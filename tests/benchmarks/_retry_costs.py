"""What a solved task costs under each objective, beside the best orders of tries in hindsight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from statistics import fmean
from typing import Any, Final, NamedTuple

from tests.benchmarks._orders import Preference, Walked, by_success, orders, predicted, walk, within, worth
from tests.benchmarks._tries import ATTEMPTS, POOLS, REPEATS, Replayed, pools_of, replayed, standard_error, tasks_of
from tests.benchmarks.timing import verdict

COST_SOURCE, COST_SPREAD = "swebench_bash_only", 3.5
"""The spread is the one that predicts the later tries of this set best."""


class CostGoal(NamedTuple):
    """An objective, its goal against the order by rank, and what the product reached when it only saw the first try."""

    cost: Mapping[str, Any]
    preference: Preference
    factor: float | None
    """Cost, as a multiple."""
    lost: float | None
    """Difference in solved tasks."""
    before: Walked
    """Measured over 12 pools at commit 127dab7, relative to the order by rank."""


COSTS: Final = {
    "cheapest_within .02": CostGoal(
        {"objective": "cheapest_within", "margin": 0.02}, within(0.02), 0.66, -0.010, Walked(-0.002, 1.01)
    ),
    "cheapest_within .05": CostGoal(
        {"objective": "cheapest_within", "margin": 0.05}, within(0.05), None, None, Walked(0.000, 0.92)
    ),
    "value, $20 a success": CostGoal(
        {"objective": "value", "usd_per_success": 20.0}, worth(20.0), 0.70, -0.005, Walked(-0.004, 0.83)
    ),
    "value, $5 a success": CostGoal(
        {"objective": "value", "usd_per_success": 5.0}, worth(5.0), 0.55, -0.026, Walked(-0.013, 0.65)
    ),
}


def costs(executor: Executor) -> None:
    """Print what each objective solves and costs, against the order by rank."""
    rank = _walked(replayed(executor, COST_SOURCE, ATTEMPTS))
    solved, usd = fmean(each.solved for each in rank), fmean(each.usd for each in rank)
    print(f"{COST_SOURCE}: {POOLS} pools of 5, {REPEATS} orders a pool, {ATTEMPTS} tries a task, learning from nothing")
    print(f"by rank (objective success): {solved:.3f} solved at ${usd:.3f} a task; the others against it")
    print(f"{'objective':<24}{'solved':>17}{'cost':>8}  {'in hindsight':<16}{'predicted':<16}{'goal'}")
    hindsight = [_Hindsight(pool) for pool in pools_of(COST_SOURCE, POOLS)]
    single = _against(hindsight, lambda each: each.single)
    reached = {}
    for name, goal in COSTS.items():
        walked = _walked(replayed(executor, COST_SOURCE, ATTEMPTS, cost=goal.cost))
        lost = [own.solved - other.solved for own, other in zip(walked, rank, strict=True)]
        reached[name] = Walked(fmean(lost), fmean(each.usd for each in walked) / usd)
        known = _against(hindsight, partial(_Hindsight.best, preference=goal.preference))
        expected = _against(hindsight, partial(_Hindsight.expected, preference=goal.preference))
        print(
            f"{name:<24}{f'{fmean(lost):+.4f} ± {standard_error(lost):.4f}':>17}{reached[name].usd:>7.3f}×  {known:<16}"
            f"{expected:<16}{_cost_verdict(goal, reached[name])}",
            flush=True,
        )
    print(f"best single model in hindsight, against the hindsight order by rank: {single}")
    print("(in hindsight: the best fixed order by the outcomes; predicted: by rates, mean costs and one spread)")
    for name, goal in COSTS.items():
        for own, ours in reached.items():
            if goal.before.solved > ours.solved and goal.before.usd < ours.usd:
                print(f"MISSED: {own} is worse than {name} was in solved tasks and cost ({goal.before})")


def _walked(pools: Sequence[Sequence[Replayed]]) -> list[Walked]:
    return [Walked(fmean(run.solved for run in pool), fmean(run.usd for run in pool)) for pool in pools]


def _cost_verdict(goal: CostGoal, reached: Walked) -> str:
    if goal.factor is None or goal.lost is None:
        return "–"
    met = f"{verdict(reached.usd, goal.factor)} / {verdict(-reached.solved, -goal.lost)}"
    return f"≤ {goal.factor} × at ≥ {goal.lost:+.3f}: {met}"


class _Hindsight:
    """What fixed orders of a pool get, all outcomes known."""

    def __init__(self, pool: Sequence[str]) -> None:
        instances = [task.outcomes for task in tasks_of(COST_SOURCE)[1]]
        best = by_success(pool, instances)
        self._orders = orders(pool, ATTEMPTS)
        self._walked = {order: walk(order, instances) for order in self._orders}
        self.single, self.rank = self._walked[best[0],], self._walked[tuple(best[:ATTEMPTS])]
        rates = {model_id: self._walked[model_id,].solved for model_id in pool}
        usd = {model_id: self._walked[model_id,].usd for model_id in pool}
        self._predicted = {predicted(order, rates, usd, COST_SPREAD): order for order in self._orders}

    def best(self, preference: Preference) -> Walked:
        """Return what the best order gets."""
        return preference(self._walked.values())

    def expected(self, preference: Preference) -> Walked:
        """Return what the order gets that seems best by rates, mean costs and the spread."""
        return self._walked[self._predicted[preference(self._predicted)]]


def _against(hindsight: Sequence[_Hindsight], pick: Callable[[_Hindsight], Walked]) -> str:
    own, rank = [pick(each) for each in hindsight], [each.rank for each in hindsight]
    lost = fmean(it.solved - other.solved for it, other in zip(own, rank, strict=True))
    return f"{lost:+.3f} {sum(each.usd for each in own) / sum(each.usd for each in rank):.2f}×"
