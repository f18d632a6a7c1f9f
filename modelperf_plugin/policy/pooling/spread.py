"""Learns the spread of difficulty from later tries, for the store and for each task type with enough of them.

The log-probability L of the later tries of a row, integrated over the rates of the models that made them, is worked out
at ln s and a step d to both sides. With the prior ln s ~ N(ln 3, .4²) and, for the deviation of a task type from the
store, N(0, .25²), one step of Newton's method is

    ln s += G / C,    G = Σ (L₊ − L₋) / 2d − (ln s − ln 3) / .4²,    C = Σ (2 L₀ − L₊ − L₋) / d² + 1 / .4²,

limited to .25, once in each pass over all rows. A row contributes its values from the last visit.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log
from typing import Final, NamedTuple

from modelperf_plugin.policy.difficulty import MAX_SPREAD, PRIOR_SPREAD, Difficulty
from modelperf_plugin.policy.pooling.beliefs import TaskBeliefs

STEP: Final = 0.25
"""d, and the maximum of a step, in ln s."""
PRIOR_DEVIATION: Final = 0.4
TASK_TYPE_DEVIATION: Final = 0.25
MAX_OFFSET: Final = 0.6
MIN_TRIES: Final = 20.0
"""A task type with fewer later tries has the spread of the store."""
NOTICEABLE: Final = 0.03
"""Change of ln s from which beliefs are computed again."""


class _Row(NamedTuple):
    gradient: float
    curvature: float
    tries: float


class SpreadFit:
    """The estimates of s. Not thread-safe."""

    def __init__(self, log_spread: float = log(PRIOR_SPREAD)) -> None:
        """Start from an earlier estimate of ln s."""
        self.log_spread = log_spread
        self._published = log_spread
        self._rows: dict[str, _Row] = {}
        self._gradient = self._curvature = 0.0

    def difficulty(self, task_type: str) -> Difficulty:
        """Return the difficulty of a task type."""
        row = self._rows.get(task_type)
        if row is None or row.tries < MIN_TRIES:
            return Difficulty.of(exp(self._published))
        offset = row.gradient / (row.curvature + 1.0 / TASK_TYPE_DEVIATION**2)
        return Difficulty.of(exp(self._published + max(-MAX_OFFSET, min(MAX_OFFSET, offset))))

    def visit(self, task_type: str, beliefs: TaskBeliefs) -> None:
        """Update the likelihood of a row's later tries, given the current rates."""
        for _ in self.steps(task_type, beliefs):
            pass

    def steps(self, task_type: str, beliefs: TaskBeliefs) -> Iterator[int]:
        """Do what :meth:`visit` does in steps, one model each; yield how many sets each has looked at."""
        around = [Difficulty.of(exp(self.log_spread + shift)) for shift in (-STEP, 0.0, STEP)]
        below = at = above = 0.0
        for sets, found in beliefs.log_evidences(around):
            below, at, above = below + found[0], at + found[1], above + found[2]
            yield sets
        curvature = max(0.0, (2.0 * at - above - below) / STEP**2)
        self._put(task_type, _Row((above - below) / (2.0 * STEP), curvature, beliefs.later_tries))

    def forget(self, task_type: str) -> None:
        """Remove a row that has lost its later tries."""
        if task_type in self._rows:
            self._put(task_type, _Row(0.0, 0.0, 0.0))
            del self._rows[task_type]

    def end_pass(self) -> bool:
        """Move the estimate; return whether beliefs must be computed again."""
        if not self._rows:
            return False
        precision = 1.0 / PRIOR_DEVIATION**2
        gradient = self._gradient - (self.log_spread - log(PRIOR_SPREAD)) * precision
        step = gradient / (max(0.0, self._curvature) + precision)
        step = max(-STEP, min(STEP, step))
        self.log_spread = max(log(0.5), min(log(MAX_SPREAD), self.log_spread + step))
        if abs(self.log_spread - self._published) < NOTICEABLE:
            return False
        self._published = self.log_spread
        return True

    def _put(self, task_type: str, row: _Row) -> None:
        before = self._rows.get(task_type, _Row(0.0, 0.0, 0.0))
        self._rows[task_type] = row
        self._gradient += row.gradient - before.gradient
        self._curvature += row.curvature - before.curvature
