"""The charts of overview, task type and model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from modelperf_plugin.analysis.views.ab_tests import Trial
from modelperf_plugin.analysis.views.details import ModelRow, ModelView, TaskView
from modelperf_plugin.analysis.views.moments import Moment
from modelperf_plugin.analysis.views.overview import Overview
from modelperf_plugin.analysis.views.trends import Period, Trend
from modelperf_plugin.charts.frame import Mark
from modelperf_plugin.charts.glyphs import interval_glyph, progress_bar, sparkline
from modelperf_plugin.charts.lines import MAX_LINES, Line, lines_chart
from modelperf_plugin.charts.scale import day_and_minute
from modelperf_plugin.charts.scatter import Dot, scatter_chart
from modelperf_plugin.charts.trend import trend_chart
from modelperf_plugin.policy.intervals import wilson_interval
from modelperf_plugin.policy.sequential.two_sample_test import Rate
from modelperf_plugin.store import LoggedCandidate
from modelperf_plugin.text import percent, span
from modelperf_plugin.values import DAY_MS, RankedModel, from_milliseconds

_MIN_OUTCOMES = 5
_MAX_MARKS = 20
"""Maximum number of marks in a chart; there is no room for more on a phone."""


def success_chart(view: Overview | TaskView | ModelView, width: int, height: int = 260) -> str:
    """Return the success rate of all outcomes of a view over its period."""
    total = view.trend.total
    of = f" of {view.model_id}" if isinstance(view, ModelView) else ""
    alternative = f"Success{of} {_days(view.period)}: {percent(total.success_rate)} of {total.samples:,} outcomes"
    points = view.trend.points[view.trend.first_step :]
    return trend_chart(points, alternative, width=width, height=height, marks=marks(view))


def models_chart(view: TaskView, width: int, height: int = 260) -> str:
    """Return the success rates over time of the models with the most outcomes in the period."""
    window, skipped = models_window(view), view.trend.first_step
    lines = [
        Line(
            each.row.model_id,
            each.trend.steady_rates(window)[skipped:],
            each.trend.steady_counts(window)[skipped:],
        )
        for each in _busiest(view.models)
        if each.trend
    ]
    names = ", ".join(line.name for line in lines) or "none"
    alternative = f"Success of models on {view.task_type} {_days(view.period)}: {names}"
    points = view.trend.points[skipped:]
    steps = [point.days for point in points]
    return lines_chart(lines, points[0].first, steps, alternative, width=width, height=height, marks=marks(view))


def models_window(view: TaskView) -> int:
    """Return the number of days that each point of :func:`models_chart` covers."""
    return max((each.trend.window for each in _busiest(view.models)[:3] if each.trend), default=1)


def cost_chart(view: TaskView, width: int, height: int = 300) -> str:
    """Return the models of a task type by mean cost and estimated success."""
    dots = [
        Dot(each.row.model_id, cost, each.row.score, each.row.interval, each.row.status)
        for each in view.models
        if (cost := each.row.tally.mean_cost_usd) and each.row.score is not None
    ]
    alternative = f"Mean cost and estimated success of {len(dots)} models on {view.task_type}"
    return scatter_chart(dots, alternative, width=width, height=height)


def rates_line(trend: Trend) -> str:
    steady = trend.steady_rates()
    counts = [each for each in trend.steady_counts() if each is not None]
    if not counts:
        return sparkline(steady, "no outcomes")
    (first, of_first), (last, of_last) = counts[0], counts[-1]
    low, high = interval = wilson_interval(last, of_last)
    said = f"from {percent(first / of_first)} to {percent(last / of_last)}, {span((low, high))} (95 % interval)"
    return sparkline(steady, said, interval)


def score_glyph(row: RankedModel | LoggedCandidate) -> str:
    alternative = "no score" if row.score is None else f"{percent(row.score)}, {span(row.interval)} (95 % interval)"
    return interval_glyph(row.score, row.interval, alternative, row.status)


def rate_glyph(name: str, rate: Rate) -> str:
    """Return the success rate of one side of a test with its interval."""
    alternative = f"{name}: {percent(rate.rate)}, {span((rate.low, rate.high))} (95 % interval)"
    return interval_glyph(rate.rate, (rate.low, rate.high) if rate.outcomes else None, alternative, "ranked")


def e_value_bar(trial: Trial) -> str:
    alternative = f"e-value {trial.standing.e_value:.3g}, {trial.needed:g} needed"
    return progress_bar(trial.progress, alternative, "won" if trial.winner is not None else "open")


def marks(view: Overview | TaskView | ModelView) -> list[Mark]:
    """Return a numbered mark for what changed, clipped to the chart; what is too close to tell apart is one mark."""
    first = view.trend.points[view.trend.first_step].first.toordinal() - date(1970, 1, 1).toordinal()
    length = view.period.days.end - first
    groups: list[list[Moment]] = []
    starts: list[float] = []
    for each in view.moments:
        day = min(max(0.0, each.since_ms / DAY_MS - first), float(length))
        if starts and day - starts[-1] < length / _MAX_MARKS:
            groups[-1].append(each)
        else:
            groups.append([each])
            starts.append(day)
    return [
        Mark(day, "; ".join(_said(each) for each in group), _kind(group), number)
        for number, (day, group) in enumerate(zip(starts, groups, strict=True), start=1)
    ]


def _said(moment: Moment) -> str:
    return f"{moment.text} since {day_and_minute(from_milliseconds(moment.since_ms))}"


def _kind(group: Sequence[Moment]) -> str:
    kinds = {each.kind for each in group}
    return kinds.pop() if len(kinds) == 1 else "several"


def _busiest(models: Sequence[ModelRow]) -> list[ModelRow]:
    """Return the models with the most outcomes in the period, skipping those with few unless all have few."""
    counted = [(each.trend.total.samples, each) for each in models if each.trend is not None]
    most = sorted(counted, key=lambda each: -each[0])[:MAX_LINES]
    return [each for samples, each in most if samples >= _MIN_OUTCOMES] or [each for _, each in most]


def _days(period: Period) -> str:
    return f"from {period.first} to {period.last_day}"
