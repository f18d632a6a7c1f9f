"""Ranking by the posterior mean of the probability of success."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

from pydantic import Field

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.intervals import beta_interval
from modelperf_plugin.policy.quality import by_score
from modelperf_plugin.policy.ranking.base import Explanation, Score
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.text import has_later_tries, mean_score_text, tries_text
from modelperf_plugin.values import Tally

MAX_EXPLAINED: Final = 128
"""Number of reasons that are kept: after an outcome, those of the other models are still valid."""


class Posterior(Strategy):
    """The mean of Beta(k·p₀ + successes, k·(1 − p₀) + failures): the success rate, shrunk towards a prior.

    An outcome with a score x counts as x of a success and 1 − x of a failure. Failures do not include outages and the
    caller's own errors, which say nothing about the model. The prior is learned from all task types and models together
    (see :mod:`modelperf_plugin.policy.pooling`), and tries on tasks that others had failed count as the first
    tries that would say the same. If ``pooled`` is false, the prior is ``prior_success`` with the weight of
    ``prior_strength`` outcomes, for each task type alone, and only first tries count.
    """

    strategy: Literal["posterior"] = "posterior"
    min_samples: int = Field(default=3, ge=1, description="Outcomes below which a model is shown as unproven.")
    pooled: bool = Field(
        default=True, description="Whether to learn the prior from all task types and models together."
    )
    prior_success: float = Field(
        default=0.5, ge=0.001, le=0.999, description="Without pooling: expected success rate of an unknown model (p₀)."
    )
    prior_strength: float = Field(
        default=2.0, ge=0.001, le=10_000, description="Without pooling: weight of that expectation, in outcomes (k)."
    )

    def __call__(self, tallies: Sequence[Tally], beliefs: Sequence[Belief] | None = None) -> list[Score]:
        if beliefs is None or not self.pooled:
            beliefs = [self._own(tally) for tally in tallies]
        return [(0, alpha / (alpha + beta)) for alpha, beta, _ in beliefs]

    def believed(self, tallies: Sequence[Tally], beliefs: Sequence[Belief]) -> Sequence[Belief]:
        return beliefs if self.pooled else [self._own(tally) for tally in tallies]

    def explain(self, tally: Tally, belief: Belief | None = None) -> Explanation:
        proven = tally.successes + tally.quality_failures >= self.min_samples
        belief = self._own(tally) if belief is None or not self.pooled else belief
        return Explanation(belief.mean, beta_interval(belief.alpha, belief.beta), proven, _reason(tally, belief))

    def reason(self, tally: Tally, belief: Belief | None = None) -> str:
        return _reason(tally, self._own(tally) if belief is None or not self.pooled else belief)

    def _own(self, tally: Tally) -> Belief:
        return Belief(
            *by_score(
                self.prior_strength * self.prior_success + tally.successes - tally.later_successes,
                self.prior_strength * (1.0 - self.prior_success) + tally.quality_failures - tally.later_failures,
                tally.score_shift - tally.later_score_shift,
            )
        )


@lru_cache(MAX_EXPLAINED)
def _reason(tally: Tally, belief: Belief) -> str:
    alpha, beta, outcomes = belief
    samples = tally.successes + tally.quality_failures
    counted = f"{tally.successes} of {samples} succeeded"
    if tally.graded:
        counted = mean_score_text(tally)
    if has_later_tries([tally]):
        counted = tries_text(tally)
    if outcomes is not None and outcomes < 0.8 * samples:
        counted += f", discounted to {outcomes:.3g} today"
    return f"posterior mean {alpha / (alpha + beta):.3f} ({counted})"
