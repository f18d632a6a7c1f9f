"""What the very tasks of a log would have cost, had each begun with another model."""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog, Flags
from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers
from modelperf_plugin.analysis.off_policy.same_tasks import SameTasks, on_same_tasks
from modelperf_plugin.analysis.off_policy.task_log import TaskLog
from modelperf_plugin.values import NANO_USD

HIGH_QUANTILE: Final = 0.95
MIN_COSTS: Final = 50
"""Minimum number of costs of a model, or of a task type, to take a quantile of them."""
_Z: Final = NormalDist().inv_cdf(0.975)


def dollars_of(tasks: TaskLog, period: Flags, wanted: Integers) -> SameTasks:
    """Return the dollars of all tasks of ``period``, had each begun with the model in column ``wanted``.

    A cost has no upper limit, which :func:`.on_same_tasks` needs. So costs are cut at a high value: the 95 % quantile
    of first tries with the wanted models plus that of later tries, of the task type where there are enough. What the
    tasks that were seen cost beyond that is added to the others in proportion, with its own 95 % interval. So the means
    of tasks that were not seen may be anything up to the high value.

    Sources: J. Tukey, "The Future of Data Analysis", 1962 (costs cut at a quantile); W. Cochran, "Sampling Techniques",
    1977, chapter 6 (the ratio and its variance).
    """
    log = tasks.log
    priced = np.isfinite(log.cost_usd)
    own = priced & np.isin(log.chosen, np.unique(wanted[wanted >= 0]))
    high = _high(tasks, own if own.sum() >= MIN_COSTS else priced)
    least, ratio, most = _beyond(log.cost_usd[own], high[log.task[own]])
    rows = priced & period
    known, units = log.only(priced), high[log.task[rows]]
    cut = np.minimum(known.cost_usd / high[known.task], 1.0)
    logged = known.with_rewards(cut).only(period[priced])
    part = wanted[priced[period]]
    found = on_same_tasks(logged, part, units=units)
    is_seen = (part < 0) | (part == logged.chosen)
    seen, seen_cut = float(log.cost_usd[rows][is_seen].sum()), float((units * logged.rewards)[is_seen].sum())
    # tasks with an unknown cost are taken to cost what the others do
    scale, count = int(period.sum()) / len(logged), len(logged)
    low, high_end = (scale * (seen + (count * end - seen_cut) * (1.0 + beyond))
                     for end, beyond in ((found.low, least), (found.high, most)))  # fmt: skip
    value = scale * (seen + (count * found.value - seen_cut) * (1.0 + ratio))
    return SameTasks(value, low, high_end)


def _high(tasks: TaskLog, own: Flags) -> Floats:
    """Return for each task type the high value of the cost of a task.

    Where few tasks of a type were retried, a later try may cost there what first ones do, if that is more.
    """
    log, later = tasks.log, tasks.later_usd
    first = log.cost_usd - later
    high, _ = _quantiles(log, own, first)
    retried = np.isfinite(later) & (tasks.tries > 1)
    if retried.any():
        of_later, is_few = _quantiles(log, retried, later)
        of_first, _ = _quantiles(log, np.isfinite(first), first)
        high += np.where(is_few, np.maximum(of_later, of_first), of_later)
    return np.maximum(high, 1.0 / NANO_USD)


def _quantiles(log: DecisionLog, rows: Flags, usd: Floats) -> tuple[Floats, Flags]:
    """Return the high quantile for each task type, that of all types where there are few; and where there are few."""
    task, amounts = log.task[rows], usd[rows]
    is_few = np.bincount(task, minlength=len(log.task_types)) < MIN_COSTS
    high = np.full(len(is_few), np.quantile(amounts, HIGH_QUANTILE))
    for position in np.flatnonzero(~is_few).tolist():
        high[position] = np.quantile(amounts[task == position], HIGH_QUANTILE)
    return high, is_few


def _beyond(usd: Floats, high: Floats) -> tuple[float, float, float]:
    """Return the sum beyond ``high`` as a multiple of that up to it, between the ends of its interval."""
    cut = np.minimum(usd, high)
    total = float(cut.sum())
    if total <= 0.0:
        return 0.0, 0.0, 0.0
    beyond = usd - cut
    ratio = float(beyond.sum()) / total
    error = _Z * float(np.square(beyond - ratio * cut).sum()) ** 0.5 / total
    return max(0.0, ratio - error), ratio, ratio + error
