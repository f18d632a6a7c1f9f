"""Which model each task type gets now, what it costs, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from modelperf_plugin.analysis.views.trends import MAX_DAYS, Period
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store import LatestChoice
from modelperf_plugin.values import Decision, RankedModel, Tally, mean_costs


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentChoice:
    """The model that a task type gets now, exploring aside: the one that is ranked first."""

    row: RankedModel
    share: float
    """The probability that it is chosen; the rest explores."""
    mean_cost_usd: float | None
    """Its mean cost of a task over all task types in US dollars; None if unknown."""
    prices_day: int | None
    """The day of the prices, since the Unix epoch, if its costs were estimated by them."""
    since_ms: int | None
    """Since when hosts get it, in milliseconds since the Unix epoch; None if the newest decisions chose another one."""
    is_first: bool
    """Whether the log has no other choice before."""


class CurrentChoices:
    """Finds current choices; reads what they have in common once."""

    def __init__(self, costs: dict[str, float], days: dict[str, int], latest: Iterable[LatestChoice]) -> None:
        self._costs, self._days = costs, days
        self._latest = {each.task_type: each for each in latest}

    @classmethod
    def read(cls, engine: ModelPerf, tallies: Iterable[Tally], now: datetime) -> Self:
        """Read costs and the log of decisions."""
        store, period = engine.store, Period.last(MAX_DAYS, now=now)
        return cls(mean_costs(tallies), store.spending.estimated(), store.choices.latest_choices(period.days))

    def of(self, task_type: str, decision: Decision) -> CurrentChoice:
        """Return the choice for ``task_type`` by ``decision``, its ranking now."""
        best = decision.ranking.rows[0]
        model_id, latest = best.model_id, self._latest.get(task_type)
        is_latest = latest is not None and latest.model_id == model_id
        return CurrentChoice(
            row=best,
            share=decision.propensities[model_id],
            mean_cost_usd=self._costs.get(model_id),
            prices_day=self._days.get(model_id),
            since_ms=latest.since_ms if latest is not None and is_latest else None,
            is_first=latest is not None and latest.is_first,
        )
