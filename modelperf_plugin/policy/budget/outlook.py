"""From what was spent to how much is left for each task that is still to come.

The number of tasks is expected to repeat itself: until the end of a day, as many as yesterday from this time on, scaled
by how many came today so far and by this time yesterday. Until so much is known, tasks are taken to come evenly.

What is left for a task is the remaining money over the remaining tasks. So a plan is never held against the past:
whatever was spent, and however many tasks came, the rest is spread evenly over the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from modelperf_plugin.policy.budget.settings import Budget
from modelperf_plugin.values import NANO_USD

_INSTANT: Final = 1000
"""A period has this many instants: as long as nothing is known, one task comes in each."""
_HORIZONS: Final = (16, 4, 1)
"""Parts of a rolling period within which its money must last."""
_COMPARED: Final = 8
"""The part of a period whose tasks are compared with those of the period before, at least."""
_STEADY_SHARE, _STEADY_TASKS = 0.05, 2.0
"""How many tasks that came as expected the comparison begins with: a share of a period's tasks, and some more."""
_TAIL: Final = 24
"""Tasks go on coming for half as long as this part of a period, whatever the period before says."""


class Spent(NamedTuple):
    """What was spent under a budget, by steps of time."""

    step_ms: int
    sums: Mapping[int, tuple[int, int]]
    """Number of outcomes and their cost in nano-dollars, by the number of the step since the Unix epoch."""
    since_ms: int | None = None
    """When the first known outcome ended; None without any."""

    def between(self, begin_ms: float, end_ms: float) -> tuple[float, float]:
        """Return outcomes and nano-dollars of a time; of a step that is only part of it, that part."""
        step = self.step_ms
        first, last = int(begin_ms // step), int(end_ms // step)
        outcomes = nano_usd = 0.0
        for number in range(first, last + 1):
            sums = self.sums.get(number)
            if sums is not None:
                part = (min(end_ms, (number + 1) * step) - max(begin_ms, number * step)) / step
                outcomes += part * sums[0]
                nano_usd += part * sums[1]
        return outcomes, nano_usd


class Outlook(NamedTuple):
    """How much is left of a budget, and for how many tasks."""

    spent_usd: float
    left_usd: float
    """Below 0 if more was spent; what is under way counts as spent."""
    tasks: float
    """Number of outcomes expected until the end."""
    usd_per_task: float
    """What is left for each of them."""
    reserve: float
    """For how many of them money must be kept back; of a rolling period, those until more of it returns."""
    until_ms: int
    """The end of the period; of a rolling one, the time after which all that was spent will count no more."""


def outlook(budget: Budget, spent: Spent, now_ms: int, reserved_usd: float = 0.0) -> Outlook:
    """Return what is left of ``budget``, of which ``reserved_usd`` is expected to be spent by what is under way."""
    begin, end = budget.window(now_ms)
    limit = budget.usd or 0.0
    step, steps = budget.step_ms, budget.steps(now_ms)
    used = sum([sums[1] for number, sums in spent.sums.items() if number in steps]) / NANO_USD
    left = limit - used - reserved_usd
    if not budget.rolling:
        tasks = _expected(budget, spent, begin, now_ms, end - now_ms)
        return Outlook(used, left, tasks, left / tasks, tasks, end)
    length = budget.length_ms
    per_task, reserve = float("inf"), 0.0
    for part in _HORIZONS:
        horizon = max(step, length / part)
        tasks = _expected(budget, spent, now_ms - length // 2, now_ms, horizon)
        returns = spent.between(begin, begin + horizon)[1] / NANO_USD
        reserve = reserve or tasks
        per_task = min(per_task, (left + min(used, returns)) / tasks)
    return Outlook(used, left, tasks, per_task, reserve, now_ms + length)


def _expected(budget: Budget, spent: Spent, begin_ms: int, now_ms: int, horizon_ms: float) -> float:
    """Return how many outcomes are expected within ``horizon_ms``; the period began at ``begin_ms``."""
    shift, since = budget.shift_ms, spent.since_ms
    instant = budget.length_ms / _INSTANT
    since = now_ms if since is None else min(since, now_ms)
    known_ms = min(now_ms - since, 2 * shift)
    rate = (spent.between(now_ms - known_ms, now_ms + 1)[0] + 1.0) / (known_ms + instant)
    if known_ms < shift:
        return max(1.0, rate * horizon_ms)
    upto = min(now_ms, now_ms - shift + horizon_ms)
    usual = spent.between(now_ms - shift, upto)[0] + rate * max(0.0, horizon_ms - shift)
    compared = min(max(now_ms - begin_ms, shift // _COMPARED), known_ms - shift)
    recent = spent.between(now_ms - compared, now_ms)[0]
    before = spent.between(now_ms - shift - compared, now_ms - shift)[0]
    steady = _STEADY_TASKS + _STEADY_SHARE * spent.between(now_ms - shift, now_ms)[0]
    tail = shift / _TAIL
    still = 0.5 * spent.between(now_ms - tail, now_ms)[0] * min(1.0, horizon_ms / tail)
    return max(1.0, still, usual * (recent + steady) / (before + steady))
