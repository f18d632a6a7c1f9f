"""What a budget means for a choice: what money costs, and which candidates it does not permit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
_HOPELESS: Final = 1.5
"""How many times what is left the rest must cost for known models not to make the money last."""
_UPPER: Final = 0.75
"""A model of unknown cost is taken to cost as much as this quantile of the known costs."""
_CREDIT: Final = 0.125
"""The part of a budget by which spending may be ahead of its plan for models of unknown cost to be tried."""
_TAIL: Final = 4.0
"""How many times its expected cost one task may cost."""


class Pace(NamedTuple):
    """How a budget is to be spent from now on."""

    price: Price
    """Successes that a dollar must bring."""
    rest_usd: float
    """What the remaining tasks may cost at least, with the cheapest candidates."""
    least_usd: float = 0.0
    """What one task costs with the cheapest candidate of any task type."""

    def is_short(self, outlook: Outlook) -> bool:
        """Return whether no more is left than that."""
        return outlook.left_usd <= max(0.0, self.rest_usd)


def pace(menus: Sequence[Menu], outlook: Outlook) -> Pace:
    """Return how the money that is left is made to last for tasks with these ``menus``."""
    tasks = outlook.reserve
    rest = cheapest_usd(menus) * (tasks + _CAUTION * _VARIATION * sqrt(tasks))
    least = min([min(menu.options)[0] for menu in menus], default=0.0)
    return Pace(price_of_money(menus, outlook.usd_per_task), rest, least)


def is_ample(left_usd: float, rest_usd: float, most_usd: float, waiting: int) -> bool:
    """Return whether every candidate is permitted, at ``most_usd`` for a task and ``waiting`` decisions under way."""
    return left_usd - rest_usd > most_usd * (_TAIL + waiting)


def assumed_usd(costs: Iterable[float]) -> float:
    """Return what a model of unknown cost is taken to cost if others have these ``costs``: the upper quartile.

    >>> assumed_usd([0.01, 0.5, 0.2, 0.1])
    0.5
    """
    known = sorted(costs)
    return known[int(_UPPER * len(known))] if known else 0.0


def usd_for_trials(budget: Budget, outlook: Outlook, outcomes: float, left_usd: float) -> float:
    """Return how much the trial of a model of unknown cost may cost now; ``outcomes`` have come in this period.

    By the plan spending grows with the tasks. Trials may make it run ahead of that by a part of the budget, and
    then wait until the plan has caught up: so they are spread over the period, and what they leave is enough for it.
    """
    limit = budget.usd or 0.0
    done = outcomes / (outcomes + outlook.tasks)
    planned = limit * (min(1.0, 2.0 * done) if budget.rolling else done)
    return min(left_usd, planned + _CREDIT * limit - (limit - left_usd))


def refused(
    budget: Budget, offered: Sequence[str], costs: Mapping[str, float], left_usd: float, rest_usd: float,
    trial_usd: float,
) -> list[str]:  # fmt: skip
    """Return the candidates that are not permitted with ``left_usd`` left.

    Those are the ones after which ``rest_usd`` might not be left for the remaining tasks; with ``then = "none"`` it is
    not held back. The cheapest one is permitted as long as there is money for it or, if the budget may be overdrawn,
    always; so is one that costs nothing. One that is not in ``costs``, of unknown cost, is assumed to be one of the
    more expensive ones, and is tried only for ``trial_usd`` at most.

    While the known ones cannot make the money last, one of unknown cost is tried first, because it may be cheaper.
    Of k + 1 models the last one is the cheapest with the chance 1 / (k + 1), and what is left then goes about twice as
    far: so the trial may cost that part of half of it.
    """
    known = [each for each in offered if each in costs]
    cheapest = min(known, key=lambda each: (costs[each], each), default=None)
    spare = left_usd - (0.0 if budget.then == "none" else max(0.0, rest_usd))
    assumed = assumed_usd([costs[each] for each in known] or costs.values())
    is_hopeless = rest_usd > _HOPELESS * left_usd
    if is_hopeless:
        trial_usd = 0.5 * left_usd / (len(known) + 1)
    may_try = left_usd > 0.0 and assumed <= trial_usd and (is_hopeless or not known or _TAIL * assumed < spare)
    if is_hopeless and may_try and len(known) < len(offered):
        return known
    permitted = [
        each for each in offered if (_TAIL * costs[each] < spare or not costs[each] if each in costs else may_try)
    ]
    may_overdraw = budget.then == "overdraw"
    if cheapest is not None and (may_overdraw or costs[cheapest] <= left_usd > 0.0):
        permitted.append(cheapest)
    if not permitted and may_overdraw:
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
