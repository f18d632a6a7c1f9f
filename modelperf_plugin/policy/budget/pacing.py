"""What a budget means for a choice: what money costs, and which candidates it does not permit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean
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
_HOPELESS: Final = 1.5
"""How many times what is left the rest must cost for models of unknown cost to be tried."""
_TAIL: Final = 4.0
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
    as long as there is money for it or, if the budget goes on with it, always. One that is not in ``costs``, of unknown
    cost, counts as costing the mean of the others; but as long as those cannot make the money last it is permitted,
    because it may be cheaper.
    """
    known = [each for each in offered if each in costs]
    cheapest = min(known, key=lambda each: (costs[each], each), default=None)
    spare, guess = left_usd - max(0.0, rest_usd), fmean([costs[each] for each in known] or [0.0])
    permitted = [each for each in offered if _TAIL * costs.get(each, guess) < spare]
    if left_usd > 0.0 and rest_usd > _HOPELESS * left_usd:
        permitted += [each for each in offered if each not in costs]
    if cheapest is not None and (budget.then == "cheapest" or costs[cheapest] <= left_usd > 0.0):
        permitted.append(cheapest)
    if not permitted and budget.then == "cheapest":
        return []  # no cost is known
    return [each for each in offered if each not in permitted]


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
