"""No exploration."""

from __future__ import annotations

from typing import ClassVar, Literal

from modelperf_plugin.policy.exploration.base import ChoiceSet, Shares, best_only
from modelperf_plugin.policy.strategy import Strategy


class NeverExplore(Strategy):
    """Always the best-ranked candidate; ties are broken at random."""

    strategy: Literal["never"] = "never"
    price_probes: ClassVar[float] = 0.0
    uniform: ClassVar[float] = 0.0

    def __call__(self, choice_set: ChoiceSet) -> Shares:
        return Shares(best_only(choice_set))
