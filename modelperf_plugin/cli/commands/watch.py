"""``watch``: follow outcomes and decisions on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from modelperf_plugin.cli.answer import Answer, BufferedAnswer
from modelperf_plugin.cli.decision_view import STATE_STYLES
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, Refusal, common_options, days_option, ends_with_interrupt
from modelperf_plugin.cli.tables import Cell, Column, named
from modelperf_plugin.cli.trend_view import print_changes, print_trends
from modelperf_plugin.text import ago, change, count, moment_text, percent, spent_per_success

if TYPE_CHECKING:
    from rich.console import RenderableType

    from modelperf_plugin.analysis.views.overview import Overview
    from modelperf_plugin.analysis.views.tasks import DecisionRow, LoggedTask
    from modelperf_plugin.engine.core import ModelPerf

_MAX_DECISIONS: Final = 8


@command("", "--every 10")
@click.option(
    "--every", type=click.FloatRange(0.2, 3600), metavar="SECONDS", default=2.0, show_default=True,
    help="Interval between updates.",
)  # fmt: skip
@days_option
@ends_with_interrupt
@common_options
def watch(common: Common, answer: Answer, every: float, days: int) -> None:
    """Follow outcomes and decisions live, until Ctrl-C.

    Needs a terminal; programs can read `trend --json` and `decisions --json`.
    """
    from rich.console import Console, Group
    from rich.live import Live

    if not sys.stdout.isatty():
        raise Refusal("watch needs a terminal; elsewhere use `modelperf trend` and `modelperf decisions`")
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    with (
        common.reading(answer) as engine,
        Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live,
    ):
        while True:
            live.update(Group(*_render(engine, days)), refresh=True)
            time.sleep(every)


def _render(engine: ModelPerf, days: int) -> list[RenderableType]:
    from modelperf_plugin.analysis.views.overview import overview
    from modelperf_plugin.analysis.views.tasks import with_tasks
    from modelperf_plugin.analysis.views.trends import Period

    now = datetime.now(UTC)
    view = overview(engine, Period.last(days, now=now), now=now)
    screen = BufferedAnswer("watch")
    heading = f"{count(view.trend.total.samples, 'outcome')} in {count(days, 'day')}"
    screen.print_line((heading, "bold"), f"  {view.store}")
    screen.print_line((f"{moment_text(now)}; Ctrl-C ends", "dim"))
    screen.print_line()
    screen.print_facts(_facts(view))
    screen.print_line()
    if view.task_types:
        print_trends(screen, "task type", {row.task_type: row.trend for row in view.task_types})
    latest = engine.store.trends.decisions(view.period.days, limit=_MAX_DECISIONS)
    if latest:
        screen.print_line()
        screen.print_table(_DECISIONS, with_tasks(engine.store.decisions, latest))
    print_changes(screen, view.changes)
    return screen.renderables


def _facts(view: Overview) -> Iterator[tuple[str, Cell]]:
    from modelperf_plugin.analysis.views.trends import solved_tasks

    total = view.trend.total
    yield "success", f"{percent(total.success_rate)}  {change(view.trend.difference)}"
    solved = solved_tasks(total)
    if solved is not None:
        yield "solved tasks", f"{percent(solved.share)}  {percent(solved.by_first_try)} by the first try"
    yield "cost per success", spent_per_success(total)
    yield "spent on learning", percent(view.exploration.share)
    yield "newest outcome", ago(view.quality.newest)
    if view.demotions:
        yield "demoted", ", ".join(f"{each.model_id} on {each.task_type}" for each in view.demotions[:3])


def _outcome(task: LoggedTask) -> Cell:
    now_ms = time.time_ns() // 1_000_000
    if not task.tries:
        return "waiting", "dim"
    return task.ending(now_ms), STATE_STYLES[task.state(now_ms)]


_DECISIONS: Final[tuple[Column[DecisionRow], ...]] = (
    Column("made", lambda row: ago(row.decision.created_at), "dim"),
    named("task type", lambda row: row.decision.task_type),
    named("model", lambda row: row.decision.model_id, "bold"),
    Column("outcome", lambda row: _outcome(row.task)),
)
