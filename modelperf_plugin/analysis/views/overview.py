"""The overview of a store, from which terminal, report and dashboard take their figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from modelperf_plugin.analysis.views.ab_tests import Trial, trials
from modelperf_plugin.analysis.views.choices import CurrentChoice, CurrentChoices
from modelperf_plugin.analysis.views.moments import Moment, moments
from modelperf_plugin.analysis.views.trends import Period, Trend, trend_of, trends_of
from modelperf_plugin.engine.availability import Availability, GoneModel
from modelperf_plugin.engine.budget_state import BudgetState
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store import Change, CountedProblem, DecisionSums, Demotion
from modelperf_plugin.values import NANO_USD, RankedModel, Tally, from_milliseconds, to_milliseconds

MAX_TASK_TYPES: Final = 50
"""Default number of task types shown: those with the most outcomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task type in the overview."""

    task_type: str
    trend: Trend
    ranking: tuple[RankedModel, ...]
    """Its models as the policy ranks them now, best first."""
    demoted: int
    """Number of its models that are demoted by evidence."""
    choice: CurrentChoice | None
    """The model that it gets now; None without a model."""

    @property
    def leader(self) -> RankedModel | None:
        return self.ranking[0] if self.ranking else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """The amount of exploration, by the newest decisions in the log."""

    decisions: int
    explored: int
    """Decisions that chose a model other than the best-ranked one, to learn about it."""
    share: float | None
    """The mean of 1 − P(best), which does not depend on the draws; None without a decision."""
    explored_cost_usd: float
    """US dollars spent by the outcomes of the decisions that explored; ``cost_usd`` is that of all."""
    cost_usd: float
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataQuality:
    """Reasons to trust or distrust the figures of a period."""

    outcomes: int
    without_cost: int
    outages: int
    """Outcomes that failed because the provider did."""
    decisions: int
    """Decisions in the log that hosts received."""
    overdue: int
    """Those without an outcome after more than an hour."""
    problems: tuple[CountedProblem, ...]
    """Failures inside hosts that the hosts did not see, newest first."""
    newest: datetime | None
    """Time of the newest outcome of all; None without outcomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A store and its policy at a glance."""

    store: str
    """The location of the outcomes."""
    mode: str
    period: Period
    trend: Trend
    """All outcomes of the period."""
    task_types: tuple[TaskRow, ...]
    """The task types with outcomes in the period, those with the most first."""
    hidden: int
    """Number of further task types."""
    exploration: Exploration
    trials: tuple[Trial, ...]
    """Every challenger of an A/B test, newest test first."""
    demotions: tuple[Demotion, ...]
    """Demotions in force, newest first."""
    changes: tuple[Change, ...]
    """Changes noticed in the period, newest first."""
    moments: tuple[Moment, ...]
    """What charts mark, oldest first."""
    gone: tuple[GoneModel, ...]
    """Models that are gone, the first one first."""
    quality: DataQuality
    budgets: tuple[BudgetState, ...]
    """Each budget as it stands now."""
    pairs: int
    models: int
    """Models with outcomes, of all time; ``pairs`` are those of task type and model."""


def overview(
    engine: ModelPerf, period: Period, *, now: datetime | None = None, most: int | None = MAX_TASK_TYPES
) -> Overview:
    """Return the overview of ``period``, with a row for each of ``most`` task types."""
    now = now or datetime.now(UTC)
    store = engine.store
    steps = store.trends.series_of_task_types(period.days)
    before = store.trends.totals_of_task_types(period.before)
    sums = store.trends.decision_sums(period.days, to_milliseconds(now))
    demotions = tuple(store.demotions.all(in_force=True))
    by_task_type = trends_of(period, steps, before, by="task_type")
    tallies = store.tallies.all()
    rows = _rows(engine, by_task_type, demotions, most, CurrentChoices.read(engine, tallies, now))
    trend, changes = trend_of(period, steps, before), changes_in(engine, period)
    return Overview(
        store=store.location, mode=engine.config.mode, period=period, trend=trend, task_types=rows,
        hidden=len(by_task_type) - len(rows), exploration=exploration_of(sums),
        trials=trials(engine, now=now), demotions=demotions, changes=changes, moments=moments(engine, period, changes),
        gone=tuple(Availability.read(store.events, engine.config, to_milliseconds(now)).gone()),
        quality=_quality(trend.total, sums, store.problems.all(), tallies),
        budgets=tuple(engine.budgets()), pairs=len(tallies), models=len({tally.model_id for tally in tallies}),
    )  # fmt: skip


def changes_in(engine: ModelPerf, period: Period, model_id: str | None = None) -> tuple[Change, ...]:
    """Return the changes that were noticed in ``period``, newest first."""
    days = period.days
    return tuple(
        change
        for change in engine.store.changes.all()
        if days.first_ms <= change.noticed_ms < days.end_ms and model_id in {None, change.model_id}
    )


def exploration_of(sums: Sequence[DecisionSums]) -> Exploration:
    """Return the amount of exploration in all of ``sums``."""
    decisions = sum(each.decisions for each in sums)
    return Exploration(
        decisions=decisions,
        explored=sum(each.explored for each in sums),
        share=sum(each.exploring for each in sums) / decisions if decisions else None,
        explored_cost_usd=sum(each.explored_cost_nano_usd for each in sums) / NANO_USD,
        cost_usd=sum(each.cost_nano_usd for each in sums) / NANO_USD,
        oldest=from_milliseconds(min(each.oldest_ms for each in sums)) if sums else None,
    )


def _rows(
    engine: ModelPerf, trends: Mapping[str, Trend], demotions: Sequence[Demotion], most: int | None,
    choices: CurrentChoices,
) -> tuple[TaskRow, ...]:  # fmt: skip
    demoted = Counter(each.task_type for each in demotions)
    names = sorted(trends, key=lambda name: (-trends[name].total.samples, name))[:most]
    rows = []
    for name in names:
        try:
            decision = engine.explain(name)
        except InvalidValueError:
            continue  # not a name of a task type: another program has written it past all checks
        ranking = () if decision is None else decision.ranking.rows
        choice = None if decision is None else choices.of(name, decision)
        rows.append(TaskRow(task_type=name, trend=trends[name], ranking=ranking, demoted=demoted[name], choice=choice))
    return tuple(rows)


def _quality(
    total: Tally, sums: Sequence[DecisionSums], problems: Sequence[CountedProblem], tallies: Sequence[Tally]
) -> DataQuality:
    applied = [each for each in sums if each.mode == "apply"]
    newest: Any = max((tally.last_used_ms for tally in tallies if tally.last_used_ms is not None), default=None)
    return DataQuality(
        outcomes=total.samples, without_cost=total.samples - total.priced, outages=total.outages,
        decisions=sum(each.decisions for each in applied), overdue=sum(each.overdue for each in applied),
        problems=tuple(problems), newest=None if newest is None else from_milliseconds(newest),
    )  # fmt: skip
