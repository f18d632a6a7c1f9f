"""Exploration strategies: how decisions are spread over the candidates. They do not import each other."""

from typing import Annotated

from pydantic import Field

from modelperf_plugin.policy.exploration.ab_test import ABTest
from modelperf_plugin.policy.exploration.adaptive import Adaptive
from modelperf_plugin.policy.exploration.base import ChoiceSet, ExplorationStrategy, Shares
from modelperf_plugin.policy.exploration.epsilon_greedy import EpsilonGreedy
from modelperf_plugin.policy.exploration.never import NeverExplore

AnyExploration = Annotated[Adaptive | EpsilonGreedy | ABTest | NeverExplore, Field(discriminator="strategy")]

__all__ = [
    "ABTest", "Adaptive", "AnyExploration", "ChoiceSet", "EpsilonGreedy", "ExplorationStrategy", "NeverExplore",
    "Shares",
]  # fmt: skip
