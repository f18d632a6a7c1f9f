"""``watch``: follow outcomes and decisions on a terminal."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, BufferedAnswer, Cell, Column
from modelperf_plugin.cli.options import (
    Common,
    Refusal,
    common_options,
    days_option,
)
from modelperf_plugin.cli.terminal_text import ago, change, count, moment_text, percent, spent_per_success

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.overview import Overview
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import LoggedDecision
from modelperf_plugin.cli.trend_view import show_changes, show_trends

_DECISIONS: Final = (
    Column("made", "dim"), Column("task type"), Column("model", "bold"), Column("what came of it"),
)  # fmt: skip
_MOST_DECISIONS: Final = 8


@click.command()
@click.option(
    "--every", type=click.FloatRange(0.2, 3600), metavar="SECONDS", default=2.0, show_default=True,
    help="How often to look.",
)  # fmt: skip
@days_option
@common_options
def watch(common: Common, answer: Answer, every: float, days: int) -> None:
    """Watch outcomes and decisions as they come, until Ctrl-C.

    Needs a terminal; programs read `trend --json` and `decisions --json`.
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
            live.update(Group(*_picture(engine, days)), refresh=True)
            time.sleep(every)


def _picture(engine: ModelPerf, days: int) -> list[Any]:
    from modelperf_plugin.analysis.views.overview import overview
    from modelperf_plugin.analysis.views.trends import Period

    now = datetime.now(UTC)
    seen = overview(engine, Period.last(days, now=now), now=now)
    screen = BufferedAnswer("watch")
    screen.print_line(
        (f"{count(seen.trend.total.samples, 'outcome')} in {count(days, 'day')}", "bold"), f"  {seen.store}"
    )
    screen.print_line((f"{moment_text(now)}; Ctrl-C ends", "dim"))
    screen.print_line()
    screen.print_facts(_facts(seen))
    screen.print_line()
    if seen.task_types:
        show_trends(screen, "task type", {row.task_type: row.trend for row in seen.task_types})
    latest = engine.store.trends.decisions(seen.period.days, limit=_MOST_DECISIONS)
    if latest:
        screen.print_line()
        screen.print_table(_DECISIONS, [_decision(each) for each in latest])
    show_changes(screen, seen.changes)
    return screen.renderables


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
