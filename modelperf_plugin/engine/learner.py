"""What is learned from all tallies together; kept in memory, and updated with each outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.pending import Pending
from modelperf_plugin.engine.weighing import WeighedCounts
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.cost.base import CostSource, ModelCosts
from modelperf_plugin.policy.pooling import Cell, FitRow, ModelPrior, Pool, Priors, TaskBeliefs, fit
from modelperf_plugin.store.roles import MergedExperience, Tallies
from modelperf_plugin.values import DAY_MS, Tally, mean_costs

REFIT_OUTCOMES: Final = 25
"""The pool is fitted again after this many outcomes, sooner at the start."""
INITIAL_STEPS: Final = 12
"""A fit converges step by step: a process that starts on a file with outcomes takes this many at once, unless the table
is large and another process has saved its fit."""
SMALL_TABLE_CELLS: Final = 400
"""Up to this many cells a fit takes a millisecond or two, and may run within a choice."""
EARLY_OUTCOMES: Final = 100
"""Up to this many outcomes a fit runs within a choice as soon as it is due."""
SMALL_TABLE_PATIENCE, LARGE_TABLE_PATIENCE = 2, 8
"""Later a choice leaves the fit to the recording side, unless this many times the outcomes for a refit are new."""
MAX_READY_TASK_TYPES: Final = 100
"""Maximum number of task types whose beliefs are rebuilt after a fit."""
SECONDS_PER_DAY: Final = DAY_MS // 1000


class _Task:
    """The beliefs of one task type, with the pool and the tallies that they are based on."""

    def __init__(self, pool: Pool, task_type: str, tallies: Mapping[str, Tally], weighed: WeighedCounts) -> None:
        self.pool = pool
        self.tallies = tallies
        self._weighed = weighed
        row = {tally.model_id: weighed.cell(tally) for tally in weighed.completed(tallies.values(), task_type)}
        self._beliefs = TaskBeliefs(pool, task_type, row)
        self.known: dict[str, Belief] = {}
        """The posteriors computed so far; a new mapping whenever one of them may have changed."""

    def update(self, tallies: Mapping[str, Tally]) -> int:
        """Update the beliefs to ``tallies``; return how many outcomes are new."""
        new = 0
        for model_id, tally in tallies.items():
            before = self.tallies.get(model_id)
            if tally is not before and tally != before:
                new += tally.samples - (0 if before is None else before.samples)
                self._beliefs.update(model_id, self._weighed.cell(tally))
                self.known = {}
        self.tallies = tallies
        return new

    def know(self, candidates: Iterable[str]) -> dict[str, Belief]:
        """Return the posteriors of at least ``candidates``."""
        known = self.known
        for model_id in candidates:
            if model_id not in known:
                tally = self.tallies.get(model_id)
                weight = None if tally is None else self._weighed.weight(tally)
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
        """Learn from these roles of a store; ``now`` returns seconds since the Unix epoch."""
        self._store = tallies
        self._elsewhere = merged
        self._config = config
        self._now = now
        self._lock = threading.RLock()
        self._pool = Pool()
        self._weighed: WeighedCounts | None = None
        self._tasks: dict[str, _Task] = {}
        self._merged: tuple[float, ...] = ()
        self._outcomes = 0
        self._cells = 0
        self._new: float = float("inf")
        self._resumed = False
        self.model_costs: ModelCosts = {}
        """The mean cost of a task with each model, over all task types."""
        self.pending = Pending()

    def know(self, task_type: str, tallies: Mapping[str, Tally], candidates: Iterable[str]) -> Mapping[str, Belief]:
        """Return the posteriors of at least ``candidates`` on ``task_type``, whose tallies are ``tallies``.

        The mapping is the same object as long as none of them has changed.
        """
        with self._lock:
            known = self._tasks.get(task_type)
            if known is not None and known.tallies is not tallies:
                self._new += known.update(tallies)
            weighed = self._weighed
            if weighed is None or weighed.today != self._now() // SECONDS_PER_DAY:
                self._new = float("inf")
            if weighed is None or self._is_due(self._patience()):
                weighed = self._refit()
            if known is None or known.pool is not self._pool:
                known = self._tasks[task_type] = _Task(self._pool, task_type, tallies, weighed)
            return known.know(candidates)

    def fit_rows(self) -> list[FitRow]:
        """Return the fit, for a later process to resume."""
        return list(self._pool.rows())

    def resume(self, rows: Iterable[FitRow]) -> None:
        """Begin with the fit of an earlier process; raise InvalidValueError if ``rows`` are not one."""
        with self._lock:
            self._pool = Pool.from_rows(rows)
            self._resumed = True

    def reset(self) -> None:
        """Discard all that depends on weights: a model or a setting has changed."""
        with self._lock:
            self._tasks.clear()
            self._weighed = None
            self._new = float("inf")

    def refit_if_due(self) -> None:
        """Fit the pool again if enough outcomes are new; called after an outcome was recorded."""
        if self._tasks and self._is_due(1):
            with self._lock:
                weighed = self._refit()
                if len(self._tasks) > MAX_READY_TASK_TYPES:
                    return
                for task_type, known in self._tasks.items():
                    ready = _Task(self._pool, task_type, known.tallies, weighed)
                    ready.know(known.known)
                    self._tasks[task_type] = ready

    def _patience(self) -> int:
        if self._outcomes < EARLY_OUTCOMES:
            return 1
        return SMALL_TABLE_PATIENCE if self._cells <= SMALL_TABLE_CELLS else LARGE_TABLE_PATIENCE

    def _is_due(self, factor: int) -> bool:
        return self._new >= factor * max(1, min(REFIT_OUTCOMES, self._outcomes // 4))

    def _refit(self) -> WeighedCounts:
        """Fit the pool again to all counts as weighed today."""
        config = self._config()
        tallies = self._store.all()
        today = int(self._now() // SECONDS_PER_DAY)
        weighed = self._weighed
        merged = self._elsewhere.version()
        if weighed is None or weighed.is_cheap or weighed.today != today or merged != self._merged:
            elsewhere = self._elsewhere.priors() if any(merged) else []
            weighed = WeighedCounts(config, self._store, tallies, today, elsewhere)
            self._merged = merged
        cells: dict[str, dict[str, Cell]] = {}
        for tally in weighed.completed(tallies):
            cells.setdefault(tally.task_type, {})[tally.model_id] = weighed.cell(tally)
        priors = {
            model_id: ModelPrior.of(model.prior_success, model.prior_strength)
            for model_id, model in config.models.items()
            if model.prior_success is not None
        }
        self._cells = len(tallies)
        self._outcomes = sum([tally.samples for tally in tallies])
        self._new = 0
        self._weighed = weighed
        self.model_costs = _model_costs(config, tallies)
        self._fit(cells, priors)
        return weighed

    def _fit(self, cells: Mapping[str, Mapping[str, Cell]], priors: Priors) -> None:
        """Fit the pool to the cells, starting from the last fit, from that of another process, or from nothing."""
        resumed, self._resumed = self._resumed, False
        if resumed and self._cells > SMALL_TABLE_CELLS:
            self._pool = fit(cells, self._pool, priors, sweeps=1)
            return
        starting = (resumed or not self._pool.models) and self._outcomes > REFIT_OUTCOMES
        for _ in range(INITIAL_STEPS if starting else 1):
            self._pool = fit(cells, self._pool, priors)


def _model_costs(config: Config, tallies: Iterable[Tally]) -> ModelCosts:
    """Return the cost of a task with each model: the mean of all outcomes with a cost, else as configured."""
    costs: dict[str, tuple[float, CostSource]] = {
        model_id: (model.cost_usd, "configured")
        for model_id, model in config.models.items()
        if model.cost_usd is not None
    }
    for model_id, mean in mean_costs(tallies).items():
        costs[model_id] = (mean, "model")
    return costs
