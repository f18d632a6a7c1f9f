"""Demotion by a sequential test that may be evaluated after every outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.values import Tally


class DemoteByEvidence(Strategy):
    """Demoted once its success rate is shown to be below the threshold, and for as long as that holds.

    The threshold is ``threshold``, or the success rate that the best model has been shown to reach, less ``margin``,
    whichever is higher. The test is a change-point mixture e-process (see
    :mod:`modelperf_plugin.policy.sequential.fall_detection`): it demotes a model at or above the threshold with a
    probability of at most ``alpha``, however often it is evaluated, and finds a fall quickly. Demoted models share a
    ``probe_share`` of the decisions. Fresh outcomes alone reinstate a model: once its success rate is above the
    threshold with a probability of .95, after at least 8 of them.
    """

    strategy: Literal["evidence"] = "evidence"
    margin: float | None = Field(default=0.2, gt=0, lt=1, description="Demote models worse than the best by this much.")
    threshold: float | None = Field(
        default=None, gt=0, lt=1, description="Demote models below this success rate, whatever the others do."
    )
    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="Maximum probability of ever demoting a model above the threshold."
    )
    probe_share: float = Field(default=0.02, ge=0, le=0.5, description="Share of decisions that probe a demoted model.")

    def __call__(self, tallies: Sequence[Tally], in_force: Mapping[str, str] | None = None) -> list[str | None]:
        reasons = in_force or {}
        return [reasons.get(tally.model_id) for tally in tallies]

    def effective_threshold(self, best: float | None) -> float | None:
        relative = None if best is None or self.margin is None else best - self.margin
        thresholds = [each for each in (self.threshold, relative) if each is not None and each > 0]
        return max(thresholds, default=None)
