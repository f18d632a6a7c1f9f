"""``trend``: show success day by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import (
    Common,
    common_options,
    csv_option,
    days_option,
    json_option,
    model_option,
    some_task_argument,
)
from modelperf_plugin.cli.tables import Cell
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.cli.trend_view import print_changes, print_trends, print_tries_note
from modelperf_plugin.text import count

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.trends import Period, Trend
    from modelperf_plugin.engine.core import ModelPerf

_CSV: Final = (
    "task_type", "model_id", "since", "days", "successes", "failures", "timeouts", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "success_rate", "cost_per_success_usd",
)  # fmt: skip


@command("", "code-review --days 90")
@some_task_argument
@model_option("--model", "model_id", description="Show this model only.")
@days_option
@json_option
@csv_option
@common_options
def trend(common: Common, answer: Answer, task_type: str | None, model_id: str | None, days: int) -> None:
    """Show the success rate day by day.

    With TASK, shows each of its models; otherwise each task type. Bars go from 0 to 100 %, a dot is a day without
    outcomes; the column "before" compares with the same number of days before.
    """
    from modelperf_plugin.analysis.views.overview import changes_in
    from modelperf_plugin.analysis.views.trends import Period

    empty: dict[str, Any] = {"period": None, "trends": [], "changes": []}
    with common.reading(answer, **empty) as engine:
        period = Period.last(days)
        model_id = None if model_id is None else engine.config.canonical_ids.get(model_id, model_id)
        evidence = engine.store.tallies.of(task_type) if task_type else {}
        if task_type is not None and not evidence:
            unknown_task_type(answer, engine, task_type, **empty)
        location = engine.store.location
        trends = _trends(engine, period, task_type, model_id)
        models = {model_id} if model_id else set(evidence) if task_type else None
        changes = [each for each in changes_in(engine, period) if models is None or each.model_id in models]
    if not trends:
        of = "".join(f" of {word} {name!r}" for word, name in (("model", model_id), ("task type", task_type)) if name)
        note = f"no outcomes{of} in the last {count(days, 'day')}; try more --days"
        answer.exit_with_note(note, store=location, **empty)
    rows = [
        ({"task_type": task_type or name, "model_id": name if task_type else model_id}, trend)
        for name, trend in trends.items()
    ]
    if answer.as_json:
        answer.print_json(
            store=location, period=period.as_dict(), trends=[{**names, **trend.as_dict()} for names, trend in rows],
            changes=[each.as_dict() for each in changes], note=None,
        )  # fmt: skip
    elif answer.as_csv:
        points = ((names, point) for names, trend in rows for point in trend.points)
        answer.print_csv(_CSV, ({**names, **point.as_dict()} for names, point in points if point.tally.samples))
    else:
        answer.print_line(*_heading(task_type, model_id, period, trends))
        answer.print_line()
        print_trends(answer, "model" if task_type else "task type", trends)
        print_tries_note(answer, trends.values())
        print_changes(answer, changes)


def _trends(engine: ModelPerf, period: Period, task_type: str | None, model_id: str | None) -> dict[str, Trend]:
    """Return a trend for each model of a task type, or for each task type; most outcomes first."""
    from modelperf_plugin.analysis.views.trends import trends_of

    reading = engine.store.trends
    if task_type is None and model_id is None:
        steps, before = reading.series_of_task_types(period.days), reading.totals_of_task_types(period.before)
    else:
        steps = reading.series(period.days, task_type, None if model_id is None else [model_id])
        before = reading.totals(period.before, task_type, model_id)
    trends = trends_of(period, steps, before, by="task_type" if task_type is None else "model_id")
    return dict(sorted(trends.items(), key=lambda item: (-item[1].total.samples, item[0])))


def _heading(task_type: str | None, model_id: str | None, period: Period, trends: dict[str, Trend]) -> tuple[Cell, ...]:
    samples = sum(trend.total.samples for trend in trends.values())
    step = "" if period.days.step == 1 else f", {period.days.step} days per bar"
    return (
        (task_type or "all task types", "bold"),
        f"{'' if model_id is None else f' with {model_id}'}: {count(samples, 'outcome')}",
        f" from {period.first} to {period.last_day}{step}",
    )
