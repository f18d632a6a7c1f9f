"""What a cost objective does, and what a task is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from modelperf_plugin.values import Tally

CostSource = Literal["own", "model", "configured"]

ModelCosts = Mapping[str, tuple[float, CostSource]]
"""For each model what a task costs in US dollars, whatever its type: its mean (``model``), or what is configured."""


class ExpectedCost(NamedTuple):
    """What one task is expected to cost with one model."""

    usd: float
    """In US dollars."""
    source: CostSource
    """``own``: its costs on this task type; ``model``: an estimate, its mean over other task types, because none is
    known on this one; ``configured``: no host has reported any."""


class Estimate(NamedTuple):
    """One candidate, as a cost objective sees it."""

    mean: float
    """The expected probability of success."""
    variance: float
    """The variance of that belief; 0 where nothing is known of it."""
    cost: float | None
    """What a task is expected to cost, in US dollars; None as long as nothing is known of the model."""


SortKey = tuple[float, float, float]
"""Compares candidates: the larger, the better."""


class CostObjective(Protocol):
    """Weighs success against cost; pure, and blind to the order in which candidates come."""

    @property
    def objective(self) -> str:
        """The name in TOML."""

    @property
    def weighs_costs(self) -> bool:
        """Whether costs matter; if not, candidates are compared by their chances alone."""

    def __call__(self, estimates: Sequence[Estimate], chances: Sequence[float]) -> list[SortKey]:
        """Return how much each candidate is worth if the probabilities of success are taken to be ``chances``.

        These are the means of the estimates, or optimistic ones where exploration has drawn some optimism.
        """

    def explain(self, cost: ExpectedCost | None) -> str:
        """Return what there is to say about the choice of a candidate with this cost, in a few words."""


def describe_cost(cost: ExpectedCost) -> str:
    """Return a cost for a person, and that it is an estimate if it is one."""
    return f"${cost.usd:.3g} a task{', estimated from other task types' if cost.source == 'model' else ''}"


def expected_cost(tally: Tally, model_costs: ModelCosts) -> ExpectedCost | None:
    """Return what a task of the tally's type is expected to cost with its model; None if nothing is known.

    That is the mean of the costs reported for this task type, or what is known of the model elsewhere.
    """
    own = tally.mean_cost_usd
    if own is not None:
        return ExpectedCost(own, "own")
    known = model_costs.get(tally.model_id)
    return None if known is None else ExpectedCost(*known)
