"""The cheapest model that is about as good as the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import sqrt
from statistics import NormalDist
from typing import ClassVar, Final, Literal

from pydantic import Field

from modelperf_plugin.policy.cost.base import SWITCH_USD, Estimate, ExpectedCost, SortKey, describe_cost, worth_at
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.text import count

_ROUNDING: Final = 1e-9
_TIE: Final = 1e-9
"""Dollars that a solved task is worth between plans that cost the same."""
_SHORT: Final = 1e9
"""Dollars that a solved task is worth where a plan is not within the margin."""


class CheapestWithin(Strategy):
    """The cheapest model whose success is within ``margin`` of the best, with probability ``confidence``.

    Chances include the optimism that exploration has drawn. If the highest chance belongs to a model other than the
    best by mean, for example an expensive one that might be better, any cheaper model within the margin of that chance
    replaces it. If it belongs to the best, a replacement must fulfil two conditions: P(p ≥ p_best − margin) ≥
    ``confidence`` with both beliefs taken as normal, so that (mean − mean_best + margin) / √(variance + variance_best)
    is at least the normal quantile of ``confidence``; and a chance within twice the margin, so that learning about the
    best continues. Of the possible replacements the one with the lowest expected cost wins.
    """

    objective: Literal["cheapest_within"] = "cheapest_within"
    ends_list: ClassVar[bool] = False
    weighs_costs: ClassVar[bool] = True
    usd_per_minute: ClassVar[float] = 0.0
    margin: float = Field(
        default=0.03, ge=0, lt=1, description="How much lower the success rate of a cheaper model may be."
    )
    confidence: float = Field(
        default=0.5, ge=0.5, lt=1, description="Probability with which a cheaper model must be within the margin."
    )
    switch_usd: float = SWITCH_USD

    @cached_property
    def _quantile(self) -> float:
        return NormalDist().inv_cdf(self.confidence)

    def __call__(self, estimates: Sequence[Estimate], chances: Sequence[float]) -> list[SortKey]:
        """Return (1, −cost, chance) for eligible models, and (0, chance, 0) for the others."""
        highest = max(chances)
        leaders = [estimate for estimate, chance in zip(estimates, chances, strict=True) if chance == highest]
        if all(leader.cost is None for leader in leaders):
            return [(0.0, chance, 0.0) for chance in chances]  # trying the best model reveals its cost
        best = max(estimates, key=lambda estimate: estimate.mean)
        exploits = any(leader.mean == best.mean for leader in leaders)
        least = highest - (2.0 if exploits else 1.0) * self.margin - _ROUNDING
        sort_keys: list[SortKey] = []
        for estimate, chance in zip(estimates, chances, strict=True):
            near = chance >= least and (not exploits or self._is_near_best(estimate, best))
            if (near or chance == highest) and estimate.cost is not None:
                sort_keys.append((1.0, -estimate.cost - estimate.switch, chance))
            else:
                sort_keys.append((0.0, chance, 0.0))
        return sort_keys

    avoids_unknown_costs: ClassVar[bool] = True

    @property
    def caution(self) -> float:
        return self._quantile

    def utility(self, best: float) -> Callable[[float, float], float]:
        least = best - self.margin - _ROUNDING

        def worth(solved: float, cost: float) -> float:
            return _TIE * solved - cost if solved >= least else _SHORT * (solved - least) - cost

        return worth

    def tolerance(self, best_usd: float, cheaper_usd: float) -> float:  # noqa: ARG002 - the signature of the protocol
        return self.margin

    def at_price(self, price: float) -> CheapestWithin:
        return _AtPrice.model_construct(**dict(self), usd_per_success=worth_at(price))

    def explain_plan(self, models: int) -> str:
        return f"the cheapest order of {count(models, 'try', 'tries')} within {self.margin:g} of the best"

    def explain(self, cost: ExpectedCost | None) -> str:
        if cost is None:
            return "the best; its cost is unknown"
        return f"the cheapest within {self.margin:g} of the best ({describe_cost(cost)})"

    def _is_near_best(self, estimate: Estimate, best: Estimate) -> bool:
        ahead = estimate.mean - best.mean + self.margin + _ROUNDING
        return ahead >= self._quantile * sqrt(estimate.variance + best.variance)


class _AtPrice(CheapestWithin):
    """The same under a budget: success below the margin is worth a given number of dollars, not any number."""

    usd_per_success: float

    def __call__(self, estimates: Sequence[Estimate], chances: Sequence[float]) -> list[SortKey]:
        """Return (value, chance, 0) for each candidate.

        Its value is minus the cost, and minus the dollars for the success lost against the choice without a budget.
        """
        unlimited = super().__call__(estimates, chances)
        usual = max(range(len(estimates)), key=unlimited.__getitem__)
        cheapest = min([estimate.cost for estimate in estimates if estimate.cost is not None], default=0.0)
        values = [
            self.usd_per_success * min(0.0, chance - chances[usual])
            - (cheapest if estimate.cost is None else estimate.cost)
            for estimate, chance in zip(estimates, chances, strict=True)
        ]
        return [(value, chance, 0.0) for value, chance in zip(values, chances, strict=True)]

    def utility(self, best: float) -> Callable[[float, float], float]:
        least, worth = best - self.margin, self.usd_per_success
        return lambda solved, cost: _TIE * solved + worth * min(0.0, solved - least) - cost
