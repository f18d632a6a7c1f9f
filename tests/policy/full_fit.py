"""The fit of all cells at once, sweep by sweep: what the row-by-row fit of the product has to converge to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from modelperf_plugin.policy.pooling import Cell, Priors
from modelperf_plugin.policy.pooling.pool import (
    CELL_VARIANCE,
    INTERCEPT_VARIANCE,
    MIN_CELL_VARIANCE,
    MODEL_VARIANCE,
    PSEUDO_OBSERVATIONS,
    SINGLE_CELL_VARIANCE,
    TASK_VARIANCE,
    working_residual,
)

SWEEPS: Final = 4

_Share = tuple[float, float]


@dataclass(frozen=True)
class FullFit:
    """The estimates after some sweeps."""

    intercept: float = 0.0
    model_variance: float = MODEL_VARIANCE
    task_variance: float = TASK_VARIANCE
    cell_variance: float = SINGLE_CELL_VARIANCE
    models: Mapping[str, float] = field(default_factory=dict)
    tasks: Mapping[str, float] = field(default_factory=dict)


def converged(cells: Mapping[str, Mapping[str, Cell]], priors: Priors, rounds: int = 400) -> FullFit:
    """Return the fit of ``cells`` after it has converged."""
    fit = FullFit()
    for _ in range(rounds):
        fit = refit(cells, fit, priors)
    return fit


def refit(cells: Mapping[str, Mapping[str, Cell]], before: FullFit, priors: Priors) -> FullFit:
    """Return the fit after four sweeps of weighted means for μ, a and b, and one EM step for the variances."""
    rows = [(t, m, won, won + lost) for t, row in cells.items() for m, (won, lost) in row.items() if won + lost > 0]
    tasks = {t: before.tasks.get(t, 0.0) for t, _, _, _ in rows}
    models = {m: before.models.get(m, 0.0) for _, m, _, _ in rows}
    intercept, single = before.intercept, len(tasks) == 1
    if not single and before.cell_variance == SINGLE_CELL_VARIANCE:
        before = replace(before, cell_variance=CELL_VARIANCE)
    responses: list[tuple[str, str, float, float]] = []
    model_weights: dict[str, float] = {}
    task_weights: dict[str, float] = {}
    for _ in range(SWEEPS):
        responses = []
        for t, m, won, samples in rows:
            logit = intercept + models[m] + tasks[t]
            residual, variance = working_residual(logit, won, samples)
            responses.append((t, m, logit + residual, 1.0 / (variance + before.cell_variance)))
        total = sum(weight * (response - models[m] - tasks[t]) for t, m, response, weight in responses)
        intercept = total / (sum(weight for *_, weight in responses) + 1.0 / INTERCEPT_VARIANCE)
        model_sums = _sums([(m, weight, weight * (z - intercept - tasks[t])) for t, m, z, weight in responses])
        model_weights = {m: weight for m, (weight, _) in model_sums.items()}
        for m, (weight, weighted) in model_sums.items():
            prior = priors.get(m)
            precision = 1.0 / before.model_variance if prior is None else prior.precision
            expected = 0.0 if prior is None else precision * (prior.logit - intercept)
            models[m] = (weighted + expected) / (weight + precision)
        if not single:
            task_sums = _sums([(t, weight, weight * (z - intercept - models[m])) for t, m, z, weight in responses])
            task_weights = {t: weight for t, (weight, _) in task_sums.items()}
            tasks = {t: each[1] / (each[0] + 1.0 / before.task_variance) for t, each in task_sums.items()}
    free = {m: mean for m, mean in models.items() if m not in priors}
    squares = 0.0
    for t, m, response, weight in responses:
        own = before.cell_variance * weight
        residual = own * (response - intercept - models[m] - tasks[t])
        squares += residual * residual + before.cell_variance * (1.0 - own)
    cell_variance = (PSEUDO_OBSERVATIONS * CELL_VARIANCE + squares) / (PSEUDO_OBSERVATIONS + len(responses))
    return FullFit(
        intercept,
        _variance(free, model_weights, before.model_variance, MODEL_VARIANCE),
        before.task_variance if single else _variance(tasks, task_weights, before.task_variance, TASK_VARIANCE),
        SINGLE_CELL_VARIANCE if single else max(MIN_CELL_VARIANCE, cell_variance),
        models,
        tasks,
    )


def _sums(shares: list[tuple[str, float, float]]) -> dict[str, _Share]:
    sums: dict[str, _Share] = {}
    for name, weight, weighted in shares:
        before = sums.get(name, (0.0, 0.0))
        sums[name] = (before[0] + weight, before[1] + weighted)
    return sums


def _variance(effects: Mapping[str, float], weights: Mapping[str, float], before: float, initial: float) -> float:
    total = sum(effect * effect + 1.0 / (weights[name] + 1.0 / before) for name, effect in effects.items())
    return (PSEUDO_OBSERVATIONS * initial + total) / (PSEUDO_OBSERVATIONS + len(effects))
