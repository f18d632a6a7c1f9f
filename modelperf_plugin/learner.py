"""What is learned from the store beyond the tallies of one task type: kept in memory, carried forward."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final

from modelperf_plugin.pending import Pending
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.pooling import Cell, Pool, TaskBeliefs, fit
from modelperf_plugin.store import Baseline, Store
from modelperf_plugin.types import Tally

REFIT_OUTCOMES: Final = 25
"""The pool is fitted again after so many outcomes, sooner at the start."""
FIRST_STEPS: Final = 12
"""The variances converge step by step: a process that starts on a file with outcomes takes several at once."""
SMALL: Final = 400
"""Up to so many cells a fit takes a millisecond or two, and may run within a choice."""
PSEUDO_OUTCOMES: Final = 2.0
"""What is expected of a model after a change weighs as much as so many outcomes."""
_Baselines = Mapping[tuple[str, str], Baseline]

OVERDUE: Final = 8
"""On a larger table it runs on the recording side, unless it is overdue by this factor."""


class _Task:
    """The beliefs of one task type, and what they were made from."""

    def __init__(self, pool: Pool, task_type: str, evidence: Mapping[str, Tally], baselines: _Baselines) -> None:
        self.pool = pool
        self.evidence = evidence
        self._baselines = baselines
        row = {model_id: _cell(tally, baselines) for model_id, tally in evidence.items()}
        self._beliefs = TaskBeliefs(pool, task_type, row)
        self.known: dict[str, Belief] = {}
        """The posteriors asked for so far; a new mapping whenever any of them may have changed."""

    def take_in(self, evidence: Mapping[str, Tally]) -> int:
        """Carry the beliefs forward to ``evidence``; return how many outcomes were new."""
        new = 0
        for model_id, tally in evidence.items():
            before = self.evidence.get(model_id)
            if tally is not before and tally != before:
                new += tally.samples - (0 if before is None else before.samples)
                self._beliefs.update(model_id, _cell(tally, self._baselines))
                self.known = {}
        self.evidence = evidence
        return new

    def know(self, candidates: Iterable[str]) -> dict[str, Belief]:
        """Return the posteriors of at least ``candidates``."""
        known = self.known
        for model_id in candidates:
            if model_id not in known:
                known[model_id] = self._beliefs.belief(model_id)
        return known


class Learner:
    """Fits the pool of a store and keeps the beliefs of each task type. Any thread may call any method."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._pool = Pool()
        self._baselines: _Baselines = {}
        self._tasks: dict[str, _Task] = {}
        self._outcomes = 0
        self._cells = 0
        self._new: float = float("inf")
        self.pending = Pending()
        """The choices of this process whose outcome has not come yet."""

    def know(self, task_type: str, evidence: Mapping[str, Tally], candidates: Iterable[str]) -> Mapping[str, Belief]:
        """Return the posteriors of at least ``candidates`` on ``task_type``, whose tallies are ``evidence``.

        The mapping is the same object as long as none of them has changed.
        """
        with self._lock:
            known = self._tasks.get(task_type)
            if known is not None and known.evidence is not evidence:
                self._new += known.take_in(evidence)
            if self._is_due(1 if self._cells <= SMALL else OVERDUE):
                self._refit()
            if known is None or known.pool is not self._pool:
                known = self._tasks[task_type] = _Task(self._pool, task_type, evidence, self._baselines)
            return known.know(candidates)

    def start_afresh(self) -> None:
        """Forget what was made of evidence that counts no more: a model has changed."""
        with self._lock:
            self._tasks.clear()
            self._new = float("inf")

    def refit_if_due(self) -> None:
        """Fit the pool again if enough has come in since; called on the recording side."""
        if self._tasks and self._is_due(1):
            with self._lock:
                self._refit()

    def _is_due(self, factor: int) -> bool:
        return self._new >= factor * max(1, min(REFIT_OUTCOMES, self._outcomes // 4))

    def _refit(self) -> None:
        cells: dict[str, dict[str, Cell]] = {}
        self._baselines = self._store.monitoring.baselines()
        tallies = self._store.tallies()
        for tally in tallies:
            cells.setdefault(tally.task_type, {})[tally.model_id] = _cell(tally, self._baselines)
        self._cells = len(tallies)
        self._outcomes = sum([tally.samples for tally in tallies])
        self._new = 0
        starting = not self._pool.models and self._outcomes > REFIT_OUTCOMES
        for _ in range(FIRST_STEPS if starting else 1):
            self._pool = fit(cells, self._pool)


def _cell(tally: Tally, baselines: _Baselines) -> Cell:
    """Return the evidence that counts: what came before a change of the model is as good as two outcomes."""
    baseline = baselines.get((tally.task_type, tally.model_id))
    if baseline is None:
        return tally.successes, tally.quality_failures
    rate, weight = (0.0, 0.0) if baseline.rate is None else (baseline.rate, PSEUDO_OUTCOMES)
    successes = max(0, tally.successes - baseline.successes) + weight * rate
    return successes, max(0, tally.quality_failures - baseline.failures) + weight * (1.0 - rate)
