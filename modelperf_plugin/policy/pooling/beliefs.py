"""Posteriors of the models of one task type, updated with every outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.pooling.pool import MIN_SPREAD, NO_SHARE, Cell, Pool, Share, working_residual

NO_OUTCOMES: Final[Cell] = (0.0, 0.0)
MAX_LOGIT: Final = 20.0
"""Log-odds of a prior are clipped to ± this."""
MIN_STRENGTH, MAX_STRENGTH = 1.5, 60.0
"""Bounds of the weight of a prior, in outcomes."""


class TaskBeliefs:
    """The posterior of every model on one task type, carried forward outcome by outcome between two fits."""

    def __init__(self, pool: Pool, task_type: str, row: Mapping[str, Cell]) -> None:
        """Start from a fit and the cells of the task type."""
        self._pool = pool
        self._single, self._intercept = pool.single, pool.intercept  # looked up for every belief
        self._task_type = task_type
        self._cells: dict[str, Cell] = {}
        self._effects: dict[str, tuple[float, float]] = {}
        self._shares: dict[str, Share] = {}
        self._weight = 1.0 / pool.task_variance
        self._weighted = 0.0
        self._task = 0.0 if pool.single else pool.tasks.get(task_type, 0.0)
        for _ in range(2):  # Newton steps for b, from where the fit left it
            start = self._task
            for model_id, cell in row.items():
                self._add(model_id, cell, start)
            self._estimate()

    def update(self, model_id: str, cell: Cell) -> None:
        """Replace the cell of one model after another outcome."""
        self._add(model_id, cell, self._task)
        self._estimate()

    def cell(self, model_id: str) -> Cell:
        """Return the current cell of a model."""
        return self._cells.get(model_id, NO_OUTCOMES)

    def belief(self, model_id: str, outcomes: float | None = None) -> Belief:
        """Return the posterior of one model: its own outcomes on a prior that leaves them out.

        ``outcomes`` is passed on to :class:`~modelperf_plugin.policy.belief.Belief`.
        """
        mean, variance = self._effects.get(model_id) or self._effect(model_id)
        logit = self._intercept + mean
        if not self._single:
            own = self._shares.get(model_id, NO_SHARE)
            weight = self._weight - own[0]
            logit += (self._weighted - own[1]) / weight
            variance += 1.0 / weight
        prior = expit(max(-MAX_LOGIT, min(MAX_LOGIT, logit)))
        spread = prior * (1.0 - prior)
        strength = 1.0 / (variance * max(spread, MIN_SPREAD))
        if not MIN_STRENGTH <= strength <= MAX_STRENGTH:
            strength = MIN_STRENGTH if strength < MIN_STRENGTH else MAX_STRENGTH
        successes, failures = self._cells.get(model_id, NO_OUTCOMES)
        return Belief(successes + strength * prior, failures + strength * (1.0 - prior), outcomes)

    def _effect(self, model_id: str) -> tuple[float, float]:
        effect = self._effects.get(model_id)
        if effect is None:
            effect = self._effects[model_id] = self._pool.effect(self._task_type, model_id)
        return effect

    def _add(self, model_id: str, cell: Cell, task: float) -> None:
        self._cells[model_id] = cell
        successes, failures = cell
        if self._single:
            return
        share = NO_SHARE
        if successes + failures > 0.0:
            mean, spread = self._effect(model_id)
            residual, variance = working_residual(self._intercept + mean + task, successes, successes + failures)
            weight = 1.0 / (spread + variance)
            share = Share(weight, weight * (residual + task))
        before = self._shares.get(model_id, NO_SHARE)
        self._shares[model_id] = share
        self._weight += share.weight - before.weight
        self._weighted += share.weighted - before.weighted

    def _estimate(self) -> None:
        if not self._single:
            self._task = self._weighted / self._weight
