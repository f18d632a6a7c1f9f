"""What the candidates of a task type are expected to cost, where little is known of some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from modelperf_plugin.policy.cost import ExpectedCost
from modelperf_plugin.values import NANO_USD

FEW: Final = 8
"""Costs of so many outcomes are not few."""


class CandidateCosts(NamedTuple):
    """The costs of the candidates of one task type, as they were last taken in."""

    costs: Mapping[str, ExpectedCost]
    usd: Mapping[str, float]
    is_settled: bool
    """Whether no cost is the mean of few outcomes."""

    @classmethod
    def of(cls, costs: Mapping[str, ExpectedCost]) -> CandidateCosts:
        """Return what is known by these ``costs``."""
        usd = {model_id: cost.usd for model_id, cost in costs.items()}
        return cls(costs, usd, all(not 0 < cost.outcomes < FEW for cost in costs.values()))

    def with_seen(
        self, model_costs: Mapping[str, ExpectedCost], seen: Mapping[str, tuple[int, int]]
    ) -> dict[str, float]:
        """Return the expected costs, those of few outcomes by what is known of other task types by now.

        ``seen`` are number and nano-dollars of the costs that were seen one by one, which ``model_costs``, the means
        over all task types, need not contain yet.
        """
        costs = {**model_costs, **self.costs}
        for model_id, (number, nano_usd) in seen.items():
            known = costs.get(model_id)
            if number > 0 and (known is None or 0 < known.outcomes < min(FEW, number)):
                costs[model_id] = ExpectedCost(nano_usd / NANO_USD / number, "model", number)
        return {model_id: cost.usd for model_id, cost in costs.items()}


NO_COSTS: Final = CandidateCosts({}, {}, is_settled=True)
