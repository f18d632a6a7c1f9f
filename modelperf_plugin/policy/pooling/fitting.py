"""Fitting the pool to all cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelperf_plugin.policy.pooling.pool import (
    CELL_VARIANCE,
    NO_SHARE,
    PRIOR_VARIANCE,
    Cell,
    Pool,
    Priors,
    Share,
    prior_share,
    working_residual,
)

SWEEPS: Final = 4
PSEUDO_OBSERVATIONS: Final = 2.0
MIN_CELL_VARIANCE: Final = 0.02
INTERCEPT_VARIANCE: Final = 2.25
"""Prior variance of μ around even odds."""


def fit(
    cells: Mapping[str, Mapping[str, Cell]],
    previous: Pool | None = None,
    priors: Priors | None = None,
    sweeps: int = SWEEPS,
) -> Pool:
    """Return the pool of ``cells``, starting from the ``previous`` fit; a few refits make it converge.

    ``cells`` are by task type and model. Fewer ``sweeps`` suffice where they are nearly those of the previous fit.
    """
    rows = [
        (task_type, model_id, successes, successes + failures)
        for task_type, row in cells.items()
        for model_id, (successes, failures) in row.items()
        if successes + failures > 0.0
    ]
    priors = priors or {}
    return _Fit(rows, previous or Pool(), priors).run(sweeps) if rows else Pool(priors=priors)


class _Fit:
    """Four sweeps of weighted means for μ, a and b; then one EM step for the variances."""

    def __init__(self, rows: list[tuple[str, str, float, float]], previous: Pool, priors: Priors) -> None:
        self.previous = previous
        self.priors = priors
        self.task_types = list(dict.fromkeys(row[0] for row in rows))
        self.model_ids = list(dict.fromkeys(row[1] for row in rows))
        self.single = len(self.task_types) == 1
        task_index = {task_type: index for index, task_type in enumerate(self.task_types)}
        model_index = {model_id: index for index, model_id in enumerate(self.model_ids)}
        self.rows = [(task_index[row[0]], model_index[row[1]], row[2], row[3]) for row in rows]
        self.intercept = previous.intercept
        self.tasks = [0.0 if self.single else previous.tasks.get(each, 0.0) for each in self.task_types]
        self.models = [self._start(model_id) for model_id in self.model_ids]

    def _start(self, model_id: str) -> float:
        return _mean(self.previous.models.get(model_id, NO_SHARE), self._prior_share(model_id))

    def _prior_share(self, model_id: str) -> Share:
        return prior_share(self.priors.get(model_id), self.intercept, self.previous.model_variance)

    def run(self, sweeps: int) -> Pool:
        before = self.previous
        model_totals: list[Share] = []
        task_totals: list[Share] = []
        for _ in range(sweeps):
            cells = self._working_responses()
            total = sum([weight * (response - self.models[m] - self.tasks[t]) for t, m, response, weight in cells])
            self.intercept = total / (sum([cell[3] for cell in cells]) + 1.0 / INTERCEPT_VARIANCE)
            model_totals = self._totals([(m, weight, response - self.tasks[t]) for t, m, response, weight in cells])
            self.models = list(map(_mean, model_totals, map(self._prior_share, self.model_ids)))
            if not self.single:
                task_totals = self._totals([(t, weight, response - self.models[m]) for t, m, response, weight in cells])
                towards = Share(1.0 / before.task_variance, 0.0)
                self.tasks = [_mean(total, towards) for total in task_totals]
        shares = {
            (self.task_types[t], self.model_ids[m]): Share(weight, weight * (response - self.intercept - self.tasks[t]))
            for t, m, response, weight in cells
        }
        return Pool(
            intercept=self.intercept,
            model_variance=_variance(*self._without_priors(model_totals), before.model_variance),
            task_variance=_variance(self.tasks, task_totals, before.task_variance),
            cell_variance=before.cell_variance if self.single else self._cell_variance(cells),
            single=self.single,
            models=dict(zip(self.model_ids, model_totals, strict=True)),
            shares=shares,
            tasks=dict(zip(self.task_types, self.tasks, strict=True)),
            priors=self.priors,
        )

    def _without_priors(self, totals: list[Share]) -> tuple[list[float], list[Share]]:
        """Return the effects of the models without a prior of their own: only they show how models vary."""
        if not self.priors:
            return self.models, totals
        chosen = [n for n, model_id in enumerate(self.model_ids) if model_id not in self.priors]
        return [self.models[n] for n in chosen], [totals[n] for n in chosen]

    def _working_responses(self) -> list[tuple[int, int, float, float]]:
        """Return task type, model, working response and weight of every cell."""
        responses = []
        cell_variance = self.previous.cell_variance
        for t, m, successes, samples in self.rows:
            logit = self.intercept + self.models[m] + self.tasks[t]
            residual, variance = working_residual(logit, successes, samples)
            responses.append((t, m, logit + residual, 1.0 / (variance + cell_variance)))
        return responses

    def _totals(self, cells: list[tuple[int, float, float]]) -> list[Share]:
        size = 1 + max(index for index, _, _ in cells)
        weights, weighted = [0.0] * size, [0.0] * size
        for index, weight, response in cells:
            weights[index] += weight
            weighted[index] += weight * (response - self.intercept)
        return list(map(Share, weights, weighted))

    def _cell_variance(self, cells: list[tuple[int, int, float, float]]) -> float:
        before = self.previous.cell_variance
        total = 0.0
        for t, m, response, weight in cells:
            own = before * weight  # σe² / (σe² + v): the fraction of the residual that is the cell's own
            residual = own * (response - self.intercept - self.models[m] - self.tasks[t])
            total += residual * residual + before * (1.0 - own)
        pseudo = PSEUDO_OBSERVATIONS * CELL_VARIANCE
        return max(MIN_CELL_VARIANCE, (pseudo + total) / (PSEUDO_OBSERVATIONS + len(cells)))


def _mean(total: Share, prior: Share) -> float:
    return (total.weighted + prior.weighted) / (total.weight + prior.weight)


def _variance(effects: list[float], totals: list[Share], before: float) -> float:
    """Return the EM update of a variance, with a weak prior."""
    total = sum(
        [effect * effect + 1.0 / (share.weight + 1.0 / before) for effect, share in zip(effects, totals, strict=False)]
    )
    return (PSEUDO_OBSERVATIONS * PRIOR_VARIANCE + total) / (PSEUDO_OBSERVATIONS + len(totals))
