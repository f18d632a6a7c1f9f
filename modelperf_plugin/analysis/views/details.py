"""The details of one task type or one model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from modelperf_plugin.analysis.views.ab_tests import Trial, trials
from modelperf_plugin.analysis.views.moments import Moment, moments
from modelperf_plugin.analysis.views.overview import MAX_TASK_TYPES, Exploration, changes_in, exploration_of
from modelperf_plugin.analysis.views.tasks import DecisionRow, with_tasks
from modelperf_plugin.analysis.views.timings import timings_of
from modelperf_plugin.analysis.views.trends import Period, Trend, trend_of, trends_of
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store import Change, Demotion
from modelperf_plugin.values import Cause, Decision, Durations, RankedModel, mean_costs, to_milliseconds

MAX_MODELS: Final = 50
"""Default number of models shown for a task type, best first."""
MAX_LISTED_DECISIONS: Final = 12
"""Default number of decisions listed, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model of a task type."""

    row: RankedModel
    share: float
    """The probability that it would be chosen now."""
    cause: Cause | None
    """Why; None if that is 0."""
    trend: Trend | None
    """None without outcomes in the period."""
    mean_cost_usd: float | None
    """Mean US dollars a task over all task types; None if unknown."""
    durations: Durations | None = None
    """How long its tasks took; None if no host has reported it."""
    prices_day: int | None = None
    """The day of the prices, since the Unix epoch, if its costs were estimated by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task type in detail."""

    task_type: str
    period: Period
    trend: Trend
    decision: Decision
    """The most likely choice among all its models now."""
    models: tuple[ModelRow, ...]
    """Its models, best first."""
    hidden: int
    """Number of further models."""
    exploration: Exploration
    trials: tuple[Trial, ...]
    """Every challenger of its A/B tests, newest test first."""
    demotions: tuple[Demotion, ...]
    """Demotions of all time, newest first."""
    changes: tuple[Change, ...]
    """Changes of its models noticed in the period, newest first."""
    moments: tuple[Moment, ...]
    """What charts mark, oldest first."""
    decisions: tuple[DecisionRow, ...]
    """The newest decisions in the log, each with its task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """One model in detail, on one task type or on all."""

    model_id: str
    task_type: str | None
    """None for all task types."""
    period: Period
    trend: Trend
    rows: dict[str, ModelRow]
    """By task type, those with the most outcomes first."""
    hidden: int
    """Number of further task types with outcomes."""
    demotions: tuple[Demotion, ...]
    changes: tuple[Change, ...]
    moments: tuple[Moment, ...]
    """What charts mark, oldest first."""
    decisions: tuple[DecisionRow, ...]
    """The newest decisions in the log that chose it, each with its task."""


def task_view(
    engine: ModelPerf,
    task_type: str,
    period: Period,
    *,
    now: datetime | None = None,
    most: int | None = MAX_MODELS,
    decisions: int = MAX_LISTED_DECISIONS,
) -> TaskView | None:
    """Return the details of a task type; None if it has no outcomes at all."""
    now = now or datetime.now(UTC)
    store = engine.store
    decision = engine.explain(task_type)
    if decision is None:
        return None
    ranked = list(zip(decision.ranking, decision.probabilities, decision.causes, strict=True))[:most]
    shown = [row.model_id for row, *_ in ranked]
    before = store.trends.totals(period.before, task_type)
    steps = store.trends.series(period.days, task_type, shown if len(shown) < len(decision.ranking) else None)
    trends = trends_of(period, steps, before, by="model_id")
    known = {row.model_id for row in decision.ranking}
    means, timings = mean_costs(store.tallies.all()), timings_of(engine, task_type, now=now)
    days = store.spending.estimated()
    changes = tuple(each for each in changes_in(engine, period) if each.model_id in known)
    sums = store.trends.decision_sums(period.days, to_milliseconds(now))
    if len(shown) < len(known):  # one sum for all models is smaller than a row for each
        steps = [each for each in store.trends.series_of_task_types(period.days) if each.tally.task_type == task_type]
    return TaskView(
        task_type=task_type,
        period=period,
        trend=trend_of(period, steps, before, task_type),
        decision=decision,
        models=tuple(
            ModelRow(
                row=row,
                share=share,
                cause=cause,
                trend=trends.get(row.model_id),
                mean_cost_usd=means.get(row.model_id),
                durations=timings.get((task_type, row.model_id)),
                prices_day=days.get(row.model_id),
            )
            for row, share, cause in ranked
        ),
        hidden=len(known) - len(shown),
        exploration=exploration_of([each for each in sums if each.task_type == task_type]),
        trials=trials(engine, task_type, now=now),
        demotions=tuple(each for each in store.demotions.all() if each.task_type == task_type),
        changes=changes,
        moments=moments(engine, period, changes, task_type=task_type, models=known),
        decisions=_decisions(engine, period, task_type, limit=decisions) if decisions else (),
    )


def model_view(engine: ModelPerf, model_id: str, period: Period, *, task_type: str | None = None) -> ModelView | None:
    """Return the details of a model; None if it has no outcomes there at all."""
    store = engine.store
    everywhere = store.tallies.all()
    tallies = [tally for tally in everywhere if tally.model_id == model_id and task_type in {None, tally.task_type}]
    if not tallies:
        return None
    steps = store.trends.series(period.days, task_type, [model_id])
    before = store.trends.totals(period.before, task_type, model_id)
    trends = trends_of(period, steps, before, by="task_type")
    names = [name for _, name in sorted(((tally.samples, tally.task_type) for tally in tallies), reverse=True)]
    days = store.spending.estimated()
    changes = changes_in(engine, period, model_id)
    mean, timings = mean_costs(everywhere).get(model_id), timings_of(engine, task_type)
    return ModelView(
        model_id=model_id,
        task_type=task_type,
        period=period,
        trend=trend_of(period, steps, before, task_type or "", model_id),
        rows={
            name: ModelRow(
                row=decision.ranking.of(model_id),
                share=decision.propensities[model_id],
                cause=decision.causes[decision.ranking.model_ids.index(model_id)],
                trend=trends.get(name),
                mean_cost_usd=mean,
                durations=timings.get((name, model_id)),
                prices_day=days.get(model_id),
            )
            for name in names[:MAX_TASK_TYPES]
            if (decision := engine.explain(name)) is not None
        },
        hidden=max(0, len(names) - MAX_TASK_TYPES),
        demotions=tuple(
            each for each in store.demotions.all() if each.model_id == model_id and task_type in {None, each.task_type}
        ),
        changes=changes,
        moments=moments(engine, period, changes, task_type=task_type, models={model_id}),
        decisions=_decisions(engine, period, task_type, model_id),
    )


def _decisions(
    engine: ModelPerf, period: Period, task_type: str | None, model_id: str | None = None,
    limit: int = MAX_LISTED_DECISIONS,
) -> tuple[DecisionRow, ...]:  # fmt: skip
    store = engine.store
    return tuple(with_tasks(store.decisions, store.trends.decisions(period.days, task_type, model_id, limit=limit)))
