"""What a task costs where prices change and a single task may cost far more than usual.

The expected cost is the mean of all costs that still count. Whether the newest differ from the older ones is asked with
each new one: for several numbers of newest costs, the mean of their logarithms is compared with that of the others, in
standard deviations. Of those newest costs the one that speaks most for a change is left out, so that no single task
makes a change. Where the difference exceeds ``THRESHOLD``, the older costs stop counting.

Costs are taken as lognormal. Their spread follows from the differences between successive costs, which a change of the
price affects once only. Source: J. von Neumann and others, "The Mean Square Successive Difference", 1941.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import exp, log, sqrt
from typing import Final, NamedTuple

KEPT: Final = 24
"""How many of the newest costs are kept one by one."""
THRESHOLD: Final = 3.5
"""Standard deviations by which the newest costs differ from the older ones, if the price has changed."""
_WINDOWS: Final = (2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 24)
"""Numbers of newest costs that are compared with the older ones."""
_VARIANCE: Final = 0.9
"""Variance of the logarithm of the cost of a task until its own is known: that of a coefficient of variation of 1.2."""
_PRIOR: Final = 3.0
"""Number of differences which that counts as."""
_MEMORY: Final = 100.0
"""Number of differences that the variance is learned from, about."""
_INFERRED: Final = 8.0
"""Number of logarithms that one counts as which is inferred from a sum of costs."""
_OUTLIER: Final = 10.0
"""A single cost counts at most as this many times the median of the newest."""
_HINT: Final = 2.0
"""Standard deviations below the older costs from which the newest hint at a cut of the price."""
_ESTABLISHED: Final = 20.0
"""Number of costs from which a hint is believed."""
_HINTING: Final = (1, 2, 4, 8)
"""Numbers of newest costs that are looked at for a hint."""
_FEW: Final = 2


class RecentCosts(NamedTuple):
    """The costs of the tasks of one type with one model, as far as they count."""

    older_usd: float = 0.0
    """Sum of the older costs, discounted by age."""
    older: float = 0.0
    """Their number, discounted by age."""
    newest: tuple[float, ...] = ()
    """The newest costs in US dollars, oldest first."""
    logs: tuple[float, ...] = ()
    """Their logarithms."""
    log_sum: float = 0.0
    """Sum of the logarithms of older costs, as far as these were seen one by one."""
    logged: float = 0.0
    """Number of these."""
    squares: float = 0.0
    """Sum of the squared differences between the logarithms of successive costs, the last ones counting most."""
    differences: float = 0.0
    """Their number, discounted likewise."""
    highest: tuple[float, float] = (0.0, 0.0)
    """The two highest of the older costs that were seen one by one, the highest first."""
    highest_weight: float = 1.0
    """What the highest of them weighs in the sum."""
    has_changed: bool = False
    """Whether older costs do not count any more, because the price has changed since."""

    @classmethod
    def of(cls, usd: float, number: float, costs: Sequence[float]) -> RecentCosts:
        """Return so many costs with a sum of ``usd``, the last of which were ``costs``, oldest first.

        Those that are kept one by one count in full, even if the sum is discounted.
        """
        logs = [log(each) for each in costs]
        squares = [(two - one) ** 2 for one, two in pairwise(logs)][-int(_MEMORY) :]
        before, highest = logs[:-KEPT], sorted([0.0, 0.0, *costs[:-KEPT]])
        recent = cls(
            0.0, float(len(before)), tuple(costs[-KEPT:]), tuple(logs[-KEPT:]), sum(before), len(before), sum(squares),
            len(squares), (highest[-1], highest[-2]),
        )  # fmt: skip
        return recent.weighing(usd, number).since_change()

    def plus(self, usd: float, count: int = 1) -> RecentCosts:
        """Return these costs and ``count`` newer ones of ``usd`` on average."""
        if 1 < count <= KEPT:
            recent = self
            for _ in range(count):
                recent = recent.plus(usd)
            return recent
        if count > KEPT:
            costs = (*self.newest, *[usd] * KEPT)
            more = RecentCosts.of(self.older_usd + sum(self.newest) + count * usd, self.weight + count, costs)
            if more.has_changed:
                return more
            first, second = sorted([*self.highest, *more.highest])[:1:-1]
            weight = self.highest_weight if first == self.highest[0] else 1.0
            return more._replace(highest=(first, second), highest_weight=weight, has_changed=self.has_changed)
        value = log(usd)
        newest, logs = (*self.newest, usd), (*self.logs, value)
        squares, differences = self.squares, self.differences
        if self.logs:
            share = 1.0 - 1.0 / _MEMORY
            squares, differences = share * squares + (value - self.logs[-1]) ** 2, share * differences + 1.0
        older_usd, older, log_sum, logged = self.older_usd, self.older, self.log_sum, self.logged
        highest, weight = self.highest, self.highest_weight
        if len(newest) > KEPT:
            oldest = newest[0]
            older_usd, older, log_sum, logged = older_usd + oldest, older + 1.0, log_sum + logs[0], logged + 1.0
            newest, logs = newest[1:], logs[1:]
            if oldest > highest[0]:
                highest, weight = (oldest, highest[0]), 1.0
            elif oldest > highest[1]:
                highest = (highest[0], oldest)
        return RecentCosts(
            older_usd, older, newest, logs, log_sum, logged, squares, differences, highest, weight, self.has_changed
        ).since_change()

    def weighing(self, usd: float, number: float) -> RecentCosts:
        """Return the same costs with the older ones discounted anew: so many in all, with a sum of ``usd``."""
        older = number - len(self.newest)
        if older < 1.0:
            return self._replace(older_usd=0.0, older=0.0, highest=(0.0, 0.0), highest_weight=1.0)
        weight = self.highest_weight * min(1.0, older / self.older) if self.older else 1.0
        return self._replace(older_usd=max(0.0, usd - sum(self.newest)), older=older, highest_weight=weight)

    def since_change(self) -> RecentCosts:
        """Return the costs since the price has changed, if the newest say so, else all of them."""
        count = len(self.logs)
        variance, backwards = self.variance, self.logs[::-1]
        totals, lowest, highest = (
            list(accumulate(backwards)),
            list(accumulate(backwards, min)),
            list(accumulate(backwards, max)),
        )
        reference, all_logs = self._older_log(variance) * self.older, totals[-1] if totals else 0.0
        most, changed = THRESHOLD, 0
        for size in _WINDOWS:
            rest = self.older + count - size
            if size > count or rest < 1.0:
                break
            total = totals[size - 1]
            mean = (reference + all_logs - total) / rest
            others = size - 1
            up, down = (total - highest[size - 1]) / others - mean, mean - (total - lowest[size - 1]) / others
            deviations = max(up, down) / sqrt(variance * (1.0 / others + 1.0 / rest))
            if deviations > most:
                most, changed = deviations, size
        if not changed:
            return self
        return RecentCosts(
            newest=self.newest[-changed:], logs=self.logs[-changed:], squares=self.squares,
            differences=self.differences, has_changed=True,
        )  # fmt: skip

    @property
    def variance(self) -> float:
        """The variance of the logarithm of a cost."""
        return (_PRIOR * _VARIANCE + self.squares / 2.0) / (_PRIOR + self.differences)

    @property
    def weight(self) -> float:
        """How many costs count, older ones discounted."""
        return self.older + len(self.newest)

    @property
    def mean(self) -> float | None:
        """The expected cost of a task in US dollars; None if it is unknown.

        The highest cost counts at most as 10 times the median of the newest, unless the next one is as high.
        """
        if self.weight <= 0.0:
            return None
        older_usd, surplus = self._without_outlier()
        return (older_usd + sum(self.newest) - surplus) / self.weight

    def _without_outlier(self) -> tuple[float, float]:
        """Return the sum of the older costs as far as they count, and what does not count of the newest."""
        newest, (highest, second) = sorted(self.newest), self.highest
        if not newest:
            return self.older_usd, 0.0
        limit = _OUTLIER * newest[(len(newest) - 1) // 2]
        if highest >= newest[-1]:
            surplus = (highest - max(limit, second, newest[-1])) * self.highest_weight
            typical = self.older * exp(self.log_sum / self.logged) if self.logged else 0.0
            return min(self.older_usd, max(self.older_usd - max(0.0, surplus), typical)), 0.0
        if len(newest) > _FEW:
            limit = max(limit, newest[-2], highest)
        return self.older_usd, max(0.0, newest[-1] - limit) if len(newest) >= _FEW else 0.0

    @property
    def hints_at_cut(self) -> bool:
        """Whether the newest costs are so low that the price may have been cut."""
        if self.weight < _ESTABLISHED:
            return False
        variance = self.variance
        rest = self._older_log(variance) * self.older + sum(self.logs)
        total, count = 0.0, 0
        for size in _HINTING:
            total += sum(self.logs[len(self.logs) - size : len(self.logs) - count])
            count, others = size, self.weight - size
            if size > len(self.logs) or others < 1.0:
                break
            if (rest - total) / others - total / size > _HINT * sqrt(variance * (1.0 / size + 1.0 / others)):
                return True
        return False

    def above(self, usd: float) -> int:
        """Return how many of the newest costs in a row exceed ``usd``."""
        count = 0
        for each in reversed(self.newest):
            if each <= usd:
                break
            count += 1
        return count

    def _older_log(self, variance: float) -> float:
        """Return the mean of the logarithms of the older costs, inferred where these were not seen one by one."""
        if self.older <= 0.0 or self.older_usd <= 0.0:
            return 0.0
        inferred = log(self.older_usd / self.older) - variance / 2.0
        return (_INFERRED * inferred + self.log_sum) / (_INFERRED + self.logged)
