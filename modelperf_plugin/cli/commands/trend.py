"""``trend`` and ``watch``: outcomes over time, and as they come."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Cell, Column, Screen, number
from modelperf_plugin.cli.options import (
    Common,
    Refusal,
    common_options,
    csv_option,
    days_option,
    json_option,
    pass_common,
)
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.cli.terminal_text import ago, bars, change, count, moment_text, percent, spent_per_success
from modelperf_plugin.values import from_milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelperf_plugin.analysis.views.overview import Overview
    from modelperf_plugin.analysis.views.trends import Period, Trend
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import Change, LoggedDecision

_COUNTS: Final = (
    number("outcomes"), number("success"), number("before", aside=True), number("$/success"),
)  # fmt: skip
_CSV: Final = (
    "task_type", "model_id", "since", "days", "successes", "failures", "timeouts", "outages", "caller_errors",
    "total_tokens", "total_cost_usd", "priced", "success_rate", "cost_per_success_usd",
)  # fmt: skip
_CHANGED: Final = {"up": "does better", "down": "does worse", "announced": "was announced to have changed"}
_DECISIONS: Final = (
    Column("made", "dim"), Column("task type"), Column("model", "bold"), Column("what came of it"),
)  # fmt: skip
_MOST_DECISIONS: Final = 8


@click.command()
@click.argument("task_type", required=False, metavar="[TASK]")
@click.option("--model", "model_id", metavar="MODEL", help="Only this model.")
@days_option
@json_option
@csv_option
@common_options
@pass_common
def trend(common: Common, task_type: str | None, model_id: str | None, days: int, as_json: bool, as_csv: bool) -> None:
    """Show how the rate of success went, day by day.

    With TASK for each of its models, otherwise for each task type. The bars go from 0 to 100 %, a dot is a day
    without outcomes; beside the rate is its difference to as many days before.
    """
    from modelperf_plugin.analysis.views.overview import changes_in
    from modelperf_plugin.analysis.views.trends import Period

    answer = Answer("trend", as_json=as_json, as_csv=as_csv)
    empty: dict[str, Any] = {"period": None, "trends": [], "changes": []}
    with common.reading(answer, **empty) as engine:
        period = Period.last(days)
        if task_type is not None and not engine.store.evidence(task_type):
            unknown_task_type(answer, engine, task_type, **empty)
        location = engine.store.location
        found = _trends(engine, period, task_type, model_id)
        concerned = {model_id} if model_id else set(engine.store.evidence(task_type)) if task_type else None
        changes = [each for each in changes_in(engine, period) if concerned is None or each.model_id in concerned]
    if not found:
        answer.nothing(_nothing(task_type, model_id, days), store=location, **empty)
    records = [(task_type or name, name if task_type else model_id, trend) for name, trend in found.items()]
    if as_json:
        listed = [{"task_type": task, "model_id": model, **trend.as_dict()} for task, model, trend in records]
        answer.json(
            store=location, period=period.as_dict(), trends=listed, changes=[each.as_dict() for each in changes],
            note=None,
        )  # fmt: skip
    elif as_csv:
        rows = (
            {"task_type": task, "model_id": model, **point.as_dict()}
            for task, model, trend in records
            for point in trend.points
            if point.tally.samples
        )
        answer.csv(_CSV, rows)
    else:
        answer.line(*_head(task_type, model_id, period, found))
        answer.line()
        _table(answer, "model" if task_type else "task type", found)
        _say_changes(answer, changes)


@click.command()
@click.option(
    "--every", type=click.FloatRange(0.2, 3600), metavar="SECONDS", default=2.0, show_default=True,
    help="How often to look.",
)  # fmt: skip
@days_option
@common_options
@pass_common
def watch(common: Common, every: float, days: int) -> None:
    """Watch outcomes and decisions as they come, until Ctrl-C.

    Needs a terminal; programs read `trend --json` and `decisions --json`.
    """
    from rich.console import Console, Group
    from rich.live import Live

    if not sys.stdout.isatty():
        raise Refusal("watch needs a terminal; elsewhere use `modelperf trend` and `modelperf decisions`")
    answer = Answer("watch")
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    with (
        common.reading(answer) as engine,
        Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live,
    ):
        while True:
            live.update(Group(*_picture(engine, days)), refresh=True)
            time.sleep(every)


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


def _table(answer: Answer, head: str, trends: dict[str, Trend]) -> None:
    answer.table(
        [Column(head, "bold"), Column("success, 0 to 100 %", "cyan"), *_COUNTS],
        [[name, bars(trend.rates), *_counts(trend)] for name, trend in trends.items()],
    )


def _counts(trend: Trend) -> list[Cell]:
    return [
        f"{trend.total.samples:,}",
        percent(trend.total.success_rate),
        change(trend.difference),
        spent_per_success(trend.total),
    ]


def _say_changes(answer: Answer, changes: Sequence[Change]) -> None:
    if changes:
        answer.line()
    for each in changes:
        since, noticed = from_milliseconds(each.since_ms), from_milliseconds(each.noticed_ms)
        answer.line((each.model_id, "bold"), f" {_CHANGED[each.direction]} since {ago(since)}, noticed {ago(noticed)}")


def _picture(engine: ModelPerf, days: int) -> list[Any]:
    from modelperf_plugin.analysis.views.overview import overview
    from modelperf_plugin.analysis.views.trends import Period

    now = datetime.now(UTC)
    seen = overview(engine, Period.last(days, now=now), now=now)
    screen = Screen("watch")
    screen.line((f"{count(seen.trend.total.samples, 'outcome')} in {count(days, 'day')}", "bold"), f"  {seen.store}")
    screen.line((f"{moment_text(now)}; Ctrl-C ends", "dim"))
    screen.line()
    screen.facts(_facts(seen))
    screen.line()
    if seen.task_types:
        _table(screen, "task type", {row.task_type: row.trend for row in seen.task_types})
    latest = engine.store.trends.decisions(seen.period.days, limit=_MOST_DECISIONS)
    if latest:
        screen.line()
        screen.table(_DECISIONS, [_decision(each) for each in latest])
    _say_changes(screen, seen.changes)
    return screen.parts


def _facts(seen: Overview) -> list[tuple[str, Cell]]:
    total = seen.trend.total
    facts: list[tuple[str, Cell]] = [
        ("success", f"{percent(total.success_rate)}  {change(seen.trend.difference)}"),
        ("cost per success", spent_per_success(total)),
        ("spent on learning", percent(seen.exploration.share)),
        ("newest outcome", ago(seen.quality.newest)),
    ]
    if seen.demotions:
        facts.append(("demoted", ", ".join(f"{each.model_id} on {each.task_type}" for each in seen.demotions[:3])))
    return facts


def _decision(each: LoggedDecision) -> list[Cell]:
    outcome: Cell = ("waiting", "dim")
    if each.outcome is not None:
        outcome = ("succeeded", "green") if each.outcome.success else ("failed", "red")
    return [ago(each.created_at), each.task_type, each.model_id, outcome]
