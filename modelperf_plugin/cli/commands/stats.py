"""``stats``: all tallies."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import click

from modelperf_plugin.cli.answer import Answer, Cell, Column, number
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.cli.terminal_text import (
    ESTIMATED,
    ago,
    bars,
    count,
    dollars,
    percent,
    short,
    spent_per_success,
)
from modelperf_plugin.values import mean_costs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.values import Tally

    _Recent = dict[tuple[str, str], dict[int, Tally]]

_RECENT_DAYS: Final = 14
_COUNTS = (
    number("outcomes"), number("success"), number("failed"), number("cost"), number("$/success"),
    number("timeouts", overflow=True), number("outages", overflow=True), number("tokens", overflow=True),
    number("last used", overflow=True), Column("last 14 days", "cyan", overflow=True),
)  # fmt: skip


@click.command()
@click.option("--task", "task_type", metavar="TASK", help="Only this task type.")
@json_option
@csv_option
@common_options
def stats(common: Common, answer: Answer, task_type: str | None) -> None:
    """Show everything that was recorded, for every task type and model."""
    from modelperf_plugin.analysis.views.trends import add_up

    empty: dict[str, Any] = {"tallies": [], "totals": None}
    with common.reading(answer, **empty) as engine:
        location = engine.store.location
        tallies = engine.store.tallies.all()
        shown = [tally for tally in tallies if task_type in {None, tally.task_type}]
        if not shown:
            unknown_task_type(answer, engine, task_type or "", **empty)
        recent = _recent(engine) if not (answer.as_json or answer.as_csv) else {}
    if answer.as_csv:
        records = [tally.as_dict() for tally in shown]
        answer.print_csv(list(records[0]), records)
        return
    totals, means = add_up(shown), mean_costs(tallies)
    if answer.as_json:
        sums = {key: value for key, value in totals.as_dict().items() if key not in {"task_type", "model_id"}}
        answer.print_json(store=location, tallies=[tally.as_dict() for tally in shown], totals=sums, note=None)
        return
    answer.print_line((count(totals.samples, "outcome"), "bold"), f" in {location}")
    answer.print_line()
    if answer.is_terminal:
        answer.print_table([Column("task type / model"), *_COUNTS], _grouped(shown, means, recent))
    else:
        rows = [[tally.task_type, tally.model_id, *_counts(tally, means), _bars_of(recent, tally)] for tally in shown]
        answer.print_table([Column("task type"), Column("model"), *_COUNTS], rows)
    if any("≈" in spent_per_success(tally, means.get(tally.model_id)) for tally in shown):
        answer.print_line()
        answer.print_line((ESTIMATED, "dim"))


def _grouped(tallies: Sequence[Tally], means: Mapping[str, float], recent: _Recent) -> Iterator[list[Cell]]:
    """Yield for each task type a row of sums and then its models, indented; at the end the sums of all."""
    from modelperf_plugin.analysis.views.trends import add_up

    groups = [list(group) for _, group in groupby(tallies, key=lambda tally: tally.task_type)]
    for group in groups:
        yield [(group[0].task_type, "bold"), *_counts(add_up(group), {}), _bars_of(recent, *group)]
        for tally in group:
            yield [f"  {tally.model_id}", *_counts(tally, means), _bars_of(recent, tally)]
    if len(groups) > 1:
        yield [("all", "bold"), *_counts(add_up(tallies), {}), _bars_of(recent, *tallies)]


def _recent(engine: ModelPerf) -> _Recent:
    """Return for each pair what was counted on each of the last days."""
    from modelperf_plugin.analysis.views.trends import Period

    period = Period.last(_RECENT_DAYS)
    found: _Recent = {}
    for step in engine.store.trends.series(period.days):
        found.setdefault(step.tally[:2], {})[step.position] = step.tally
    return found


def _bars_of(recent: _Recent, *tallies: Tally) -> str:
    """Return the rates of the last days of some pairs together as bars."""
    rates: list[float | None] = []
    for day in range(_RECENT_DAYS):
        counted = [recent.get(tally[:2], {}).get(day) for tally in tallies]
        successes = sum(each.successes for each in counted if each)
        samples = sum(each.samples for each in counted if each)
        rates.append(successes / samples if samples else None)
    return bars(rates)


def _counts(tally: Tally, means: Mapping[str, float]) -> list[str]:
    return [
        f"{tally.samples:,}",
        percent(tally.success_rate),
        f"{tally.failures:,}",
        dollars(tally.total_cost_usd if tally.priced else None),
        spent_per_success(tally, means.get(tally.model_id)),
        f"{tally.timeouts:,}",
        f"{tally.outages:,}",
        short(tally.total_tokens),
        ago(tally.last_used),
    ]
