"""Why each candidate has its share of the decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modelperf_plugin.policy.assessment import Assessment
from modelperf_plugin.policy.exploration import Shares
from modelperf_plugin.values import Cause

_ROUNDING: Final = 1.001


def causes_of(assessment: Assessment, shares: Shares, probabilities: Sequence[float]) -> tuple[Cause | None, ...]:
    """Return the cause of the probability of each row; None where that is 0."""
    return tuple([_cause(assessment, shares, row, probability) for row, probability in enumerate(probabilities)])


def _cause(assessment: Assessment, shares: Shares, row: int, probability: float) -> Cause | None:
    if probability <= 0.0:
        return None
    if row >= assessment.available:
        return "probe"
    if shares.reasons and shares.reasons[row]:
        return "test"
    if row < assessment.tied:
        return "best"
    if row in assessment.probes:
        return "price probe"
    floor = assessment.policy.exploration.uniform / assessment.available
    return "floor" if probability <= floor * _ROUNDING else "might be best"
