"""Ranking by the posterior mean of the probability of success."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from modelperf_plugin.policy.intervals import beta_interval
from modelperf_plugin.policy.ranking.base import Score
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.types import Tally


class Posterior(Strategy):
    """The mean of Beta(k·p₀ + successes, k·(1 − p₀) + failures): the rate, shrunk to the prior when evidence is thin.

    Outages and the caller's own errors are left out of the failures: they say nothing about the model.
    """

    strategy: Literal["posterior"] = "posterior"
    min_samples: int = Field(default=3, ge=1, description="Below this many outcomes a model is shown as unproven.")
    prior_success: float = Field(
        default=0.5,
        ge=0.001,
        le=0.999,
        description="Probability of success expected of a model nothing is known of (p₀).",
    )
    prior_strength: float = Field(
        default=2.0, ge=0.001, le=10_000, description="How many outcomes that expectation weighs (k)."
    )

    def __call__(self, tallies: Sequence[Tally]) -> list[Score]:
        """Return one score for each tally, in the same order."""
        return [self._score(tally) for tally in tallies]

    def _score(self, tally: Tally) -> Score:
        failures = tally.quality_failures
        samples = tally.successes + failures
        alpha = self.prior_strength * self.prior_success + tally.successes
        beta = self.prior_strength * (1.0 - self.prior_success) + failures
        mean = alpha / (alpha + beta)
        reason = f"posterior mean {mean:.3f} ({tally.successes} of {samples} succeeded)"
        return Score(0, mean, mean, beta_interval(alpha, beta), samples >= self.min_samples, reason)
