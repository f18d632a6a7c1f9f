"""Demotion by evidence that may be looked at after every outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from modelperf_plugin.policy.strategy import Strategy
from modelperf_plugin.values import Tally


class DemoteByEvidence(Strategy):
    """Demoted once it is sure that the success rate is below the bar, for as long as that stays so.

    The bar is ``threshold``, or the rate of the surely best model less ``margin``, whichever is higher. The evidence is
    a change-point mixture e-process (see :mod:`modelperf_plugin.policy.sequential.fall`): a model that is at the bar or
    above is ever demoted with a probability of at most ``alpha``, however often one looks, and a fall is found quickly.
    The demoted models get a ``probe_share`` of the decisions between them, and each is reinstated by fresh outcomes
    alone: when its rate is above the bar with a probability of .95, after at least 8 of them.
    """

    strategy: Literal["evidence"] = "evidence"
    margin: float | None = Field(
        default=0.2, gt=0, lt=1, description="Demote what is surely worse than the best by this much."
    )
    threshold: float | None = Field(
        default=None, gt=0, lt=1, description="Demote what is surely below this rate, whatever the others do."
    )
    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="The probability with which a model above the bar is ever demoted."
    )
    probe_share: float = Field(
        default=0.02, ge=0, le=0.5, description="Share of decisions that tries demoted models again, one of them each."
    )

    def __call__(self, tallies: Sequence[Tally], in_force: Mapping[str, str] | None = None) -> list[str | None]:
        """Return for each tally why its model is demoted, by the demotions that are in force."""
        reasons = in_force or {}
        return [reasons.get(tally.model_id) for tally in tallies]

    def bar(self, best: float | None) -> float | None:
        """Return the rate below which a model is to be demoted, if another surely has the rate ``best``."""
        relative = None if best is None or self.margin is None else best - self.margin
        bars = [bar for bar in (self.threshold, relative) if bar is not None and bar > 0]
        return max(bars, default=None)
