"""The price of money: what a dollar must bring so that the money that is left for each task lasts.

Each task type has a menu, its candidates with chance and expected cost as they are today. At a price of λ successes a
dollar, a task goes to the candidate with the highest chance − λ·cost: the higher the price, the cheaper the candidates.
The price at which all tasks together cost just what is left for them is found as in the linear relaxation of the
knapsack problem. Every task first gets its cheapest candidate; then upgrades are bought, those first that gain the most
for a dollar, as long as there is money. The gain of the last one is the price.

Mostly there is money for a part of the last upgrade. Then that part of the decisions is made at a lower price, at which
the upgrade is chosen, and the others at a higher one, at which it is not: a fixed mixture of two models, where a single
price would use now the one, now the other.

Money left for a task and costs are only estimates, so prices are set again and again by what was really spent: if more
than planned was, less is left for each task, and the price rises.

Sources: A. Badanidiyuru et al., "Bandits with Knapsacks", 2013; S. Jasin and S. Kumar, "A Re-Solving Heuristic with
Bounded Revenue Loss for Network Revenue Management", 2012; E. Zemel, "An O(n) algorithm for the linear multiple choice
knapsack problem", 1984.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import exp, log, sqrt
from typing import Final, NamedTuple

Option = tuple[float, float]
"""Cost in US dollars, and chance to succeed."""

_END_RATIO: Final = 4.0
"""How many times steeper than the first upgrade, and flatter than the last, the next ones are taken to be."""
_AMPLE: Final = 0.5
"""What part of the cost without a limit must be left over until money costs nothing."""
_LEAST_GAIN: Final = 1e-9
_GRID: Final = 16.0
"""Prices are on a grid with this many in each factor of e, so that processes with about the same evidence agree."""


class Menu(NamedTuple):
    """The candidates of a task type."""

    weight: float
    """The share of its tasks in all tasks."""
    options: Sequence[Option]
    """At least one."""


class _Upgrade(NamedTuple):
    gain: float
    """Successes for a dollar."""
    usd: float
    """Cost of making it for all tasks of the type, for each task of any type."""


def cheapest_usd(menus: Iterable[Menu]) -> float:
    """Return what a task costs with the cheapest candidates."""
    total = spent = 0.0
    for weight, options in menus:
        total += weight
        spent += weight * min(options)[0]
    return spent / total if total else 0.0


class Price(NamedTuple):
    """What a dollar must bring, in successes; 0: there is more money than enough."""

    usual: float
    """The gain of the last upgrade."""
    low: float
    """At this price it is made."""
    high: float
    """At this price it is not."""
    share: float
    """The part of decisions that are made at the low price."""

    def at(self, point: float) -> float:
        """Return the price of a decision, for a ``point`` from [0, 1)."""
        return self.low if point < self.share else self.high


FREE: Final = Price(0.0, 0.0, 0.0, 1.0)


def price_of_money(menus: Sequence[Menu], usd_per_task: float) -> Price:
    """Return the price at which tasks cost ``usd_per_task``.

    >>> menus = [Menu(1.0, [(0.01, 0.6), (0.11, 0.7)])]
    >>> [(round(price.usual, 1), round(price.share, 1)) for usd in (0.01, 0.06, 0.2)
    ...     if (price := price_of_money(menus, usd))]
    [(1.0, 0.0), (1.0, 0.5), (0.0, 1.0)]
    """
    total = sum([menu.weight for menu in menus])
    upgrades = sorted(
        [_Upgrade(gain, usd * menu.weight / total) for menu in menus for gain, usd in _upgrades(menu.options)],
        reverse=True,
    )
    if not upgrades:
        return FREE
    whole = cheapest_usd(menus)
    room = usd_per_task - whole
    gains = [_END_RATIO * upgrades[0].gain, *[each.gain for each in upgrades], upgrades[-1].gain / _END_RATIO]
    for position, (gain, usd) in enumerate(upgrades, 1):
        if room < usd:
            low, high = sqrt(gain * gains[position + 1]), sqrt(gain * gains[position - 1])
            return Price(gain, _on_grid(low), _on_grid(high), max(0.0, room) / usd)
        room, whole = room - usd, whole + usd
    spare = room / (_AMPLE * whole) if whole > 0.0 else 1.0
    last = _on_grid(sqrt(gains[-2] * gains[-1]) * (1.0 - spare)) if spare < 1.0 else 0.0
    return Price(last, last, last, 1.0)


def _on_grid(price: float) -> float:
    """Return the nearest price on the grid."""
    return exp(round(log(price) * _GRID) / _GRID) if price > 0.0 else 0.0


def _upgrades(options: Sequence[Option]) -> list[tuple[float, float]]:
    """Return gain for a dollar and cost of each upgrade from the cheapest option on: the upper hull of the options."""
    hull: list[Option] = []
    for usd, chance in sorted(options, key=lambda option: (option[0], -option[1])):
        if hull and chance <= hull[-1][1] + _LEAST_GAIN:
            continue
        while len(hull) > 1 and _gain(hull[-2], hull[-1]) <= _gain(hull[-2], (usd, chance)):
            hull.pop()
        hull.append((usd, chance))
    return [(_gain(lower, upper), upper[0] - lower[0]) for lower, upper in pairwise(hull)]


def _gain(lower: Option, upper: Option) -> float:
    return (upper[1] - lower[1]) / max(1e-12, upper[0] - lower[0])
