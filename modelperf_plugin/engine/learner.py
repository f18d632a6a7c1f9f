"""What is learned from the store beyond the tallies of one task type: kept in memory, carried forward."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.pending import Pending
from modelperf_plugin.engine.weighing import Evidence
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost.base import CostSource, ModelCosts
from modelperf_plugin.policy.pooling import Cell, FitRow, ModelPrior, Pool, Priors, TaskBeliefs, fit
from modelperf_plugin.store.roles import MergedExperience, Tallies
from modelperf_plugin.values import Tally, mean_costs

REFIT_OUTCOMES: Final = 25
"""The pool is fitted again after so many outcomes, sooner at the start."""
FIRST_STEPS: Final = 12
"""A fit converges step by step: a process that starts on a file with outcomes takes several at once, unless the table
is large and another process has saved its fit."""
SMALL: Final = 400
"""Up to so many cells a fit takes a millisecond or two, and may run within a choice."""
EARLY: Final = 100
"""Up to so many outcomes every fit counts, and it runs within a choice as soon as it is due."""
LATE, OVERDUE = 2, 8
"""Later the recording side has the first turn: on a small and on a large table a choice only fits the pool if that is
due by so many times as many outcomes."""
READY: Final = 100
"""So many task types at most have their beliefs made anew by the recording side after a fit."""
SECONDS_A_DAY: Final = 86_400


class _Task:
    """The beliefs of one task type, and what they were made from."""

    def __init__(self, pool: Pool, task_type: str, tallies: Mapping[str, Tally], evidence: Evidence) -> None:
        self.pool = pool
        self.tallies = tallies
        self._evidence = evidence
        row = {tally.model_id: evidence.cell(tally) for tally in evidence.completed(tallies.values(), task_type)}
        self._beliefs = TaskBeliefs(pool, task_type, row)
        self.known: dict[str, Belief] = {}
        """The posteriors asked for so far; a new mapping whenever any of them may have changed."""

    def take_in(self, tallies: Mapping[str, Tally]) -> int:
        """Carry the beliefs forward to ``tallies``; return how many outcomes were new."""
        new = 0
        for model_id, tally in tallies.items():
            before = self.tallies.get(model_id)
            if tally is not before and tally != before:
                new += tally.samples - (0 if before is None else before.samples)
                self._beliefs.update(model_id, self._evidence.cell(tally))
                self.known = {}
        self.tallies = tallies
        return new

    def know(self, candidates: Iterable[str]) -> dict[str, Belief]:
        """Return the posteriors of at least ``candidates``."""
        known = self.known
        for model_id in candidates:
            if model_id not in known:
                tally = self.tallies.get(model_id)
                weight = None if tally is None else self._evidence.weight(tally)
                known[model_id] = self._beliefs.belief(model_id, weight)
        return known


class Learner:
    """Fits the pool of a store and keeps the beliefs of each task type. Any thread may call any method."""

    def __init__(
        self,
        tallies: Tallies,
        merged: MergedExperience,
        config: Callable[[], Config] = Config,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Learn from these roles of a store.

        Args:
            tallies: the counts of this store.
            merged: those of other projects.
            config: the configuration in force.
            now: seconds since the Unix epoch: old evidence fades by the day.
        """
        self._store = tallies
        self._elsewhere = merged
        self._config = config
        self._now = now
        self._lock = threading.RLock()
        self._pool = Pool()
        self._evidence: Evidence | None = None
        self._tasks: dict[str, _Task] = {}
        self._merged: tuple[float, ...] = ()
        self._outcomes = 0
        self._cells = 0
        self._new: float = float("inf")
        self._resumed = False
        self.model_costs: ModelCosts = {}
        """What a task costs with each model, whatever its type."""
        self.pending = Pending()
        """The choices of this process whose outcome has not come yet."""

    def know(self, task_type: str, tallies: Mapping[str, Tally], candidates: Iterable[str]) -> Mapping[str, Belief]:
        """Return the posteriors of at least ``candidates`` on ``task_type``, whose tallies are ``tallies``.

        The mapping is the same object as long as none of them has changed.
        """
        with self._lock:
            known = self._tasks.get(task_type)
            if known is not None and known.tallies is not tallies:
                self._new += known.take_in(tallies)
            evidence = self._evidence
            if evidence is None or evidence.today != self._now() // SECONDS_A_DAY:
                self._new = float("inf")
            if evidence is None or self._is_due(self._patience()):
                evidence = self._refit()
            if known is None or known.pool is not self._pool:
                known = self._tasks[task_type] = _Task(self._pool, task_type, tallies, evidence)
            return known.know(candidates)

    def fit_rows(self) -> list[FitRow]:
        """Return what a later process begins with."""
        return list(self._pool.rows())

    def resume(self, rows: Iterable[FitRow]) -> None:
        """Begin with what an earlier process knew of models and task types: a single look is enough then.

        Raises:
            InvalidValueError: these are not its parts.
        """
        with self._lock:
            self._pool = Pool.from_rows(rows)
            self._resumed = True

    def start_afresh(self) -> None:
        """Forget what was made of evidence that counts no more, or otherwise: a model has changed, or a setting."""
        with self._lock:
            self._tasks.clear()
            self._evidence = None
            self._new = float("inf")

    def refit_if_due(self) -> None:
        """Fit the pool again if enough has come in since; called on the recording side."""
        if self._tasks and self._is_due(1):
            with self._lock:
                evidence = self._refit()
                if len(self._tasks) > READY:
                    return
                for task_type, known in self._tasks.items():
                    ready = _Task(self._pool, task_type, known.tallies, evidence)
                    ready.know(known.known)
                    self._tasks[task_type] = ready

    def _patience(self) -> int:
        if self._outcomes < EARLY:
            return 1
        return LATE if self._cells <= SMALL else OVERDUE

    def _is_due(self, factor: int) -> bool:
        return self._new >= factor * max(1, min(REFIT_OUTCOMES, self._outcomes // 4))

    def _refit(self) -> Evidence:
        """Fit the pool again to all that counts today."""
        config = self._config()
        tallies = self._store.all()
        today = int(self._now() // SECONDS_A_DAY)
        evidence = self._evidence
        merged = self._elsewhere.version()
        if evidence is None or evidence.small or evidence.today != today or merged != self._merged:
            elsewhere = self._elsewhere.priors() if any(merged) else []
            evidence = Evidence(config, self._store, tallies, today, elsewhere)
            self._merged = merged
        cells: dict[str, dict[str, Cell]] = {}
        for tally in evidence.completed(tallies):
            cells.setdefault(tally.task_type, {})[tally.model_id] = evidence.cell(tally)
        priors = {
            model_id: ModelPrior.of(model.prior_success, model.prior_strength)
            for model_id, model in config.models.items()
            if model.prior_success is not None
        }
        self._cells = len(tallies)
        self._outcomes = sum([tally.samples for tally in tallies])
        self._new = 0
        self._evidence = evidence
        self.model_costs = _model_costs(config, tallies)
        self._fit(cells, priors)
        return evidence

    def _fit(self, cells: Mapping[str, Mapping[str, Cell]], priors: Priors) -> None:
        """Fit the pool to the cells: a step on from the last fit, from nothing, or from where another process was."""
        resumed, self._resumed = self._resumed, False
        if resumed and self._cells > SMALL:
            self._pool = fit(cells, self._pool, priors, sweeps=1)
            return
        starting = (resumed or not self._pool.models) and self._outcomes > REFIT_OUTCOMES
        for _ in range(FIRST_STEPS if starting else 1):
            self._pool = fit(cells, self._pool, priors)


def _model_costs(config: Config, tallies: Iterable[Tally]) -> ModelCosts:
    """Return what a task costs with each model: its mean over all outcomes with a cost, or else what is configured."""
    costs: dict[str, tuple[float, CostSource]] = {
        model_id: (model.cost_usd, "configured")
        for model_id, model in config.models.items()
        if model.cost_usd is not None
    }
    for model_id, mean in mean_costs(tallies).items():
        costs[model_id] = (mean, "model")
    return costs
