"""Ranking by the observed success rate: the migration guide's rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.intervals import wilson_interval
from modelperf_plugin.policy.ranking.base import Explanation, Score
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.values import ScorePart, Tally


class SuccessRate(Strategy):
    """Successes over all outcomes, for candidates with at least ``min_samples`` of them; the others rank last.

    Every outcome counts, including those on tasks that others had failed. Easy to check by hand, but it only learns
    about untried models through exploration, and a few lucky outcomes look like certainty. The interval is Wilson's.
    """

    strategy: Literal["success_rate"] = "success_rate"
    min_samples: int = Field(default=3, ge=1, description="Minimum number of outcomes before the success rate counts.")

    def __call__(self, tallies: Sequence[Tally], beliefs: Sequence[Belief] | None = None) -> list[Score]:  # noqa: ARG002
        least = self.min_samples
        return [(1, 0.0) if tally.samples < least else (0, tally.successes / tally.samples) for tally in tallies]

    def believed(self, tallies: Sequence[Tally], beliefs: Sequence[Belief]) -> Sequence[Belief]:  # noqa: ARG002
        return beliefs

    def explain(self, tally: Tally, belief: Belief | None = None) -> Explanation:  # noqa: ARG002
        samples = tally.samples
        proven = samples >= self.min_samples
        interval = wilson_interval(tally.successes, samples) if proven else None
        return Explanation(tally.success_rate, interval, proven, self.reason(tally))

    def parts(self, tally: Tally, belief: Belief | None = None) -> tuple[ScorePart, ...]:  # noqa: ARG002
        samples = tally.samples
        return (ScorePart("own", samples, tally.successes / samples),) if samples >= self.min_samples else ()

    def reason(self, tally: Tally, belief: Belief | None = None) -> str:  # noqa: ARG002
        samples = tally.samples
        if samples < self.min_samples:
            return f"unproven: {samples} of {self.min_samples} outcomes"
        return f"success rate {tally.successes / samples:.3f} ({tally.successes} of {samples})"
