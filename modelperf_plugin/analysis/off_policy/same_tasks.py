"""What the very tasks of a log would have got, had each begun with another model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers, Logged, doubly_robust, lower_bound

_NOT_OFFERED = -1


class SameTasks(NamedTuple):
    """The mean reward of the same tasks under other first choices: an interval, and its middle."""

    value: float
    low: float
    high: float


def on_same_tasks(logged: Logged, wanted: Integers, alpha: float = 0.05, *, units: Floats | None = None) -> SameTasks:
    """Return the mean reward, had the model in column ``wanted`` been chosen at each decision; −1: what was chosen.

    ``units`` are what a reward of 1 amounts to at each decision; 1 without them. Only the draws of the log are random
    here: what a task would have got with each model is taken as fixed, though it is seen for the chosen one alone. So a
    task adds no uncertainty if the wanted model was certain to be chosen, and the more, the less likely that was. With
    the wanted model's probability π_t and its forecast q_t, the doubly robust estimate

        V̂ = (1/n) Σ_t [q_t + 1{a_t wanted}/π_t · (r_t − q_t)]

    is unbiased, and the variance of its sum is Σ_t (1 − π_t)/π_t · (r_t − q_t)². That is about how uncertain an
    estimate with shares √(1 − π_t) is, so the distances of its bounds (:func:`.lower_bound`) are taken. No result can
    contradict the tasks that were seen.

    Sources: J. Neyman, "On the Application of Probability Theory to Agricultural Experiments", 1923 (fixed potential
    outcomes); D. Horvitz and D. Thompson, 1952 (the variance); M. Dudík, J. Langford and L. Li, 2011 (doubly robust).
    """
    unit = np.ones(len(logged)) if units is None else units
    rewards, count = unit * logged.rewards, len(logged)
    is_other = wanted != _NOT_OFFERED
    is_seen = ~is_other | (logged.chosen == wanted)
    least = float(rewards[is_seen].sum()) / count
    most = least + float(unit[~is_seen].sum()) / count
    if is_seen.all():
        return SameTasks(least, least, least)
    part, column = logged.only(is_other), wanted[is_other]
    rows = np.arange(len(part))
    one: Floats = np.zeros(part.propensities.shape)
    one[rows, column] = unit[is_other]
    chances = np.clip(part.propensities[rows, column].astype(np.float64), 0.0, 1.0)
    shares = one * np.sqrt(1.0 - chances)[:, None]
    middle = doubly_robust(part, shares)
    below = middle - lower_bound(part, shares, alpha / 2)
    above = -lower_bound(part, -shares, alpha / 2) - middle
    share = len(part) / count
    value = float(rewards[~is_other].sum()) / count + share * doubly_robust(part, one)
    low = min(max(value - share * below, least), most)
    high = max(min(value + share * above, most), low)
    return SameTasks((low + high) / 2, low, high)
