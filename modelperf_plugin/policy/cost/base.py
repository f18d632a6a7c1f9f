"""The protocol of cost objectives, and the expected cost of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log, sqrt
from typing import Final, Literal, NamedTuple, Protocol

from pydantic import Field

from modelperf_plugin.policy.cost.prices import RecentCosts
from modelperf_plugin.values import Tally

CostSource = Literal["own", "model", "configured", "merged"]

_VARIATION: Final = 1.2
"""Standard deviation of the cost of a task, as a multiple of the mean."""
_MODEL_WEIGHT: Final = 5.0
"""Outcomes of a task type that the model's mean over all task types is worth."""


class ExpectedCost(NamedTuple):
    """Expected cost of a task with one model."""

    usd: float
    source: CostSource
    """``own``: mostly the mean on this task type; ``model``: mean over other task types, as an estimate;
    ``configured``: no host has reported any; ``merged``: nor is one configured, but merged sources have one."""
    outcomes: int = 0
    """Outcomes with a cost that it was learned from; 0 if it counts as known."""
    list_day: str = ""
    """The day of the list of prices by which costs of outcomes were estimated; empty if hosts report them."""

    def by_list(self, day: str | None) -> ExpectedCost:
        """Return this cost, noted as an estimate by the prices of ``day``; as it is with None or if configured."""
        return self if day is None or self.source in {"configured", "merged"} else self._replace(list_day=day)

    @property
    def list_note(self) -> str:
        """Says that this is an estimate, and by which prices; empty if it is not."""
        return self.list_day and f"estimated from tokens, prices of {self.list_day}"

    @property
    def deviation(self) -> float:
        """Standard deviation of the logarithm of the mean cost."""
        return sqrt(log(1.0 + _VARIATION**2 / self.outcomes)) if self.outcomes else 0.0


ModelCosts = Mapping[str, ExpectedCost]
"""Cost of a task by model, across task types: its mean (``model``), else the configured or a merged one."""


class PairCosts(NamedTuple):
    """What is known of the costs of one task type when a decision is made."""

    records: Mapping[str, RecentCosts]
    """The costs of the task type that count, by model."""
    waiting: Mapping[str, int]
    """How many outcomes of the task type there have been since the last one of each model."""
    models: ModelCosts
    """Costs across task types."""


NO_PAIR_COSTS: Final = PairCosts({}, {}, {})


class Estimate(NamedTuple):
    """Estimated success and cost of one candidate."""

    mean: float
    variance: float
    """Variance of that belief; 0 if unknown."""
    cost: float | None
    """Expected cost of a task in US dollars; None if unknown."""
    switch: float = 0.0
    """What it costs to change to it in the middle of a conversation, in US dollars."""


SortKey = tuple[float, float, float]
"""Orders candidates: the larger, the better."""


class CostObjective(Protocol):
    """Weighs success against cost. Pure; the order of the candidates does not matter."""

    @property
    def objective(self) -> str:
        """The name in TOML."""

    @property
    def weighs_costs(self) -> bool:
        """Whether costs matter; if not, only the chances of success are compared."""

    @property
    def usd_per_minute(self) -> float:
        """The price of a minute that a try takes; 0: time does not matter."""

    def __call__(self, estimates: Sequence[Estimate], chances: Sequence[float]) -> list[SortKey]:
        """Return the sort key of each candidate for the given ``chances`` of success.

        These are the means of the estimates or, in exploration, optimistic ones.
        """

    @property
    def switch_usd(self) -> float:
        """What it costs to change the model in the middle of a conversation, in US dollars."""

    @property
    def caution(self) -> float:
        """Standard deviations by which a model other than the best must be within the margin."""

    @property
    def avoids_unknown_costs(self) -> bool:
        """Whether a model of unknown cost never replaces another; otherwise it counts as the cheapest."""

    @property
    def ends_list(self) -> bool:
        """Whether a plan ends before a try that costs more than it gains.

        Then the utility does not depend on the best plan.
        """

    def utility(self, best: float) -> Callable[[float, float], float]:
        """Return the utility of a chance at an expected cost, if the best plan has the chance ``best``."""

    def tolerance(self, best_usd: float, cheaper_usd: float) -> float:
        """Return how much lower the success of a model with the lower cost may be."""

    def at_price(self, price: float) -> CostObjective:
        """Return the same objective where a dollar must bring ``price`` successes, because a budget is short."""

    def explain_plan(self, models: int) -> str:
        """Return in a few words why a plan with this number of tries is the best."""

    def explain(self, cost: ExpectedCost | None) -> str:
        """Return in a few words why a candidate with this cost is chosen."""


_NOTES: Final = {"model": ", estimated from other task types", "merged": ", estimated from merged sources"}
SWITCH_USD: Final[float] = Field(
    default=0.0, ge=0, le=1_000_000,
    description="Cost in US dollars of changing the model in the middle of a conversation (context current_model), "
    "for example because the provider's cache is lost.",
)  # fmt: skip


def describe_cost(cost: ExpectedCost) -> str:
    """Return a cost for people, marked if it is an estimate."""
    if cost.list_day:
        return f"≈${cost.usd:.3g} a task, {cost.list_note}"
    return f"${cost.usd:.3g} a task{_NOTES.get(cost.source, '')}"


def worth_at(price: float) -> float:
    """Return the value of a success in dollars if a dollar must bring ``price`` successes, to three digits."""
    return float(f"{1.0 / price:.3g}")


def expected_cost(tally: Tally, model_costs: ModelCosts, recent: RecentCosts | None = None) -> ExpectedCost | None:
    """Return the expected cost of a task of the tally's type with its model; None if unknown.

    That is the mean of the reported costs of this task type, together with the model's mean over all task types, which
    counts like 5 outcomes. Without any reported cost it is the model's entry in ``model_costs``. ``recent`` are the
    costs that still count, if that is known; after a change of the price these alone count.
    """
    known = model_costs.get(tally.model_id)
    own = tally.mean_cost_usd if recent is None else recent.mean
    if own is None:
        return known
    priced = tally.priced if recent is None else max(1, round(recent.weight))
    if known is None or known.outcomes <= tally.priced or (recent is not None and recent.has_changed):
        return ExpectedCost(own, "own", priced)  # nothing from other task types
    usd = (priced * own + _MODEL_WEIGHT * known.usd) / (priced + _MODEL_WEIGHT)
    return ExpectedCost(usd, "own", known.outcomes)
