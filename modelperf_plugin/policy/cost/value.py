"""Dollars per success against dollars per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from modelperf_plugin.policy.cost.base import SWITCH_USD, Estimate, ExpectedCost, SortKey, describe_cost, worth_at
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.text import count


class Value(Strategy):
    """The model with the highest net value: chance of success × ``usd_per_success`` − expected cost of a task.

    With ``usd_per_minute`` the cost includes the price of the minutes that the task is expected to take.
    """

    objective: Literal["value"] = "value"
    ends_list: ClassVar[bool] = True
    weighs_costs: ClassVar[bool] = True
    usd_per_success: float = Field(gt=0, le=1_000_000, description="Value of one success in US dollars.")
    usd_per_minute: float = Field(
        default=0.0, ge=0, le=1_000_000, description="Price in US dollars of a minute that a try takes."
    )
    switch_usd: float = SWITCH_USD

    def __call__(self, estimates: Sequence[Estimate], chances: Sequence[float]) -> list[SortKey]:
        """Return the net value of each candidate; an unknown cost is assumed to be the lowest known one."""
        cheapest = min([estimate.cost for estimate in estimates if estimate.cost is not None], default=0.0)
        sort_keys: list[SortKey] = []
        for estimate, chance in zip(estimates, chances, strict=True):
            cost = (cheapest if estimate.cost is None else estimate.cost) + estimate.switch
            sort_keys.append((chance * self.usd_per_success - cost, chance, 0.0))
        return sort_keys

    caution: ClassVar[float] = 0.0
    avoids_unknown_costs: ClassVar[bool] = False

    def utility(self, best: float) -> Callable[[float, float], float]:  # noqa: ARG002 - the signature of the protocol
        worth = self.usd_per_success
        return lambda solved, cost: worth * solved - cost

    def tolerance(self, best_usd: float, cheaper_usd: float) -> float:
        return max(0.0, best_usd - cheaper_usd) / self.usd_per_success

    def at_price(self, price: float) -> Value:
        worth = worth_at(1.0 / self.usd_per_success + price)
        minute = self.usd_per_minute * worth / self.usd_per_success  # time is not paid from the budget
        return self.model_copy(update={"usd_per_success": worth, "usd_per_minute": minute})

    def explain_plan(self, models: int) -> str:
        return (
            f"the best value of {count(models, 'try', 'tries')} at ${self.usd_per_success:g} a solved task{self._time}"
        )

    def explain(self, cost: ExpectedCost | None) -> str:
        if cost is None:
            return f"the best value{self._time}; its cost is unknown"
        return f"the best value at ${self.usd_per_success:g} a success{self._time} ({describe_cost(cost)})"

    @property
    def _time(self) -> str:
        return f" and ${self.usd_per_minute:g} a minute" if self.usd_per_minute else ""
