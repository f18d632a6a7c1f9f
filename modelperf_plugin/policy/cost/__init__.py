"""Cost objectives: success against dollars."""

from typing import Annotated

from pydantic import Field

from modelperf_plugin.policy.cost.base import CostObjective, Estimate, ExpectedCost, ModelCosts, SortKey, expected_cost
from modelperf_plugin.policy.cost.cheapest_within import CheapestWithin
from modelperf_plugin.policy.cost.success import Success
from modelperf_plugin.policy.cost.value import Value

AnyCostObjective = Annotated[Success | CheapestWithin | Value, Field(discriminator="objective")]

__all__ = [
    "AnyCostObjective", "CheapestWithin", "CostObjective", "Estimate", "ExpectedCost", "ModelCosts", "SortKey",
    "Success", "Value", "expected_cost",
]  # fmt: skip
