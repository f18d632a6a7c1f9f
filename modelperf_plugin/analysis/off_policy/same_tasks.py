"""What the very tasks of a log would have got, had other models been chosen.

Only the draws of the log are random here: what a task would have got with each model is taken as fixed, though it is
seen for the chosen one alone. So a task adds no uncertainty if the wanted model was certain to be chosen, and the more,
the less likely that was. With the probabilities π_t of the log, the wanted ones p_t and the forecasts q_t, the doubly
robust estimate is unbiased, and with the misses e_t(a) = r_t(a) − q_t(a) the variance of its sum is

    Σ_t [Σ_a p²/π e² − (Σ_a p e)²].

The square in it holds products of two misses, of which only one is ever seen. For the likeliest model a*, with
k = 2 p(a*) − 1 > 0, it is at least k (p(a*) e(a*)² − Σ_{others} p e²), whatever they are: so the variance is at most
Σ_t Σ_a (p²/π ∓ k p) e², with − for a* and + for the others. If one model is wanted that is (1/π − 1) e², exactly. It is
about how uncertain an estimate with shares √(p² ∓ k p π) is, so the distances of its bounds (:func:`.bounds`) are
taken. No result can contradict the tasks that were seen.

Sources: J. Neyman, "On the Application of Probability Theory to Agricultural Experiments", 1923 (fixed potential
outcomes, and the bound for products that are never seen); D. Horvitz and D. Thompson, 1952 (the variance); M. Dudík, J.
Langford and L. Li, 2011 (doubly robust).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modelperf_plugin.analysis.off_policy.bounds import bounds
from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers, Interval, Logged, doubly_robust

_NOT_OFFERED = -1


class SameTasks(NamedTuple):
    """The mean reward of the same tasks under other first choices: an interval, and its middle."""

    value: float
    low: float
    high: float


def on_same_tasks(logged: Logged, target: Floats, alpha: float = 0.05, *, units: Floats | None = None) -> Interval:
    """Return an interval for the mean reward, had models been chosen with the probabilities ``target``, n × m.

    ``units`` are what a reward of 1 amounts to at each decision; 1 without them.
    """
    target = target.astype(np.float64)
    unit = np.ones(len(logged)) if units is None else units
    certain = unit * target[np.arange(len(logged)), logged.chosen]
    least = float((certain * logged.rewards).sum()) / len(logged)
    most = least + float((unit - certain).sum()) / len(logged)
    shares = unit[:, None] * _spread(logged, target)
    low, high = bounds(logged, shares, alpha)
    shift = doubly_robust(logged, unit[:, None] * target) - doubly_robust(logged, shares)
    low = min(max(low + shift, least), most)
    return Interval(low, max(min(high + shift, most), low))


def always(logged: Logged, wanted: Integers, alpha: float = 0.05, *, units: Floats | None = None) -> SameTasks:
    """Return the mean reward, had the model in column ``wanted`` been chosen at each decision; −1: what was chosen."""
    unit = np.ones(len(logged)) if units is None else units
    rewards, count = unit * logged.rewards, len(logged)
    is_other = wanted != _NOT_OFFERED
    known = float(rewards[~is_other].sum()) / count
    if not is_other.any():
        return SameTasks(known, known, known)
    part, rows = logged.only(is_other), np.arange(int(is_other.sum()))
    one = np.zeros(part.propensities.shape)
    one[rows, wanted[is_other]] = 1.0
    low, high = (known + each * len(part) / count for each in on_same_tasks(part, one, alpha, units=unit[is_other]))
    return SameTasks((low + high) / 2, low, high)


def _spread(logged: Logged, target: Floats) -> Floats:
    """Return the shares of an estimate that is about as uncertain as one on the same tasks."""
    chances = np.clip(logged.propensities.astype(np.float64), 0.0, 1.0)
    highest = target.max(axis=1, keepdims=True)
    surely = np.maximum(0.0, 2.0 * highest - 1.0) * target * chances
    squares = np.square(target) + np.where(target == highest, -surely, surely)
    spread: Floats = np.sqrt(np.maximum(squares, 0.0))
    return spread
