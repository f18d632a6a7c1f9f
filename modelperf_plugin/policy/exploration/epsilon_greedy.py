"""ε-greedy: a fixed share of the decisions is drawn uniformly."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from modelperf_plugin.policy.exploration.base import ChoiceSet, Shares, best_only
from modelperf_plugin.policy.strategy import Strategy


class EpsilonGreedy(Strategy):
    """With probability ε any candidate, uniformly; otherwise the best-ranked one.

    With K candidates, T of them tied at the top, each has the probability ε/K, and those at the top (1 − ε)/T
    more. Source: R. Sutton and A. Barto, "Reinforcement Learning", section 2.2.
    """

    strategy: Literal["epsilon_greedy"] = "epsilon_greedy"
    price_probes: ClassVar[float] = 0.0
    epsilon: float = Field(default=0.1, ge=0, le=1, description="Share of decisions drawn uniformly (ε).")

    @property
    def uniform(self) -> float:
        return self.epsilon

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        floor = self.epsilon / len(choice_set.rows)
        return Shares([floor + (1.0 - self.epsilon) * share for share in best_only(choice_set)])
