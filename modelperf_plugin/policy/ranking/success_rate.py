"""Ranking by the plain success rate: the rule of the document this project grew out of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.intervals import wilson_interval
from modelperf_plugin.policy.ranking.base import Score
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.types import Tally


class SuccessRate(Strategy):
    """Successes over all outcomes, for candidates with at least ``min_samples`` of them; the others come last.

    Simple and easy to check by hand, but it never learns about a model it has not tried unless exploration
    makes it, and a few lucky outcomes look like certainty. The interval is Wilson's.
    """

    strategy: Literal["success_rate"] = "success_rate"
    min_samples: int = Field(default=3, ge=1, description="Outcomes a model needs before its rate counts.")

    def __call__(self, tallies: Sequence[Tally], beliefs: Sequence[Belief] | None = None) -> list[Score]:  # noqa: ARG002
        """Return one score for each tally, in the same order; the rate alone counts, no belief."""
        return [self._score(tally) for tally in tallies]

    def _score(self, tally: Tally) -> Score:
        samples = tally.samples
        if samples < self.min_samples:
            reason = f"unproven: {samples} of {self.min_samples} outcomes"
            return Score(1, 0.0, tally.success_rate, None, False, reason)
        rate = tally.successes / samples
        reason = f"success rate {rate:.3f} ({tally.successes} of {samples})"
        return Score(0, rate, rate, wilson_interval(tally.successes, samples), True, reason)
