"""No exploration."""

from __future__ import annotations

from typing import Literal

from modelperf_plugin.policy.exploration.base import Contest, Shares, best_only
from modelperf_plugin.policy.strategy import Strategy


class NeverExplore(Strategy):
    """Always the best-ranked candidate; ties are broken at random."""

    strategy: Literal["never"] = "never"

    def __call__(self, contest: Contest) -> Shares:
        """Return equal probabilities for the rows tied at the top, 0 for the rest."""
        return Shares(best_only(contest))
