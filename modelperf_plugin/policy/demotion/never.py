"""No demotion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.types import Tally


class NeverDemote(Strategy):
    """Every candidate stays in the running; the ranking alone decides."""

    strategy: Literal["never"] = "never"

    def __call__(self, tallies: Sequence[Tally]) -> list[str | None]:
        """Return None for each tally."""
        return [None] * len(tallies)
