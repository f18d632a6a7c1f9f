"""``trend``: show success day by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Cell
from modelperf_plugin.cli.options import (
    Common,
    common_options,
    csv_option,
    days_option,
    json_option,
)
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.cli.terminal_text import count

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.trends import Period, Trend
    from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.cli.trend_view import show_changes, show_trends

_CSV: Final = (
    "task_type", "model_id", "since", "days", "successes", "failures", "timeouts", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "success_rate", "cost_per_success_usd",
)  # fmt: skip


@click.command()
@click.argument("task_type", required=False, metavar="[TASK]")
@click.option("--model", "model_id", metavar="MODEL", help="Only this model.")
@days_option
@json_option
@csv_option
@common_options
def trend(common: Common, answer: Answer, task_type: str | None, model_id: str | None, days: int) -> None:
    """Show how the rate of success went, day by day.

    With TASK for each of its models, otherwise for each task type. The bars go from 0 to 100 %, a dot is a day
    without outcomes; beside the rate is its difference to as many days before.
    """
    from modelperf_plugin.analysis.views.overview import changes_in
    from modelperf_plugin.analysis.views.trends import Period

    empty: dict[str, Any] = {"period": None, "trends": [], "changes": []}
    with common.reading(answer, **empty) as engine:
        period = Period.last(days)
        if task_type is not None and not engine.store.tallies.of(task_type):
            unknown_task_type(answer, engine, task_type, **empty)
        location = engine.store.location
        found = _trends(engine, period, task_type, model_id)
        concerned = {model_id} if model_id else set(engine.store.tallies.of(task_type)) if task_type else None
        changes = [each for each in changes_in(engine, period) if concerned is None or each.model_id in concerned]
    if not found:
        answer.exit_with_note(_nothing(task_type, model_id, days), store=location, **empty)
    records = [(task_type or name, name if task_type else model_id, trend) for name, trend in found.items()]
    if answer.as_json:
        listed = [{"task_type": task, "model_id": model, **trend.as_dict()} for task, model, trend in records]
        answer.print_json(
            store=location, period=period.as_dict(), trends=listed, changes=[each.as_dict() for each in changes],
            note=None,
        )  # fmt: skip
    elif answer.as_csv:
        rows = (
            {"task_type": task, "model_id": model, **point.as_dict()}
            for task, model, trend in records
            for point in trend.points
            if point.tally.samples
        )
        answer.print_csv(_CSV, rows)
    else:
        answer.print_line(*_head(task_type, model_id, period, found))
        answer.print_line()
        show_trends(answer, "model" if task_type else "task type", found)
        show_changes(answer, changes)


def _trends(engine: ModelPerf, period: Period, task_type: str | None, model_id: str | None) -> dict[str, Trend]:
    """Return a trend for each model of a task type, or for each task type, those with the most outcomes first."""
    from modelperf_plugin.analysis.views.trends import trends_of

    reading = engine.store.trends
    by = "task_type" if task_type is None else "model_id"
    if task_type is None and model_id is None:
        steps, before = reading.series_of_task_types(period.days), reading.totals_of_task_types(period.before)
    else:
        steps = reading.series(period.days, task_type, None if model_id is None else [model_id])
        before = reading.totals(period.before, task_type, model_id)
    found = trends_of(period, steps, before, by=by)
    return dict(sorted(found.items(), key=lambda item: (-item[1].total.samples, item[0])))


def _nothing(task_type: str | None, model_id: str | None, days: int) -> str:
    of = "".join(f" of {word} {name!r}" for word, name in (("model", model_id), ("task type", task_type)) if name)
    return f"no outcomes{of} in the last {count(days, 'day')}; ask for more with --days"


def _head(task_type: str | None, model_id: str | None, period: Period, found: dict[str, Trend]) -> tuple[Cell, ...]:
    samples = sum(trend.total.samples for trend in found.values())
    what = task_type or "all task types"
    by = "" if period.days.step == 1 else f", {period.days.step} days each bar"
    return (
        (what, "bold"),
        f"{'' if model_id is None else f' with {model_id}'}: {count(samples, 'outcome')}",
        f" from {period.first} to {period.last_day}{by}",
    )
