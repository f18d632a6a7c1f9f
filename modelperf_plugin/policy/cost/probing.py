"""Probes of prices: calls of models that only what they have cost so far keeps out.

What a model costs is known from its calls. One that has become too expensive gets none, so a lower price would never be
noticed. Therefore a model is probed from time to time: once enough outcomes of the task type have come since its last
one, a fifth of the decisions is for it until one is made.

- A model that would be preferred at a fifth of its cost is probed as often as the difference in cost amounts to
  ``money`` of what is spent, of all such models together, and less often the more outcomes there are. A cost that hints
  at a lower price makes the next probe come sooner.
- A model above ``max_cost_usd`` is probed after 50 outcomes, and after twice as many with each of its newest costs that
  was above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final

from modelperf_plugin.policy.cost.base import CostObjective, Estimate
from modelperf_plugin.policy.cost.prices import RecentCosts

SHARE: Final = 0.2
"""The part of the decisions that is for the models whose probes are due, all together."""
_CUT: Final = 0.2
"""A model is worth a probe if it would be preferred at this part of its cost."""
_SHORTEST: Final = 50
_LONGEST: Final = 2_000
"""Outcomes of the task type between two probes of a model."""
_SOONER: Final = 0.1
"""After a hint, the next probe comes after this part of the usual number of outcomes."""
_OUTCOMES: Final = 5_000
"""Outcomes after which probes are less frequent by a factor of √2."""
_MAX_DOUBLINGS: Final = 6
_OFTEN: Final = 4
"""How many costs above the limit those on other task types count as."""


def due(
    objective: CostObjective, model_ids: Sequence[str], estimates: Sequence[Estimate], outcomes: int, money: float,
    waiting: Mapping[str, int], recent: Mapping[str, RecentCosts],
) -> list[int]:  # fmt: skip
    """Return which of the models, best first, are due to be probed for a lower price.

    ``outcomes`` is the number of all their outcomes on the task type, ``waiting`` that of those since the last one of
    each model.
    """
    usd = estimates[0].cost
    if not usd or money <= 0.0 or max([waiting.get(each, 0) for each in model_ids]) < _SOONER * _SHORTEST:
        return []
    utility = objective.utility(max([each.mean for each in estimates]))
    worth = utility(estimates[0].mean, usd)
    dear = [
        (position, cost)
        for position, (mean, variance, cost, _) in enumerate(estimates)
        if cost is not None and cost > usd and utility(mean + sqrt(variance), _CUT * cost) > worth
    ]
    slowness = len(dear) / money * sqrt(1.0 + outcomes / _OUTCOMES)
    found = []
    for position, cost in dear:
        model_id = model_ids[position]
        interval = min(_LONGEST, max(_SHORTEST * len(dear), slowness * (cost / usd - 1.0)))
        record = recent.get(model_id)
        if record is not None and record.hints_at_cut:
            interval *= _SOONER
        if waiting.get(model_id, 0) >= interval:
            found.append(position)
    return found


def is_due_above(limit: float, waiting: int, record: RecentCosts | None) -> bool:
    """Return whether a model whose costs exceed a ``limit`` is due to be probed."""
    costs = record.above(limit) if record is not None and record.newest else _OFTEN
    return waiting >= _SHORTEST * 2.0 ** min(costs, _MAX_DOUBLINGS)
