"""Demotion by the observed success rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from modelperf_plugin.policy.demotion.base import Unwatched
from modelperf_plugin.values import Tally


class DemoteBySuccessRate(Unwatched):
    """Demoted while the success rate is below ``threshold`` after at least ``min_samples`` outcomes.

    Every outcome counts, including those on tasks that others had failed. Easy to check by hand, but evaluated after
    every outcome it demotes good models by bad luck: with a true rate of .80 and a threshold of .75, three of four runs
    of 2,000 outcomes demote at some time. A larger ``min_samples`` helps a little.
    """

    strategy: Literal["success_rate"] = "success_rate"
    threshold: float = Field(default=0.5, gt=0, lt=1, description="Demote below this success rate.")
    min_samples: int = Field(default=3, ge=1, description="Minimum number of outcomes before a model can be demoted.")

    def __call__(self, tallies: Sequence[Tally], in_force: Mapping[str, str] | None = None) -> list[str | None]:  # noqa: ARG002
        return [self._reason(tally) for tally in tallies]

    def _reason(self, tally: Tally) -> str | None:
        samples = tally.samples
        if samples < self.min_samples:
            return None
        rate = tally.successes / samples  # not successes ≥ threshold × samples: .07 × 100 is more than 7
        if rate >= self.threshold:
            return None
        return f"success rate {rate:.3f} ({tally.successes} of {samples}) is below the threshold {self.threshold:g}"
