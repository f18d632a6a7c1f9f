"""Whole tasks in a replay: solved share and cost of the policy, beside fixed orders of tries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from modelperf_plugin.analysis.simulation.orders import KnownOutcomes, Prices, Walk, price
from modelperf_plugin.analysis.simulation.outcomes_file import Instance
from modelperf_plugin.analysis.simulation.play import Step, standard_error
from modelperf_plugin.policy.cost.base import CostObjective


@dataclass(frozen=True, slots=True, kw_only=True)
class TriesResult:
    """Results of one way of trying; means over the repeats if it depends on chance."""

    order: tuple[str, ...] = ()
    """The models in the order in which they are tried; empty if it varies."""
    solved_rate: float
    """Share of the tasks that any try solved."""
    standard_error: float | None = None
    """Standard error of ``solved_rate`` over the repeats; None if it is exact or from one repeat."""
    first_try_success_rate: float
    tries: float
    """Tries a task."""
    cost_usd: float | None
    """US dollars a task, with the model's mean for unknown costs; None if a model has no known cost."""
    cost_per_solved_usd: float | None
    """US dollars a solved task."""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {**asdict(self), "order": list(self.order)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TriesReport:
    """Tasks with several tries, beside fixed orders of the same number of tries."""

    objective: str
    """The policy's objective."""
    policy: TriesResult
    document_rule: TriesResult
    """The migration guide's rule, its list walked."""
    best_first: TriesResult
    """The models in the order of their success, in hindsight."""
    cheapest_first: TriesResult | None
    """The models in the order of their mean cost; None if a model has no known cost."""
    hindsight: TriesResult
    """The order that the objective prefers, in hindsight."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: each.as_dict() if isinstance(each, TriesResult) else each for name, each in values.items()}


def tries_report(
    instances: Sequence[Instance],
    runs: Sequence[Sequence[Step[Instance]]],
    rule_runs: Sequence[Sequence[Step[Instance]]],
    *,
    attempts: int,
    objective: CostObjective,
) -> TriesReport:
    """Return the report on the policy's ``runs``; all ``instances`` have an outcome of every model."""
    known = KnownOutcomes(instances)
    count = len(instances)

    def fixed(order: Sequence[str]) -> TriesResult:
        return _exact(known, known.walk(order[:attempts]), count)

    return TriesReport(
        objective=objective.objective,
        policy=_mean(runs, known.prices),
        document_rule=_mean(rule_runs, known.prices),
        best_first=fixed(known.by_success()),
        cheapest_first=None if known.prices is None else fixed(known.by_price()),
        hindsight=_exact(known, known.best(objective, attempts), count),
    )


def _exact(known: KnownOutcomes, walk: Walk, count: int) -> TriesResult:
    solved = count - len(walk.failed)
    priced = known.prices is not None
    return TriesResult(
        order=walk.order,
        solved_rate=solved / count,
        first_try_success_rate=1.0 - len(known.walk(walk.order[:1]).failed) / count,
        tries=walk.tries / count,
        cost_usd=walk.usd / count if priced else None,
        cost_per_solved_usd=walk.usd / solved if priced and solved else None,
    )


def _mean(runs: Sequence[Sequence[Step[Instance]]], prices: Prices | None) -> TriesResult:
    solved = [fmean(step.solved for step in run) for run in runs]
    steps = [step for run in runs for step in run]
    usd = fmean(sum(price(prices, model_id, outcome) for model_id, outcome in step.tries) for step in steps)
    return TriesResult(
        solved_rate=fmean(solved),
        standard_error=standard_error(solved),
        first_try_success_rate=fmean(step.outcome.success for step in steps),
        tries=fmean(len(step.tries) for step in steps),
        cost_usd=None if prices is None else usd,
        cost_per_solved_usd=None if prices is None or not any(solved) else usd / fmean(solved),
    )
