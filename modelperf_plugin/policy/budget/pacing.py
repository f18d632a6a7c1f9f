"""What a budget means for a choice: what money costs, and which candidates it does not permit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final, NamedTuple

from modelperf_plugin.policy.budget.menu import Menu, Price, cheapest_usd, price_of_money
from modelperf_plugin.policy.budget.outlook import Outlook
from modelperf_plugin.policy.budget.settings import Budget

_VARIATION: Final = 1.6
"""Standard deviation of the cost of all remaining tasks, as a multiple of that of one and the root of their number.

Tasks differ in cost, and there may be more of them than expected.
"""
_CAUTION: Final = 2.0
"""Standard deviations that the cost of all remaining tasks may be above its mean."""
_TAIL: Final = 2.5
"""How many times its expected cost one task may cost."""


class Pace(NamedTuple):
    """How a budget is to be spent from now on."""

    price: Price
    """Successes that a dollar must bring."""
    rest_usd: float
    """What the remaining tasks may cost at least, with the cheapest candidates."""

    def is_short(self, outlook: Outlook) -> bool:
        """Return whether no more is left than that."""
        return outlook.left_usd <= max(0.0, self.rest_usd)


def pace(menus: Sequence[Menu], outlook: Outlook) -> Pace:
    """Return how the money that is left is made to last for tasks with these ``menus``."""
    tasks = outlook.reserve
    rest = cheapest_usd(menus) * (tasks + _CAUTION * _VARIATION * sqrt(tasks))
    return Pace(price_of_money(menus, outlook.usd_per_task), rest)


def is_ample(left_usd: float, rest_usd: float, most_usd: float, waiting: int) -> bool:
    """Return whether any candidate is permitted, with ``waiting`` decisions under way: ``most_usd`` is the dearest."""
    return left_usd - rest_usd > most_usd * (_TAIL + waiting)


def refused(
    budget: Budget, offered: Sequence[str], costs: Mapping[str, float], left_usd: float, rest_usd: float
) -> list[str]:
    """Return the candidates that are not permitted with ``left_usd`` left.

    These are the ones after which no ``rest_usd`` would be left for the remaining tasks. The cheapest one is permitted
    as long as there is money for it or, if the budget goes on with it, always. Of unknown cost is what is not in
    ``costs``: it is permitted as long as there is more money than that.
    """
    known = [each for each in offered if each in costs]
    cheapest = min(known, key=lambda each: (costs[each], each), default=None)
    goes_on = budget.then == "cheapest"
    if cheapest is None:
        return [] if goes_on or left_usd > 0.0 else list(offered)
    if goes_on or 0.0 < costs[cheapest] <= left_usd or 0.0 == costs[cheapest] < left_usd:
        rest_usd = max(0.0, rest_usd)
        return [each for each in offered if each != cheapest and _TAIL * costs.get(each, 0.0) >= left_usd - rest_usd]
    return list(offered)


def is_ahead(budget: Budget, outlook: Outlook, outcomes: float, cost_usd: float, left_usd: float) -> bool:
    """Return whether a model with a budget of its own must wait until its plan has caught up.

    By the plan its spending grows with the tasks, of which ``outcomes`` have come in this period. One task more than
    that is permitted at any time, if there is money for it.
    """
    if left_usd < cost_usd or left_usd <= 0.0:
        return True
    limit = budget.usd or 0.0
    planned = limit * outcomes / (outcomes + outlook.tasks)
    return not budget.rolling and limit - left_usd > planned
