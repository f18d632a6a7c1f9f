"""What the very tasks of a log would have cost, had each begun with another model."""

from __future__ import annotations

from math import hypot
from statistics import NormalDist
from typing import Final

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog, Flags
from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers
from modelperf_plugin.analysis.off_policy.same_tasks import SameTasks, always
from modelperf_plugin.analysis.off_policy.task_log import TaskLog
from modelperf_plugin.values import NANO_USD

HIGH_QUANTILE: Final = 0.85
PARTS: Final = 4
"""Into as many parts of equal length the log is divided, as prices and models change."""
MIN_COSTS, MIN_COSTS_IN_PART, MIN_HINTS = 50, 20, 5
"""Minimum number of costs to take a quantile of them alone: of a task type, and of one in a part of the log; and to
take the quantile if it is higher than that of a larger group."""
_Z: Final = NormalDist().inv_cdf(0.975)


def dollars_of(tasks: TaskLog, period: Flags, wanted: Integers) -> SameTasks:
    """Return the dollars of all tasks of ``period``, had each begun with the model in column ``wanted``.

    A cost has no upper limit, which :func:`.always` needs. So costs are cut at a high value: the 85 % quantile of
    first tries with the wanted models plus that of later tries, in each task type and part of the log. What the tasks
    that were seen cost beyond that, weighted by 1/π, is added to the others in proportion, with its own 95 % interval.
    So the mean of what tasks that were not seen cost up to the high value may be anything.

    Sources: J. Tukey, "The Future of Data Analysis", 1962 (costs cut at a quantile); W. Cochran, "Sampling Techniques",
    1977, chapter 6 (the ratio and its variance).
    """
    log = tasks.log
    priced = np.isfinite(log.cost_usd)
    own = priced & np.isin(log.chosen, np.unique(wanted[wanted >= 0]))
    high = _high(tasks, own if own.sum() >= MIN_COSTS else priced)
    chances = log.propensities[np.arange(len(log)), log.chosen].astype(np.float64)
    least, ratio, most = _beyond(log.cost_usd[own], high[own], 1.0 / chances[own])
    rows = priced & period
    known, units = log.only(priced), high[rows]
    cut = np.minimum(known.cost_usd / high[priced], 1.0)
    logged = known.with_rewards(cut).only(period[priced])
    part = wanted[priced[period]]
    found = always(logged, part, units=units)
    is_seen = (part < 0) | (part == logged.chosen)
    seen, seen_cut = float(log.cost_usd[rows][is_seen].sum()), float((units * logged.rewards)[is_seen].sum())
    value, least_cut, most_cut = (len(logged) * each - seen_cut for each in found)
    # the two errors are independent: one is of the draws, one of how far high costs go
    below = hypot((value - least_cut) * (1.0 + ratio), value * (ratio - least))
    above = hypot((most_cut - value) * (1.0 + ratio), value * (most - ratio))
    middle = seen + value * (1.0 + ratio)
    # tasks with an unknown cost are taken to cost what the others do
    scale = int(period.sum()) / len(logged)
    return SameTasks(scale * middle, scale * max(seen, middle - below), scale * (middle + above))


def _high(tasks: TaskLog, own: Flags) -> Floats:
    """Return for each task the high value of its cost.

    Where few tasks were retried, a later try may cost what first ones do, if that is more.
    """
    log, later = tasks.log, tasks.later_usd
    first = log.cost_usd - later
    every = _Quantiles(log, np.isfinite(first), first)
    high = _Quantiles(log, own, first).at_least(every)
    retried = np.isfinite(later) & (tasks.tries > 1)
    if retried.any():
        of_later = _Quantiles(log, retried, later)
        usd = of_later.at_least(every)
        high += np.where(of_later.is_few, np.maximum(usd, every.at_least(every)), usd)
    return np.maximum(high[log.task, _part(log)], 1.0 / NANO_USD)


def _part(log: DecisionLog) -> Integers:
    return np.arange(len(log)) * PARTS // len(log)


class _Quantiles:
    """High quantiles of some amounts: of all, by task type, and by task type and part of the log."""

    def __init__(self, log: DecisionLog, rows: Flags, usd: Floats) -> None:
        amounts, task, part = usd[rows], log.task[rows], _part(log)[rows]
        shape = (len(log.task_types), PARTS)
        self._in_part, self._of_type = np.zeros(shape), np.zeros(len(log.task_types))
        self._counts = np.zeros(shape, int)
        np.add.at(self._counts, (task, part), 1)
        self._all = float(np.quantile(amounts, HIGH_QUANTILE))
        for position in np.flatnonzero(self._counts.any(axis=1)).tolist():
            of_type, parts = amounts[task == position], part[task == position]
            self._of_type[position] = np.quantile(of_type, HIGH_QUANTILE)
            for number in np.flatnonzero(self._counts[position]).tolist():
                self._in_part[position, number] = np.quantile(of_type[parts == number], HIGH_QUANTILE)

    @property
    def is_few(self) -> Flags:
        """Whether there are few amounts, for each task type and part of the log."""
        few: Flags = self._counts < MIN_COSTS_IN_PART
        return few

    def at_least(self, every: _Quantiles) -> Floats:
        """Return the high value for each task type and part of the log.

        It is the quantile in that part, else the higher one of that and the quantile of the task type, else of all. A
        task type that costs more than others in ``every`` amount does so here, too.
        """
        of_types = self._counts.sum(axis=1)
        known = (every._counts.sum(axis=1) >= MIN_COSTS) & (every._all > 0.0)
        dearer = np.divide(every._of_type, every._all, out=np.ones(len(known)), where=known)
        rest = np.maximum(self._all * np.maximum(1.0, dearer), np.where(of_types >= MIN_HINTS, self._of_type, 0.0))
        of_type = np.where(of_types >= MIN_COSTS, self._of_type, rest)[:, None]
        hint = np.where(self._counts >= MIN_HINTS, self._in_part, 0.0)
        return np.where(self.is_few, np.maximum(of_type, hint), self._in_part)


def _beyond(usd: Floats, high: Floats, weights: Floats) -> tuple[float, float, float]:
    """Return the sum beyond ``high`` as a multiple of that up to it, between the ends of its interval."""
    cut = np.minimum(usd, high)
    total = float((weights * cut).sum())
    if total <= 0.0:
        return 0.0, 0.0, 0.0
    beyond = usd - cut
    ratio = float((weights * beyond).sum()) / total
    error = _Z * float(np.square(weights * (beyond - ratio * cut)).sum()) ** 0.5 / total
    return max(0.0, ratio - error), ratio, ratio + error
