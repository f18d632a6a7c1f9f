"""The null objective: success alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from modelperf_plugin.policy.cost.base import Estimate, ExpectedCost, SortKey
from modelperf_plugin.policy.strategy import Strategy


class Success(Strategy):
    """The best model, whatever its cost."""

    objective: Literal["success"] = "success"
    weighs_costs: ClassVar[bool] = False

    def __call__(self, estimates: Sequence[Estimate], chances: Sequence[float]) -> list[SortKey]:  # noqa: ARG002
        return [(chance, 0.0, 0.0) for chance in chances]

    def explain(self, cost: ExpectedCost | None) -> str:  # noqa: ARG002
        return ""
