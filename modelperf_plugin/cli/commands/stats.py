"""``stats``: show all tallies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.cli import tally_columns as column
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, common_options, csv_option, json_option, task_option
from modelperf_plugin.cli.tables import Cell, Column, drawn, named, number
from modelperf_plugin.cli.task_types import unknown_task_type
from modelperf_plugin.cli.terminal_text import bars
from modelperf_plugin.text import count, iso_day
from modelperf_plugin.values import Durations, Tally, mean_costs
from modelperf_plugin.values.durations import shown as times

if TYPE_CHECKING:
    from modelperf_plugin.engine.core import ModelPerf

    _Rates = Mapping[tuple[str, str], Sequence[float | None]]

_RECENT_DAYS: Final = 14


@command("", "--task code-review --csv > counts.csv")
@task_option
@json_option
@csv_option
@common_options
def stats(common: Common, answer: Answer, task_type: str | None) -> None:
    """Show all recorded counts, by task type and model."""
    from modelperf_plugin.analysis.views.timings import timings_of, with_sums
    from modelperf_plugin.analysis.views.trends import add_up

    empty: dict[str, Any] = {"tallies": [], "totals": None, "budgets": []}
    with common.reading(answer, **empty) as engine:
        location = engine.store.location
        tallies = engine.store.tallies.all()
        shown = [tally for tally in tallies if task_type in {None, tally.task_type}]
        if not shown:
            unknown_task_type(answer, engine, task_type or "", **empty)
        timings = timings_of(engine, task_type)
        recent = {} if answer.as_json or answer.as_csv else _recent_rates(engine)
        budgets = engine.budgets()
        days = engine.store.spending.estimated()
    totals, means = add_up(shown), mean_costs(tallies)
    estimated = column.estimated_pairs(shown, days)
    days = {model_id: days[model_id] for _, model_id in estimated if model_id}
    if answer.as_json or answer.as_csv:
        listed = [
            {**tally.as_dict(), **times(timings.get(tally[:2])), **_prices_of(tally, days if tally.priced else {})}
            for tally in shown
        ]
    if answer.as_json:
        sums = {key: value for key, value in totals.as_dict().items() if key not in {"task_type", "model_id"}}
        answer.print_json(
            store=location, tallies=listed, totals=sums, note=None, budgets=[each.as_dict() for each in budgets]
        )
    elif answer.as_csv:
        answer.print_csv([*totals.as_dict(), *times(None), *_prices_of(totals, {})], listed)
    else:
        answer.print_line((count(totals.samples, "outcome"), "bold"), f" in {location}")
        answer.print_line()
        columns = _columns(shown, column.cost_columns(means, estimated), recent, with_sums(timings))
        if answer.is_terminal:
            answer.print_table([named("task type / model", _name), *columns], _with_sums(shown))
        else:
            answer.print_table([column.TASK_TYPE, column.MODEL, *columns], shown)
        for budget in budgets:
            answer.print_line(f"budget: {budget.describe()}")
        column.print_estimate_note(answer, shown, means)
        column.print_prices_note(answer, days)
        column.print_tries_note(answer, shown)


def _columns(
    shown: Sequence[Tally],
    costs: tuple[Column[Tally], ...],
    recent: _Rates,
    timings: Mapping[tuple[str, str], Durations],
) -> tuple[Column[Tally], ...]:
    no_days = [None] * _RECENT_DAYS
    timed: tuple[Column[Tally], ...] = column.time_columns(timings, lambda tally: tally[:2])
    return (
        column.OUTCOMES,
        column.SUCCESS,
        *column.score_columns(shown),
        number("failed", lambda tally: f"{tally.failures:,}"),
        *column.tries_columns(shown),
        *costs,
        *timed,
        column.TIMEOUTS,
        column.OUTAGES,
        column.TOKENS,
        column.LAST_USED,
        drawn(f"last {_RECENT_DAYS} days", lambda tally: bars(recent.get(tally[:2], no_days)), optional=True),
    )


def _prices_of(tally: Tally, days: Mapping[str, int]) -> dict[str, str | None]:
    """Return the day of the prices by which the costs of a tally were estimated."""
    day = days.get(tally.model_id)
    return {"prices_of": None if day is None else iso_day(day)}


def _with_sums(tallies: Sequence[Tally]) -> Iterator[Tally]:
    """Yield for each task type its sums and then its models; last, the sums of all task types."""
    from modelperf_plugin.analysis.views.trends import add_up

    groups = [list(group) for _, group in groupby(tallies, key=lambda tally: tally.task_type)]
    for group in groups:
        yield add_up(group, group[0].task_type)
        yield from group
    if len(groups) > 1:
        yield add_up(tallies)


def _name(tally: Tally) -> Cell:
    return f"  {tally.model_id}" if tally.model_id else (tally.task_type or "all", "bold")


def _recent_rates(engine: ModelPerf) -> _Rates:
    """Return the success rate of each of the last days, for each pair, each task type and all together."""
    from modelperf_plugin.analysis.views.trends import Period

    counts: dict[tuple[str, str], list[list[int]]] = {}
    for step in engine.store.trends.series(Period.last(_RECENT_DAYS).days):
        tally = step.tally
        for key in ((tally.task_type, tally.model_id), (tally.task_type, ""), ("", "")):
            day = counts.setdefault(key, [[0, 0] for _ in range(_RECENT_DAYS)])[step.position]
            day[0] += tally.successes
            day[1] += tally.samples
    return {
        key: [successes / samples if samples else None for successes, samples in days] for key, days in counts.items()
    }
