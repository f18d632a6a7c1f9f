"""The policy: pure functions from evidence to a decision, without store, clock or files."""

from modelperf_plugin.policy.assessment import Assessment, assess
from modelperf_plugin.policy.candidates import Knowledge, Policy
from modelperf_plugin.policy.choice import Choice, choose, pick, ranking_of
from modelperf_plugin.policy.cost import AnyCostObjective, CheapestWithin, Success, Value
from modelperf_plugin.policy.demotion import AnyDemotion, DemoteByEvidence, DemoteBySuccessRate, NeverDemote
from modelperf_plugin.policy.exploration import ABTest, Adaptive, AnyExploration, EpsilonGreedy, NeverExplore
from modelperf_plugin.policy.ranking import AnyRanking, Posterior, SuccessRate

__all__ = [
    "ABTest", "Adaptive", "AnyCostObjective", "AnyDemotion", "AnyExploration", "AnyRanking", "Assessment",
    "CheapestWithin", "Choice", "DemoteByEvidence", "DemoteBySuccessRate", "EpsilonGreedy", "Knowledge", "NeverDemote",
    "NeverExplore", "Policy", "Posterior", "Success", "SuccessRate", "Value", "assess", "choose", "pick", "ranking_of",
]  # fmt: skip
