"""Ranking by the posterior mean of the probability of success."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

from pydantic import Field

from modelperf_plugin.policy.belief import NO_CELL, Belief, Evidence
from modelperf_plugin.policy.intervals import beta_interval
from modelperf_plugin.policy.quality import by_score
from modelperf_plugin.policy.ranking.base import Explanation, Score
from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.text import has_later_tries, mean_score_text, parts_text, tries_text
from modelperf_plugin.values import ScorePart, Source, Tally

_TINY: Final = 1e-6
"""Outcomes that are due to rounding."""
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
        if beliefs is None:
            beliefs = [self._own(tally) for tally in tallies]
        elif not self.pooled:
            beliefs = [self._believed(tally, belief) for tally, belief in zip(tallies, beliefs, strict=True)]
        return [(0, alpha / (alpha + beta)) for alpha, beta, _, _ in beliefs]

    def believed(self, tallies: Sequence[Tally], beliefs: Sequence[Belief]) -> Sequence[Belief]:
        return beliefs if self.pooled else [self._own(tally) for tally in tallies]

    def explain(self, tally: Tally, belief: Belief | None = None) -> Explanation:
        proven = tally.successes + tally.quality_failures >= self.min_samples
        belief = self._believed(tally, belief)
        return Explanation(belief.mean, beta_interval(belief.alpha, belief.beta), proven, _reason(tally, belief))

    def reason(self, tally: Tally, belief: Belief | None = None) -> str:
        return _reason(tally, self._believed(tally, belief))

    def parts(self, tally: Tally, belief: Belief | None = None) -> tuple[ScorePart, ...]:
        return _parts(self._believed(tally, belief))

    def _believed(self, tally: Tally, belief: Belief | None) -> Belief:
        """Return ``belief`` if it is one of this strategy, reduced or not, or else its own."""
        if belief is not None and (self.pooled or (belief.evidence is not None and not belief.evidence.is_pooled)):
            return belief
        return self._own(tally)

    def _own(self, tally: Tally) -> Belief:
        own = by_score(
            tally.successes - tally.later_successes,
            tally.quality_failures - tally.later_failures,
            tally.score_shift - tally.later_score_shift,
        )
        return Belief(
            self.prior_strength * self.prior_success + own[0],
            self.prior_strength * (1.0 - self.prior_success) + own[1],
            evidence=Evidence(own, is_pooled=False),
        )


def _parts(belief: Belief) -> tuple[ScorePart, ...]:
    """Return what a belief is made of; its prior is what the evidence leaves of it."""
    alpha, beta, _, evidence = belief
    if evidence is None:
        return ()
    own, later, changed, merged, is_pooled = evidence
    if min(later) < 0.0:  # they say more than tries that all succeeded or all failed would
        own, later = (own[0] + later[0], own[1] + later[1]), NO_CELL
    named: list[tuple[Source, float, float]] = [
        ("own", *own), ("later tries", *later), ("since a change", *changed), ("merged sources", *merged),
    ]  # fmt: skip
    won, lost = (sum(each[index] for each in evidence[:4]) for index in (0, 1))
    named.append(("other task types" if is_pooled else "prior", alpha - won, beta - lost))
    return tuple([ScorePart(name, won + lost, won / (won + lost)) for name, won, lost in named if won + lost > _TINY])


@lru_cache(MAX_EXPLAINED)
def _reason(tally: Tally, belief: Belief) -> str:
    alpha, beta = belief[:2]
    samples = tally.successes + tally.quality_failures
    counted = f"{tally.successes} of {samples} succeeded" if samples else "no outcomes of its own"
    if tally.graded:
        counted = mean_score_text(tally)
    if has_later_tries([tally]):
        counted = tries_text(tally)
    parts = [each for each in _parts(belief) if each.source != "own" or not _is_plain(tally, each, samples)]
    terms = f"; {parts_text(parts)}" if parts else ""
    return f"posterior mean {alpha / (alpha + beta):.3f} ({counted}{terms})"


def _is_plain(tally: Tally, own: ScorePart, samples: int) -> bool:
    """Return whether the counts themselves say what the own outcomes are worth."""
    return (
        not tally.graded and abs(own.outcomes - samples) < _TINY and abs(own.rate * samples - tally.successes) < _TINY
    )
