"""Demotion strategies: which candidates are taken out of the ranking. They do not import each other."""

from typing import Annotated

from pydantic import Field

from modelperf_plugin.policy.demotion.base import DemotionStrategy
from modelperf_plugin.policy.demotion.evidence import DemoteByEvidence
from modelperf_plugin.policy.demotion.never import NeverDemote
from modelperf_plugin.policy.demotion.success_rate import DemoteBySuccessRate

AnyDemotion = Annotated[DemoteByEvidence | DemoteBySuccessRate | NeverDemote, Field(discriminator="strategy")]

__all__ = ["AnyDemotion", "DemoteByEvidence", "DemoteBySuccessRate", "DemotionStrategy", "NeverDemote"]
