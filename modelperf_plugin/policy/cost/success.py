"""The null objective: success alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from modelperf_plugin.policy.cost.base import SWITCH_USD, Estimate, ExpectedCost, SortKey, worth_at
from modelperf_plugin.policy.cost.value import Value
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.text import count


class Success(Strategy):
    """The best model, whatever its cost."""

    objective: Literal["success"] = "success"
    switch_usd: float = SWITCH_USD
    ends_list: ClassVar[bool] = False
    weighs_costs: ClassVar[bool] = False
    usd_per_minute: ClassVar[float] = 0.0

    def __call__(self, estimates: Sequence[Estimate], chances: Sequence[float]) -> list[SortKey]:  # noqa: ARG002
        return [(chance, 0.0, 0.0) for chance in chances]

    caution: ClassVar[float] = 0.0
    avoids_unknown_costs: ClassVar[bool] = False

    def utility(self, best: float) -> Callable[[float, float], float]:  # noqa: ARG002 - the signature of the protocol
        return _chance

    def tolerance(self, best_usd: float, cheaper_usd: float) -> float:  # noqa: ARG002
        return 0.0

    def at_price(self, price: float) -> Value:
        return Value.model_construct(usd_per_success=worth_at(price), switch_usd=self.switch_usd)

    def explain_plan(self, models: int) -> str:
        return f"the order of {count(models, 'try', 'tries')} that most likely solves the task"

    def explain(self, cost: ExpectedCost | None) -> str:  # noqa: ARG002
        return ""


def _chance(solved: float, cost: float) -> float:  # noqa: ARG001
    return solved
