"""What a budget means for a choice: what money costs, and which candidates it does not permit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modelperf_plugin.policy.budget.menu import Menu, cheapest_usd, price_of_money
from modelperf_plugin.policy.budget.outlook import Outlook
from modelperf_plugin.policy.budget.settings import Budget


class Pace(NamedTuple):
    """How a budget is to be spent from now on."""

    price: float
    """Successes that a dollar must bring; 0: there is enough money."""
    is_short: bool
    """Whether the money does not even last for the cheapest candidates."""


def pace(menus: Sequence[Menu], outlook: Outlook) -> Pace:
    """Return how the money that is left is made to last for tasks with these ``menus``."""
    is_short = outlook.left_usd <= 0.0 or (bool(menus) and outlook.usd_per_task < cheapest_usd(menus))
    return Pace(price_of_money(menus, outlook.usd_per_task), is_short)


def refused(
    budget: Budget, offered: Sequence[str], costs: Mapping[str, float], left_usd: float, *, is_short: bool
) -> list[str]:
    """Return the candidates that are not permitted with ``left_usd`` left.

    These are the ones that cost more than that or, if the money is too short for the rest of the period and the budget
    goes on with the cheapest, all but the cheapest. Of unknown cost is what is not in ``costs``.
    """
    affordable = [each for each in offered if left_usd > 0.0 and costs.get(each, 0.0) <= left_usd]
    if budget.then == "cheapest" and (is_short or not affordable):
        cheapest = min([each for each in offered if each in costs], key=lambda each: (costs[each], each), default=None)
        affordable = list(offered) if cheapest is None else [cheapest]
    return [each for each in offered if each not in affordable]


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
